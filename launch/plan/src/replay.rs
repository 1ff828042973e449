//! Whether two answers to the same request are the same answer.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

/// Response headers that differ between two answers without meaning anything: clocks, names of requests and
/// traces, and what only describes the connection. `content-length` follows from the body.
pub const HEADERS_IGNORED: [&str; 11] = [
    "age",
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "server-timing",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "x-correlation-id",
    "x-request-id",
];

/// Differences of one pair of answers that are told.
const TOLD_MAX: usize = 50;

/// What is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayAnswer {
    pub status: u16,
    /// Names in lower case; the values in their order.
    pub headers: BTreeMap<String, Vec<String>>,
    pub body: Vec<u8>,
}

/// One thing that two answers have not in common. It names what differs and holds no value: an answer to a
/// player may hold anything.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AnswerDifference {
    /// `status`, `header x-release`, `body`, or a JSON pointer into the body.
    pub part: String,
    pub what: String,
}

impl fmt::Display for AnswerDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.part, self.what)
    }
}

/// What is not compared, besides [`HEADERS_IGNORED`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ignored {
    /// Names in lower case.
    pub headers: BTreeSet<String>,
    /// JSON pointers; `*` is any one name or number.
    pub json: Vec<String>,
}

/// Compares two answers. Bodies that are both JSON are compared by their values, any other byte by byte.
#[must_use]
pub fn answer_differences(
    ignored: &Ignored,
    one: &ReplayAnswer,
    other: &ReplayAnswer,
) -> Vec<AnswerDifference> {
    let mut found = Vec::new();
    let mut tell = |part: String, what: &str| {
        if found.len() < TOLD_MAX {
            found.push(AnswerDifference {
                part,
                what: what.to_owned(),
            });
        }
    };
    if one.status != other.status {
        // A status is no secret.
        tell(
            "status".to_owned(),
            &format!("{} and {}", one.status, other.status),
        );
    }
    let names: BTreeSet<&String> = one.headers.keys().chain(other.headers.keys()).collect();
    for name in names {
        if HEADERS_IGNORED.contains(&name.as_str()) || ignored.headers.contains(name) {
            continue;
        }
        match (one.headers.get(name), other.headers.get(name)) {
            (Some(one), Some(other)) if one == other => {}
            (one, other) => tell(format!("header {name}"), presence(one.is_some(), other.is_some())),
        }
    }
    let values = [&one.body, &other.body].map(|body| serde_json::from_slice::<Value>(body));
    if let [Ok(one), Ok(other)] = values {
        let ignored: Vec<Vec<&str>> = ignored
            .json
            .iter()
            .map(|pointer| pointer.split('/').skip(1).collect())
            .collect();
        compare(&ignored, &mut Vec::new(), &one, &other, &mut tell);
    } else if one.body != other.body {
        tell(
            "body".to_owned(),
            &format!("{} and {} bytes that differ", one.body.len(), other.body.len()),
        );
    }
    found
}

/// As deep as the parser reads, which has a limit.
fn compare(
    ignored: &[Vec<&str>],
    path: &mut Vec<String>,
    one: &Value,
    other: &Value,
    tell: &mut impl FnMut(String, &str),
) {
    if ignored.iter().any(|pattern| fits(pattern, path)) {
        return;
    }
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            for name in names {
                path.push(name.replace('~', "~0").replace('/', "~1"));
                match (one.get(name), other.get(name)) {
                    (Some(one), Some(other)) => compare(ignored, path, one, other, tell),
                    (one, other) if !ignored.iter().any(|pattern| fits(pattern, path)) => {
                        tell(pointer(path), presence(one.is_some(), other.is_some()));
                    }
                    _ => {}
                }
                path.pop();
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                path.push(index.to_string());
                compare(ignored, path, one, other, tell);
                path.pop();
            }
        }
        (Value::Array(one), Value::Array(other)) => {
            tell(
                pointer(path),
                &format!("{} and {} elements", one.len(), other.len()),
            );
        }
        (one, other) if one == other => {}
        (one, other) if kind(one) == kind(other) => tell(pointer(path), "another value"),
        (one, other) => tell(pointer(path), &format!("{} and {}", kind(one), kind(other))),
    }
}

fn fits(pattern: &[&str], path: &[String]) -> bool {
    pattern.len() == path.len()
        && pattern
            .iter()
            .zip(path)
            .all(|(part, name)| *part == "*" || part == name)
}

fn pointer(path: &[String]) -> String {
    if path.is_empty() {
        "body".to_owned()
    } else {
        path.iter().flat_map(|name| ["/", name]).collect()
    }
}

fn presence(one: bool, other: bool) -> &'static str {
    match (one, other) {
        (true, false) => "present and absent",
        (false, true) => "absent and present",
        _ => "another value",
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
