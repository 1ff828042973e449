//! `tminus contract check`: a running service beside its document.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tminus_conformance::{Hints, Spec};

use crate::cli::contract_check::ContractCheck;
use crate::conformance::{self, Check, Report};
use crate::error::{CliError, Exit, Kind, Result};
use crate::gates::http;

/// A document that is fetched is read up to this length.
const DOCUMENT_BYTES_MAX: usize = tminus_conformance::limits::DOCUMENT_BYTES_MAX;

pub(super) async fn run(args: &ContractCheck) -> Result<Exit> {
    let text = document(&args.spec).await?;
    let spec = Spec::read(&text).map_err(|error| {
        CliError::new(Kind::Usage, format!("{}: {error}", args.spec))
            .hint("`--spec` takes an OpenAPI 3.0 or 3.1 document, JSON or YAML")
    })?;
    let mut hints = Hints::default();
    for (name, value) in &args.values {
        // A text that is no JSON means itself.
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.clone()));
        hints.values.insert(name.clone(), value);
    }
    for (list, is_credential) in [(&args.headers, false), (&args.credentials, true)] {
        for (name, value) in list {
            hints.headers.push((name.clone(), value.clone()));
            if is_credential {
                hints.credentials.push(name.to_ascii_lowercase());
            }
        }
    }
    let check = Check {
        url: args.url.clone(),
        hints,
        taken: args.taken.clone(),
        bearer: args.bearer_from.clone(),
        only: args.only.clone(),
        timeout: Duration::from_millis(args.timeout_ms),
    };
    let bar = indicatif::ProgressBar::new(0);
    let report = conformance::run(&spec, &check, |done, of, operation| {
        bar.set_length(of as u64);
        bar.set_position(done as u64);
        bar.set_message(operation.to_owned());
    })
    .await;
    bar.finish_and_clear();
    let report = report.map_err(|why| {
        let error = CliError::new(Kind::Environment, why.why);
        match why.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    })?;
    if args.json {
        let mut whole = json!({ "ok": report.passed(), "spec": args.spec, "url": args.url.as_str(), "title": spec.title, "version": spec.version });
        if let (Some(whole), Ok(Value::Object(report))) =
            (whole.as_object_mut(), serde_json::to_value(&report))
        {
            whole.extend(report);
        }
        println!("{whole}");
    } else {
        print(&report);
    }
    Ok(if report.passed() {
        Exit::Ok
    } else {
        Exit::CheckFailed
    })
}

async fn document(spec: &str) -> Result<String> {
    if is_address(spec) {
        return fetch(spec).await;
    }
    let path = Path::new(spec);
    std::fs::read_to_string(path).map_err(|error| CliError::file("read", path, &error))
}

pub(super) fn is_address(spec: &str) -> bool {
    spec.starts_with("http://") || spec.starts_with("https://")
}

/// The text of a document that a server hands out.
pub(super) async fn fetch(spec: &str) -> Result<String> {
    let failed = |why: String| CliError::new(Kind::Environment, format!("cannot fetch {spec}: {why}"));
    let client = http::client().map_err(|error| failed(error.why))?;
    let request = client.get(spec).timeout(Duration::from_secs(30));
    let mut response = request
        .send()
        .await
        .map_err(|error| failed(http::words(&error)))?;
    if !response.status().is_success() {
        return Err(failed(format!("it answers {}", response.status())));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| failed(http::words(&error)))?
    {
        if body.len() + chunk.len() > DOCUMENT_BYTES_MAX {
            return Err(failed(format!("it is longer than {DOCUMENT_BYTES_MAX} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    String::from_utf8(body).map_err(|_| failed("it is not UTF-8".to_owned()))
}

fn print(report: &Report) {
    for shown in &report.findings {
        let finding = &shown.finding;
        let place = finding
            .pointer
            .as_ref()
            .map(|at| format!(" at {at}"))
            .unwrap_or_default();
        let about = shown
            .about
            .as_ref()
            .map(|name| format!(" `{name}`"))
            .unwrap_or_default();
        println!(
            "{} {}  {}{place}: {}",
            finding.status,
            finding.operation,
            name(finding.kind),
            finding.what
        );
        println!("      {}   ({}{about})", shown.request, name(shown.case));
    }
    if report.findings_total > report.findings.len() {
        println!("… and {} more", report.findings_total - report.findings.len());
    }
    for (operation, why) in &report.not_called {
        println!("not called  {operation}: {why}");
    }
    for pair in &report.never_seen {
        println!("never seen  {} {}", pair.status, pair.operation);
    }
    println!(
        "{} operations, {} requests: {} findings, {} not called; {} of {} declared answers seen",
        report.operations,
        report.requests,
        report.findings_total,
        report.not_called.len(),
        report.seen,
        report.declared
    );
}

/// As in the JSON report.
fn name(kind: impl serde::Serialize) -> String {
    match serde_json::to_value(kind) {
        Ok(Value::String(name)) => name.replace('_', " "),
        _ => String::new(),
    }
}
