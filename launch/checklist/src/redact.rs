//! The checklist for readers outside: what was asked, what was found, who signed; not how and on what machines.

use crate::view::{ChecklistData, EvidenceView, GateView, ItemView};

/// The data with everything replaced by `left_out` that customers need not see: addresses, commands, inputs, notes,
/// reasons of gates, attempts, other measurements, places in the plan, and what signers wrote. What remains is as it was:
/// verdicts, criteria, expected and measured figures, times, digests.
#[must_use]
pub fn for_customers(data: &ChecklistData, left_out: &str) -> ChecklistData {
    let mut shown = data.clone();
    left_out.clone_into(&mut shown.plan_file);
    shown.plan_commit = None;
    for row in &mut shown.timeline.rows {
        row.others_h.clear();
    }
    for item in &mut shown.items {
        item_for_customers(item, left_out);
    }
    shown
}

fn item_for_customers(item: &mut ItemView, left_out: &str) {
    let blank = || left_out.to_owned();
    item.plan_line = blank();
    item.owner = blank();
    for reason in &mut item.reasons {
        *reason = blank();
    }
    for gate in &mut item.gates {
        gate_for_customers(gate, left_out);
    }
    for signed in item
        .sign_offs
        .iter_mut()
        .filter_map(|sign_off| sign_off.signed.as_mut())
    {
        signed.statement = blank();
    }
}

fn gate_for_customers(gate: &mut GateView, left_out: &str) {
    let blank = || left_out.to_owned();
    gate.plan_line = blank();
    for reason in &mut gate.reasons {
        *reason = blank();
    }
    gate.attempts.clear();
    gate.charts.clear();
    for step in &mut gate.canary_steps {
        step.reason = blank();
    }
    for approval in &mut gate.approvals {
        approval.signed.statement = blank();
    }
    if let Some(evidence) = &mut gate.evidence {
        evidence_for_customers(evidence, left_out);
    }
}

fn evidence_for_customers(evidence: &mut EvidenceView, left_out: &str) {
    let blank = || left_out.to_owned();
    evidence.file = blank();
    evidence.target = blank();
    evidence.command = blank();
    evidence.inputs.clear();
    evidence.also_measured.clear();
    evidence.notes.clear();
}
