//! What to do next, from the facts alone.

use serde::Serialize;

use crate::state::{AttemptEnd, LaunchState};

/// Attempts of one gate that a crash may cost before it is left as "not checked".
const MAX_ATTEMPTS: u32 = 5;

/// Plan hours that people have to sign after the last gate of an item, even when all windows
/// have closed by then: a gate that ran late must not make their signature impossible.
const SIGN_OFF_H: f64 = 4.0;

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Record that the gate starts, run it to its end, record the evidence.
    RunGate {
        item: String,
        gate: String,
        attempt: u32,
    },
    /// A person is asked; other actions need not wait for it.
    AwaitSignOff { item: String, role: String },
    /// Nothing else is due before this moment (milliseconds since 1970-01-01 UTC), but for
    /// sign-offs that arrive.
    WaitUntil(u64),
    /// Record that the launch is finished.
    Finish,
    /// Typeset the checklist from the record and record its digest.
    IssueChecklist,
}

/// What is due now. Empty when the launch is over.
///
/// At most one `RunGate` (gates would disturb each other's measurements), then every sign-off
/// that is due, then, when no gate is due, until when to wait. Ask only while no gate runs: an
/// attempt that is open then was interrupted, and the next one is due. A gate with evidence,
/// passed or failed, is never run again by itself; neither is one that could not run.
///
/// A window that has closed does not drop its gates: they run late. Sign-offs are awaited until
/// the last window closes, and at least four plan hours after the item's last gate.
#[must_use]
pub fn next_actions(state: &LaunchState, now_ms: u64) -> Vec<Action> {
    if state.checklist.is_some() {
        return Vec::new();
    }
    if state.finished.is_some() {
        return vec![Action::IssueChecklist];
    }
    let mut order: Vec<usize> = (0..state.plan.items.len()).collect();
    order.sort_by(|a, b| {
        let (a, b) = (&state.plan.items[*a], &state.plan.items[*b]);
        a.window
            .from_h
            .total_cmp(&b.window.from_h)
            .then(a.number.cmp(&b.number))
    });

    let mut run = None;
    let mut sign_offs = Vec::new();
    let mut sign_offs_end = 0;
    let ends = state.clock.at_ms(state.plan.ends_h());
    let mut next_opening: Option<u64> = None;
    for position in order {
        let (item, item_state) = (&state.plan.items[position], &state.items[position]);
        let pending = item
            .gates
            .iter()
            .zip(&item_state.gates)
            .find_map(|(gate, gate_state)| {
                if gate.kind.is_to_come() {
                    return None;
                }
                match gate_state.attempts.last() {
                    None => Some((gate, 1)),
                    Some(last) if matches!(last.end, AttemptEnd::Open) && last.attempt < MAX_ATTEMPTS => {
                        Some((gate, last.attempt + 1))
                    }
                    Some(_) => None,
                }
            });
        let all_passed = item_state.gates.iter().all(|gate| gate.verdict.is_passed());
        let unsigned = item_state
            .sign_offs
            .iter()
            .filter(|sign_off| sign_off.signed.is_none());
        let opens = state.clock.opens_ms(item.window);
        if now_ms < opens {
            if pending.is_some() || (all_passed && unsigned.count() > 0) {
                next_opening = Some(next_opening.map_or(opens, |known| known.min(opens)));
            }
            continue;
        }
        if let Some((gate, attempt)) = pending {
            if run.is_none() {
                run = Some(Action::RunGate {
                    item: item.id.clone(),
                    gate: gate.id.clone(),
                    attempt,
                });
            }
        } else if all_passed {
            let last_gate = item_state
                .gates
                .iter()
                .filter_map(|gate| gate.evidence())
                .map(|(_, e)| e.ended_at_ms)
                .max();
            let until = ends.max(
                last_gate
                    .unwrap_or(0)
                    .saturating_add(state.clock.lasts_ms(SIGN_OFF_H)),
            );
            if now_ms >= until {
                continue;
            }
            sign_offs_end = sign_offs_end.max(until);
            sign_offs.extend(unsigned.map(|sign_off| Action::AwaitSignOff {
                item: item.id.clone(),
                role: sign_off.role.clone(),
            }));
        }
    }

    match run {
        Some(run) => std::iter::once(run).chain(sign_offs).collect(),
        None if !sign_offs.is_empty() => {
            let until = next_opening.unwrap_or(sign_offs_end);
            sign_offs.into_iter().chain([Action::WaitUntil(until)]).collect()
        }
        None => match next_opening {
            Some(opening) => vec![Action::WaitUntil(opening)],
            None => vec![Action::Finish],
        },
    }
}
