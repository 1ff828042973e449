//! `tminus contract diff` from outside: exit codes, files, forms.

use std::path::Path;
use std::process::{Command, Output};

fn tminus(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tminus"))
        .current_dir(folder)
        .args(["contract", "diff"])
        .args(arguments)
        .output()
        .unwrap()
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let document = |maximum: u32| {
        format!(
            "openapi: 3.0.3\ninfo: {{ title: T, version: '1' }}\npaths:\n  /a:\n    get:\n      parameters:\n        - {{ name: p, in: query, schema: {{ $ref: 'shared-{maximum}.json#/S' }} }}\n"
        )
    };
    write("base.yaml", &document(9));
    write("revision.yaml", &document(5));
    write("shared-9.json", "{\"S\": {\n\"maximum\": 9}}");
    write("shared-5.json", "{\"S\": {\n\"maximum\": 5}}");
    write(
        "decided.yaml",
        "- { rule: request-parameter-max-decreased, reason: agreed, expires: '2026-12-31' }",
    );
    write("broken.json", "{\"openapi\": \"3.0.0\"");
    folder
}

#[test]
fn the_exit_code_says_whether_it_breaks_or_could_not_be_told() {
    let folder = folder();
    for (arguments, code) in [
        (&["base.yaml", "base.yaml"][..], 0),
        (&["base.yaml", "revision.yaml"], 1),
        (&["revision.yaml", "base.yaml"], 0),
        (&["revision.yaml", "base.yaml", "--fail-on", "info"], 1),
        (
            &[
                "base.yaml",
                "revision.yaml",
                "--severity",
                "request-parameter-max-decreased=info",
            ],
            0,
        ),
        (
            &[
                "base.yaml",
                "revision.yaml",
                "--ignore",
                "decided.yaml",
                "--today",
                "2026-12-31",
            ],
            0,
        ),
        (
            &[
                "base.yaml",
                "revision.yaml",
                "--ignore",
                "decided.yaml",
                "--today",
                "2027-01-01",
            ],
            1,
        ),
        (&["base.yaml", "missing.yaml"], 2),
        (&["base.yaml", "broken.json"], 2),
        (&["base.yaml", "revision.yaml", "--ignore", "missing.yaml"], 2),
        (
            &["base.yaml", "revision.yaml", "--severity", "no-such-rule=error"],
            2,
        ),
        (&["base.yaml", "revision.yaml", "--today", "tomorrow"], 2),
        (&["base.yaml"], 2),
    ] {
        let output = tminus(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
    }
}

#[test]
fn a_finding_is_told_with_the_lines_of_the_files_that_hold_it() {
    let folder = folder();
    let output = tminus(folder.path(), &["base.yaml", "revision.yaml"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("base shared-9.json:2, revision shared-5.json:2"),
        "{text}"
    );
    let output = tminus(folder.path(), &["base.yaml", "revision.yaml", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["ok"], false);
    assert_eq!(json["findings"][0]["rule"], "request-parameter-max-decreased");
}

#[test]
fn what_could_not_be_compared_is_told_with_its_place() {
    let folder = folder();
    let output = tminus(folder.path(), &["base.yaml", "broken.json", "--json"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("broken.json:1:"), "{error}");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["exit_code"], 2, "{json}");
}
