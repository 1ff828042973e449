//! Whether an answer is the expected one, and whether many are spread as they should be.

use std::collections::BTreeMap;

use serde_json::json;
use tminus_plan::{HttpSpec, SIGMAS_MAX, SplitSpec, mismatches, split_sigmas};

fn spec() -> HttpSpec {
    HttpSpec {
        method: "GET".to_owned(),
        url: "http://127.0.0.1:1/".to_owned(),
        headers: BTreeMap::new(),
        body: None,
        timeout_ms: 1000,
        repeat: 1,
        expect_status: 200,
        expect_headers: BTreeMap::from([("x-served-version".to_owned(), "v1.3".to_owned())]),
        expect_json: BTreeMap::from([
            ("/release".to_owned(), json!("v1.3")),
            ("/n".to_owned(), json!(1)),
        ]),
        split: None,
    }
}

fn told(status: u16, header: Option<&str>, body: &str) -> Vec<String> {
    let headers = header
        .map(|value| ("x-served-version".to_owned(), value.to_owned()))
        .into_iter()
        .collect();
    mismatches(&spec(), status, &headers, body.as_bytes())
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn the_expected_answer_has_no_mismatch() {
    assert!(told(200, Some("v1.3"), r#"{"release":"v1.3","n":1.0,"more":[]}"#).is_empty());
}

#[test]
fn every_difference_is_told() {
    assert_eq!(
        told(500, Some("v1.2"), r#"{"release":"v1.2"}"#),
        [
            "status is 500, expected 200",
            "header x-served-version is `v1.2`, expected `v1.3`",
            "/n is absent, expected 1",
            "/release is \"v1.2\", expected \"v1.3\"",
        ]
    );
    assert_eq!(
        told(200, None, r#"{"release":"v1.3","n":1}"#),
        ["header x-served-version is absent, expected `v1.3`"]
    );
    assert!(told(200, Some("v1.3"), "<html>")[0].starts_with("body is not JSON"));
}

fn sigmas(counts: &[(&str, u64)], shares: &[(&str, f64)]) -> f64 {
    let split = SplitSpec {
        header: "x-served-version".to_owned(),
        shares: shares
            .iter()
            .map(|(release, share)| ((*release).to_owned(), *share))
            .collect(),
        key_header: "x-session-id".to_owned(),
        keys: 0,
    };
    split_sigmas(
        &split,
        &counts
            .iter()
            .map(|(release, count)| ((*release).to_owned(), *count))
            .collect(),
    )
}

#[test]
fn a_split_is_measured_in_standard_deviations() {
    let shares = [("v1.2", 70.0), ("v1.3", 30.0)];
    assert_eq!(sigmas(&[("v1.2", 1400), ("v1.3", 600)], &shares), 0.0);
    // √(2000 · 0.3 · 0.7) = 20.49
    let off = sigmas(&[("v1.2", 1359), ("v1.3", 641)], &shares);
    assert!((off - 41.0 / 20.494).abs() < 0.001, "{off}");
    // The inverted split that a wrong weight gives.
    assert!(sigmas(&[("v1.2", 600), ("v1.3", 1400)], &shares) > 30.0);
}

#[test]
fn where_no_chance_is_involved_any_miss_is_the_largest_distance() {
    assert_eq!(sigmas(&[("v1.3", 200)], &[("v1.3", 100.0)]), 0.0);
    assert_eq!(
        sigmas(&[("v1.3", 199), ("v1.2", 1)], &[("v1.3", 100.0)]),
        SIGMAS_MAX
    );
    assert_eq!(
        sigmas(&[("v1.3", 10), ("v9", 1)], &[("v1.3", 90.0), ("v1.2", 10.0)]),
        SIGMAS_MAX
    );
    assert_eq!(sigmas(&[], &[("v1.3", 100.0)]), SIGMAS_MAX);
}
