//! T-minus serves any backend: a small HTTP server in two versions that knows nothing of us goes
//! through a launch behind the gateway.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use serde_json::{Value, json};

use crate::common::{Gateway, binary, text_of_pdf, tminus};

/// The whole foreign backend: a greeting, and every `fails_each`th answer is an error.
async fn greeter(version: &'static str, fails_each: Option<u64>) -> SocketAddr {
    use std::sync::atomic::{AtomicU64, Ordering};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let address = listener.local_addr().expect("its address");
    let answered: &'static AtomicU64 = Box::leak(Box::default());
    let greet = move || async move {
        let number = answered.fetch_add(1, Ordering::Relaxed);
        match fails_each {
            Some(each) if number.is_multiple_of(each) => (StatusCode::INTERNAL_SERVER_ERROR, String::new()),
            _ => (
                StatusCode::OK,
                json!({ "hello": "world", "version": version }).to_string(),
            ),
        }
    };
    let app = Router::new().route("/hello", get(greet));
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// Without a bound on speed: how fast this machine is today must not decide the test.
const PLAN: &str = r#"
name: Greeter
version: "2.0"
items:
  - id: answers
    number: 1
    title: { zh: 应答, en: Answers }
    window: { from_h: 0, to_h: 12 }
    owner: sre
    criterion: { zh: 返回 200, en: answers 200 with a greeting }
    gates:
      - id: greeting
        kind: http
        url: "${gateway}/hello"
        expect_status: 200
        expect_json: { /hello: world }
  - id: load
    number: 2
    title: { zh: 压测, en: Load }
    window: { from_h: 0, to_h: 12 }
    owner: qa
    criterion: { zh: 错误率不超过 10 %, en: hardly an error at 200 requests a second }
    gates:
      - id: load
        kind: load
        protocol: http
        target: "${gateway}"
        path: /hello
        rate_per_s: 200
        players: 50
        duration_s: 3
        generator_lag_max_ms: 60000
        expect: ["error_rate <= 0.1", "requests >= 500"]
  - id: canary
    number: 3
    title: { zh: 灰度, en: Canary }
    window: { from_h: 0, to_h: 48 }
    owner: sre
    criterion: { zh: 不差于稳定版, en: not worse than stable }
    gates:
      - id: canary
        kind: canary
        gateway_admin: "${gateway_admin}"
        stable: stable
        canary: canary
        steps: [0, 10, 50, 100]
        min_requests: 50
        hold_s: 2
        look_every_s: 0.5
        slow_ms: 60000
        alpha: 0.01
        drain: false
        budgets: { step_s: 300 }
        traffic: { target: "${gateway}", protocol: http, path: /hello, rate_per_s: 300, players: 200 }
"#;

struct Launched {
    exit_code: i32,
    report: Value,
    said: String,
}

/// Two releases behind a gateway, and the launch of the newer one.
pub async fn prepared(folder: &Path, canary_fails_each: Option<u64>) -> (Gateway, Command) {
    let stable = greeter("1.0", None).await;
    let canary = greeter("2.0", canary_fails_each).await;
    let routes = format!(
        "sticky: [\"header:x-session-id\", client-ip]\nbackends:\n  \
         stable: {{ url: \"http://{stable}\", version: \"1.0\" }}\n  \
         canary: {{ url: \"http://{canary}\", version: \"2.0\" }}\n\
         default: {{ split: {{ stable: 100, canary: 0 }} }}\n"
    );
    let gateway = Gateway::start(folder, &routes).await;

    let plan = folder.join("plan.yaml");
    fs::write(&plan, PLAN).expect("written");
    let mut command = Command::new(binary("tminus", "tminus-control"));
    command
        .arg("launch")
        .arg(&plan)
        .arg("--json")
        .arg("--out")
        .arg(folder.join("out"))
        .arg("--var")
        .arg(format!("gateway={}", gateway.url))
        .arg("--var")
        .arg(format!("gateway_admin={}", gateway.admin));
    (gateway, command)
}

async fn launch(folder: &Path, canary_fails_each: Option<u64>) -> Launched {
    let (_gateway, command) = prepared(folder, canary_fails_each).await;
    run(command).await
}

async fn run(command: Command) -> Launched {
    let output = tokio::process::Command::from(command)
        .output()
        .await
        .expect("tminus starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!(
            "not JSON ({error}): {}\n{said}",
            String::from_utf8_lossy(&output.stdout)
        )
    });
    Launched {
        exit_code: output.status.code().expect("an exit code"),
        report,
        said,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_is_not_ours_is_launched_with_a_template_of_its_own() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (_gateway, command) = prepared(folder.path(), None).await;
    with_a_template(folder.path());
    let launched = run(command).await;
    assert_eq!(launched.exit_code, 0, "{}\n{:#}", launched.said, launched.report);
    assert_eq!(
        launched.report["totals"],
        json!({ "ticked": 3, "crossed": 0, "not_checked": 0 })
    );
    assert_eq!(launched.report["canary_final_weight_percent"], 100.0);
    let out = folder.path().join("out");
    let good = |arguments: &[&str], file: &Path| {
        let (code, said) = tminus(arguments, file);
        assert_eq!(code, 0, "{arguments:?}: {said}");
        said
    };
    let said = good(&["verify"], &out.join("checklist.pdf"));
    assert!(
        said.contains("template/house-style.typ  is the launch's artifact `house-style`"),
        "{said}"
    );
    good(&["package", "make", "--out"], &out);
    for role in ["ops", "customer"] {
        good(
            &["package", "verify"],
            &out.join(format!("packages/{role}/{role}.zip")),
        );
    }
    for edition in ["ops/checklist", "customer/checklist-customer"] {
        let text = text_of_pdf(&out.join(format!("packages/{edition}.pdf")));
        assert!(text.contains("Harbour Games"), "{text}");
    }
}

/// Lets the plan name one, which is the shipped one and a line.
fn with_a_template(folder: &Path) {
    let shipped = Command::new(binary("tminus", "tminus-control"))
        .args(["checklist", "template"])
        .output()
        .expect("tminus starts");
    let shipped = String::from_utf8(shipped.stdout).expect("a text");
    let own = shipped.replacen(
        "// --- cover ---",
        "#text(size: 8pt)[Harbour Games]\n// --- cover ---",
        1,
    );
    let file = folder.join("house.typ");
    fs::write(&file, own).expect("written");
    let named = format!(
        "artifacts: [{{ name: house-style, path: \"{}\" }}]\nchecklist: {{ template: house-style }}\nitems:",
        file.display()
    );
    let plan = PLAN.replacen("\nitems:", &format!("\n{named}"), 1);
    fs::write(folder.join("plan.yaml"), plan).expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_faulty_canary_of_a_backend_that_is_not_ours_is_rolled_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let launched = launch(folder.path(), Some(4)).await;
    assert_eq!(launched.exit_code, 1, "{}\n{:#}", launched.said, launched.report);
    assert_eq!(
        launched.report["totals"],
        json!({ "ticked": 2, "crossed": 1, "not_checked": 0 })
    );
    assert_eq!(launched.report["canary_final_weight_percent"], 0.0);
}
