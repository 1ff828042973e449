//! Paints the board from the state of the launch. Reads the fold, adds nothing to it.

use tminus_plan::{AttemptEnd, Bilingual, Evidence, Gate, GateState, ItemStatus, LaunchState, Verdict};

use super::book::Book;
use crate::board::{Board, GateCard, ItemCard, SignOffCard, Standing, Words};

/// Measurements of one gate that the dashboard lists.
const MEASUREMENTS_SHOWN: usize = 16;

/// Everything on the board that follows from the record.
pub fn paint(board: &mut Board, book: &Book, state: &LaunchState, now_ms: u64) {
    board.launch_id.clone_from(&state.launch_id);
    board.name.clone_from(&state.plan.name);
    board.version.clone_from(&state.plan.version);
    board.rehearsal = state.rehearsal;
    board.scale = state.clock.scale;
    board.started_at_ms = state.clock.started_at_ms;
    board.plan_hours = state.plan.ends_h();
    board.record_size = book.size();
    board.record_root = book.root_hex();
    board.artifacts = state
        .artifacts
        .iter()
        .map(|a| (a.name.clone(), a.sha256.clone()))
        .collect();
    let running = board.running.as_ref().map(|r| (r.item.clone(), r.gate.clone()));
    let over = state.finished.is_some();
    let (mut ticked, mut crossed) = (0, 0);
    board.items = state
        .items_with_plan()
        .map(|(item, item_state)| {
            match item_state.status {
                ItemStatus::Ticked => ticked += 1,
                ItemStatus::Crossed => crossed += 1,
                ItemStatus::NotChecked => {}
            }
            let runs = running.as_ref().is_some_and(|(id, _)| *id == item.id);
            let untouched = item_state.gates.iter().all(|g| g.attempts.is_empty())
                && item_state.sign_offs.iter().all(|s| s.signed.is_none());
            let open = now_ms >= state.clock.opens_ms(item.window);
            let standing = match item_state.status {
                ItemStatus::Ticked => Standing::Ticked,
                ItemStatus::Crossed => Standing::Crossed,
                ItemStatus::NotChecked if runs => Standing::Running,
                ItemStatus::NotChecked if !over && untouched && !(open && only_to_come(item)) => {
                    Standing::Waiting
                }
                ItemStatus::NotChecked => Standing::NotChecked,
            };
            ItemCard {
                id: item.id.clone(),
                number: item.number,
                title: words(&item.title),
                criterion: words(&item.criterion),
                not_covered: item.not_covered.as_ref().map(words),
                from_h: item.window.from_h,
                to_h: item.window.to_h,
                owner: item.owner.clone(),
                standing,
                reasons: item_state.reasons.clone(),
                gates: item
                    .gates
                    .iter()
                    .zip(&item_state.gates)
                    .map(|(gate, gate_state)| {
                        let runs = running
                            .as_ref()
                            .is_some_and(|(i, g)| *i == item.id && *g == gate.id);
                        gate_card(gate, gate_state, runs, over)
                    })
                    .collect(),
                sign_offs: item_state
                    .sign_offs
                    .iter()
                    .map(|s| SignOffCard {
                        role: s.role.clone(),
                        at_ms: s.signed.as_ref().map(|signed| signed.at_ms),
                        statement: s
                            .signed
                            .as_ref()
                            .map(|signed| signed.statement.clone())
                            .unwrap_or_default(),
                    })
                    .collect(),
            }
        })
        .collect();
    // "Not checked" is a result, so it is counted as one only when nothing can change it any more.
    board.ticked = ticked;
    board.crossed = crossed;
    board.not_checked = count(board, Standing::NotChecked);
}

fn count(board: &Board, standing: Standing) -> u32 {
    u32::try_from(board.items.iter().filter(|i| i.standing == standing).count()).unwrap_or(u32::MAX)
}

fn only_to_come(item: &tminus_plan::Item) -> bool {
    item.gates.iter().all(|gate| gate.kind.is_to_come())
}

fn gate_card(gate: &Gate, state: &GateState, runs: bool, over: bool) -> GateCard {
    let standing = match &state.verdict {
        _ if runs => Standing::Running,
        Verdict::Passed => Standing::Ticked,
        Verdict::Failed { .. } => Standing::Crossed,
        Verdict::NotChecked { .. } if state.is_settled(gate) || over => Standing::NotChecked,
        Verdict::NotChecked { .. } => Standing::Waiting,
    };
    let reasons = match &state.verdict {
        Verdict::Passed => Vec::new(),
        Verdict::Failed { reasons } => reasons.clone(),
        Verdict::NotChecked { why } => vec![why.clone()],
    };
    let evidence = state.attempts.last().and_then(|attempt| match &attempt.end {
        AttemptEnd::Evidence { evidence, .. } => Some(evidence.as_ref()),
        _ => None,
    });
    GateCard {
        id: gate.id.clone(),
        kind: gate.kind.name().to_owned(),
        standing,
        attempt: state.attempts.last().map_or(0, |a| a.attempt),
        expect: gate.expectations().iter().map(ToString::to_string).collect(),
        reasons,
        measurements: evidence.map(|e| measurements(gate, e)).unwrap_or_default(),
    }
}

/// The measurements, those that are expected first.
fn measurements(gate: &Gate, evidence: &Evidence) -> Vec<(String, String)> {
    let expected: Vec<String> = gate.expectations().into_iter().map(|e| e.measurement).collect();
    let mut shown: Vec<(String, String)> = Vec::new();
    let all = evidence.measurements.keys();
    for name in expected.iter().chain(all) {
        if shown.len() == MEASUREMENTS_SHOWN {
            break;
        }
        if let Some(measurement) = evidence.measurements.get(name)
            && !shown.iter().any(|(known, _)| known == name)
        {
            shown.push((name.clone(), with_unit(measurement.value, &measurement.unit)));
        }
    }
    shown
}

/// `31.2 ms`; counts and shares without a unit.
pub fn with_unit(value: f64, unit: &str) -> String {
    let number = number(value);
    if unit == "1" || unit.is_empty() {
        number
    } else {
        format!("{number} {unit}")
    }
}

/// At most three decimals, more only for a value that would read as zero.
pub fn number(value: f64) -> String {
    if value != 0.0 && value.abs() < 0.001 {
        return format!("{value:.1e}");
    }
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn words(text: &Bilingual) -> Words {
    Words {
        zh: text.zh.clone(),
        en: text.en.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_never_read_as_a_zero_that_they_are_not() {
        for (value, expect) in [
            (31.0, "31"),
            (31.25, "31.25"),
            (0.0, "0"),
            (0.000_02, "2.0e-5"),
            (1.23456, "1.235"),
        ] {
            assert_eq!(number(value), expect);
        }
        assert_eq!(with_unit(31.2, "ms"), "31.2 ms");
        assert_eq!(with_unit(3.0, "1"), "3");
    }
}
