//! Whether an HTTP answer is the expected one, and whether many are spread as they should be.

use std::collections::BTreeMap;
use std::fmt;

use crate::spec::{HttpSpec, SplitSpec};

/// The largest distance that [`split_sigmas`] answers: JSON has no infinity.
pub const SIGMAS_MAX: f64 = 1000.0;

/// One thing about an answer that is not as expected.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpMismatch {
    /// `status`, `header x-served-version`, `/release`.
    pub part: String,
    pub expected: String,
    pub found: String,
}

impl fmt::Display for HttpMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, expected {}", self.part, self.found, self.expected)
    }
}

/// Compares one answer with what the gate expects. Header names must be in lower case.
#[must_use]
pub fn mismatches(
    spec: &HttpSpec,
    status: u16,
    headers: &BTreeMap<String, String>,
    body: &[u8],
) -> Vec<HttpMismatch> {
    let mut found = Vec::new();
    if status != spec.expect_status {
        found.push(HttpMismatch {
            part: "status".to_owned(),
            expected: spec.expect_status.to_string(),
            found: status.to_string(),
        });
    }
    for (name, expected) in &spec.expect_headers {
        let value = headers.get(&name.to_ascii_lowercase());
        if value != Some(expected) {
            found.push(HttpMismatch {
                part: format!("header {name}"),
                expected: format!("`{expected}`"),
                found: value.map_or("absent".to_owned(), |value| format!("`{}`", shorten(value))),
            });
        }
    }
    if spec.expect_json.is_empty() {
        return found;
    }
    match serde_json::from_slice::<serde_json::Value>(body) {
        Err(error) => found.push(HttpMismatch {
            part: "body".to_owned(),
            expected: "JSON".to_owned(),
            found: format!("not JSON ({error})"),
        }),
        Ok(document) => {
            for (pointer, expected) in &spec.expect_json {
                let value = document.pointer(pointer);
                if !value.is_some_and(|value| same(value, expected)) {
                    found.push(HttpMismatch {
                        part: if pointer.is_empty() {
                            "body".to_owned()
                        } else {
                            pointer.clone()
                        },
                        expected: expected.to_string(),
                        found: value.map_or("absent".to_owned(), |value| shorten(&value.to_string())),
                    });
                }
            }
        }
    }
    found
}

/// How far the answers are from the wanted split: the largest distance of any release's count
/// from its expected count, in standard deviations of a binomial. `counts` has the number of
/// distinct players whom each release served. Where no chance is involved (a share of 0 or 100
/// percent, an unexpected release, no answer at all) any miss counts as [`SIGMAS_MAX`].
#[must_use]
pub fn split_sigmas(split: &SplitSpec, counts: &BTreeMap<String, u64>) -> f64 {
    let total: u64 = counts.values().sum();
    if total == 0 {
        return SIGMAS_MAX;
    }
    let releases: std::collections::BTreeSet<&String> = split.shares.keys().chain(counts.keys()).collect();
    releases
        .into_iter()
        .map(|release| {
            let share = split.shares.get(release).copied().unwrap_or(0.0) / 100.0;
            let count = counts.get(release).copied().unwrap_or(0) as f64;
            let distance = (count - share * total as f64).abs();
            let deviation = (total as f64 * share * (1.0 - share)).max(0.0).sqrt();
            if distance < 1e-9 {
                0.0
            } else if deviation < 1e-9 {
                SIGMAS_MAX
            } else {
                (distance / deviation).min(SIGMAS_MAX)
            }
        })
        .fold(0.0, f64::max)
}

/// JSON does not tell 1 from 1.0.
fn same(found: &serde_json::Value, expected: &serde_json::Value) -> bool {
    match (found.as_f64(), expected.as_f64()) {
        (Some(found), Some(expected)) => found == expected,
        _ => found == expected,
    }
}

fn shorten(text: &str) -> String {
    const LIMIT: usize = 120;
    if text.chars().count() <= LIMIT {
        return text.to_owned();
    }
    text.chars().take(LIMIT).chain(['…']).collect()
}
