//! `checklist:`: how the document at the end is written.

use crate::error::PlanError;
use crate::parse::fields::{Context, Fields};
use crate::parse::node::Node;
use crate::plan::{ChecklistSpec, Language};

pub(super) const FIELDS: [&str; 2] = ["language", "customer_language"];

pub(super) fn checklist(context: &Context, node: &Node) -> Result<ChecklistSpec, PlanError> {
    let fields = Fields::new(context, node, "`checklist`", &FIELDS)?;
    let one = |name: &str| {
        fields
            .get(name)
            .map(|node| language(context, node, name))
            .transpose()
    };
    let language = one("language")?.unwrap_or_default();
    Ok(ChecklistSpec {
        language,
        customer_language: one("customer_language")?.unwrap_or(language),
    })
}

fn language(context: &Context, node: &Node, name: &str) -> Result<Language, PlanError> {
    match context.text(node, name)?.as_str() {
        "zh" => Ok(Language::Zh),
        "en" => Ok(Language::En),
        "both" => Ok(Language::Both),
        other => Err(context.error(
            node.place,
            format!("`{name}` is `{other}`"),
            "`zh`, `en` or `both`",
        )),
    }
}

#[cfg(test)]
mod tests {
    use crate::plan::{ChecklistSpec, Language, Plan};

    fn plan(checklist: &str) -> String {
        format!(
            "name: Shop\nversion: \"1\"\n{checklist}items:\n  - id: go\n    number: 1\n    title: {{ zh: 去, en: Go }}\n    \
             window: {{ from_h: 0, to_h: 1 }}\n    owner: sre\n    criterion: {{ zh: 好, en: Good }}\n    sign_offs: [sre]\n"
        )
    }

    #[test]
    fn customers_get_the_language_of_all_unless_the_plan_says_otherwise() {
        for (text, language, customer_language) in [
            ("", Language::Both, Language::Both),
            ("checklist: { language: zh }\n", Language::Zh, Language::Zh),
            (
                "checklist: { customer_language: en }\n",
                Language::Both,
                Language::En,
            ),
            (
                "checklist: { language: en, customer_language: both }\n",
                Language::En,
                Language::Both,
            ),
        ] {
            let spec = ChecklistSpec {
                language,
                customer_language,
            };
            assert_eq!(
                Plan::parse(&plan(text), "p.yaml").unwrap().checklist,
                spec,
                "{text}"
            );
        }
    }

    #[test]
    fn another_language_is_refused_at_its_place() {
        let said = Plan::parse(&plan("checklist: { language: de }\n"), "p.yaml")
            .unwrap_err()
            .to_string();
        assert!(
            said.contains("p.yaml:3:") && said.contains("`zh`, `en` or `both`"),
            "{said}"
        );
    }
}
