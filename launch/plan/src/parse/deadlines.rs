//! The gate `deadlines`: the hops of a call, and the requests that show how long each of them may take.

use crate::deadlines::{Limit, Route};
use crate::error::PlanError;
use crate::parse::fields::{Context, Fields};
use crate::parse::gates::{MINUTE_MS, method, path};
use crate::parse::node::Node;
use crate::spec::{DeadlinesSpec, GateKind, GrpcProbe, HopSource, HopSpec, ReplayRequest, SlowProbe};

pub(super) const FIELDS: [&str; 9] = [
    "target",
    "budget_ms",
    "hops",
    "request",
    "slow",
    "grpc",
    "probes",
    "tolerance_ms",
    "wait_ms",
];

const HOPS_MAX: usize = 20;
/// Milliseconds; a day.
const LIMIT_MS_MAX: u32 = 86_400_000;
/// Milliseconds: a nanosecond, which is over before anything has begun.
const BUDGET_MS_MIN: f64 = 0.000_001;
const HEALTH_CHECK: &str = "/grpc.health.v1.Health/Check";

pub(super) fn read(fields: &Fields<'_>) -> Result<GateKind, PlanError> {
    let context = &fields.context;
    let budget_ms = fields.whole("budget_ms", 1, 10 * MINUTE_MS)?;
    let hops = hops(fields)?;
    let request = match fields.get("request") {
        None => plain("/"),
        Some(node) => request(&Fields::new(
            context,
            node,
            "`request`",
            &["method", "path", "headers", "body"],
        )?)?,
    };
    let slow = match fields.get("slow") {
        None => SlowProbe {
            request: request.clone(),
            budget_ms: 1.0,
        },
        Some(node) => {
            let fields = Fields::new(
                context,
                node,
                "`slow`",
                &["method", "path", "headers", "body", "budget_ms"],
            )?;
            SlowProbe {
                request: if fields.get("path").is_some() {
                    self::request(&fields)?
                } else {
                    fields.only(&["budget_ms"])?;
                    request.clone()
                },
                budget_ms: fields.number_or("budget_ms", 1.0, BUDGET_MS_MIN, f64::from(10 * MINUTE_MS))?,
            }
        }
    };
    let grpc = fields
        .get("grpc")
        .map(|node| grpc(context, node, slow.budget_ms))
        .transpose()?;
    Ok(GateKind::Deadlines(DeadlinesSpec {
        target: fields.template("target")?,
        budget_ms,
        hops,
        request,
        slow,
        grpc,
        probes: fields.whole_or("probes", 5, 1, 100)?,
        tolerance_ms: fields.whole_or("tolerance_ms", 250, 0, MINUTE_MS)?,
        wait_ms: fields.whole_or("wait_ms", 5_000, 1, 10 * MINUTE_MS)?,
    }))
}

fn plain(path: &str) -> ReplayRequest {
    ReplayRequest {
        method: "GET".to_owned(),
        path: path.to_owned(),
        headers: std::collections::BTreeMap::new(),
        body: None,
    }
}

fn request(fields: &Fields<'_>) -> Result<ReplayRequest, PlanError> {
    Ok(ReplayRequest {
        method: method(fields, "GET")?,
        path: path(fields)?,
        headers: fields.templates("headers")?,
        body: fields
            .get("body")
            .map(|node| fields.context.template(node, "body"))
            .transpose()?,
    })
}

fn grpc(context: &Context, node: &Node, slow_ms: f64) -> Result<GrpcProbe, PlanError> {
    let fields = Fields::new(context, node, "`grpc`", &["target", "method", "slow_budget_ms"])?;
    let method = match fields.get("method") {
        None => HEALTH_CHECK.to_owned(),
        Some(node) => {
            let text = context.text(node, "method")?;
            if !text.starts_with('/') || text.matches('/').count() != 2 {
                return Err(fields.error(
                    node.place,
                    format!("`method` is `{text}`"),
                    format!(
                        "/SERVICE/METHOD of a unary call that takes an empty message, e.g. {HEALTH_CHECK}"
                    ),
                ));
            }
            text
        }
    };
    Ok(GrpcProbe {
        target: fields
            .get("target")
            .map(|node| context.template(node, "target"))
            .transpose()?,
        method,
        slow_budget_ms: fields.number_or(
            "slow_budget_ms",
            slow_ms,
            BUDGET_MS_MIN,
            f64::from(10 * MINUTE_MS),
        )?,
    })
}

fn hops(fields: &Fields<'_>) -> Result<Vec<HopSpec>, PlanError> {
    let node = fields.required("hops")?;
    let mut hops: Vec<HopSpec> = Vec::new();
    for node in fields.context.list(node, "hops", HOPS_MAX)? {
        let hop = hop(&fields.context, node)?;
        if hops.iter().any(|known| known.name == hop.name) {
            return Err(fields.error(
                node.place,
                format!("a second hop `{}`", hop.name),
                "each name once, the outermost hop first",
            ));
        }
        hops.push(hop);
    }
    if hops.is_empty() {
        return Err(fields.error(
            node.place,
            "`hops` is empty",
            "at least one hop, the outermost first",
        ));
    }
    Ok(hops)
}

fn hop(context: &Context, node: &Node) -> Result<HopSpec, PlanError> {
    const SOURCES: &str =
        "one of `gateway` and `nginx` (a file) and `limits` (by hand), or `keeps_deadline: true` alone";
    let fields = Fields::new(
        context,
        node,
        "a hop",
        &[
            "name",
            "gateway",
            "nginx",
            "location",
            "limits",
            "keeps_deadline",
            "seen",
        ],
    )?;
    let file = |name: &str| {
        fields
            .get(name)
            .map(|node| context.template(node, name))
            .transpose()
    };
    let location = fields
        .get("location")
        .map(|node| context.text(node, "location"))
        .transpose()?;
    let sources = ["gateway", "nginx", "limits"].map(|name| fields.get(name));
    if sources.iter().flatten().count() > 1 {
        return Err(fields.error(fields.place, "more than one source of limits", SOURCES));
    }
    if let (Some(node), None) = (fields.get("location"), sources[1]) {
        return Err(fields.error(node.place, "`location` without `nginx`", "`nginx` beside it"));
    }
    let keeps_deadline = fields.flag_or("keeps_deadline", sources[0].is_some())?;
    let source = match (file("gateway")?, file("nginx")?, sources[2]) {
        (Some(path), _, _) => HopSource::Gateway { path },
        (_, Some(path), _) => HopSource::Nginx { path, location },
        (_, _, Some(node)) => HopSource::Given(Box::new(given(context, node, keeps_deadline)?)),
        (None, None, None) if keeps_deadline => HopSource::Given(Box::default()),
        (None, None, None) => {
            return Err(fields.error(fields.place, "a hop of which no limit is known", SOURCES));
        }
    };
    Ok(HopSpec {
        name: fields.slug("name", "gateway")?,
        source,
        keeps_deadline,
        seen: fields.flag_or("seen", keeps_deadline)?,
    })
}

/// Limits that the plan writes out.
fn given(context: &Context, node: &Node, keeps_deadline: bool) -> Result<Route, PlanError> {
    let fields = Fields::new(
        context,
        node,
        "`limits`",
        &[
            "timeout_ms",
            "connect_ms",
            "pause_ms",
            "pool_idle_ms",
            "keep_alive_ms",
            "attempts",
            "retry_ms",
        ],
    )?;
    if !keeps_deadline {
        // Without either nothing is known that ends a call.
        fields.required("timeout_ms")?;
    }
    let limit = |name: &str| -> Result<Option<Limit>, PlanError> {
        let Some(node) = fields.get(name) else {
            return Ok(None);
        };
        let ms = context.whole(node, name, 0, LIMIT_MS_MAX)?;
        Ok(Some(Limit {
            ms: u64::from(ms),
            name: name.to_owned(),
            place: context.place(node.place),
        }))
    };
    Ok(Route {
        name: String::new(),
        answer: limit("timeout_ms")?,
        connect: limit("connect_ms")?,
        answer_covers_connect: false,
        pauses: limit("pause_ms")?.into_iter().collect(),
        pool_idle: limit("pool_idle_ms")?,
        keep_alive: limit("keep_alive_ms")?,
        attempts: fields.whole_or("attempts", 1, 1, 100)?,
        retry: limit("retry_ms")?,
    })
}
