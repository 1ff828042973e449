//! Two documents side by side: what one claims and what the record gives.

use serde::Serialize;
use serde_json::Value;

use crate::view::ChecklistData;

/// Each tick, cross and verdict that the evidence does not give.
pub(crate) fn false_claims(claimed: &ChecklistData, derived: &ChecklistData) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut compare = |what: String, claimed: Option<String>, derived: Option<String>| {
        if claimed != derived {
            let claimed = claimed.unwrap_or_else(|| "nothing".to_owned());
            let derived = derived.unwrap_or_else(|| "nothing".to_owned());
            wrong.push(format!(
                "{what}: the document says {claimed}, the evidence gives {derived}"
            ));
        }
    };
    for position in 0..claimed.items.len().max(derived.items.len()) {
        let (c, d) = (claimed.items.get(position), derived.items.get(position));
        let name = d
            .or(c)
            .map(|i| format!("item {} ({})", i.number, i.id))
            .unwrap_or_default();
        compare(
            format!("{name} identity"),
            c.map(|i| i.id.clone()),
            d.map(|i| i.id.clone()),
        );
        compare(
            name.clone(),
            c.map(|i| word(&i.status)),
            d.map(|i| word(&i.status)),
        );
        let (Some(c), Some(d)) = (c, d) else { continue };
        for position in 0..c.gates.len().max(d.gates.len()) {
            let (c, d) = (c.gates.get(position), d.gates.get(position));
            let gate = d.or(c).map(|g| g.id.clone()).unwrap_or_default();
            compare(
                format!("{name}, gate {gate}"),
                c.map(|g| word(&g.verdict)),
                d.map(|g| word(&g.verdict)),
            );
        }
    }
    compare(
        "totals".to_owned(),
        Some(word(&claimed.totals)),
        Some(word(&derived.totals)),
    );
    compare(
        "verdict".to_owned(),
        Some(word(&claimed.verdict)),
        Some(word(&derived.verdict)),
    );
    compare(
        "rehearsal".to_owned(),
        Some(word(&claimed.rehearsal)),
        Some(word(&derived.rehearsal)),
    );
    wrong
}

fn word<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(e) => e.to_string(),
    }
}

/// Where two documents part: path, left, right.
pub(crate) fn first_difference(path: &str, left: &Value, right: &Value) -> Option<(String, String, String)> {
    match (left, right) {
        (Value::Object(l), Value::Object(r)) => {
            let keys = l.keys().chain(r.keys().filter(|k| !l.contains_key(*k)));
            keys.into_iter().find_map(|key| {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                first_difference(
                    &path,
                    l.get(key).unwrap_or(&Value::Null),
                    r.get(key).unwrap_or(&Value::Null),
                )
            })
        }
        (Value::Array(l), Value::Array(r)) => (0..l.len().max(r.len())).find_map(|at| {
            let path = format!("{path}[{at}]");
            first_difference(
                &path,
                l.get(at).unwrap_or(&Value::Null),
                r.get(at).unwrap_or(&Value::Null),
            )
        }),
        (l, r) if l == r => None,
        (l, r) => Some((path.to_owned(), l.to_string(), r.to_string())),
    }
}
