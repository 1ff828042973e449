//! The honest document read back, and its HTML edition in a real browser.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use tminus_checklist::{
    DocumentModel, FontSource, Limits, compare_html, compare_html_marks, html, read_back, render,
};
use tminus_plan::Language;

use crate::launch::{Launch, PLAN, long_launch, whole_launch};

pub fn run(command: &mut Command, package: &str) -> Vec<u8> {
    let program = command.get_program().to_owned();
    let output = command.output().unwrap_or_else(|e| {
        panic!(
            "{} cannot be started ({e}); it is in the package {package}",
            program.display()
        )
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", program.display());
    output.stdout
}

#[track_caller]
fn passes(model: &DocumentModel) -> usize {
    let fonts = FontSource::system().unwrap();
    let pdf = render(model, &fonts).unwrap();
    let read = read_back(&pdf, model, &fonts, &Limits::default()).unwrap();
    let worst = read
        .pages
        .iter()
        .map(|p| p.worst_tile_percent)
        .fold(0.0, f32::max);
    println!("{} pages, worst tile {worst} %", read.pages.len());
    assert_eq!(read.findings, []);
    assert!(!read.blocks());
    read.pages.len()
}

#[test]
fn a_long_document_passes() {
    assert!(passes(&long_launch(40).model()) > 15);
}

#[test]
fn a_launch_in_which_little_ran_passes() {
    let mut launch = Launch::start(PLAN, "plans/test.yaml");
    passes(&launch.model());
    launch.gate("load-test", "players", &[("move_p99_ms", 200.5, "ms")]);
    passes(&launch.model());
}

/// Another reader than ours gets the same files out.
#[test]
fn poppler_finds_the_attachments_of_the_model() {
    let launch = whole_launch();
    let model = launch.model();
    let pdf = render(&model, &FontSource::system().unwrap()).unwrap();
    std::fs::write(launch.pdf(), &pdf).unwrap();
    let list = run(
        Command::new("pdfdetach").arg("-list").arg(launch.pdf()),
        "poppler-utils",
    );
    let list = String::from_utf8(list).unwrap();
    for (name, bytes) in model.attachments.iter().map(|a| (&a.name, &a.bytes)) {
        let line = list.lines().find(|line| line.ends_with(name.as_str()));
        let number = line
            .unwrap_or_else(|| panic!("{name} is not in {list}"))
            .split(':')
            .next()
            .unwrap();
        let out = launch.dir.path().join("detached");
        let mut detach = Command::new("pdfdetach");
        detach.args(["-save", number, "-o"]).arg(&out).arg(launch.pdf());
        run(&mut detach, "poppler-utils");
        assert!(&std::fs::read(&out).unwrap() == bytes, "{name} differs");
    }
    assert_eq!(list.lines().count(), model.attachments.len() + 2, "{list}");
}

/// The HTML as Chromium prints it: the file, and its text as poppler reads it.
pub fn printed(html: &str, folder: &Path) -> (Vec<u8>, String) {
    let (page, pdf) = (folder.join("checklist.html"), folder.join("printed.pdf"));
    std::fs::write(&page, html).unwrap();
    let mut chromium = Command::new("chromium");
    chromium
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-dev-shm-usage",
        ])
        .args(["--disable-background-networking", "--no-pdf-header-footer"])
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .arg(format!("--print-to-pdf={}", pdf.display()))
        .arg(format!("file://{}", page.display()));
    run(&mut chromium, "chromium");
    let text = run(
        Command::new("pdftotext").arg("-raw").arg(&pdf).arg("-"),
        "poppler-utils",
    );
    (std::fs::read(&pdf).unwrap(), String::from_utf8(text).unwrap())
}

#[test]
fn the_html_edition_says_and_shows_what_the_pdf_does() {
    let mut open = Launch::start(PLAN, "plans/test.yaml");
    open.gate("load-test", "players", &[("move_p99_ms", 200.5, "ms")]);
    for (launch, language) in [
        (whole_launch(), Language::Both),
        (open, Language::En),
        (long_launch(9), Language::Both),
        (whole_launch(), Language::Zh),
    ] {
        let mut model = launch.model();
        model.language = language;
        let (pdf, text) = printed(&html(&model).unwrap(), launch.dir.path());
        assert_eq!(compare_html(&text, &model), []);
        assert_eq!(compare_html_marks(&pdf, &model, &Limits::default()).unwrap(), []);
    }
}

#[test]
fn a_difference_of_the_html_edition_is_found() {
    let launch = whole_launch();
    let model = launch.model();
    let honest = html(&model).unwrap();
    let cross = "M27 27 73 73M73 27 27 73";
    for (from, to, place) in [
        ("61.4 ms", "61.5 ms", "expectation move_p99_ms"),
        ("<td>sre</td>", "<td></td>", "row of item 1"),
        ("M22 53 42 73 79 28", cross, "verdict"),
    ] {
        assert!(honest.contains(from), "{from:?} is not in the page");
        let (pdf, text) = printed(&honest.replacen(from, to, 1), launch.dir.path());
        let mut found = compare_html(&text, &model);
        found.extend(compare_html_marks(&pdf, &model, &Limits::default()).unwrap());
        assert!(
            found.iter().any(|f| f.place.contains(place)),
            "{place:?} is not in {found:#?}"
        );
    }
}

/// How long it takes: `cargo test --release -p tminus-checklist --test it -- --ignored --nocapture how_long`.
#[test]
#[ignore = "a measurement, not a check"]
fn how_long_forty_items_take() {
    let model = long_launch(40).model();
    let fonts = FontSource::system().unwrap();
    for round in 0..3 {
        let start = Instant::now();
        let pdf = render(&model, &fonts).unwrap();
        let rendered = start.elapsed();
        let read = read_back(&pdf, &model, &fonts, &Limits::default()).unwrap();
        let read_after = start.elapsed() - rendered;
        println!(
            "round {round}: {} pages, {rendered:?} to typeset, {read_after:?} to read back",
            read.pages.len()
        );
        assert!(!read.blocks());
    }
}
