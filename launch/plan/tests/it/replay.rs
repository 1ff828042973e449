//! The gate `sessions`: how it is read, and when two answers are the same.

use std::collections::BTreeMap;

use tminus_plan::{
    GateKind, Ignored, Plan, ReplayAnswer, ReplayCredentials, SessionsSpec, Variables, answer_differences,
};

fn plan(fields: &str) -> Result<SessionsSpec, String> {
    let text = format!(
        "name: x\nversion: v1\nitems:\n  - id: item\n    number: 1\n    title: {{ zh: 甲, en: a }}\n    \
         window: {{ from_h: 0, to_h: 1 }}\n    owner: sre\n    criterion: {{ zh: 甲, en: a }}\n    gates:\n      \
         - id: gate\n        kind: sessions\n        target: ${{gateway}}\n{fields}"
    );
    let plan = Plan::parse(&text, "x.yaml").map_err(|error| error.to_string())?;
    let variables: Variables = [("gateway", "http://g"), ("t", "tok"), ("s", "ses")]
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .into();

    match plan
        .resolve_gate("item", "gate", true, &variables)
        .map_err(|error| error.to_string())?
    {
        GateKind::Sessions(spec) => Ok(spec),
        other => panic!("{other:?}"),
    }
}

const REQUESTS: &str = "        requests: [{ path: /a }]\n";
const CREDENTIALS: &str = "        credentials: [{ player: ada, token: { authorization: \"Bearer ${t}\" }, session: { x-session-id: \"${s}\" } }]\n";

#[test]
fn the_gate_is_read_with_its_variables_and_defaults() {
    let spec = plan(&format!(
        "{REQUESTS}{CREDENTIALS}        ignore_headers: [Set-Cookie]\n"
    ))
    .unwrap();
    assert_eq!(
        (spec.target.as_str(), spec.timeout_ms, spec.together),
        ("http://g", 5000, true)
    );
    assert_eq!(
        (spec.requests[0].method.as_str(), spec.requests[0].path.as_str()),
        ("GET", "/a")
    );
    assert_eq!(spec.ignore_headers, ["set-cookie"]);
    let ReplayCredentials::Listed(players) = &spec.credentials else {
        panic!("{:?}", spec.credentials)
    };
    assert_eq!(
        (
            &*players[0].token["authorization"],
            &*players[0].session["x-session-id"]
        ),
        ("Bearer tok", "ses")
    );

    let more =
        "        recorded: /r/${t}\n        credentials_command: [p, \"${s}\"]\n        together: false\n";
    let spec = plan(&format!("{more}        rehearsal: {{ timeout_ms: 7 }}\n")).unwrap();
    assert_eq!((spec.recorded.as_deref(), spec.timeout_ms), (Some("/r/tok"), 7));
    assert!(
        matches!(&spec.credentials, ReplayCredentials::Command { argv, timeout_s: 60.0 } if argv == &["p", "ses"])
    );
}

#[test]
fn a_gate_that_could_replay_nothing_is_told_so() {
    let both = format!("{REQUESTS}{CREDENTIALS}");
    for (fields, told) in [
        (CREDENTIALS.to_owned(), "nothing to replay"),
        (
            format!("        requests: []\n{CREDENTIALS}"),
            "nothing to replay",
        ),
        (REQUESTS.to_owned(), "no credentials"),
        (
            format!("{REQUESTS}        credentials: []\n"),
            "`credentials` is empty",
        ),
        (
            format!("{both}        credentials_command: [a]\n"),
            "beside `credentials`",
        ),
        (
            format!("{REQUESTS}        credentials_command: []\n"),
            "names no program",
        ),
        (
            format!("        requests: [{{ path: a }}]\n{CREDENTIALS}"),
            "`path` is `a`",
        ),
        (
            format!("        requests: [{{ path: /a, url: x }}]\n{CREDENTIALS}"),
            "`url`",
        ),
        (
            format!(
                "{REQUESTS}{}",
                CREDENTIALS.replace("{ x-session-id: \"${s}\" }", "{}")
            ),
            "`session` has no header",
        ),
        (
            format!("{REQUESTS}{}", CREDENTIALS.replace("${t}", "${nobody}")),
            "nobody",
        ),
        (format!("{both}        ignore_json: [a]\n"), "not a JSON pointer"),
        (
            format!("{both}        rehearsal: {{ together: false }}\n"),
            "`together`",
        ),
    ] {
        let error = plan(&fields).unwrap_err();
        assert!(error.contains(told), "{fields}\n{error}");
    }
}

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> ReplayAnswer {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        all.entry((*name).to_owned())
            .or_default()
            .push((*value).to_owned());
    }
    ReplayAnswer {
        status,
        headers: all,
        body: body.as_bytes().to_vec(),
    }
}

#[test]
fn two_answers_are_compared_in_status_headers_and_body() {
    let ignored = Ignored {
        headers: ["set-cookie".to_owned()].into(),
        json: vec!["/at".into(), "/list/*/id".into()],
    };
    let check = |one: &ReplayAnswer, other: &ReplayAnswer, expected: &[&str]| {
        let found: Vec<String> = answer_differences(&ignored, one, other)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(found, expected);
    };
    let plain = |body: &str| answer(200, &[], body);
    check(&plain("x"), &plain("x"), &[]);
    check(&plain("x"), &answer(401, &[], "x"), &["status: 200 and 401"]);
    check(&plain("x"), &plain("xy"), &["body: 1 and 2 bytes that differ"]);
    // JSON is compared by its values, not by its bytes.
    check(
        &plain(r#"{"a":1,"b":[1,{"c":null}]}"#),
        &plain(r#"{ "b":[1,{"c":null}], "a":1 }"#),
        &[],
    );
    check(
        &plain(r#"{"a":1,"b":[1,2],"c":{"d/e":"s3cret"},"f":[1],"g":1}"#),
        &plain(r#"{"a":2,"b":[1,"2"],"c":{"d/e":"other"},"f":[],"h":1}"#),
        &[
            "/a: another value",
            "/b/1: a number and text",
            "/c/d~1e: another value",
            "/f: 1 and 0 elements",
            "/g: present and absent",
            "/h: absent and present",
        ],
    );
    check(&plain("1"), &plain("\"1\""), &["body: a number and text"]);
    check(
        &plain("{}"),
        &plain("<html>"),
        &["body: 2 and 6 bytes that differ"],
    );
    check(
        &plain(r#"{"at":1,"list":[{"id":1,"n":1}]}"#),
        &plain(r#"{"list":[{"id":2,"n":2}]}"#),
        &["/list/0/n: another value"],
    );
    check(
        &answer(
            200,
            &[
                ("date", "a"),
                ("x-a", "1"),
                ("x-a", "2"),
                ("set-cookie", "s"),
                ("x-b", "1"),
            ],
            "",
        ),
        &answer(
            200,
            &[
                ("date", "b"),
                ("x-a", "2"),
                ("x-a", "1"),
                ("x-request-id", "7"),
                ("x-c", "1"),
            ],
            "",
        ),
        &[
            "header x-a: another value",
            "header x-b: present and absent",
            "header x-c: absent and present",
        ],
    );
    let many = |from: i32| plain(&format!("{:?}", (from..from + 500).collect::<Vec<_>>()));
    assert_eq!(answer_differences(&ignored, &many(0), &many(1)).len(), 50);
}
