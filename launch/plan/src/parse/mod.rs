//! From YAML to a plan: first a tree that knows its places, then the plan's own rules.

mod canary;
mod checklist;
mod deadlines;
mod feedback;
mod fields;
mod gates;
mod gateway;
mod metrics;
mod node;
mod router;
mod sessions;

use std::collections::BTreeMap;

use crate::error::PlanError;
use crate::parse::fields::{Context, Fields};
use crate::parse::node::{Node, Place};
use crate::plan::{ArtifactRef, Bilingual, Gate, Item, Plan, Window};
use crate::spec::GateKind;

pub use gateway::gateway_route;

const FIELDS: [&str; 7] = [
    "name",
    "version",
    "timezone",
    "artifacts",
    "feedback",
    "checklist",
    "items",
];
const ITEMS_MAX: usize = 100;
const ARTIFACTS_MAX: usize = 100;
const ROLES_MAX: usize = 20;
/// Hours; no launch is longer than a year.
const HOURS_MAX: f64 = 8760.0;

pub(crate) fn plan(yaml: &str, file: &str) -> Result<Plan, PlanError> {
    let root = node::read(yaml, file)?;
    let context = Context::new(file);
    let fields = Fields::new(&context, &root, "the plan", &FIELDS)?;
    let name = fields.text("name")?;
    let version = fields.text("version")?;
    let timezone = fields
        .get("timezone")
        .map(|node| timezone(&context, node))
        .transpose()?;
    let artifacts = match fields.get("artifacts") {
        None => Vec::new(),
        Some(node) => unique(
            &context,
            context
                .list(node, "artifacts", ARTIFACTS_MAX)?
                .iter()
                .map(|node| artifact(&context, node)),
            |artifact| artifact.name.clone(),
            "the artifact",
        )?,
    };
    let feedback = fields
        .get("feedback")
        .map(|node| feedback::feedback(&context, node))
        .transpose()?;
    let checklist = fields
        .get("checklist")
        .map(|node| checklist::checklist(&context, node, &artifacts))
        .transpose()?
        .unwrap_or_default();
    let nodes = context.list(fields.required("items")?, "items", ITEMS_MAX)?;
    let items = unique(
        &context,
        nodes.iter().map(|node| item(&context, node)),
        |item| item.id.clone(),
        "the item id",
    )?;
    let mut numbers = BTreeMap::new();
    for (item, node) in items.iter().zip(nodes) {
        if let Some(other) = numbers.insert(item.number, item.line) {
            return Err(context.error(
                node.place,
                format!(
                    "item `{}` has number {}, as has the item in line {other}",
                    item.id, item.number
                ),
                "each number once",
            ));
        }
    }
    if items.is_empty() {
        return Err(context.error(
            fields.required("items")?.place,
            "`items` is empty",
            "at least one item",
        ));
    }
    Ok(Plan {
        name,
        version,
        timezone,
        artifacts,
        feedback,
        checklist,
        items,
        file: file.to_owned(),
        variables: context.take_variables(),
    })
}

fn timezone(context: &Context, node: &Node) -> Result<String, PlanError> {
    let text = context.text(node, "timezone")?;
    let good = text.len() <= 60
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "/_+-".contains(c));
    if good {
        Ok(text)
    } else {
        Err(context.error(
            node.place,
            format!("`timezone` is `{text}`"),
            "an IANA name, e.g. `Asia/Shanghai`",
        ))
    }
}

fn artifact(context: &Context, node: &Node) -> Result<(Place, ArtifactRef), PlanError> {
    let fields = Fields::new(context, node, "an artifact", &["name", "path"])?;
    let artifact = ArtifactRef {
        name: fields.slug("name", "starvault")?,
        path: fields.template("path")?,
        line: node.place.line,
    };
    Ok((fields.required("name")?.place, artifact))
}

fn item(context: &Context, node: &Node) -> Result<(Place, Item), PlanError> {
    const KNOWN: [&str; 9] = [
        "id",
        "number",
        "title",
        "window",
        "owner",
        "criterion",
        "not_covered",
        "gates",
        "sign_offs",
    ];
    let fields = Fields::new(context, node, "an item", &KNOWN)?;
    let id = fields.slug("id", "load-test")?;
    let gates = match fields.get("gates") {
        None => Vec::new(),
        Some(node) => unique(
            context,
            context
                .list(node, "gates", gates::GATES_MAX)?
                .iter()
                .map(|node| gates::gate(context, node)),
            |gate| gate.id.clone(),
            "the gate id",
        )?,
    };
    let sign_offs = match fields.get("sign_offs") {
        None => Vec::new(),
        Some(node) => unique(
            context,
            context
                .list(node, "sign_offs", ROLES_MAX)?
                .iter()
                .map(|node| Ok((node.place, context.slug(node, "sign_offs", "qa")?))),
            Clone::clone,
            "the role",
        )?,
    };
    if sign_offs.is_empty()
        && let Some(gate) = gates.iter().find(|gate| waits_for_a_person(gate))
    {
        return Err(fields.error(
            fields.required("gates")?.place,
            format!("gate `{}` waits for an approval that nobody can give", gate.id),
            "`sign_offs` with the roles whose keys approve, e.g. sign_offs: [sre]",
        ));
    }
    let item = Item {
        number: fields.whole("number", 1, 999)?,
        title: bilingual(context, fields.required("title")?, "title")?,
        window: window(context, fields.required("window")?)?,
        owner: fields.slug("owner", "sre")?,
        criterion: bilingual(context, fields.required("criterion")?, "criterion")?,
        not_covered: fields
            .get("not_covered")
            .map(|node| bilingual(context, node, "not_covered"))
            .transpose()?,
        gates,
        sign_offs,
        line: node.place.line,
        id,
    };
    Ok((fields.required("id")?.place, item))
}

fn waits_for_a_person(gate: &Gate) -> bool {
    [Some(&gate.kind), gate.rehearsal.as_ref()].into_iter().flatten().any(|kind| {
        matches!(kind, GateKind::Canary(spec) if spec.at.values().any(|step| step.approval.is_some()))
    })
}

fn bilingual(context: &Context, node: &Node, name: &str) -> Result<Bilingual, PlanError> {
    let fields = Fields::new(context, node, &format!("`{name}`"), &["zh", "en"])?;
    Ok(Bilingual {
        zh: fields.text("zh")?,
        en: fields.text("en")?,
    })
}

fn window(context: &Context, node: &Node) -> Result<Window, PlanError> {
    let fields = Fields::new(context, node, "`window`", &["from_h", "to_h"])?;
    let window = Window {
        from_h: fields.number("from_h", 0.0, HOURS_MAX)?,
        to_h: fields.number("to_h", 0.0, HOURS_MAX)?,
    };
    if window.from_h < window.to_h {
        Ok(window)
    } else {
        Err(fields.error(
            fields.required("to_h")?.place,
            format!("a window from hour {} to hour {}", window.from_h, window.to_h),
            "`from_h` below `to_h`",
        ))
    }
}

/// Collects, and refuses a second one of the same name at its own place.
fn unique<T>(
    context: &Context,
    found: impl Iterator<Item = Result<(Place, T), PlanError>>,
    name: impl Fn(&T) -> String,
    what: &str,
) -> Result<Vec<T>, PlanError> {
    let mut first: BTreeMap<String, Place> = BTreeMap::new();
    let mut all = Vec::new();
    for result in found {
        let (place, value) = result?;
        let key = name(&value);
        if let Some(other) = first.get(&key) {
            return Err(context.error(
                place,
                format!(
                    "{what} `{key}` stands here again; it is in line {} already",
                    other.line
                ),
                "each once",
            ));
        }
        first.insert(key, place);
        all.push(value);
    }
    Ok(all)
}
