//! Gates and what each kind needs.

use std::collections::BTreeMap;

use crate::error::PlanError;
use crate::expectation::{Expectation, GRAMMAR};
use crate::parse::canary::{FIELDS as CANARY, REHEARSAL as CANARY_REHEARSAL, read as canary};
use crate::parse::deadlines::{FIELDS as DEADLINES, read as deadlines};
use crate::parse::fields::{Context, Fields};
use crate::parse::node::{Entry, Node, Place, Value};
use crate::parse::sessions::{FIELDS as SESSIONS, read as sessions};
use crate::plan::Gate;
use crate::spec::{
    CommandSpec, GateKind, HttpSpec, LoadSpec, Protocol, RecoverySpec, SplitSpec, TO_COME_KINDS, Traffic,
};

pub(super) const GATES_MAX: usize = 50;
const EXPECTATIONS_MAX: usize = 50;
const PLAYERS_MAX: u32 = 1_000_000;
/// Seconds; a week.
pub(super) const SECONDS_MAX: f64 = 604_800.0;
pub(super) const MINUTE_MS: u32 = 60_000;
/// The load engine's own default.
const GENERATOR_LAG_MAX_MS: u32 = 50;

/// Fields that every gate may have.
const COMMON: [&str; 4] = ["id", "kind", "expect", "rehearsal"];
pub(super) const TRAFFIC: [&str; 9] = [
    "target",
    "players",
    "arrivals_s",
    "think_ms",
    "protocol",
    "method",
    "path",
    "headers",
    "rate_per_s",
];

/// A kind, its fields, and those of them that a rehearsal may replace: sizes and durations,
/// never what is expected.
struct Kind {
    name: &'static str,
    fields: &'static [&'static str],
    rehearsal: &'static [&'static str],
    read: fn(&Fields<'_>) -> Result<GateKind, PlanError>,
}

const KINDS: [Kind; 7] = [
    Kind {
        name: "load",
        fields: &[
            "target",
            "players",
            "duration_s",
            "arrivals_s",
            "think_ms",
            "protocol",
            "method",
            "path",
            "headers",
            "rate_per_s",
            "generator_lag_max_ms",
        ],
        rehearsal: &["players", "duration_s", "arrivals_s", "think_ms", "rate_per_s"],
        read: load,
    },
    Kind {
        name: "recovery",
        fields: &["target", "players", "duration_s", "think_ms", "cut_fraction"],
        rehearsal: &["players", "duration_s", "think_ms"],
        read: recovery,
    },
    Kind {
        name: "canary",
        fields: &CANARY,
        rehearsal: &CANARY_REHEARSAL,
        read: canary,
    },
    Kind {
        name: "http",
        fields: &[
            "method",
            "url",
            "headers",
            "body",
            "timeout_ms",
            "repeat",
            "expect_status",
            "expect_headers",
            "expect_json",
            "split",
        ],
        rehearsal: &["timeout_ms", "repeat", "split"],
        read: http,
    },
    Kind {
        name: "command",
        fields: &["argv", "timeout_s", "cwd", "json_measurements"],
        rehearsal: &["timeout_s"],
        read: command,
    },
    Kind {
        name: "sessions",
        fields: &SESSIONS,
        rehearsal: &["timeout_ms"],
        read: sessions,
    },
    Kind {
        name: "deadlines",
        fields: &DEADLINES,
        rehearsal: &["probes", "wait_ms"],
        read: deadlines,
    },
];

pub(super) fn gate(context: &Context, node: &Node) -> Result<(Place, Gate), PlanError> {
    let fields = Fields::any(context, node, "a gate")?;
    let kind_node = fields.required("kind")?;
    let name = context.text(kind_node, "kind")?;
    let id = fields.slug("id", "players")?;
    let expect = expectations(context, fields.get("expect"))?;
    let line = node.place.line;
    let place = fields.required("id")?.place;

    let Some(kind) = KINDS.iter().find(|kind| kind.name == name) else {
        if !TO_COME_KINDS.contains(&name.as_str()) {
            let runnable: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
            return Err(context.error(
                kind_node.place,
                format!("unknown gate kind `{name}`"),
                format!(
                    "one of {} (they run), or {} (reserved: not checked)",
                    runnable.join(", "),
                    TO_COME_KINDS.join(", ")
                ),
            ));
        }
        fields.only(&["id", "kind", "expect"])?;
        return Ok((
            place,
            Gate {
                id,
                kind: GateKind::ToCome { kind: name },
                rehearsal: None,
                expect,
                line,
            },
        ));
    };

    let what = format!("the {name} gate `{id}`");
    let known: Vec<&str> = COMMON.iter().chain(kind.fields).copied().collect();
    let fields = Fields::new(context, node, &what, &known)?;
    let base = (kind.read)(&fields)?;
    let rehearsal = match fields.get("rehearsal") {
        None => None,
        Some(overlay) => {
            Fields::new(
                context,
                overlay,
                &format!("`rehearsal` of {what}"),
                kind.rehearsal,
            )?;
            let merged = merge(node, overlay);
            Some((kind.read)(&Fields::any(context, &merged, &what)?)?)
        }
    };
    let gate = Gate {
        id,
        kind: base,
        rehearsal,
        expect,
        line,
    };
    if gate.expectations().is_empty() {
        return Err(context.error(
            node.place,
            format!("{what} expects nothing, so that it could prove nothing"),
            format!("`expect` with at least one {GRAMMAR}"),
        ));
    }
    Ok((place, gate))
}

fn expectations(context: &Context, node: Option<&Node>) -> Result<Vec<Expectation>, PlanError> {
    let Some(node) = node else { return Ok(Vec::new()) };
    context
        .list(node, "expect", EXPECTATIONS_MAX)?
        .iter()
        .map(|node| {
            let text = context.text(node, "expect").map_err(|error| PlanError {
                expected: GRAMMAR.to_owned(),
                ..error
            })?;
            Expectation::parse(&text).map_err(|what| context.error(node.place, what, GRAMMAR))
        })
        .collect()
}

/// Lays the fields of `overlay` over those of `base`; mappings are merged, all else replaced.
fn merge(base: &Node, overlay: &Node) -> Node {
    let (Value::Map(below), Value::Map(above)) = (&base.value, &overlay.value) else {
        return overlay.clone();
    };
    let mut entries: Vec<Entry> = below
        .iter()
        .map(|entry| match above.iter().find(|other| other.key == entry.key) {
            Some(other) => Entry {
                node: merge(&entry.node, &other.node),
                ..other.clone()
            },
            None => entry.clone(),
        })
        .collect();
    entries.extend(
        above
            .iter()
            .filter(|entry| !below.iter().any(|other| other.key == entry.key))
            .cloned(),
    );
    Node {
        place: base.place,
        value: Value::Map(entries),
    }
}

fn load(fields: &Fields<'_>) -> Result<GateKind, PlanError> {
    let duration_s = fields.number("duration_s", 1.0, SECONDS_MAX)?;
    Ok(GateKind::Load(LoadSpec {
        traffic: traffic(fields)?,
        duration_s,
        generator_lag_max_ms: fields.whole_or("generator_lag_max_ms", GENERATOR_LAG_MAX_MS, 1, MINUTE_MS)?,
    }))
}

pub(super) fn traffic(fields: &Fields<'_>) -> Result<Traffic, PlanError> {
    const HTTP_ONLY: [&str; 4] = ["method", "path", "headers", "rate_per_s"];
    let protocol_node = fields.required("protocol")?;
    let protocol = match fields.context.text(protocol_node, "protocol")?.as_str() {
        "starvault" => {
            if let Some((name, node)) = HTTP_ONLY
                .iter()
                .find_map(|name| fields.get(name).map(|node| (name, node)))
            {
                return Err(fields.error(
                    node.place,
                    format!("`{name}` with `protocol: starvault`, whose players choose their own requests"),
                    "`protocol: http`, or no such field",
                ));
            }
            Protocol::Starvault
        }
        "http" => Protocol::Http {
            method: method(fields, "GET")?,
            path: path(fields)?,
            headers: fields.templates("headers")?,
            rate_per_s: fields.number("rate_per_s", 0.01, 1_000_000.0)?,
        },
        other => {
            return Err(fields.error(
                protocol_node.place,
                format!("unknown protocol `{other}`"),
                "`starvault` (players that play) or `http` (requests at a fixed rate)",
            ));
        }
    };
    Ok(Traffic {
        target: fields.template("target")?,
        players: fields.count("players", 1, PLAYERS_MAX)?,
        arrivals_s: fields.number_or("arrivals_s", 0.0, 0.0, SECONDS_MAX)?,
        think_ms: fields.whole_or("think_ms", 1000, 1, 10 * MINUTE_MS)?,
        protocol,
    })
}

pub(super) fn method(fields: &Fields<'_>, default: &str) -> Result<String, PlanError> {
    let Some(node) = fields.get("method") else {
        return Ok(default.to_owned());
    };
    let text = fields.context.text(node, "method")?;
    if text.len() <= 20 && text.chars().all(|c| c.is_ascii_uppercase()) {
        Ok(text)
    } else {
        Err(fields.error(
            node.place,
            format!("`method` is `{text}`"),
            "an HTTP method in capitals, e.g. `GET`",
        ))
    }
}

pub(super) fn path(fields: &Fields<'_>) -> Result<String, PlanError> {
    let node = fields.required("path")?;
    let text = fields.context.template(node, "path")?;
    if text.starts_with('/') {
        Ok(text)
    } else {
        Err(fields.error(
            node.place,
            format!("`path` is `{text}`"),
            "a path that begins with `/`, e.g. `/v1/version`",
        ))
    }
}

fn recovery(fields: &Fields<'_>) -> Result<GateKind, PlanError> {
    Ok(GateKind::Recovery(RecoverySpec {
        target: fields.template("target")?,
        players: fields.count("players", 2, PLAYERS_MAX)?,
        duration_s: fields.number("duration_s", 1.0, SECONDS_MAX)?,
        think_ms: fields.whole_or("think_ms", 1000, 1, 10 * MINUTE_MS)?,
        cut_fraction: fields.number("cut_fraction", 0.0, 1.0)?,
    }))
}

fn http(fields: &Fields<'_>) -> Result<GateKind, PlanError> {
    let context = &fields.context;
    let lower = |map: BTreeMap<String, String>| -> BTreeMap<String, String> {
        map.into_iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
            .collect()
    };
    let mut expect_json = BTreeMap::new();
    if let Some(node) = fields.get("expect_json") {
        for entry in context.entries(node, "expect_json")? {
            if !(entry.key.is_empty() || entry.key.starts_with('/')) {
                return Err(fields.error(
                    entry.place,
                    format!("`{}` is not a JSON pointer", entry.key),
                    "a JSON pointer (RFC 6901), e.g. `/release`",
                ));
            }
            expect_json.insert(entry.key.clone(), json(context, &entry.node)?);
        }
    }
    let split = fields.get("split").map(|node| split(context, node)).transpose()?;
    if let (Some(_), Some(node)) = (&split, fields.get("repeat")) {
        return Err(fields.error(
            node.place,
            "`repeat` beside `split`, which sends one request for each of its `keys`",
            "one of the two",
        ));
    }
    let expect_status = fields.whole_or("expect_status", 200, 100, 599)? as u16;
    Ok(GateKind::Http(HttpSpec {
        method: method(fields, "GET")?,
        url: fields.template("url")?,
        headers: fields.templates("headers")?,
        body: fields
            .get("body")
            .map(|node| context.template(node, "body"))
            .transpose()?,
        timeout_ms: fields.whole_or("timeout_ms", 5000, 1, 10 * MINUTE_MS)?,
        repeat: split.as_ref().map_or_else(
            || fields.whole_or("repeat", 1, 1, 1_000_000),
            |split| Ok(split.keys),
        )?,
        expect_status,
        expect_headers: lower(fields.templates("expect_headers")?),
        expect_json,
        split,
    }))
}

fn split(context: &Context, node: &Node) -> Result<SplitSpec, PlanError> {
    let fields = Fields::new(
        context,
        node,
        "`split`",
        &["header", "shares", "key_header", "keys"],
    )?;
    let shares_node = fields.required("shares")?;
    let mut shares = BTreeMap::new();
    for entry in context.entries(shares_node, "shares")? {
        context.note_variables(entry.place, &entry.key)?;
        shares.insert(
            entry.key.clone(),
            context.number(&entry.node, &entry.key, 0.0, 100.0)?,
        );
    }
    let sum: f64 = shares.values().sum();
    if (sum - 100.0).abs() > 1e-6 {
        return Err(fields.error(
            shares_node.place,
            format!("shares that add up to {sum}"),
            "percentages that add up to 100",
        ));
    }
    Ok(SplitSpec {
        header: fields.text("header")?.to_ascii_lowercase(),
        shares,
        key_header: fields.text("key_header")?.to_ascii_lowercase(),
        keys: fields.whole("keys", 1, 1_000_000)?,
    })
}

fn json(context: &Context, node: &Node) -> Result<serde_json::Value, PlanError> {
    Ok(match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Integer(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::Text(text) => {
            context.note_variables(node.place, text)?;
            text.as_str().into()
        }
        Value::List(items) => items
            .iter()
            .map(|item| json(context, item))
            .collect::<Result<Vec<_>, _>>()?
            .into(),
        Value::Map(entries) => serde_json::Value::Object(
            entries
                .iter()
                .map(|entry| Ok((entry.key.clone(), json(context, &entry.node)?)))
                .collect::<Result<_, PlanError>>()?,
        ),
    })
}

fn command(fields: &Fields<'_>) -> Result<GateKind, PlanError> {
    Ok(GateKind::Command(CommandSpec {
        argv: argv(fields, fields.required("argv")?, "argv")?,
        timeout_s: fields.number_or("timeout_s", 60.0, 0.1, SECONDS_MAX)?,
        cwd: fields
            .get("cwd")
            .map(|node| fields.context.template(node, "cwd"))
            .transpose()?,
        json_measurements: fields.flag_or("json_measurements", false)?,
    }))
}

/// A program and its arguments.
pub(super) fn argv(fields: &Fields<'_>, node: &Node, name: &str) -> Result<Vec<String>, PlanError> {
    let argv = fields
        .context
        .list(node, name, 200)?
        .iter()
        .map(|word| {
            let text = fields.context.plain(word, name)?;
            fields.context.note_variables(word.place, &text)?;
            Ok(text)
        })
        .collect::<Result<Vec<_>, PlanError>>()?;
    if argv.first().is_none_or(|program| program.trim().is_empty()) {
        return Err(fields.error(
            node.place,
            format!("`{name}` names no program"),
            "the program and its arguments, one by one",
        ));
    }
    Ok(argv)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
        names.into_iter().map(str::to_owned).collect()
    }

    fn properties(schema: &Value, pointer: &str) -> BTreeSet<String> {
        let found = schema.pointer(pointer).and_then(Value::as_object);
        names(
            found
                .unwrap_or_else(|| panic!("{pointer}"))
                .keys()
                .map(String::as_str),
        )
    }

    #[test]
    fn the_published_schema_knows_the_same_fields() {
        let schema: Value = serde_json::from_str(include_str!("../../../../plans/plan.schema.json")).unwrap();
        for kind in &KINDS {
            let gate = format!("/$defs/gate-{}/properties", kind.name);
            let fields = names(COMMON.into_iter().chain(kind.fields.iter().copied()));
            assert_eq!(properties(&schema, &gate), fields, "{}", kind.name);
            let rehearsal = properties(&schema, &format!("{gate}/rehearsal/properties"));
            assert_eq!(rehearsal, names(kind.rehearsal.iter().copied()), "{}", kind.name);
        }
        let traffic = properties(&schema, "/$defs/gate-canary/properties/traffic/properties");
        assert_eq!(traffic, names(TRAFFIC));
        assert_eq!(properties(&schema, "/properties"), names(super::super::FIELDS));
        let feedback = properties(&schema, "/properties/feedback/properties");
        assert_eq!(feedback, names(super::super::feedback::FIELDS));
        let checklist = properties(&schema, "/properties/checklist/properties");
        assert_eq!(checklist, names(super::super::checklist::FIELDS));
        let to_come = &schema["$defs"]["gate-to-come"]["properties"]["kind"]["enum"];
        assert_eq!(
            names(to_come.as_array().unwrap().iter().filter_map(Value::as_str)),
            names(TO_COME_KINDS)
        );
    }
}
