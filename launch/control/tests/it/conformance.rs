//! `tminus contract check` against a small service that keeps its promise, and against ones that do not.

use std::process::Output;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::process::Command;

/// What the service does otherwise than its document says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wrong {
    Nothing,
    ExtraField,
    Status,
    Open,
    Fails,
}

fn document() -> Value {
    let problem = json!({ "description": "refused", "content": { "application/json": { "schema": {
        "type": "object", "required": ["code"], "properties": { "code": { "type": "string" } } } } } });
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Pets", "version": "1" },
        "paths": {
            "/pets/{petId}": { "get": {
                "operationId": "getPet",
                "security": [{ "bearer": [] }],
                "parameters": [{ "name": "petId", "in": "path", "required": true, "schema": { "type": "string" } }],
                "responses": {
                    "200": { "description": "it", "content": { "application/json": { "schema": {
                        "type": "object", "required": ["name"], "properties": { "name": { "type": "string" } } } } } },
                    "401": problem, "404": problem, "410": problem,
                },
            } },
            "/sign-in": { "post": {
                "operationId": "signIn",
                "responses": { "200": { "description": "in", "content": { "application/json": { "schema": {
                    "type": "object", "properties": { "token": { "type": "string" }, "pet": { "type": "string" } } } } } } },
            } },
        },
    })
}

async fn pet(State(wrong): State<Wrong>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let refused =
        |status: StatusCode, code: &str| (status, axum::Json(json!({ "code": code }))).into_response();
    let is_in = headers
        .get("authorization")
        .is_some_and(|it| it == "Bearer secret-token");
    match wrong {
        Wrong::Fails => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        _ if !is_in && wrong != Wrong::Open => return refused(StatusCode::UNAUTHORIZED, "who"),
        _ if id != "rex" => {
            let status = if wrong == Wrong::Status {
                StatusCode::IM_A_TEAPOT
            } else {
                StatusCode::NOT_FOUND
            };
            return refused(status, "none");
        }
        _ => {}
    }
    let body = if wrong == Wrong::ExtraField {
        json!({ "name": "Rex", "age": 3 })
    } else {
        json!({ "name": "Rex" })
    };
    axum::Json(body).into_response()
}

/// The address of a service that runs until the test's runtime ends.
async fn service(wrong: Wrong) -> String {
    let router = Router::new()
        .route("/pets/{pet}", get(pet))
        .route(
            "/sign-in",
            post(|| async { axum::Json(json!({ "token": "secret-token", "pet": "rex" })) }),
        )
        .route("/openapi.json", get(|| async { axum::Json(document()) }))
        .with_state(wrong);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, router).into_future());
    format!("http://{address}")
}

async fn check(url: &str, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tminus"))
        .args([
            "contract",
            "check",
            "--url",
            url,
            "--spec",
            &format!("{url}/openapi.json"),
        ])
        .args(more)
        .output()
        .await
        .unwrap()
}

const FROM_SIGN_IN: [&str; 4] = ["--bearer-from", "signIn#/token", "--take", "petId=signIn#/pet"];

async fn report(url: &str, code: i32) -> Value {
    let output = check(url, &[&FROM_SIGN_IN[..], &["--json"]].concat()).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        output.status.code(),
        Some(code),
        "{said}{}",
        String::from_utf8_lossy(&output.stdout)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_keeps_its_promise_passes_and_what_never_came_is_listed() {
    let url = service(Wrong::Nothing).await;
    let report = report(&url, 0).await;
    assert_eq!(
        (&report["ok"], &report["operations"], &report["findings_total"]),
        (&json!(true), &json!(2), &json!(0))
    );
    assert_eq!((&report["declared"], &report["seen"]), (&json!(5), &json!(4)));
    assert_eq!(
        report["never_seen"],
        json!([{ "operation": "getPet", "status": "410" }])
    );
    // No credential in what is printed.
    let output = check(&url, &FROM_SIGN_IN).await;
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("never seen  410 getPet"), "{printed}");
    assert!(!printed.contains("secret-token"), "{printed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_otherwise_than_declared_is_named() {
    for (wrong, kind, place) in [
        (Wrong::ExtraField, "undeclared_field", json!("/age")),
        (Wrong::Status, "undeclared_status", Value::Null),
        (Wrong::Open, "not_refused", Value::Null),
        (Wrong::Fails, "server_error", Value::Null),
    ] {
        let report = report(&service(wrong).await, 1).await;
        let findings = report["findings"].as_array().unwrap();
        assert!(!findings.is_empty());
        for finding in findings {
            assert_eq!(
                (&finding["kind"], &finding["pointer"], &finding["operation"]),
                (&json!(kind), &place, &json!("getPet")),
                "{wrong:?}: {report}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_that_could_not_run_never_passes() {
    let url = service(Wrong::Nothing).await;
    // Without a credential the valid request is refused: nothing is known of the operation.
    let output = check(&url, &["--json"]).await;
    assert_eq!(output.status.code(), Some(1));
    for (more, said) in [
        (vec!["--spec", "/nowhere.json"], "cannot read /nowhere.json"),
        (vec!["--only", "nothing"], "no operation `nothing`"),
        (vec!["--bearer-from", "signIn"], "OPERATION#/json/pointer"),
        (vec!["--url", "http://127.0.0.1:1"], "gives no answer"),
    ] {
        let mut arguments = vec!["contract", "check"];
        let spec = format!("{url}/openapi.json");
        for (name, default) in [("--url", url.as_str()), ("--spec", spec.as_str())] {
            if !more.contains(&name) {
                arguments.extend([name, default]);
            }
        }
        arguments.extend(&more);
        let output = Command::new(env!("CARGO_BIN_EXE_tminus"))
            .args(&arguments)
            .output()
            .await
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(said), "{stderr}");
    }
}
