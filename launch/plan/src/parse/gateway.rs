//! The time limits of a `tminus-gateway`, from its configuration. What has no bearing on time is the gateway's to check.

use crate::deadlines::{Limit, Route};
use crate::error::PlanError;
use crate::parse::fields::{Context, Fields};
use crate::parse::node;

/// Milliseconds; the gateway's own bound, a day.
const LIMIT_MS_MAX: u32 = 86_400_000;

/// The one way through a gateway.
///
/// # Errors
/// It is no YAML, no configuration of a gateway, or a limit in it is no number of milliseconds.
pub fn gateway_route(yaml: &str, file: &str) -> Result<Route, PlanError> {
    let root = node::read(yaml, file)?;
    let context = Context::new(file);
    let fields = Fields::any(&context, &root, "the configuration of tminus-gateway")?;
    for needed in ["listen", "backends"] {
        fields.required(needed)?;
    }
    let limits = fields
        .get("limits")
        .map(|node| Fields::any(&context, node, "`limits`"))
        .transpose()?;
    let limit = |fields: Option<&Fields<'_>>, name: &str, default_ms: u64| -> Result<Limit, PlanError> {
        let shown = if name == "upstream_timeout_ms" {
            name.to_owned()
        } else {
            format!("limits.{name}")
        };
        let Some(node) = fields.and_then(|fields| fields.get(name)) else {
            return Ok(Limit {
                ms: default_ms,
                name: shown,
                place: format!("{file}:1:1 (default)"),
            });
        };
        let ms = context.whole(node, name, 1, LIMIT_MS_MAX)?;
        Ok(Limit {
            ms: u64::from(ms),
            name: shown,
            place: format!("{file}:{}:{}", node.place.line, node.place.column),
        })
    };
    let limits = limits.as_ref();
    Ok(Route {
        answer: Some(limit(Some(&fields), "upstream_timeout_ms", 2_000)?),
        connect: Some(limit(limits, "connect_timeout_ms", 1_000)?),
        answer_covers_connect: true,
        pauses: vec![limit(limits, "body_idle_timeout_ms", 60_000)?],
        pool_idle: Some(limit(limits, "upstream_idle_ms", 1_500)?),
        keep_alive: Some(limit(limits, "keep_alive_idle_ms", 75_000)?),
        ..Route::default()
    })
}
