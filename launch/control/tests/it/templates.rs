//! A plan's own templates: refused before the launch where they do not do, and never in the way of its end.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use tminus_checklist::{Course, DocumentModel, FontSource, SampleOf, TEMPLATE, Template, page_texts, sample};
use tminus_control::console::Console;
use tminus_control::layout::Layout;
use tminus_control::session::{PlanText, parse_plan};
use tminus_control::templates::{self, Edition, Readying};
use tminus_plan::ArtifactDigest;

use crate::binary::tminus;

const PLAN: &str = r#"
name: Shop
version: "1"
artifacts:
  - { name: house-style, path: "${folder}/house.typ" }
checklist: { template: house-style }
items:
  - id: stock
    number: 1
    title: { zh: 库存, en: Stock }
    window: { from_h: 0, to_h: 1 }
    owner: sre
    criterion: { zh: 有货, en: In stock }
    gates:
      - { id: asks, kind: http, url: "http://127.0.0.1:1/", expect_status: 200 }
    sign_offs: [sre]
"#;

struct Stage {
    folder: tempfile::TempDir,
    plan: PlanText,
    layout: Layout,
    fonts: FontSource,
}

impl Stage {
    fn new(template: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("house.typ"), template).unwrap();
        let layout = Layout::new(&folder.path().join("out"));
        layout.create().unwrap();
        Self {
            plan: parse_plan(PLAN.to_owned(), "plan.yaml".to_owned()).unwrap(),
            fonts: FontSource::system().unwrap(),
            layout,
            folder,
        }
    }

    fn digests(&self) -> Vec<ArtifactDigest> {
        let bytes = fs::read(self.folder.path().join("house.typ")).unwrap();
        vec![templates::digest("house-style", &bytes)]
    }

    fn ready(&self) -> Result<(), String> {
        let folder = self.folder.path().display().to_string();
        let readying = Readying {
            variables: &BTreeMap::from([("folder".to_owned(), folder)]),
            fonts: &self.fonts,
            layout: &self.layout,
            console: &Console::silent(),
        };
        templates::ready(true, &self.plan, &self.digests(), &readying).map_err(|e| e.to_string())
    }

    fn kept(&self) -> bool {
        self.layout.template("house-style").exists()
    }

    fn model(&self, edition: Edition) -> DocumentModel {
        let of = SampleOf {
            plan_yaml: &self.plan.yaml,
            plan_file: &self.plan.file,
            artifacts: self.digests(),
            started_at_ms: 1_795_356_000_000,
            feedback_url: None,
        };
        edition.of(sample(&of, Course::Smooth).unwrap()).unwrap()
    }

    /// The document, whether it was set with the plan's template, and what was told.
    fn typeset(&self, edition: Edition) -> (Vec<u8>, Template, Vec<String>) {
        let told = RefCell::new(Vec::new());
        let hear = |text: &str| told.borrow_mut().push(text.to_owned());
        let model = self.model(edition);
        let (model, pdf) = templates::typeset(edition, model, &self.fonts, &self.layout, &hear).unwrap();
        (pdf, model.template, told.into_inner())
    }
}

fn first_page(pdf: &[u8]) -> String {
    page_texts(pdf, 99).unwrap().swap_remove(0)
}

fn signed() -> String {
    TEMPLATE.replacen(
        "// --- cover ---",
        "#text(size: 8pt)[Harbour Games]\n// --- cover ---",
        1,
    )
}

#[test]
fn a_good_one_is_kept_and_both_editions_are_set_with_it() {
    let stage = Stage::new(&signed());
    stage.ready().unwrap();
    // The file of the plan may be gone or changed when the launch ends.
    let model = stage.model(Edition::Internal);
    fs::remove_file(stage.folder.path().join("house.typ")).unwrap();
    assert!(
        templates::kept(Edition::Internal, &model, &stage.layout)
            .unwrap()
            .is_some()
    );
    fs::write(stage.folder.path().join("house.typ"), signed()).unwrap();
    for edition in [Edition::Internal, Edition::Customer] {
        let (pdf, template, told) = stage.typeset(edition);
        assert!(
            matches!(template, Template::Own(_)) && told.is_empty(),
            "{told:?}"
        );
        assert!(first_page(&pdf).contains("Harbour Games"));
        let attached = tminus_checklist::attached_files(&pdf).unwrap();
        let has_it = attached.contains_key("template/house-style.typ");
        assert_eq!(has_it, edition == Edition::Internal, "{:?}", attached.keys());
    }
}

#[test]
fn one_that_does_not_do_is_refused_before_the_launch() {
    for (template, why) in [
        ("#panic()", "line 1 of the template: panicked"),
        (
            "#set document(title: [Hi])\n= Hi",
            "leaves a sample document (internal) unreadable in",
        ),
        (
            &*TEMPLATE.replacen("#i.owner #h(1em)", "#h(1em)", 1),
            "item 1 (stock), owner",
        ),
        // Only seen where a check could not run.
        (&*TEMPLATE.replacen(": #a.end]", "]", 1), "attempt 1"),
    ] {
        let stage = Stage::new(template);
        let said = stage.ready().unwrap_err();
        assert!(said.contains(why), "{why:?} is not in {said}");
        assert!(!stage.kept());
    }
}

#[test]
fn one_that_is_gone_or_altered_at_the_end_costs_the_look_and_never_the_checklist() {
    for kept in [None, Some("#panic()")] {
        let stage = Stage::new(&signed());
        stage.ready().unwrap();
        let file = stage.layout.template("house-style");
        match kept {
            None => fs::remove_file(&file).unwrap(),
            Some(text) => fs::write(&file, text).unwrap(),
        }
        for edition in [Edition::Internal, Edition::Customer] {
            let (pdf, template, told) = stage.typeset(edition);
            assert_eq!(template, Template::InsteadOf("house-style".to_owned()));
            assert!(
                told.concat().contains("the template `house-style` did not do"),
                "{told:?}"
            );
            assert!(!first_page(&pdf).contains("Harbour Games"));
            let text = page_texts(&pdf, 99)
                .unwrap()
                .concat()
                .replace(char::is_whitespace, "");
            assert!(text.contains("theplan's,house-style,didnotdo"), "{text}");
        }
    }
}

fn said(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = tminus().current_dir(folder).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_launch_does_not_begin_with_a_broken_template_and_begins_when_it_is_mended() {
    let stage = Stage::new("#panic()");
    let folder = stage.folder.path();
    fs::write(folder.join("plan.yaml"), PLAN).unwrap();
    tminus()
        .current_dir(folder)
        .args(["keygen", "sre.pem"])
        .output()
        .unwrap();
    let launch = [
        "launch",
        "plan.yaml",
        "--out",
        "launch",
        "--var",
        "folder=.",
        "--role-key",
        "sre=sre.pem.pub",
    ];
    for _ in 0..2 {
        let (code, _, error) = said(folder, &launch);
        assert_eq!(code, Some(2), "{error}");
        assert!(error.contains("line 1 of the template: panicked"), "{error}");
    }
    let (code, report, _) = said(
        folder,
        &["checklist", "try", "plan.yaml", "--var", "folder=.", "--json"],
    );
    assert_eq!(code, Some(2), "{report}");
    fs::write(folder.join("house.typ"), signed()).unwrap();
    let (code, report, error) = said(
        folder,
        &["checklist", "try", "plan.yaml", "--var", "folder=.", "--json"],
    );
    assert_eq!(code, Some(0), "{report}{error}");
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["ok"], true);
    let documents = report["documents"].as_array().unwrap();
    assert_eq!(documents.len(), 4);
    for document in documents {
        let pdf = fs::read(folder.join(document["file"].as_str().unwrap())).unwrap();
        assert!(first_page(&pdf).contains("Harbour Games") && first_page(&pdf).contains("SAMPLE"));
        assert_eq!(document["template"], "house-style");
    }
}

#[test]
fn what_a_template_begins_with_is_printed_and_one_that_drops_a_field_is_told_with_its_page() {
    let stage = Stage::new("unused");
    let folder = stage.folder.path();
    fs::write(folder.join("plan.yaml"), PLAN).unwrap();
    let (code, template, _) = said(folder, &["checklist", "template"]);
    assert_eq!((code, template.as_str()), (Some(0), TEMPLATE));
    let (_, schema, _) = said(folder, &["checklist", "schema"]);
    assert_eq!(schema, tminus_checklist::DATA_SCHEMA);
    fs::write(
        folder.join("bad.typ"),
        template.replacen("#i.owner #h(1em)", "#h(1em)", 1),
    )
    .unwrap();
    fs::write(folder.join("good.typ"), &template).unwrap();
    // Neither of the plan's is asked for, though its customers have another one.
    let other = PLAN.replacen(
        "checklist: { template: house-style }",
        "  - { name: short, path: none.typ }\nchecklist: { template: house-style, customer_template: short }",
        1,
    );
    fs::write(folder.join("other.yaml"), other).unwrap();
    let given = ["checklist", "try", "other.yaml", "--template", "good.typ"];
    let (code, text, error) = said(folder, &given);
    assert_eq!(code, Some(0), "{text}{error}");
    // The plan's own is not asked for: what is given is tried instead of it.
    let given = [
        "checklist",
        "try",
        "plan.yaml",
        "--template",
        "bad.typ",
        "--customer-template",
        "good.typ",
    ];
    let (code, text, error) = said(folder, &given);
    assert_eq!(code, Some(1), "{text}{error}");
    assert!(
        text.contains("internal-smooth.pdf") && text.contains("item 1 (stock), owner"),
        "{text}"
    );
    let customers = text
        .lines()
        .filter(|line| line.contains("customer-") && line.contains("read back well"));
    assert_eq!(customers.count(), 2, "{text}");
}
