//! The feature flags in force: their figures, and all of them as JSON.

use std::sync::Arc;

use axum::{Json, extract::State, response::IntoResponse};
use serde_json::{Value, json};
use tminus_flags::Flag;

use super::Page;
use crate::{app::App, flags::MATCH_V2};

pub(super) async fn show(State(app): State<Arc<App>>) -> impl IntoResponse {
    Json(document(&app))
}

fn document(app: &App) -> Value {
    let state = app.switches.flags().state();
    let flags = state.set.iter().flat_map(|set| set.iter());
    let files = state.files.iter().map(
        |file| json!({ "path": file.path.display().to_string(), "bytes": file.bytes, "sha256": file.sha256 }),
    );
    let failing = state.failing.as_ref().map(|failing| {
        let problems: Vec<String> = failing.problems.iter().map(ToString::to_string).collect();
        json!({ "since_ms": failing.since_ms, "problems": problems })
    });
    let policies = app.lobby.metrics().policy_by_region();
    let policies: serde_json::Map<String, Value> = policies
        .map(|(region, policy)| (region.to_string(), policy.as_str().into()))
        .collect();
    json!({
        "version": state.version,
        "environment": state.environment,
        "files": files.collect::<Vec<_>>(),
        "overrides": state.overrides,
        "loaded_at_ms": state.loaded_at_ms,
        "reloads": state.reloads,
        "failures": state.failures,
        "failing": failing,
        "flags": flags.map(|(key, flag)| (key.to_owned(), one(flag))).collect::<serde_json::Map<_, _>>(),
        "in_effect": { MATCH_V2: policies },
    })
}

fn one(flag: &Flag) -> Value {
    json!({
        "state": if flag.enabled { "ENABLED" } else { "DISABLED" },
        "variants": flag.variants,
        "default_variant": flag.default_variant,
        "targeting": flag.has_rule(),
        "overridden": flag.overridden,
    })
}

pub(super) fn tell(page: &mut Page, app: &App) {
    let state = app.switches.flags().state();
    page.family(
        "gauge",
        "flags_info",
        "The definition of flags in force, by the SHA-256 of its files; always 1.",
    );
    page.sample("flags_info", &format!("{{version=\"{}\"}}", state.version), 1);
    page.gauge(
        "flags_failing",
        "Whether the files cannot be used, so that an older version is in force.",
        u8::from(state.failing.is_some()),
    );
    page.gauge(
        "flags_loaded_timestamp_seconds",
        "When the version in force was loaded, in seconds since 1970.",
        state.loaded_at_ms as f64 / 1000.0,
    );
    page.counter(
        "flags_reloads_total",
        "Newer versions that came into force.",
        state.reloads,
    );
    page.counter(
        "flags_load_failures_total",
        "Contents of the files that could not be used.",
        state.failures,
    );
    page.counter(
        "flags_evaluation_failures_total",
        "Evaluations that gave no value though there is such a flag.",
        app.switches.failed(),
    );
    page.family(
        "gauge",
        "lobby_policy",
        "The policy that makes the matches; always 1.",
    );
    for (region, policy) in app.lobby.metrics().policy_by_region() {
        let labels = format!("{{region=\"{region}\",policy=\"{}\"}}", policy.as_str());
        page.sample("lobby_policy", &labels, 1);
    }
}
