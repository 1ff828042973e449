//! What a live service answered to requests with a budget.

use super::{Finding, Rule};

/// Entries of `Server-Timing` that are looked at in one answer.
const ENTRIES_MAX: usize = 64;
/// What stands before a hop's name there.
const PREFIX: &str = "deadline-";

/// What a hop had left when a request reached it.
#[derive(Debug, Clone, PartialEq)]
pub struct HopLeft {
    pub name: String,
    /// Milliseconds.
    pub left_ms: f64,
}

/// The hops that announce themselves in the values of an answer's `Server-Timing`: `deadline-NAME;dur=MILLISECONDS`.
/// Entries of others, and what does not read, are passed over.
#[must_use]
pub fn hops_left<'a>(values: impl IntoIterator<Item = &'a str>) -> Vec<HopLeft> {
    values
        .into_iter()
        .flat_map(|value| value.split(','))
        .take(ENTRIES_MAX)
        .filter_map(|entry| {
            let mut parts = entry.split(';').map(str::trim);
            let name = parts.next()?.strip_prefix(PREFIX)?;
            let duration = parts.find_map(|part| {
                let (key, value) = part.split_once('=')?;
                key.trim().eq_ignore_ascii_case("dur").then(|| value.trim())
            })?;
            let left_ms: f64 = duration.trim_matches('"').parse().ok()?;
            let good = left_ms.is_finite() && left_ms >= 0.0 && !name.is_empty();
            good.then(|| HopLeft {
                name: name.to_owned(),
                left_ms,
            })
        })
        .collect()
}

/// One answer to a request that left enough time.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    pub hops: Vec<HopLeft>,
}

/// Whether every hop of `expected`, the outermost first, announced itself, and whether each had less left than the one
/// before it. Both are the service's own numbers of one request, so a slow machine makes none of them larger. Two
/// whole numbers may be equal: they are rounded.
#[must_use]
pub fn probed(budget_ms: f64, expected: &[&str], probes: &[Probe]) -> Vec<Finding> {
    const PLACE: &str = "Server-Timing";
    let finding = |rule, hop: &str, what: String, remedy: &str| Finding {
        rule,
        hop: hop.to_owned(),
        place: PLACE.to_owned(),
        what,
        remedy: remedy.to_owned(),
    };
    let mut findings = Vec::new();
    for name in expected {
        let missing = probes.iter().filter(|probe| left(probe, name).is_none()).count();
        if missing > 0 {
            let what = format!("no `deadline-{name}` in {missing} of {} answers", probes.len());
            let remedy = "let the hop announce what is left (docs/deadlines.md), or say `seen: false` of it";
            findings.push(finding(Rule::HopNotSeen, name, what, remedy));
        }
    }
    for (at, name) in expected.iter().enumerate() {
        let mut worst: Option<(f64, String)> = None;
        for probe in probes {
            let Some(own) = left(probe, name) else { continue };
            let before = expected[..at]
                .iter()
                .rev()
                .find_map(|before| Some((left(probe, before)?, *before)));
            // The budget arrives whole at the first hop.
            let may_equal = |bound: f64| before.is_none() || (own.fract() == 0.0 && bound.fract() == 0.0);
            let (bound, whose) = before.unwrap_or((budget_ms, "the caller"));
            let added = own - bound;
            let adds = added > 0.0 || (added == 0.0 && !may_equal(bound));
            if adds && worst.as_ref().is_none_or(|(known, _)| added > *known) {
                worst = Some((
                    added,
                    format!("it has {own} ms left, and {whose} before it had {bound} ms"),
                ));
            }
        }
        if let Some((_, what)) = worst {
            let remedy = "let it take the limit that the request names, not one of its own";
            findings.push(finding(Rule::AddsTime, name, what, remedy));
        }
    }
    findings
}

fn left(probe: &Probe, name: &str) -> Option<f64> {
    probe
        .hops
        .iter()
        .find(|hop| hop.name == name)
        .map(|hop| hop.left_ms)
}

/// What came of one request that needs longer than its budget.
#[derive(Debug, Clone, PartialEq)]
pub enum Late {
    /// The answer says that the deadline has passed.
    Exceeded { took_ms: f64 },
    /// The answer is the work's own.
    Done { took_ms: f64 },
    /// Any other answer.
    Other { took_ms: f64, status: String },
    /// Nothing came for so long.
    Silent { waited_ms: f64 },
}

/// Judges the answers to a request that needs longer than its budget, by the best of them: one that was held up on a busy
/// machine proves nothing. `asked` names the request.
///
/// # Errors
/// They show nothing: all that came in time is no answer about a deadline.
pub fn late(
    asked: &str,
    target: &str,
    budget_ms: f64,
    tolerance_ms: f64,
    answers: &[Late],
) -> Result<Option<Finding>, String> {
    let limit = budget_ms + tolerance_ms;
    let mut in_time = None;
    let mut best: Option<(f64, &Late)> = None;
    for answer in answers {
        let took = match answer {
            Late::Exceeded { took_ms } if *took_ms <= limit => return Ok(None),
            Late::Done { took_ms } | Late::Other { took_ms, .. } if *took_ms <= limit => {
                in_time = Some(answer);
                continue;
            }
            Late::Exceeded { took_ms } | Late::Done { took_ms } | Late::Other { took_ms, .. } => *took_ms,
            Late::Silent { waited_ms } => *waited_ms,
        };
        if best.as_ref().is_none_or(|(known, _)| took < *known) {
            best = Some((took, answer));
        }
    }
    match in_time {
        Some(Late::Other { status, .. }) => {
            return Err(format!(
                "{asked} with a budget of {budget_ms} ms is answered {status} at once, which says nothing of deadlines"
            ));
        }
        Some(_) => {
            return Err(format!(
                "{asked} with a budget of {budget_ms} ms is answered in time; name a request that takes longer under `slow`, or a smaller budget"
            ));
        }
        None => {}
    }
    let Some((took, answer)) = best else {
        return Err(format!("{asked} was never sent"));
    };
    let numbers = format!("the budget is {budget_ms} ms, and at best it took {took:.0} ms");
    let (rule, what) = match answer {
        Late::Exceeded { .. } => (
            Rule::AnswersAfterCaller,
            format!("the answer that the deadline has passed comes late: {numbers}"),
        ),
        Late::Other { status, .. } => (
            Rule::AnswersAfterCaller,
            format!("it is answered {status} after its caller has gone: {numbers}"),
        ),
        Late::Done { .. } => (
            Rule::IgnoresDeadline,
            format!("it is worked off after its caller has gone: {numbers}"),
        ),
        Late::Silent { .. } => (
            Rule::IgnoresDeadline,
            format!(
                "nobody ends it: the budget is {budget_ms} ms, and after {took:.0} ms there is no answer"
            ),
        ),
    };
    Ok(Some(Finding {
        rule,
        hop: target.to_owned(),
        place: asked.to_owned(),
        what,
        remedy: "give the work up when the time that the request names is over, and answer 504 or DEADLINE_EXCEEDED".to_owned(),
    }))
}
