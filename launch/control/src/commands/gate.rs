//! `tminus gate KIND PLAN`: the plan's gates of one kind, run and judged outside a launch. Writes no record.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tminus_plan::{Evidence, Gate as PlannedGate, GateKind, Verdict, judge};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::board::SharedBoard;
use crate::cli::Gate;
use crate::error::{CliError, Exit, Kind, Result};
use crate::gates::{Approvals, CouldNotRun, Hands, Measured, deadlines, http, sessions};
use crate::session;
use crate::wall::{SystemWall, Wall as _};

/// Kinds that need nothing of a launch around them.
const ALONE: [&str; 3] = ["deadlines", "http", "sessions"];

pub(super) async fn run(args: &Gate) -> Result<Exit> {
    if !ALONE.contains(&args.kind.as_str()) {
        return Err(
            CliError::usage(format!("gates of kind `{}` do not run by themselves", args.kind)).hint(format!(
                "the kinds that do: {}; a launch runs all",
                ALONE.join(", ")
            )),
        );
    }
    let plan = session::read_plan(&args.plan)?.plan;
    let mut variables: BTreeMap<String, String> = args.vars.iter().cloned().collect();
    let gates: Vec<(&str, &PlannedGate)> = plan
        .items
        .iter()
        .flat_map(|item| item.gates.iter().map(move |gate| (item.id.as_str(), gate)))
        .filter(|(_, gate)| gate.kind.name() == args.kind)
        .collect();
    if gates.is_empty() {
        return Err(CliError::usage(format!(
            "{} has no gate of kind `{}`",
            args.plan.display(),
            args.kind
        )));
    }
    // Artifacts are read only where a gate speaks of one: a plan is tried out before they are built.
    if plan
        .variables
        .iter()
        .any(|usage| usage.name.starts_with("artifact."))
    {
        let _ = session::artifacts(&plan, &mut variables);
    }
    let (mut told, mut exit) = (Vec::new(), Exit::Ok);
    for (item, gate) in gates {
        let kind = plan
            .resolve_gate(item, &gate.id, false, &variables)
            .map_err(|e| {
                CliError::new(Kind::Plan, e.to_string())
                    .hint("give the variable a value with --var NAME=VALUE")
            })?;
        let started_at_ms = SystemWall.now_ms();
        let (verdict, measured) = match one(&kind).await {
            Ok(measured) => {
                let evidence = evidence(item, gate, &measured, started_at_ms);
                (judge(gate, Some(&evidence)), measured)
            }
            Err(could_not) => {
                let why = match could_not.hint {
                    Some(hint) => format!("{}; {hint}", could_not.why),
                    None => could_not.why,
                };
                (Verdict::NotChecked { why }, Measured::default())
            }
        };
        exit = match (&verdict, exit) {
            (Verdict::NotChecked { .. }, _) | (_, Exit::CouldNotRun) => Exit::CouldNotRun,
            (Verdict::Failed { .. }, _) => Exit::CheckFailed,
            (Verdict::Passed, exit) => exit,
        };
        if args.json {
            told.push(as_json(item, gate, &verdict, &measured));
        } else {
            print(item, gate, &verdict, &measured);
        }
    }
    if args.json {
        println!("{}", json!({ "ok": exit == Exit::Ok, "gates": told }));
    }
    Ok(exit)
}

async fn one(kind: &GateKind) -> std::result::Result<Measured, CouldNotRun> {
    // Nobody changes weights here.
    let (steps, _) = mpsc::channel(1);
    let hands = Hands {
        stop: CancellationToken::new(),
        board: SharedBoard::new(),
        steps,
        approvals: Approvals::channel().0,
        wall: Arc::new(SystemWall),
    };
    match kind {
        GateKind::Http(spec) => http::run(spec, &hands).await,
        GateKind::Sessions(spec) => sessions::run(spec, &hands).await,
        GateKind::Deadlines(spec) => deadlines::run(spec, &hands).await,
        other => Err(CouldNotRun::new(format!(
            "gates of kind `{}` run within a launch",
            other.name()
        ))),
    }
}

fn evidence(item: &str, gate: &PlannedGate, measured: &Measured, started_at_ms: u64) -> Evidence {
    Evidence {
        item: item.to_owned(),
        gate: gate.id.clone(),
        kind: gate.kind.name().to_owned(),
        attempt: 1,
        started_at_ms,
        ended_at_ms: SystemWall.now_ms(),
        target: measured.target.clone(),
        command: measured.command.clone(),
        inputs: measured.inputs.clone(),
        measurements: measured.measurements.clone(),
        notes: measured.notes.clone(),
        series: measured.series.clone(),
    }
}

fn as_json(item: &str, gate: &PlannedGate, verdict: &Verdict, measured: &Measured) -> Value {
    let measurements: BTreeMap<&str, f64> = measured
        .measurements
        .iter()
        .map(|(name, found)| (name.as_str(), found.value))
        .collect();
    json!({
        "item": item, "gate": gate.id, "result": verdict, "measurements": measurements,
        "notes": measured.notes, "inputs": measured.inputs,
    })
}

fn print(item: &str, gate: &PlannedGate, verdict: &Verdict, measured: &Measured) {
    match verdict {
        Verdict::Passed => println!("passed       {item}/{}", gate.id),
        Verdict::Failed { reasons } => println!("failed       {item}/{}: {}", gate.id, reasons.join("; ")),
        Verdict::NotChecked { why } => println!("not checked  {item}/{}: {why}", gate.id),
    }
    for (name, found) in &measured.measurements {
        println!("  {name} {}", found.value);
    }
    for note in &measured.notes {
        println!("  {note}");
    }
}
