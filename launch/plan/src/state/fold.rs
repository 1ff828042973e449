//! One fact after the other, each checked against those before it.

use crate::clock::Clock;
use crate::error::FoldError;
use crate::fact::{Fact, RolloutVerdict};
use crate::judge::{Verdict, judge};
use crate::plan::{Gate, Item, Plan};
use crate::spec::GateKind;
use crate::state::{
    Approved, Attempt, AttemptEnd, GateState, ItemState, ItemStatus, LaunchState, RolloutEntry, SignOffState,
    Signed,
};

pub(super) fn fold(facts: impl IntoIterator<Item = (u64, Fact)>) -> Result<LaunchState, FoldError> {
    let mut facts = facts.into_iter();
    let (index, first) = facts
        .next()
        .ok_or_else(|| error(0, "the record is empty; a launch begins with launch-started"))?;
    let mut state = start(index, first)?;
    for (index, fact) in facts {
        apply(&mut state, index, &fact)?;
    }
    Ok(state)
}

fn start(index: u64, fact: Fact) -> Result<LaunchState, FoldError> {
    let Fact::LaunchStarted {
        launch_id,
        at_ms,
        plan_sha256,
        plan_yaml,
        plan_file,
        plan_commit,
        rehearsal,
        clock_scale,
        artifacts,
        role_keys,
    } = fact
    else {
        return Err(error(
            index,
            &format!("a launch begins with launch-started, not with {}", fact.name()),
        ));
    };
    if !(clock_scale.is_finite() && clock_scale > 0.0) {
        return Err(error(
            index,
            &format!("the clock's scale is {clock_scale}; it must be above 0"),
        ));
    }
    let plan = Plan::parse(&plan_yaml, &plan_file)
        .map_err(|source| error(index, &format!("the recorded plan does not read: {source}")))?;
    let items = plan.items.iter().map(fresh_item).collect();
    let mut state = LaunchState {
        launch_id,
        plan,
        plan_sha256,
        plan_file,
        plan_commit,
        rehearsal,
        clock: Clock {
            started_at_ms: at_ms,
            scale: clock_scale,
        },
        artifacts,
        role_keys,
        items,
        finished: None,
        feedback_url: None,
        checklist: None,
        entries: 1,
        last_at_ms: at_ms,
    };
    for position in 0..state.items.len() {
        judge_item(&state.plan.items[position], &mut state.items[position]);
    }
    Ok(state)
}

fn fresh_item(item: &Item) -> ItemState {
    ItemState {
        id: item.id.clone(),
        number: item.number,
        status: ItemStatus::NotChecked,
        reasons: Vec::new(),
        gates: item
            .gates
            .iter()
            .map(|gate| GateState {
                id: gate.id.clone(),
                kind: gate.kind.name().to_owned(),
                verdict: judge(gate, None),
                attempts: Vec::new(),
                rollout: Vec::new(),
                approvals: Vec::new(),
            })
            .collect(),
        sign_offs: item
            .sign_offs
            .iter()
            .map(|role| SignOffState {
                role: role.clone(),
                signed: None,
            })
            .collect(),
    }
}

pub(super) fn apply(state: &mut LaunchState, index: u64, fact: &Fact) -> Result<(), FoldError> {
    let fail = |what: String| Err(error(index, &what));
    if let Some((entry, _)) = state.checklist {
        return fail(format!(
            "{} after the checklist was issued in entry {entry}",
            fact.name()
        ));
    }
    if let Some((entry, _)) = state.finished
        && !matches!(fact, Fact::ChecklistIssued { .. })
    {
        return fail(format!(
            "{} after the launch was finished in entry {entry}",
            fact.name()
        ));
    }
    match fact {
        Fact::LaunchStarted { .. } => return fail("a launch begins only once".to_owned()),
        Fact::GateStarted {
            item,
            gate,
            attempt,
            at_ms,
        } => {
            let (_, gate_state, item_at) = locate(state, index, item, gate)?;
            let expected = gate_state.attempts.last().map_or(1, |last| last.attempt + 1);
            if *attempt != expected {
                return fail(format!(
                    "gate {item}/{gate} starts attempt {attempt}; attempt {expected} is next"
                ));
            }
            gate_state.attempts.push(Attempt {
                attempt: *attempt,
                started_at_ms: *at_ms,
                started_entry: index,
                end: AttemptEnd::Open,
            });
            gate_state.rollout.clear();
            gate_state.approvals.clear();
            rejudge(state, item_at);
        }
        Fact::Evidence(evidence) => {
            let end = AttemptEnd::Evidence {
                entry: index,
                evidence: Box::new(evidence.clone()),
            };
            if let Some(gate) = state.plan.gate(&evidence.item, &evidence.gate)
                && gate.kind.name() != evidence.kind
            {
                return fail(format!(
                    "evidence of kind `{}` for gate {}/{}, which is of kind `{}`",
                    evidence.kind,
                    evidence.item,
                    evidence.gate,
                    gate.kind.name()
                ));
            }
            close(
                state,
                index,
                (&evidence.item, &evidence.gate, evidence.attempt),
                end,
            )?;
        }
        Fact::GateCouldNotRun {
            item,
            gate,
            attempt,
            at_ms,
            why,
        } => {
            let end = AttemptEnd::CouldNotRun {
                entry: index,
                at_ms: *at_ms,
                why: why.clone(),
            };
            close(state, index, (item, gate, *attempt), end)?;
        }
        Fact::RolloutStep {
            item,
            gate,
            at_ms,
            weight_percent,
            reason,
            verdict,
        } => {
            let (_, gate_state, _) = locate(state, index, item, gate)?;
            if !matches!(
                gate_state.attempts.last().map(|last| &last.end),
                Some(AttemptEnd::Open)
            ) {
                return fail(format!(
                    "a rollout step of gate {item}/{gate}, which is not running"
                ));
            }
            if *weight_percent > 100 {
                return fail(format!("a weight of {weight_percent} percent"));
            }
            gate_state.rollout.push(RolloutEntry {
                entry: index,
                at_ms: *at_ms,
                weight_percent: *weight_percent,
                reason: reason.clone(),
                verdict: *verdict,
            });
        }
        Fact::SignOff {
            item,
            role,
            at_ms,
            statement,
            record_root_hex,
            record_size,
        } => {
            let item_at = locate_item(state, index, item)?;
            let sign_off = state.items[item_at]
                .sign_offs
                .iter_mut()
                .find(|candidate| candidate.role == *role)
                .ok_or_else(|| error(index, &format!("item `{item}` asks for no sign-off by `{role}`")))?;
            if let Some(signed) = &sign_off.signed {
                return fail(format!(
                    "`{role}` has already signed `{item}` in entry {}",
                    signed.entry
                ));
            }
            // The signer vouches for what was recorded before: never for entries to come.
            if *record_size > index {
                return fail(format!(
                    "`{role}` signed a record of {record_size} entries; there were {index}"
                ));
            }
            sign_off.signed = Some(Signed {
                entry: index,
                at_ms: *at_ms,
                statement: statement.clone(),
                record_root_hex: record_root_hex.clone(),
                record_size: *record_size,
            });
            rejudge(state, item_at);
        }
        Fact::Approval {
            item,
            gate,
            approval,
            role,
            at_ms,
            statement,
            record_root_hex,
            record_size,
        } => {
            let item_at = locate_item(state, index, item)?;
            if !state.plan.items[item_at].sign_offs.contains(role) {
                return fail(format!(
                    "`{role}` signs nothing of item `{item}`, so it approves no step of it"
                ));
            }
            let rehearsal = state.rehearsal;
            let (planned, gate_state, _) = locate(state, index, item, gate)?;
            let seen_from = approvable(planned.kind_for(rehearsal), gate_state, approval).map_err(|why| {
                error(
                    index,
                    &format!("approval `{approval}` of gate {item}/{gate}: {why}"),
                )
            })?;
            if *record_size > index {
                return fail(format!(
                    "`{role}` signed a record of {record_size} entries; there were {index}"
                ));
            }
            if *record_size <= seen_from {
                return fail(format!(
                    "`{role}` approved `{approval}` before the step before it was reached (entry {seen_from})"
                ));
            }
            gate_state.approvals.push(Approved {
                approval: approval.clone(),
                role: role.clone(),
                signed: Signed {
                    entry: index,
                    at_ms: *at_ms,
                    statement: statement.clone(),
                    record_root_hex: record_root_hex.clone(),
                    record_size: *record_size,
                },
            });
        }
        Fact::LaunchFinished {
            at_ms,
            ticked,
            crossed,
            not_checked,
            feedback_url,
        } => {
            let totals = state.totals();
            if (*ticked, *crossed, *not_checked) != (totals.ticked, totals.crossed, totals.not_checked) {
                return fail(format!(
                    "it counts {ticked} ticked, {crossed} crossed, {not_checked} not checked; \
                     the entries before it give {}, {}, {}",
                    totals.ticked, totals.crossed, totals.not_checked
                ));
            }
            state.finished = Some((index, *at_ms));
            state.feedback_url.clone_from(feedback_url);
        }
        Fact::ChecklistIssued { at_ms, .. } => {
            if state.finished.is_none() {
                return fail("a checklist before the launch was finished".to_owned());
            }
            state.checklist = Some((index, *at_ms));
        }
    }
    state.entries += 1;
    state.last_at_ms = state.last_at_ms.max(fact.at_ms());
    Ok(())
}

/// Whether a step of this gate waits for the approval; answers the entry that its signer must have seen.
///
/// Nobody lets a canary on who has not seen it where it is: the step before has to be on record.
fn approvable(kind: &GateKind, state: &GateState, approval: &str) -> Result<u64, String> {
    let GateKind::Canary(spec) = kind else {
        return Err("only a canary has steps to approve".to_owned());
    };
    let (before, weight) = spec
        .approved_step(approval)
        .ok_or_else(|| "no step of it waits for such an approval".to_owned())?;
    let running = match state.attempts.last() {
        Some(attempt) if matches!(attempt.end, AttemptEnd::Open) => attempt,
        _ => return Err("the gate is not running".to_owned()),
    };
    if let Some(given) = state.approvals.iter().find(|given| given.approval == approval) {
        return Err(format!(
            "`{}` has given it in entry {}",
            given.role, given.signed.entry
        ));
    }
    let Some(before) = before else {
        return Ok(running.started_entry);
    };
    state
        .rollout
        .last()
        .filter(|step| step.weight_percent == before)
        .filter(|step| matches!(step.verdict, RolloutVerdict::Started | RolloutVerdict::NotWorse))
        .map(|step| step.entry)
        .ok_or_else(|| format!("{weight} % comes after {before} %, where the canary is not"))
}

/// Ends the attempt that is running.
fn close(
    state: &mut LaunchState,
    index: u64,
    (item, gate, attempt): (&str, &str, u32),
    end: AttemptEnd,
) -> Result<(), FoldError> {
    let (_, gate_state, item_at) = locate(state, index, item, gate)?;
    let Some(known) = gate_state
        .attempts
        .iter_mut()
        .find(|known| known.attempt == attempt)
    else {
        return Err(error(
            index,
            &format!("the end of attempt {attempt} of gate {item}/{gate}, which never started"),
        ));
    };
    match &known.end {
        AttemptEnd::Open => known.end = end,
        AttemptEnd::Evidence { entry, .. } | AttemptEnd::CouldNotRun { entry, .. } => {
            return Err(error(
                index,
                &format!("attempt {attempt} of gate {item}/{gate} has already ended in entry {entry}"),
            ));
        }
    }
    rejudge(state, item_at);
    Ok(())
}

fn locate<'a>(
    state: &'a mut LaunchState,
    index: u64,
    item: &str,
    gate: &str,
) -> Result<(&'a Gate, &'a mut GateState, usize), FoldError> {
    let item_at = locate_item(state, index, item)?;
    let gates = &state.plan.items[item_at].gates;
    let gate_at = gates
        .iter()
        .position(|candidate| candidate.id == gate)
        .ok_or_else(|| error(index, &format!("item `{item}` has no gate `{gate}`")))?;
    Ok((&gates[gate_at], &mut state.items[item_at].gates[gate_at], item_at))
}

fn locate_item(state: &LaunchState, index: u64, item: &str) -> Result<usize, FoldError> {
    state
        .plan
        .items
        .iter()
        .position(|candidate| candidate.id == item)
        .ok_or_else(|| error(index, &format!("the plan has no item `{item}`")))
}

fn rejudge(state: &mut LaunchState, item_at: usize) {
    judge_item(&state.plan.items[item_at], &mut state.items[item_at]);
}

fn judge_item(item: &Item, state: &mut ItemState) {
    let mut reasons = Vec::new();
    let mut crossed = false;
    for (gate, gate_state) in item.gates.iter().zip(&mut state.gates) {
        gate_state.verdict = judge_gate(gate, gate_state);
        match &gate_state.verdict {
            Verdict::Passed => {}
            Verdict::Failed { reasons: broken } => {
                crossed = true;
                reasons.extend(broken.iter().map(|reason| format!("{}: {reason}", gate.id)));
            }
            Verdict::NotChecked { why } => reasons.push(format!("{}: not checked, {why}", gate.id)),
        }
    }
    for sign_off in &state.sign_offs {
        if sign_off.signed.is_none() {
            reasons.push(format!("no sign-off by {}", sign_off.role));
        }
    }
    if item.gates.is_empty() && item.sign_offs.is_empty() {
        reasons.push("nothing would prove it".to_owned());
    }
    state.status = if crossed {
        ItemStatus::Crossed
    } else if reasons.is_empty() {
        ItemStatus::Ticked
    } else {
        ItemStatus::NotChecked
    };
    state.reasons = reasons;
}

/// The newest attempt decides: one that is open or could not run takes an older verdict back.
fn judge_gate(gate: &Gate, state: &GateState) -> Verdict {
    match state
        .attempts
        .last()
        .map(|attempt| (attempt.attempt, &attempt.end))
    {
        None => judge(gate, None),
        Some((_, AttemptEnd::Evidence { evidence, .. })) => judge(gate, Some(evidence)),
        Some((attempt, AttemptEnd::Open)) if !gate.kind.is_to_come() => Verdict::NotChecked {
            why: format!("attempt {attempt} has not ended"),
        },
        Some((_, AttemptEnd::CouldNotRun { why, .. })) if !gate.kind.is_to_come() => Verdict::NotChecked {
            why: format!("it could not run: {why}"),
        },
        Some(_) => judge(gate, None),
    }
}

fn error(index: u64, what: &str) -> FoldError {
    FoldError {
        index,
        what: what.to_owned(),
    }
}
