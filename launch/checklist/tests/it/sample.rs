//! Launches that never were, for trying a template out.

use tminus_checklist::{
    ByHand, Course, DocumentModel, FontSource, GateMark, Limits, Mark, OnPaper, SampleOf, page_texts,
    read_back, render, sample,
};

use crate::launch::{LINK, PLAN, START_MS};

const SHIPPED: &str = include_str!("../../../../plans/starvault.yaml");

fn made(plan: &str, course: Course) -> DocumentModel {
    let asks = "\nfeedback: { url: \"https://launch.example.org\" }\nitems:";
    let plan = if plan.contains("feedback:") {
        plan.to_owned()
    } else {
        plan.replacen("\nitems:", asks, 1)
    };
    let of = SampleOf {
        plan_yaml: &plan,
        plan_file: "plans/sample.yaml",
        artifacts: Vec::new(),
        started_at_ms: START_MS,
        feedback_url: Some(LINK.to_owned()),
    };
    let mut model = sample(&of, course).unwrap();
    model.on_paper = OnPaper {
        feedback_code: model
            .data
            .feedback
            .as_ref()
            .map(|link| tminus_after::feedback::qr_rows(&link.url).unwrap()),
        by_hand: Some(ByHand {
            template: tminus_after::paper::TEMPLATE.to_owned(),
            table: tminus_after::paper::Layout::of_a_checklist().table(),
        }),
    };
    model
}

#[test]
fn a_sample_reads_back_and_says_on_every_page_that_it_is_one() {
    let fonts = FontSource::system().unwrap();
    for course in [Course::Smooth, Course::Rough] {
        let model = made(PLAN, course);
        let pdf = render(&model, &fonts).unwrap();
        assert_eq!(pdf, render(&model, &fonts).unwrap());
        let read = read_back(&pdf, &model, &fonts, &Limits::default()).unwrap();
        assert_eq!(read.findings, [], "{course:?}");
        for text in page_texts(&pdf, 99).unwrap() {
            assert!(text.contains("SAMPLE"), "{text}");
        }
    }
}

/// What a template does with any of these is seen before the launch.
#[test]
fn both_courses_together_show_every_sort_of_thing() {
    for plan in [PLAN, SHIPPED] {
        let (smooth, rough) = (made(plan, Course::Smooth).data, made(plan, Course::Rough).data);
        let gates = || smooth.items.iter().flat_map(|item| &item.gates);
        let ran = |mark| gates().filter(|gate| gate.verdict == mark).count();
        assert!(
            ran(GateMark::Passed) >= 3 && ran(GateMark::Failed) == 0,
            "{smooth:#?}"
        );
        // Those of a kind that no release can run yet.
        for gate in gates().filter(|gate| gate.verdict == GateMark::NotChecked) {
            assert!(gate.evidence.is_none() && gate.attempts.is_empty(), "{gate:#?}");
        }
        assert!(smooth.finished && smooth.feedback.is_some() && smooth.plan_commit.is_some());
        assert!(
            smooth
                .items
                .iter()
                .all(|item| item.sign_offs.iter().all(|by| by.signed.is_some()))
        );
        let canary = gates().find(|gate| !gate.canary_steps.is_empty()).unwrap();
        assert!(!canary.charts.is_empty() && canary.canary_steps.last().unwrap().weight_percent == 100);

        assert!(!rough.finished && rough.clock_note.en.contains("900"));
        let marks = |mark| rough.items.iter().any(|item| item.status == mark);
        assert!(marks(Mark::Crossed) && marks(Mark::NotChecked) && !marks(Mark::Ticked));
        let gates: Vec<_> = rough.items.iter().flat_map(|item| &item.gates).collect();
        assert!(
            gates
                .iter()
                .any(|gate| gate.verdict == GateMark::Failed && !gate.attempts.is_empty())
        );
        assert!(
            gates
                .iter()
                .any(|gate| gate.expectations.iter().any(|e| e.holds == Some(false)))
        );
        assert!(rough.timeline.rows.iter().any(|row| !row.late.is_empty()));
        assert!(
            rough
                .items
                .iter()
                .flat_map(|item| &item.sign_offs)
                .all(|by| by.signed.is_none())
        );
    }
    let approved = made(PLAN, Course::Smooth).data;
    assert!(
        approved
            .items
            .iter()
            .flat_map(|i| &i.gates)
            .any(|gate| !gate.approvals.is_empty())
    );
}
