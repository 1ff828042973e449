//! The gate `deadlines`: reads the time limits of each hop of a call, sends requests with a budget through them, and counts
//! what does not fit. Serves any backend: hops and requests come from the plan.
//!
//! A busy machine makes answers late, so of several the best one counts; what hops announce are their own numbers.

mod calls;
mod hops;

use reqwest::Client;
use tminus_plan::deadlines::{Finding, Late, Probe, late, misalignments, probed};
use tminus_plan::{DeadlinesSpec, GrpcProbe};

use self::calls::{Calls, Reply};
use super::http::client;
use super::prepared::{Prepared, target};
use super::{CouldNotRun, Hands, Measured, shorten, unless_stopped};

/// Misalignments that go into the evidence word by word.
const NOTED_MAX: usize = 40;
const NOTE_BYTES_MAX: usize = 600;

/// What has been found so far.
#[derive(Default)]
struct Found {
    findings: Vec<Finding>,
    /// What could not be known.
    unknown: Vec<String>,
    notes: Vec<String>,
    probes: u32,
}

/// # Errors
/// A configuration cannot be read, nothing answers, or nothing was found wrong and something could not be known.
pub async fn run(spec: &DeadlinesSpec, hands: &Hands) -> Result<Measured, CouldNotRun> {
    let base = target(&spec.target)?;
    let mut measured = Measured {
        target: spec.target.clone(),
        ..Measured::default()
    };
    measured.input("budget_ms", spec.budget_ms);
    measured.input("tolerance_ms", spec.tolerance_ms);
    let hops = hops::read(spec, &mut measured)?;
    let mut found = Found {
        findings: misalignments(u64::from(spec.budget_ms), &hops),
        ..Found::default()
    };
    hands.progress(Some(0.1), format!("{} hops read", hops.len()));

    let http = Calls::new(spec, client()?);
    let request = Prepared::new(&spec.request, &base)?;
    let slow = Prepared::new(&spec.slow.request, &base)?;
    unless_stopped(
        &hands.stop,
        probe(spec, &http, &request, &mut found, &mut measured),
    )
    .await??;
    hands.progress(Some(0.4), format!("{} requests", found.probes));
    unless_stopped(&hands.stop, async {
        let (name, budget_ms) = (slow.name.clone(), spec.slow.budget_ms);
        let ask = || http.send(&slow, budget_ms);
        exceed(
            spec,
            &name,
            budget_ms,
            ask,
            &mut found,
            &mut measured,
            "exceeded_ms_min",
        )
        .await;
    })
    .await?;
    if let Some(grpc) = &spec.grpc {
        hands.progress(Some(0.7), format!("calling {}", grpc.method));
        unless_stopped(&hands.stop, call(spec, grpc, &mut found, &mut measured)).await??;
    }

    let Found {
        findings,
        unknown,
        notes,
        probes,
    } = found;
    if findings.is_empty() && !unknown.is_empty() {
        return Err(CouldNotRun::new(unknown.join("; ")));
    }
    measured.measure("misalignments", findings.len() as f64, "1");
    measured.measure("hops_declared", hops.len() as f64, "1");
    measured.measure("probes", f64::from(probes), "1");
    let told = findings.iter().take(NOTED_MAX).map(ToString::to_string);
    let unknown = unknown.into_iter().map(|why| format!("not known: {why}"));
    measured.notes = told
        .chain(unknown)
        .chain(notes)
        .map(|note| shorten(&note, NOTE_BYTES_MAX))
        .collect();
    Ok(measured)
}

/// Requests that leave enough time: how long they take, and what each hop had left.
async fn probe(
    spec: &DeadlinesSpec,
    calls: &Calls,
    request: &Prepared,
    found: &mut Found,
    measured: &mut Measured,
) -> Result<(), CouldNotRun> {
    let budget_ms = f64::from(spec.budget_ms);
    let (mut good, mut answers) = (Vec::new(), Vec::new());
    let (mut took, mut other) = (Vec::new(), Vec::new());
    for _ in 0..spec.probes {
        match calls.send(request, budget_ms).await {
            Ok(Reply { late, hops }) => {
                if let Late::Done { took_ms } = late {
                    took.push(took_ms);
                    good.push(Probe { hops });
                } else {
                    other.push(describe(&late));
                }
                answers.push(late);
            }
            Err(why) => other.push(why),
        }
    }
    found.probes += spec.probes;
    let asked = &request.name;
    if answers.is_empty() {
        return Err(CouldNotRun::new(format!(
            "{} gives no answer: {}",
            spec.target,
            other.last().map_or("", String::as_str)
        ))
        .hint("is it running, and is the address in the plan (or in --var) right?"));
    }
    if good.is_empty() {
        // An error that comes late is a misalignment all the same.
        match late(
            asked,
            &spec.target,
            budget_ms,
            f64::from(spec.tolerance_ms),
            &answers,
        ) {
            Ok(Some(finding)) => found.findings.push(finding),
            Ok(None) | Err(_) => found.unknown.push(format!(
                "no {asked} of {} was answered with success within {budget_ms} ms: {}",
                spec.probes,
                other.last().map_or("", String::as_str)
            )),
        }
        return Ok(());
    }
    took.sort_by(f64::total_cmp);
    measured.measure("p50_ms", took[took.len() / 2], "ms");
    if took[0] > budget_ms + f64::from(spec.tolerance_ms)
        && let Ok(Some(finding)) = late(
            asked,
            &spec.target,
            budget_ms,
            f64::from(spec.tolerance_ms),
            &answers,
        )
    {
        found.findings.push(finding);
    }
    let expected: Vec<&str> = spec
        .hops
        .iter()
        .filter(|hop| hop.seen)
        .map(|hop| hop.name.as_str())
        .collect();
    found.findings.extend(probed(budget_ms, &expected, &good));
    let last = &good[good.len() - 1].hops;
    measured.measure(
        "hops_seen",
        expected
            .iter()
            .filter(|name| last.iter().any(|hop| hop.name == **name))
            .count() as f64,
        "1",
    );
    for hop in last {
        found.notes.push(format!(
            "{asked}: {} had {} ms left",
            shorten(&hop.name, 60),
            hop.left_ms
        ));
    }
    Ok(())
}

/// Requests that leave too little time, until one of them is given up as it should be.
async fn exceed<F: Future<Output = Result<Reply, String>>>(
    spec: &DeadlinesSpec,
    asked: &str,
    budget_ms: f64,
    ask: impl Fn() -> F,
    found: &mut Found,
    measured: &mut Measured,
    measurement: &str,
) {
    let tolerance_ms = f64::from(spec.tolerance_ms);
    let mut answers = Vec::new();
    let mut why = None;
    for _ in 0..spec.probes {
        found.probes += 1;
        match ask().await {
            Ok(reply) => {
                let kept =
                    matches!(&reply.late, Late::Exceeded { took_ms } if *took_ms <= budget_ms + tolerance_ms);
                answers.push(reply.late);
                if kept {
                    break;
                }
            }
            Err(error) => why = Some(error),
        }
    }
    if answers.is_empty() {
        let why = why.unwrap_or_default();
        found.unknown.push(format!(
            "{asked} with a budget of {budget_ms} ms: no answer: {why}"
        ));
        return;
    }
    let exceeded = answers.iter().filter_map(|answer| match answer {
        Late::Exceeded { took_ms } => Some(*took_ms),
        _ => None,
    });
    if let Some(least) = exceeded.min_by(f64::total_cmp) {
        measured.measure(measurement, least, "ms");
    }
    match late(asked, &spec.target, budget_ms, tolerance_ms, &answers) {
        Ok(None) => {}
        Ok(Some(finding)) => found.findings.push(finding),
        Err(why) => found.unknown.push(why),
    }
}

/// The same over gRPC.
async fn call(
    spec: &DeadlinesSpec,
    grpc: &GrpcProbe,
    found: &mut Found,
    measured: &mut Measured,
) -> Result<(), CouldNotRun> {
    let client = Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .user_agent(concat!("tminus/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|e| {
            CouldNotRun::new(format!(
                "cannot make a client for gRPC: {}",
                super::http::words(&e)
            ))
        })?;
    let url = target(grpc.target.as_deref().unwrap_or(&spec.target))?;
    let url = url
        .join(&grpc.method)
        .map_err(|e| CouldNotRun::new(format!("`{}` is no method at {url}: {e}", grpc.method)))?;
    let calls = Calls::new(spec, client);
    let asked = format!("gRPC {}", grpc.method);
    let budget_ms = f64::from(spec.budget_ms);
    found.probes += 1;
    match calls.call(&url, budget_ms).await {
        Ok(Reply {
            late: Late::Done { .. },
            ..
        }) => {}
        Ok(reply) => found.unknown.push(format!(
            "{asked} within {budget_ms} ms: {}",
            describe(&reply.late)
        )),
        Err(why) => found.unknown.push(format!("{asked}: no answer: {why}")),
    }
    let slow_ms = grpc.slow_budget_ms;
    let ask = || calls.call(&url, slow_ms);
    exceed(
        spec,
        &asked,
        slow_ms,
        ask,
        found,
        measured,
        "grpc_exceeded_ms_min",
    )
    .await;
    Ok(())
}

fn describe(late: &Late) -> String {
    match late {
        Late::Exceeded { took_ms } => format!("its deadline had passed after {took_ms:.0} ms"),
        Late::Done { took_ms } => format!("it was answered after {took_ms:.0} ms"),
        Late::Other { took_ms, status } => format!("it was answered {status} after {took_ms:.0} ms"),
        Late::Silent { waited_ms } => format!("no answer within {waited_ms:.0} ms"),
    }
}
