//! The gate `sessions` against a small backend that knows two credentials, and against the mistakes that it could make.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use tminus_control::gates::{Measured, sessions};
use tminus_plan::{Evidence, Gate, GateKind, Plan, SessionsSpec, Variables, Verdict, judge};

use crate::hands::hands;

/// What the backend gets wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mistake {
    None,
    SessionLosesTheRating,
    SessionIsRefused,
    SessionHasAnotherHeader,
    TokenWins,
    EverybodyIsRefused,
    TogetherFails,
}

async fn answer(State(mistake): State<Mistake>, uri: Uri, headers: HeaderMap) -> Response {
    let value = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let token = value("authorization").and_then(|value| value.strip_prefix("Bearer t0ken-"));
    let session = value("x-session-id").and_then(|value| value.strip_prefix("s3ssion-"));
    let refused = || (StatusCode::UNAUTHORIZED, "{\"code\":16}").into_response();
    let player = match (token, session) {
        _ if mistake == Mistake::EverybodyIsRefused => return refused(),
        (None, Some(_)) if mistake == Mistake::SessionIsRefused => return refused(),
        (Some(_), Some(_)) if mistake == Mistake::TogetherFails => {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
        (Some(one), Some(other)) if one != other && mistake != Mistake::TokenWins => return refused(),
        (Some(player), _) | (None, Some(player)) => player,
        (None, None) => return refused(),
    };
    let only_session = token.is_none();
    let mut body =
        serde_json::json!({ "player": player, "path": uri.to_string(), "rating": 1500, "at": { "ms": 1 } });
    body["at"]["ms"] = rand::random::<u32>().into();
    if only_session && mistake == Mistake::SessionLosesTheRating {
        body["rating"] = "1500".into();
    }
    let kind = if only_session && mistake == Mistake::SessionHasAnotherHeader {
        "legacy"
    } else {
        "new"
    };
    let request = rand::random::<u32>().to_string();
    (
        [("x-kind", kind), ("x-request-id", request.as_str())],
        axum::Json(body),
    )
        .into_response()
}

async fn backend(mistake: Mistake) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(answer).with_state(mistake);
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

/// The gate of a plan with these fields, and what it runs.
fn gate(target: &str, more: &str) -> (Gate, SessionsSpec) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let text = format!(
        "name: x\nversion: v1\nitems:\n  - id: item\n    number: 1\n    title: {{ zh: 甲, en: a }}\n    \
         window: {{ from_h: 0, to_h: 1 }}\n    owner: sre\n    criterion: {{ zh: 甲, en: a }}\n    gates:\n      \
         - id: gate\n        kind: sessions\n        target: {target}\n{more}"
    );
    let plan = Plan::parse(&text, "x.yaml").unwrap();
    let gate = plan.gate("item", "gate").unwrap().clone();
    let variables: Variables = [("who".to_owned(), "ada".to_owned())].into_iter().collect();
    match plan.resolve_gate("item", "gate", false, &variables).unwrap() {
        GateKind::Sessions(spec) => (gate, spec),
        other => panic!("{other:?}"),
    }
}

const TWO_PLAYERS: &str = r#"        requests:
          - { path: "/v1/players/me?of=${who}" }
          - { method: POST, path: /v1/echo, headers: { content-type: text/plain }, body: hello }
        credentials:
          - { player: ada, token: { authorization: Bearer t0ken-ada }, session: { x-session-id: s3ssion-ada } }
          - { player: bo, token: { authorization: Bearer t0ken-bo }, session: { x-session-id: s3ssion-bo } }
        ignore_json: [/at/ms]
"#;

#[tokio::test]
async fn each_difference_between_two_credentials_is_counted_and_named() {
    type Row = (Mistake, bool, f64, f64, f64, &'static str);
    let rows: [Row; 7] = [
        (Mistake::None, true, 0.0, 0.0, 0.0, ""),
        (
            Mistake::SessionLosesTheRating,
            false,
            4.0,
            0.0,
            0.0,
            "/rating: a number and text",
        ),
        (
            Mistake::SessionIsRefused,
            false,
            28.0,
            4.0,
            0.0,
            "status: 200 and 401",
        ),
        (
            Mistake::SessionHasAnotherHeader,
            false,
            4.0,
            0.0,
            0.0,
            "header x-kind: another value",
        ),
        (
            Mistake::TokenWins,
            false,
            2.0,
            0.0,
            2.0,
            "let in with the token of ada and the session of bo",
        ),
        // Both refused alike: no difference, and no proof.
        (Mistake::EverybodyIsRefused, false, 0.0, 12.0, 0.0, ""),
        (
            Mistake::TogetherFails,
            false,
            0.0,
            0.0,
            2.0,
            "token and both: status: 200 and 500",
        ),
    ];
    for (mistake, passes, differences, refused, mixed_accepted, told) in rows {
        let (gate, spec) = gate(&backend(mistake).await, TWO_PLAYERS);
        let measured = sessions::run(&spec, &hands()).await.unwrap();
        let value = |name: &str| measured.measurements[name].value;
        assert_eq!(
            (value("requests"), value("pairs"), value("players")),
            (12.0, 4.0, 2.0),
            "{mistake:?}"
        );
        if !matches!(mistake, Mistake::TogetherFails | Mistake::SessionIsRefused) {
            assert_eq!(
                value("differences"),
                differences,
                "{mistake:?} {:?}",
                measured.notes
            );
        }
        assert_eq!((value("refused"), value("mixed")), (refused, 2.0), "{mistake:?}");
        assert_eq!(value("mixed_accepted"), mixed_accepted, "{mistake:?}");
        assert!(
            measured.notes.iter().any(|note| note.contains(told)) || told.is_empty(),
            "{:?}",
            measured.notes
        );
        let evidence = evidence(&measured);
        assert_eq!(
            judge(&gate, Some(&evidence)) == Verdict::Passed,
            passes,
            "{mistake:?}"
        );
        // No credential is in what goes to the record.
        let record = format!("{measured:?}");
        assert!(
            !record.contains("t0ken") && !record.contains("s3ssion"),
            "{record}"
        );
        assert!(
            measured.inputs["ignored_headers"].contains("date")
                && measured.inputs["ignored_json"] == "/at/ms"
        );
    }
}

fn evidence(measured: &Measured) -> Evidence {
    Evidence {
        item: "item".into(),
        gate: "gate".into(),
        kind: "sessions".into(),
        attempt: 1,
        started_at_ms: 0,
        ended_at_ms: 1,
        target: measured.target.clone(),
        command: measured.command.clone(),
        inputs: measured.inputs.clone(),
        measurements: measured.measurements.clone(),
        notes: measured.notes.clone(),
        series: BTreeMap::new(),
    }
}

#[tokio::test]
async fn requests_may_be_recorded_and_credentials_printed_by_a_program() {
    let folder = tempfile::tempdir().unwrap();
    let recorded = folder.path().join("requests.jsonl");
    std::fs::write(
        &recorded,
        "{\"path\":\"/a\"}\n\n{\"method\":\"PUT\",\"path\":\"/b\",\"body\":\"x\"}\n",
    )
    .unwrap();
    let prints = r#"for n in 1 2 3; do echo "{\"player\":\"p$n\",\"token\":{\"authorization\":\"Bearer t0ken-p$n\"},\"session\":{\"x-session-id\":\"s3ssion-p$n\"}}"; done"#;
    let more = format!(
        "        recorded: {}\n        credentials_command: [/bin/sh, -c, '{prints}']\n        ignore_json: [\"/*/ms\"]\n",
        recorded.display()
    );
    let target = backend(Mistake::None).await;
    let (_, spec) = gate(&target, &more);
    let measured = sessions::run(&spec, &hands()).await.unwrap();
    let value = |name: &str| measured.measurements[name].value;
    assert_eq!(
        (
            value("requests"),
            value("players"),
            value("mixed"),
            value("differences")
        ),
        (18.0, 3.0, 3.0, 0.0)
    );

    // Without both at once: two requests for each pair, and nothing is said of mixing.
    let (gate, spec) = gate(&target, &format!("{more}        together: false\n"));
    let measured = sessions::run(&spec, &hands()).await.unwrap();
    assert_eq!(measured.measurements["requests"].value, 12.0);
    assert!(!measured.measurements.contains_key("mixed_accepted"));
    assert_eq!(judge(&gate, Some(&evidence(&measured))), Verdict::Passed);
}

#[tokio::test]
async fn what_cannot_be_sent_is_no_result() {
    let target = backend(Mistake::None).await;
    let folder = tempfile::tempdir().unwrap();
    let bad = folder.path().join("bad.jsonl");
    std::fs::write(&bad, "{\"path\":\"/a\"}\n{\"path\":1,\"body\":\"s3cret\"}\n").unwrap();
    let credentials = "        credentials: [{ player: a, token: { authorization: Bearer t0ken-a }, session: { x-session-id: s3ssion-a } }]\n";
    let requests = "        requests: [{ path: /a }]\n";
    let shell = |script: &str| {
        format!(
            "{requests}        credentials_command: [/bin/sh, -c, '{script}']\n        command_timeout_s: 1\n"
        )
    };
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    for (target, more, why) in [
        (&closed, format!("{requests}{credentials}"), "gives no answer"),
        (
            &target,
            format!("        recorded: {}\n{credentials}", bad.display()),
            "line 2 of",
        ),
        (
            &target,
            format!("        recorded: /no/such/file\n{credentials}"),
            "cannot be read",
        ),
        (&target, shell("echo s3cret"), "line 1 of the output"),
        (&target, shell("exit 3"), "gave no credentials"),
        (&target, shell("true"), "1 requests for 0 players"),
        (&target, shell("sleep 100"), "did not end within 1 s"),
        (
            &target,
            format!(
                "        requests: [{{ path: \"/a\" }}]\n{}",
                credentials.replace("x-session-id", "Authorization")
            ),
            "cannot be told apart",
        ),
        (
            &target,
            format!("        requests: [{{ path: /a, headers: {{ \"a b\": c }} }}]\n{credentials}"),
            "not a header name",
        ),
    ] {
        let (_, spec) = gate(target, &more);
        let found = sessions::run(&spec, &hands()).await.unwrap_err().why;
        assert!(
            found.contains(why) && !found.contains("s3cret"),
            "{more}: {found}"
        );
    }
    // A path that leads elsewhere would carry the credentials there.
    let (_, mut spec) = gate(&target, &format!("{requests}{credentials}"));
    spec.requests[0].path = "@evil.example/".into();
    assert!(
        sessions::run(&spec, &hands())
            .await
            .unwrap_err()
            .why
            .contains("no path of")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gates_of_a_plan_can_be_tried_out_by_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.yaml");
    let text = format!(
        "name: x\nversion: v1\nitems:\n  - id: item\n    number: 1\n    title: {{ zh: 甲, en: a }}\n    \
         window: {{ from_h: 0, to_h: 1 }}\n    owner: sre\n    criterion: {{ zh: 甲, en: a }}\n    gates:\n      \
         - id: gate\n        kind: sessions\n        target: ${{gateway}}\n{}",
        TWO_PLAYERS.replace("${who}", "me")
    );
    std::fs::write(&file, text).unwrap();
    let run = async |kind: &str, target: &str| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_tminus"));
        command
            .args(["gate", kind])
            .arg(&file)
            .args(["--json", "--var"])
            .arg(format!("gateway={target}"));
        let output = command.output().await.unwrap();
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code().unwrap(), said)
    };
    let good = backend(Mistake::None).await;
    let (code, said) = run("sessions", &good).await;
    assert_eq!(
        (code, &said["gates"][0]["result"]["verdict"]),
        (0, &"passed".into()),
        "{said}"
    );
    assert_eq!(said["gates"][0]["measurements"]["requests"], 12.0);
    let (code, said) = run("sessions", &backend(Mistake::SessionIsRefused).await).await;
    assert_eq!(
        (code, &said["gates"][0]["result"]["verdict"]),
        (1, &"failed".into()),
        "{said}"
    );
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let (code, said) = run("sessions", &format!("http://{closed}")).await;
    assert_eq!(
        (code, &said["gates"][0]["result"]["verdict"]),
        (2, &"not-checked".into()),
        "{said}"
    );
    for kind in ["load", "http", "nothing"] {
        assert_eq!(run(kind, &good).await.0, 2, "{kind}");
    }
}
