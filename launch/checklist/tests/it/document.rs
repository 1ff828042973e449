//! What the document says, read back by an independent reader.

use std::process::Command;

use tminus_checklist::{FontSource, Overall, render};
use tminus_plan::{Evidence, Fact};

use crate::launch::{Launch, PLAN, whole_launch};

/// The text of each page as poppler reads it: a program that shares no code with the writer.
fn pages_of(pdf: &[u8]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("checklist.pdf");
    std::fs::write(&file, pdf).unwrap();
    let output = Command::new("pdftotext")
        // In the order of the page's content: the rows of a table stay whole, and the water mark
        // stays out of them.
        .arg("-raw")
        .arg(&file)
        .arg("-")
        .output()
        .expect("pdftotext cannot be started; it is in the package poppler-utils");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    // It ends every page with a form feed.
    let text = text.strip_suffix('\x0c').unwrap_or(&text);
    text.split('\x0c').map(str::to_owned).collect()
}

/// All text without white space: readers put spaces between runs of glyphs as they like.
fn text_of(pdf: &[u8]) -> String {
    pages_of(pdf)
        .iter()
        .flat_map(|page| page.split_whitespace())
        .collect()
}

#[track_caller]
fn says(text: &str, what: &str) {
    let what: String = what.split_whitespace().collect();
    assert!(text.contains(&what), "{what:?} is not in {text}");
}

#[test]
fn a_complete_launch_shows_every_item_figure_and_signature() {
    let launch = whole_launch();
    let model = launch.model();
    assert_eq!(model.data.verdict, Overall::Complete);
    let pdf = render(&model, &FontSource::system().unwrap()).unwrap();
    let text = text_of(&pdf);
    says(&text, "完成 COMPLETE");
    assert!(!text.contains("INCOMPLETE") && !text.contains("FAILED"));
    says(&text, "3 ticked, 0 crossed, 0 not checked");
    for item in &launch.plan.items {
        for part in [
            &item.title.zh,
            &item.title.en,
            &item.criterion.zh,
            &item.criterion.en,
            &item.owner,
        ] {
            says(&text, part);
        }
        says(&text, &format!("plans/test.yaml:{}", item.line));
    }
    says(&text, "Code coverage during the load");
    says(&text, "move_p99_ms <= 200 61.4 ms 通过 Passed");
    says(&text, "move_p50_ms 12.25 ms");
    says(&text, "I have seen the evidence of load-test");
    says(&text, "2026-11-22 14:00:00 UTC");
    says(&text, "2026-11-22 22:00:00 Asia/Shanghai (+08:00)");
    says(&text, "past-half 70 % · qa Watched canary at 30 % for an hour.");
    for reason in &launch.rollout_reasons {
        says(&text, reason);
    }
    says(&text, &hex::encode(launch.record.root()));
    says(&text, &launch.key().key_id());
    says(&text, "tminus verify checklist.pdf --record record");
    // On every page: what it is and which record it belongs to.
    let pages = pages_of(&pdf);
    let (date, time) = (&model.data.ended.utc[..10], &model.data.ended.utc[11..19]);
    let mark = format!(
        "CONFIDENTIAL-{date}-{time}Z-{}",
        &hex::encode(launch.record.root())[..16]
    );
    assert!(pages.len() >= 3);
    for page in pages {
        let page: String = page.split_whitespace().collect();
        says(&page, "演练 REHEARSAL");
        says(&page, &mark);
        says(&page, "×720");
    }
}

#[test]
fn every_evidence_entry_is_named_with_its_digest() {
    let launch = whole_launch();
    let model = launch.model();
    let pdf = render(&model, &FontSource::system().unwrap()).unwrap();
    let text = text_of(&pdf);
    let mut seen = 0;
    for gate in model.data.items.iter().flat_map(|i| &i.gates) {
        let evidence = gate.evidence.as_ref().unwrap();
        says(
            &text,
            &format!("entry {} · SHA-256 {}", evidence.entry, &evidence.sha256[..16]),
        );
        let attached = model
            .attachments
            .iter()
            .find(|a| a.name == evidence.file)
            .unwrap();
        assert_eq!(attached.bytes, launch.record.entry(evidence.entry).unwrap());
        seen += 1;
    }
    assert_eq!(seen, 3);
}

#[test]
fn what_was_not_checked_is_never_a_tick() {
    let mut launch = Launch::start(PLAN, "plans/test.yaml");
    launch.gate("load-test", "players", &[]);
    launch.gate("routes", "no-token", &[]);
    let at_ms = launch.later(1);
    let (item, gate) = ("canary".to_owned(), "rollout".to_owned());
    launch.fact(&Fact::GateStarted {
        item: item.clone(),
        gate: gate.clone(),
        attempt: 1,
        at_ms,
    });
    let why = "the gateway did not answer".to_owned();
    launch.fact(&Fact::GateCouldNotRun {
        item,
        gate,
        attempt: 1,
        at_ms,
        why,
    });
    launch.finish();
    let model = launch.model();
    assert_eq!(model.data.verdict, Overall::Incomplete);
    let text = text_of(&render(&model, &FontSource::system().unwrap()).unwrap());
    says(&text, "未完成 INCOMPLETE");
    says(&text, "1 ticked, 0 crossed, 2 not checked");
    says(&text, "2 items not checked");
    says(&text, "no sign-off by qa");
    says(&text, "未签 not signed");
    says(&text, "could not run (entry");
    says(&text, "the gateway did not answer");
}

#[test]
fn a_broken_expectation_crosses_its_item_and_fails_the_launch() {
    let mut launch = Launch::start(PLAN, "plans/test.yaml");
    launch.gate("load-test", "players", &[("move_p99_ms", 200.5, "ms")]);
    launch.sign_off("load-test", "qa");
    launch.finish();
    let model = launch.model();
    assert_eq!(model.data.verdict, Overall::Failed);
    let text = text_of(&render(&model, &FontSource::system().unwrap()).unwrap());
    says(&text, "未通过 FAILED");
    says(&text, "0 ticked, 1 crossed, 2 not checked");
    says(&text, "move_p99_ms <= 200 200.5 ms 未通过 Failed");
    assert!(!text.contains("COMPLETE"));
}

#[test]
fn a_launch_that_was_not_brought_to_its_end_is_incomplete() {
    let mut launch = Launch::start(PLAN, "plans/test.yaml");
    launch.gate("load-test", "players", &[]);
    launch.sign_off("load-test", "qa");
    launch.gate("routes", "no-token", &[]);
    launch.gate("canary", "rollout", &[]);
    launch.sign_off("canary", "qa");
    let data = launch.model().data;
    assert_eq!((data.totals.ticked, data.verdict), (3, Overall::Incomplete));
    assert!(
        data.verdict_reasons
            .iter()
            .any(|r| r.en.contains("not been finished"))
    );
}

#[test]
fn equal_records_give_equal_bytes() {
    let fonts = FontSource::system().unwrap();
    let first = render(&whole_launch().model(), &fonts).unwrap();
    let second = render(&whole_launch().model(), &FontSource::system().unwrap()).unwrap();
    assert!(first == second);
}

#[test]
fn a_missing_font_says_what_to_install() {
    let empty = tempfile::tempdir().unwrap();
    let error = FontSource::from_folders(&[empty.path().to_owned()])
        .unwrap_err()
        .to_string();
    assert!(error.contains("apt-get install fonts-noto-cjk"), "{error}");
}

#[test]
fn whatever_a_gate_writes_into_its_evidence_can_be_printed() {
    let mut launch = Launch::start(PLAN, "plans/test.yaml");
    let (item, gate) = ("routes".to_owned(), "no-token".to_owned());
    let at_ms = launch.later(1);
    launch.fact(&Fact::GateStarted {
        item: item.clone(),
        gate: gate.clone(),
        attempt: 1,
        at_ms,
    });
    launch.fact(&Fact::Evidence(Evidence {
        item,
        gate,
        kind: "http".to_owned(),
        attempt: 1,
        started_at_ms: at_ms,
        ended_at_ms: u64::MAX >> 12,
        target: format!("http://127.0.0.1/{}", "x".repeat(3000)),
        command: vec!["printf".to_owned(), "\u{1b}[31m#{}$*_`\\".to_owned()],
        inputs: [("empty".to_owned(), String::new())].into(),
        measurements: [("mismatches".to_owned(), tminus_plan::Measurement::new(-0.0, "倍"))].into(),
        notes: (0..40)
            .map(|n| format!("line {n}\n\t\u{1f600} \u{200d}\u{fffe} \u{202e}tfel"))
            .collect(),
        series: [
            ("flat".to_owned(), vec![(0.0, 0.0), (0.0, 0.0)]),
            ("below".to_owned(), vec![(0.0, -1.0), (1.0, -2.0)]),
        ]
        .into(),
    }));
    let pdf = render(&launch.model(), &FontSource::system().unwrap()).unwrap();
    let text = text_of(&pdf);
    says(&text, "‹U+1F600›");
    says(&text, "‹U+001B›[31m#{}$*_`\\");
    says(&text, "28 more in the attached evidence");
}
