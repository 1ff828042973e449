//! The engine's sentences for the terminal.

use tminus_plan::{LaunchState, Verdict};

use super::picture::with_unit;
use crate::board::SharedBoard;
use crate::console::{Console, Paint};

/// Measurements that a passed gate's line shows.
const SHOWN_MAX: usize = 5;

/// `REHEARSAL ×900  T+07:24 of 48 h`.
pub fn header(state: &LaunchState, now_ms: u64) -> String {
    let mark = if state.rehearsal {
        format!("REHEARSAL ×{:.0}  ", state.clock.scale)
    } else {
        String::new()
    };
    format!(
        "{mark}{} of {:.0} h",
        state.clock.stamp(now_ms),
        state.plan.ends_h()
    )
}

pub fn running(state: &LaunchState, board: &SharedBoard, now_ms: u64) -> String {
    let doing = board.read(|board| {
        board.running.as_ref().map(|r| {
            let share = r
                .fraction
                .map(|f| format!(" {:.0} %", f * 100.0))
                .unwrap_or_default();
            format!("{} / {}{share}  {}", r.item, r.gate, r.text)
        })
    });
    format!("{}  {}", header(state, now_ms), doing.unwrap_or_default())
}

pub fn waiting(state: &LaunchState, until: Option<u64>, roles: &[String]) -> String {
    let mut parts = Vec::new();
    if !roles.is_empty() {
        parts.push(format!("waiting for sign-offs: {}", roles.join(", ")));
    }
    if let Some(at) = until {
        parts.push(format!("waiting until {}", state.clock.stamp(at)));
    }
    parts.join("; ")
}

/// One line with the verdict, one for each reason.
pub fn gate_ended(state: &LaunchState, item: &str, gate: &str, console: &Console) -> Vec<String> {
    let (Some(gate_state), Some(planned)) = (state.gate(item, gate), state.plan.gate(item, gate)) else {
        return Vec::new();
    };
    let shown: Vec<String> = gate_state
        .evidence()
        .map(|(_, evidence)| {
            planned
                .expectations()
                .iter()
                .filter_map(|e| evidence.measurements.get(&e.measurement).map(|m| (e, m)))
                .take(SHOWN_MAX)
                .map(|(e, m)| format!("{} {}", e.measurement, with_unit(m.value, &m.unit)))
                .collect()
        })
        .unwrap_or_default();
    match &gate_state.verdict {
        Verdict::Passed => {
            vec![format!(
                "{item} / {gate}  {}  {}",
                console.paint(Paint::Good, "passed"),
                shown.join(", ")
            )]
        }
        Verdict::Failed { reasons } => std::iter::once(format!(
            "{item} / {gate}  {}",
            console.paint(Paint::Bad, "FAILED")
        ))
        .chain(reasons.iter().map(|r| format!("    {r}")))
        .collect(),
        Verdict::NotChecked { why } => {
            vec![format!(
                "{item} / {gate}  {}: {why}",
                console.paint(Paint::Open, "not checked")
            )]
        }
    }
}
