//! The result of a launch: the table on the terminal, or one JSON object.

use serde_json::{Value, json};
use tminus_plan::{AttemptEnd, ItemStatus, LaunchState, Verdict};

use crate::console::{Console, Paint, columns, pad, width, wrap};
use crate::engine::book::Book;
use crate::engine::could_not_run;
use crate::error::{CliError, Exit};
use crate::layout::Layout;

/// `5 ticked, 0 crossed, 4 not checked`.
pub fn totals_line(state: &LaunchState) -> String {
    let totals = state.totals();
    format!(
        "{} ticked, {} crossed, {} not checked",
        totals.ticked, totals.crossed, totals.not_checked
    )
}

/// 1 when an item is crossed, 2 when a gate could not run, else 0. A gate of a kind that this
/// release cannot run, and a missing sign-off, leave an item open and change nothing here.
pub fn exit(state: &LaunchState) -> Exit {
    if state.totals().crossed > 0 {
        Exit::CheckFailed
    } else if could_not_run(state).is_empty() {
        Exit::Ok
    } else {
        Exit::CouldNotRun
    }
}

/// Prints the items, where things lie, and the totals as the last line.
pub fn print(state: &LaunchState, layout: &Layout, console: &Console) {
    let bold = |text: &str| console.paint(Paint::Bold, text);
    let mark = if state.rehearsal {
        format!("   REHEARSAL ×{:.0}", state.clock.scale)
    } else {
        String::new()
    };
    println!(
        "\n{}{mark}",
        bold(&format!("{}  {}", state.plan.name, state.plan.version))
    );
    let title_columns = state
        .plan
        .items
        .iter()
        .map(|i| columns(&i.title.en) + columns(&i.title.zh) + 2)
        .max()
        .unwrap_or(20);
    let room = width().saturating_sub(8);
    for (planned, item) in state.items_with_plan() {
        let (sign, word, paint) = match item.status {
            ItemStatus::Ticked => ("✓", "ticked", Paint::Good),
            ItemStatus::Crossed => ("✗", "crossed", Paint::Bad),
            ItemStatus::NotChecked => ("–", "not checked", Paint::Open),
        };
        let title = format!("{}  {}", planned.title.en, planned.title.zh);
        let status = console.paint(paint, &format!("{sign} {word}"));
        println!("{:>3}  {}  {status}", item.number, pad(&title, title_columns));
        for reason in &item.reasons {
            for (n, line) in wrap(reason, room).iter().enumerate() {
                let lead = if n == 0 { "›" } else { " " };
                println!("       {}", console.paint(Paint::Dim, &format!("{lead} {line}")));
            }
        }
    }
    println!();
    println!("checklist  {}", layout.checklist().display());
    println!(
        "record     {}   ({} entries)",
        layout.record().display(),
        state.entries
    );
    println!("check it   tminus verify {}", layout.checklist().display());
    if let Some(url) = &state.feedback_url {
        println!("feedback   {url}");
    }
    println!();
    println!("{}", totals_line(state));
}

/// What a machine reads.
pub fn to_json(state: &LaunchState, book: &Book, layout: &Layout, exit: Exit) -> Value {
    let totals = state.totals();
    let items: Vec<Value> = state
        .items_with_plan()
        .map(|(planned, item)| {
            json!({
                "id": item.id,
                "number": item.number,
                "title": planned.title,
                "status": item.status,
                "reasons": item.reasons,
                "gates": item.gates.iter().map(gate_json).collect::<Vec<_>>(),
                "sign_offs": item.sign_offs,
            })
        })
        .collect();
    let canary = state
        .items
        .iter()
        .flat_map(|i| &i.gates)
        .find(|g| g.kind == "canary");
    let measured = |name: &str| {
        canary
            .and_then(|g| g.evidence())
            .and_then(|(_, e)| e.measurements.get(name))
            .map(|m| m.value)
    };
    let weight = measured("final_weight_percent").or_else(|| {
        canary
            .and_then(|g| g.rollout.last())
            .map(|step| f64::from(step.weight_percent))
    });
    json!({
        "launch_id": state.launch_id,
        "plan": { "name": state.plan.name, "version": state.plan.version, "sha256": state.plan_sha256 },
        "rehearsal": state.rehearsal,
        "clock_scale": state.clock.scale,
        "items": items,
        "totals": { "ticked": totals.ticked, "crossed": totals.crossed, "not_checked": totals.not_checked },
        "canary_final_weight_percent": weight,
        "games_lost": measured("games_lost"),
        "feedback_url": state.feedback_url,
        "record": { "size": book.size(), "root": book.root_hex() },
        "out": {
            "dir": layout.out,
            "record": layout.record(),
            "checklist": layout.checklist(),
            "state": layout.state(),
            "keys": layout.keys(),
        },
        "exit_code": exit.code(),
    })
}

fn gate_json(gate: &tminus_plan::GateState) -> Value {
    let (verdict, reasons) = match &gate.verdict {
        Verdict::Passed => ("passed", Vec::new()),
        Verdict::Failed { reasons } => ("failed", reasons.clone()),
        Verdict::NotChecked { why } => ("not-checked", vec![why.clone()]),
    };
    let newest = gate.attempts.last();
    let evidence = newest.and_then(|attempt| match &attempt.end {
        AttemptEnd::Evidence { entry, evidence } => Some((*entry, evidence)),
        _ => None,
    });
    json!({
        "id": gate.id,
        "kind": gate.kind,
        "verdict": verdict,
        "reasons": reasons,
        "attempts": gate.attempts.len(),
        "evidence_entry": evidence.map(|(entry, _)| entry),
        "measurements": evidence.map(|(_, e)| &e.measurements),
        "notes": evidence.map(|(_, e)| &e.notes),
        "rollout": gate.rollout,
    })
}

/// An error for a machine.
pub fn error_json(error: &CliError) -> Value {
    json!({ "error": error, "exit_code": Exit::CouldNotRun.code() })
}
