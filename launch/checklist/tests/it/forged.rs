//! A holder of the launch key who wants a better document than the evidence gives.

use tminus_checklist::{
    ChecklistError, DocumentModel, FontSource, GateMark, Mark, Overall, VerifyReport, verify,
};
use tminus_plan::{Fact, RolloutVerdict, Subject};
use tminus_record::SigningKey;

use crate::launch::{Launch, PLAN};

fn failed_launch() -> Launch {
    let mut launch = Launch::start(include_str!("plan.yaml"), "plans/test.yaml");
    launch.gate("load-test", "players", &[("move_p99_ms", 950.0, "ms")]);
    launch.sign_off("load-test", "qa");
    launch.gate("routes", "no-token", &[]);
    launch.finish();
    launch
}

fn report_on(launch: &mut Launch, model: &DocumentModel) -> VerifyReport {
    launch.issue(model, &FontSource::system().unwrap());
    verify(&launch.pdf(), launch.record_dir(), Some(&launch.key())).unwrap()
}

#[track_caller]
fn says(report: &VerifyReport, what: &str) {
    assert!(!report.ok);
    assert!(
        report.lines.iter().any(|l| !l.ok && l.says.contains(what)),
        "{what:?} not in {:#?}",
        report.lines
    );
}

#[test]
fn a_tick_without_evidence_is_caught() {
    let mut launch = failed_launch();
    let mut model = launch.model();
    model.data.items[2].status = Mark::Ticked;
    model.data.totals.ticked += 1;
    model.data.totals.not_checked -= 1;
    let report = report_on(&mut launch, &model);
    says(
        &report,
        "item 3 (canary): the document says ticked, the evidence gives not-checked",
    );
    says(&report, "totals");
    assert_eq!(report.verdict, Some(Overall::Failed));
    // The file itself is the one on record: it is the claim that is false.
    assert!(
        report
            .lines
            .iter()
            .any(|l| l.ok && l.says.contains("its SHA-256 is the one"))
    );
}

#[test]
fn a_failed_check_shown_as_passed_is_caught() {
    let mut launch = failed_launch();
    let mut model = launch.model();
    model.data.items[0].gates[0].verdict = GateMark::Passed;
    let report = report_on(&mut launch, &model);
    says(
        &report,
        "gate players: the document says passed, the evidence gives failed",
    );
}

#[test]
fn a_nicer_verdict_and_a_nicer_figure_are_caught() {
    let mut launch = failed_launch();
    let mut model = launch.model();
    model.data.verdict = Overall::Complete;
    let report = report_on(&mut launch, &model);
    says(
        &report,
        "verdict: the document says complete, the evidence gives failed",
    );

    let mut launch = failed_launch();
    let mut model = launch.model();
    model.data.items[0].gates[0].expectations[1].measured = "95 ms".to_owned();
    let report = report_on(&mut launch, &model);
    says(
        &report,
        "items[0].gates[0].expectations[1].measured says \"95 ms\"",
    );
}

#[test]
fn a_left_out_item_and_a_left_out_attachment_are_caught() {
    let mut launch = failed_launch();
    let mut model = launch.model();
    model.data.items.remove(0);
    let report = report_on(&mut launch, &model);
    says(&report, "item 1 (load-test)");

    let mut launch = failed_launch();
    let mut model = launch.model();
    let left_out = model
        .attachments
        .iter()
        .position(|a| a.name.starts_with("evidence/"))
        .unwrap();
    let name = model.attachments.remove(left_out).name;
    let report = report_on(&mut launch, &model);
    assert!(
        report
            .lines
            .iter()
            .any(|l| !l.ok && l.part.ends_with(&name) && l.says.contains("missing"))
    );
}

#[test]
fn a_sign_off_that_the_role_did_not_sign_is_caught() {
    let mut launch = Launch::start(include_str!("plan.yaml"), "plans/test.yaml");
    launch.gate("load-test", "players", &[]);
    let honest = launch.model();
    let at_ms = launch.later(1);
    let fact = Fact::SignOff {
        item: "load-test".to_owned(),
        role: "qa".to_owned(),
        at_ms,
        statement: "I have seen it.".to_owned(),
        record_root_hex: hex::encode(launch.record.root()),
        record_size: launch.record.size(),
    };
    launch.fact_signed_by(&fact, &SigningKey::from_seed([7; 32]));
    let refused = DocumentModel::of_record(&launch.record).unwrap_err();
    assert!(
        matches!(refused, ChecklistError::Entry { index: 3, .. }),
        "{refused}"
    );
    launch.finish();
    let report = report_on(&mut launch, &honest);
    says(&report, "not signed by role qa");
}

#[test]
fn an_approval_that_the_role_did_not_give_is_caught() {
    let mut launch = Launch::start(include_str!("plan.yaml"), "plans/test.yaml");
    let at_ms = launch.later(1);
    let (item, gate) = ("canary".to_owned(), "rollout".to_owned());
    launch.fact(&Fact::GateStarted {
        item: item.clone(),
        gate: gate.clone(),
        attempt: 1,
        at_ms,
    });
    launch.fact(&Fact::RolloutStep {
        item,
        gate,
        at_ms,
        weight_percent: 30,
        reason: "not worse".to_owned(),
        verdict: RolloutVerdict::NotWorse,
    });
    let honest = launch.model();
    let fact = launch.approval("canary", "rollout", "past-half", "qa");
    launch.fact_signed_by(&fact, &SigningKey::from_seed([7; 32]));
    let refused = DocumentModel::of_record(&launch.record).unwrap_err();
    assert!(
        matches!(refused, ChecklistError::Entry { index: 3, .. }),
        "{refused}"
    );
    launch.finish();
    let report = report_on(&mut launch, &honest);
    says(&report, "not signed by role qa");
}

#[test]
fn evidence_of_another_build_is_caught() {
    let mut launch = Launch::start(PLAN, "plans/test.yaml");
    let ours = launch.subject.clone();
    launch.gate("load-test", "players", &[]);
    launch.subject = vec![Subject::sha256("starvault", &"0b".repeat(32))];
    let other = launch.gate("routes", "no-token", &[]);
    launch.subject = ours;
    launch.finish();
    let model = launch.model();
    let report = report_on(&mut launch, &model);
    says(
        &report,
        "speaks of other artifacts than those that the launch began with",
    );
    // The start of the check and its evidence.
    let wrong = report.lines.iter().filter(|line| !line.ok);
    let parts: Vec<&str> = wrong.map(|line| line.part.rsplit('/').next().unwrap()).collect();
    let entries = [other - 1, other].map(|entry| format!("record entry {entry}"));
    assert_eq!(parts, entries);
}

#[test]
fn a_sign_off_of_another_record_is_caught() {
    let mut launch = Launch::start(include_str!("plan.yaml"), "plans/test.yaml");
    launch.gate("load-test", "players", &[]);
    let at_ms = launch.later(1);
    let fact = Fact::SignOff {
        item: "load-test".to_owned(),
        role: "qa".to_owned(),
        at_ms,
        statement: "I have seen it.".to_owned(),
        record_root_hex: "00".repeat(32),
        record_size: 2,
    };
    launch.fact_signed_by(&fact, &SigningKey::from_seed([20; 32]));
    launch.finish();
    let model = launch.model();
    let report = report_on(&mut launch, &model);
    says(&report, "qa signed a record of 2 entries with another root");
}

#[test]
fn a_document_that_was_never_issued_or_came_before_the_end_proves_nothing() {
    let launch = failed_launch();
    let model = launch.model();
    let pdf = tminus_checklist::render(&model, &FontSource::system().unwrap()).unwrap();
    std::fs::write(launch.pdf(), pdf).unwrap();
    let report = verify(&launch.pdf(), launch.record_dir(), Some(&launch.key())).unwrap();
    says(&report, "does not end with an issued checklist");
    assert_eq!(report.verdict, None);
    // Issued, but of an earlier state of the record.
    let mut launch = Launch::start(include_str!("plan.yaml"), "plans/test.yaml");
    let early = launch.model();
    launch.gate("routes", "no-token", &[]);
    launch.finish();
    let report = report_on(&mut launch, &early);
    says(&report, "not of this record");
}
