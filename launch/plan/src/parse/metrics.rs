//! Where a canary gate's figures come from, when neither players nor the gateway count them.

use std::collections::BTreeMap;

use crate::error::PlanError;
use crate::parse::fields::Fields;
use crate::parse::gates::MINUTE_MS;
use crate::parse::router::named;
use crate::spec::{Protocol, Traffic};
use crate::steering::{BusinessQuery, PrometheusSpec, RELEASE, Releases, RouterSpec};

const BUSINESS_MAX: usize = 20;
/// Seconds; an hour.
const HOUR_S: f64 = 3_600.0;

/// Reads `metrics`. What a gate needs besides is told by what it has.
pub(super) fn read(
    fields: &Fields<'_>,
    router: &RouterSpec,
    releases: Option<&Releases>,
    traffic: Option<&Traffic>,
) -> Result<Option<PrometheusSpec>, PlanError> {
    let Some(node) = fields.get("metrics") else {
        let players = traffic.is_some_and(|traffic| traffic.protocol == Protocol::Starvault);
        if players || matches!(router, RouterSpec::Gateway { .. }) {
            return Ok(None);
        }
        return Err(fields.error(
            fields.place,
            "nobody counts what this canary answers: its router has no counters and its traffic is not players",
            "`metrics: { prometheus: { url: …, requests: …, errors: … } }`",
        ));
    };
    if releases.is_none() {
        return Err(fields.error(
            node.place,
            format!("queries with `{RELEASE}`, and no `releases`"),
            "`releases: { stable: v1.2, canary: v1.3 }`, as the counters name them",
        ));
    }
    let block = Fields::new(&fields.context, node, "`metrics`", &["prometheus"])?;
    let fields = Fields::new(
        &fields.context,
        block.required("prometheus")?,
        "`prometheus`",
        &[
            "url",
            "requests",
            "errors",
            "latency",
            "business",
            "timeout_ms",
            "stale_s",
            "blind_s",
        ],
    )?;
    let mut business = BTreeMap::new();
    if let Some(node) = fields.get("business") {
        for (name, node) in named(&fields, node, "business", BUSINESS_MAX)? {
            let fields = Fields::new(&fields.context, node, &format!("`{name}`"), &["bad", "total"])?;
            business.insert(
                name,
                BusinessQuery {
                    bad: query(&fields, "bad")?,
                    total: query(&fields, "total")?,
                },
            );
        }
    }
    Ok(Some(PrometheusSpec {
        url: fields.template("url")?,
        requests: query(&fields, "requests")?,
        errors: query(&fields, "errors")?,
        latency: fields
            .get("latency")
            .map(|_| query(&fields, "latency"))
            .transpose()?,
        business,
        timeout_ms: fields.whole_or("timeout_ms", 5_000, 10, MINUTE_MS)?,
        stale_s: fields.number_or("stale_s", 60.0, 1.0, HOUR_S)?,
        blind_s: fields.number_or("blind_s", 60.0, 1.0, HOUR_S)?,
    }))
}

/// A query that asks for one side.
fn query(fields: &Fields<'_>, name: &str) -> Result<String, PlanError> {
    let node = fields.required(name)?;
    let text = fields.context.template(node, name)?;
    if text.contains(RELEASE) {
        return Ok(text);
    }
    Err(fields.error(
        node.place,
        format!("`{name}` asks the same of both sides"),
        format!("a query with `{RELEASE}` in it, e.g. `http_requests_total{{release=\"{RELEASE}\"}}`"),
    ))
}
