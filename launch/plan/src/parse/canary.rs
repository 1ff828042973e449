//! The gate `canary`.

use std::collections::{BTreeMap, BTreeSet};

use crate::comparison::quantile_name;
use crate::error::PlanError;
use crate::parse::fields::Fields;
use crate::parse::gates::{MINUTE_MS, SECONDS_MAX, TRAFFIC, traffic};
use crate::parse::node::{Node, Value};
use crate::parse::{metrics as counters, router};
use crate::rollout::MINUTES_A_WEEK;
use crate::spec::{Budgets, BusinessSpec, CanarySpec, Freeze, GateKind, Margins, StepSpec};

pub(super) const FIELDS: [&str; 20] = [
    "gateway_admin",
    "router",
    "releases",
    "metrics",
    "stable",
    "canary",
    "steps",
    "freeze",
    "min_requests",
    "hold_s",
    "look_every_s",
    "slow_ms",
    "quantiles",
    "margins",
    "business",
    "alpha",
    "alpha_parts",
    "traffic",
    "drain",
    "budgets",
];
/// Those that a rehearsal may replace.
pub(super) const REHEARSAL: [&str; 7] = [
    "steps",
    "freeze",
    "min_requests",
    "hold_s",
    "look_every_s",
    "traffic",
    "budgets",
];

const STEPS_MAX: usize = 101;
const FREEZES_MAX: usize = 50;
const QUANTILES_MAX: usize = 10;
const BUSINESS_MAX: usize = 20;
/// Names of metrics and measurements that are there without being named.
const RESERVED: [&str; 3] = ["error", "errors", "slow"];
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

pub(super) fn read(fields: &Fields<'_>) -> Result<GateKind, PlanError> {
    let context = &fields.context;
    let hold_s = fields.number("hold_s", 0.0, SECONDS_MAX)?;
    let traffic = match fields.get("traffic") {
        None => None,
        Some(node) => Some(traffic(&Fields::new(context, node, "`traffic`", &TRAFFIC)?)?),
    };
    let budgets = budgets(fields, hold_s)?;
    let (steps, at) = steps(fields)?;
    let slow_ms = match fields.get("slow_ms") {
        None => None,
        Some(_) => Some(fields.whole("slow_ms", 1, 10 * MINUTE_MS)?),
    };
    let quantiles = quantiles(fields)?;
    let margins = margins(fields)?;
    let business = business(fields, margins)?;
    let mut metrics: Vec<String> = vec!["errors".to_owned()];
    metrics.extend(slow_ms.map(|_| "slow".to_owned()));
    metrics.extend(quantiles.iter().copied().map(quantile_name));
    metrics.extend(business.iter().map(|business| business.name.clone()));
    let routing = router::read(fields)?;
    Ok(GateKind::Canary(Box::new(CanarySpec {
        metrics: counters::read(
            fields,
            &routing.router,
            routing.releases.as_ref(),
            traffic.as_ref(),
        )?,
        router: routing.router,
        probe: routing.probe,
        releases: routing.releases,
        stable: fields.template("stable")?,
        canary: fields.template("canary")?,
        steps,
        at,
        freeze: freeze(fields)?,
        min_requests: fields.whole("min_requests", 1, 100_000_000)?,
        hold_s,
        look_every_s: fields.number_or("look_every_s", 1.0, 0.1, 3600.0)?,
        slow_ms,
        quantiles,
        margins,
        business,
        alpha: fields.number_or("alpha", 0.01, 1e-6, 0.5)?,
        alpha_parts: alpha_parts(fields, &metrics)?,
        traffic,
        drain: fields.flag_or("drain", true)?,
        budgets,
    })))
}

fn budgets(fields: &Fields<'_>, hold_s: f64) -> Result<Budgets, PlanError> {
    let default = Budgets {
        step_s: (hold_s * 10.0).max(60.0),
        fast_kill_min: 20,
        fast_kill_share: 0.2,
    };
    let Some(node) = fields.get("budgets") else {
        return Ok(default);
    };
    let own = Fields::new(
        &fields.context,
        node,
        "`budgets`",
        &["step_s", "fast_kill_min", "fast_kill_share"],
    )?;
    let budgets = Budgets {
        step_s: own.number_or("step_s", default.step_s, 0.1, SECONDS_MAX)?,
        fast_kill_min: own.whole_or("fast_kill_min", default.fast_kill_min, 1, 1_000_000)?,
        fast_kill_share: own.number_or("fast_kill_share", default.fast_kill_share, 0.001, 1.0)?,
    };
    if budgets.step_s < hold_s {
        return Err(fields.error(
            node.place,
            format!(
                "a step that is given up after {} s and held for {hold_s} s",
                budgets.step_s
            ),
            "`budgets.step_s` of at least `hold_s`",
        ));
    }
    Ok(budgets)
}

type Steps = (Vec<u32>, BTreeMap<u32, StepSpec>);

/// Weights, bare or with what is particular about the step.
fn steps(fields: &Fields<'_>) -> Result<Steps, PlanError> {
    const EXPECTED: &str = "rising weights in percent that end at 100, e.g. [0, 5, 30, 70, 100]";
    let context = &fields.context;
    let node = fields.required("steps")?;
    let mut steps: Vec<u32> = Vec::new();
    let mut at: BTreeMap<u32, StepSpec> = BTreeMap::new();
    for step in context.list(node, "steps", STEPS_MAX)? {
        let weight = match &step.value {
            Value::Map(_) => {
                let own = Fields::new(context, step, "a step", &["weight", "hold_s", "approval"])?;
                let weight = own.whole("weight", 0, 100)?;
                let hold_s = match own.get("hold_s") {
                    None => None,
                    Some(_) => Some(own.number("hold_s", 0.0, SECONDS_MAX)?),
                };
                let approval = own
                    .get("approval")
                    .map(|node| approval(&own, node, weight, &at))
                    .transpose()?;
                at.insert(weight, StepSpec { hold_s, approval });
                weight
            }
            _ => context.whole(step, "steps", 0, 100)?,
        };
        if steps.last().is_some_and(|last| *last >= weight) {
            return Err(fields.error(
                step.place,
                format!("{weight} after {}", steps[steps.len() - 1]),
                EXPECTED,
            ));
        }
        steps.push(weight);
    }
    if steps.last() != Some(&100) {
        return Err(fields.error(node.place, "`steps` does not end at 100", EXPECTED));
    }
    Ok((steps, at))
}

fn approval(
    step: &Fields<'_>,
    node: &Node,
    weight: u32,
    before: &BTreeMap<u32, StepSpec>,
) -> Result<String, PlanError> {
    let name = step.context.slug(node, "approval", "sre-30")?;
    if weight == 0 {
        return Err(step.error(
            node.place,
            "an approval for the step of weight 0, which promotes nothing",
            "an `approval` on a step with a weight above 0",
        ));
    }
    if before
        .values()
        .any(|other| other.approval.as_ref() == Some(&name))
    {
        return Err(step.error(
            node.place,
            format!("the approval `{name}` opens an earlier step already"),
            "a name of its own for each step",
        ));
    }
    Ok(name)
}

fn freeze(fields: &Fields<'_>) -> Result<Vec<Freeze>, PlanError> {
    let Some(node) = fields.get("freeze") else {
        return Ok(Vec::new());
    };
    let context = &fields.context;
    let mut freezes = Vec::new();
    for node in context.list(node, "freeze", FREEZES_MAX)? {
        let own = Fields::new(context, node, "a freeze window", &["days", "from", "to"])?;
        let days = match own.get("days") {
            None => (0..7).collect(),
            Some(node) => {
                let mut days = BTreeSet::new();
                for day in context.list(node, "days", DAYS.len())? {
                    let name = context.text(day, "days")?;
                    let found = DAYS.iter().position(|known| *known == name).ok_or_else(|| {
                        own.error(day.place, format!("`{name}` is no day"), DAYS.join(", "))
                    })?;
                    days.insert(found as u8);
                }
                if days.is_empty() {
                    return Err(own.error(
                        node.place,
                        "`days` is empty",
                        "at least one day, or no `days` for all",
                    ));
                }
                days.into_iter().collect()
            }
        };
        let freeze = Freeze {
            days,
            from_minute: time_of_day(&own, "from")?,
            to_minute: time_of_day(&own, "to")?,
        };
        freezes.push(freeze);
    }
    let frozen = |minute: u32| freezes.iter().any(|freeze| freeze.covers(minute));
    if (0..MINUTES_A_WEEK).all(frozen) {
        return Err(fields.error(
            node.place,
            "freeze windows that cover the whole week",
            "a time at which the canary may be promoted",
        ));
    }
    Ok(freezes)
}

fn time_of_day(fields: &Fields<'_>, name: &str) -> Result<u16, PlanError> {
    const EXPECTED: &str = "a time of day in quotes, from `00:00` to `23:59`";
    let node = fields.required(name)?;
    let wrong = |what: String| fields.error(node.place, what, EXPECTED);
    let Value::Text(text) = &node.value else {
        return Err(wrong(format!("`{name}` is {}", node.value.describe())));
    };
    let digits = |text: &str, most: u16| {
        let number = text.parse::<u16>().ok().filter(|number| *number <= most);
        number.filter(|_| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit()))
    };
    text.split_once(':')
        .and_then(|(hours, minutes)| Some(digits(hours, 23)? * 60 + digits(minutes, 59)?))
        .ok_or_else(|| wrong(format!("`{name}` is `{text}`")))
}

fn quantiles(fields: &Fields<'_>) -> Result<Vec<f64>, PlanError> {
    let Some(node) = fields.get("quantiles") else {
        return Ok(vec![0.5, 0.95, 0.99]);
    };
    let mut quantiles: Vec<f64> = Vec::new();
    for quantile in fields.context.list(node, "quantiles", QUANTILES_MAX)? {
        let percent = fields.context.number(quantile, "quantiles", 1.0, 99.99)?;
        let value = percent / 100.0;
        if quantiles.last().is_some_and(|last| *last >= value) {
            return Err(fields.error(
                quantile.place,
                format!("the quantile {percent} after one that is not below it"),
                "rising percentages, e.g. [50, 95, 99]",
            ));
        }
        quantiles.push(value);
    }
    Ok(quantiles)
}

fn margins(fields: &Fields<'_>) -> Result<Margins, PlanError> {
    let default = Margins::default();
    let Some(node) = fields.get("margins") else {
        return Ok(default);
    };
    let own = Fields::new(
        &fields.context,
        node,
        "`margins`",
        &["rate_percent", "rate_points", "latency_percent"],
    )?;
    let share = |name: &str, default: f64, most: f64| {
        own.number_or(name, default * 100.0, 0.0, most)
            .map(|percent| percent / 100.0)
    };
    Ok(Margins {
        rate: share("rate_percent", default.rate, 1000.0)?,
        rate_points: share("rate_points", default.rate_points, 50.0)?,
        latency: share("latency_percent", default.latency, 1000.0)?,
    })
}

fn business(fields: &Fields<'_>, margins: Margins) -> Result<Vec<BusinessSpec>, PlanError> {
    let Some(node) = fields.get("business") else {
        return Ok(Vec::new());
    };
    let context = &fields.context;
    let mut all: Vec<BusinessSpec> = Vec::new();
    for node in context.list(node, "business", BUSINESS_MAX)? {
        let business = match &node.value {
            Value::Map(_) => {
                const KNOWN: [&str; 4] = ["name", "margin_percent", "margin_points", "min_total"];
                let own = Fields::new(context, node, "a business counter", &KNOWN)?;
                BusinessSpec {
                    name: own.text("name")?,
                    margin: own.number_or("margin_percent", margins.rate * 100.0, 0.0, 1000.0)? / 100.0,
                    margin_points: own.number_or("margin_points", margins.rate_points * 100.0, 0.0, 50.0)?
                        / 100.0,
                    min_total: own.whole_or("min_total", 1, 0, 100_000_000)?,
                }
            }
            _ => BusinessSpec {
                name: context.text(node, "business")?,
                margin: margins.rate,
                margin_points: margins.rate_points,
                min_total: 1,
            },
        };
        let name = &business.name;
        let form = name.len() <= 40
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        // `p99` and its like are quantiles.
        let quantile = name.starts_with('p') && name[1..].chars().all(|c| c.is_ascii_digit() || c == '_');
        if !form || quantile || RESERVED.contains(&name.as_str()) {
            return Err(fields.error(
                node.place,
                format!("a business counter named `{name}`"),
                "1 to 40 of a-z, 0-9 and `_`, beginning with a letter, and not `errors`, `slow` or a quantile",
            ));
        }
        if all.iter().any(|other| other.name == *name) {
            return Err(fields.error(
                node.place,
                format!("`{name}` twice in `business`"),
                "each name once",
            ));
        }
        all.push(business);
    }
    Ok(all)
}

/// Weights by which metrics share `alpha`; only metrics that there are have any.
fn alpha_parts(fields: &Fields<'_>, metrics: &[String]) -> Result<BTreeMap<String, f64>, PlanError> {
    let Some(node) = fields.get("alpha_parts") else {
        return Ok(BTreeMap::new());
    };
    let mut parts = BTreeMap::new();
    for entry in fields.context.entries(node, "alpha_parts")? {
        if !metrics.contains(&entry.key) {
            return Err(fields.error(
                entry.place,
                format!("`{}` is no metric of this canary", entry.key),
                format!("one of {}", metrics.join(", ")),
            ));
        }
        let weight = fields.context.number(&entry.node, &entry.key, 0.001, 1000.0)?;
        parts.insert(entry.key.clone(), weight);
    }
    Ok(parts)
}
