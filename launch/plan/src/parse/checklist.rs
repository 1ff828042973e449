//! `checklist:`: how the document at the end is written.

use crate::error::PlanError;
use crate::parse::fields::{Context, Fields};
use crate::parse::node::Node;
use crate::plan::{ArtifactRef, ChecklistSpec, Language};

pub(super) const FIELDS: [&str; 4] = ["language", "customer_language", "template", "customer_template"];

pub(super) fn checklist(
    context: &Context,
    node: &Node,
    artifacts: &[ArtifactRef],
) -> Result<ChecklistSpec, PlanError> {
    let fields = Fields::new(context, node, "`checklist`", &FIELDS)?;
    let spoken = |name: &str| {
        fields
            .get(name)
            .map(|node| language(context, node, name))
            .transpose()
    };
    let set_with = |name: &str| {
        fields
            .get(name)
            .map(|node| template(context, node, name, artifacts))
            .transpose()
    };
    let language = spoken("language")?.unwrap_or_default();
    let template = set_with("template")?;
    Ok(ChecklistSpec {
        language,
        customer_language: spoken("customer_language")?.unwrap_or(language),
        customer_template: set_with("customer_template")?.or_else(|| template.clone()),
        template,
    })
}

/// An artifact, so that its digest is on record before the launch begins.
fn template(
    context: &Context,
    node: &Node,
    name: &str,
    artifacts: &[ArtifactRef],
) -> Result<String, PlanError> {
    let artifact = context.text(node, name)?;
    if artifacts.iter().any(|known| known.name == artifact) {
        return Ok(artifact);
    }
    let known: Vec<String> = artifacts.iter().map(|a| format!("`{}`", a.name)).collect();
    let known = match known.as_slice() {
        [] => "the plan has none".to_owned(),
        known => format!("there are {}", known.join(", ")),
    };
    Err(context.error(
        node.place,
        format!("`{name}` is `{artifact}`"),
        format!("the name of one of the plan's `artifacts`; {known}"),
    ))
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
                ..ChecklistSpec::default()
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

    #[test]
    fn a_template_is_an_artifact_and_customers_get_the_same_unless_the_plan_says_otherwise() {
        let artifacts =
            "artifacts:\n  - { name: house, path: house.typ }\n  - { name: short, path: short.typ }\n";
        for (text, internal, customer, all) in [
            ("", None, None, vec![]),
            (
                "checklist: { template: house }\n",
                Some("house"),
                Some("house"),
                vec!["house"],
            ),
            (
                "checklist: { customer_template: short }\n",
                None,
                Some("short"),
                vec!["short"],
            ),
            (
                "checklist: { template: house, customer_template: short }\n",
                Some("house"),
                Some("short"),
                vec!["house", "short"],
            ),
        ] {
            let spec = Plan::parse(&plan(&format!("{artifacts}{text}")), "p.yaml")
                .unwrap()
                .checklist;
            let found = (spec.template.as_deref(), spec.customer_template.as_deref());
            assert_eq!(found, (internal, customer), "{text}");
            assert_eq!(spec.templates().collect::<Vec<_>>(), all, "{text}");
        }
    }

    #[test]
    fn a_template_that_is_no_artifact_is_refused_at_its_place() {
        let said = |text: &str| Plan::parse(&plan(text), "p.yaml").unwrap_err().to_string();
        let none = said("checklist: { template: house }\n");
        assert!(
            none.contains("p.yaml:3:") && none.contains("the plan has none"),
            "{none}"
        );
        let other =
            said("artifacts:\n  - { name: starvault, path: s }\nchecklist: { customer_template: house }\n");
        assert!(
            other.contains("p.yaml:5:")
                && other.contains("`customer_template` is `house`")
                && other.contains("there are `starvault`"),
            "{other}"
        );
    }
}
