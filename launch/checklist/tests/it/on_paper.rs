//! What people hold: the code on the last page, the page that is filled in by hand, the timeline.

use std::path::Path;
use std::process::Command;

use image::{GrayImage, Luma};
use tminus_after::paper::{Layout, TickState, detect, read_scan};
use tminus_checklist::{
    DocumentModel, FontSource, Limits, OnPaper, compare_html, compare_html_marks, for_customers, html,
    read_back, render,
};
use tminus_plan::{Fact, Language};

use crate::launch::{LINK, Launch, PLAN, asking_launch, long_launch};
use crate::read_back::{printed, run};

/// The last page as Poppler draws it, which shares no code with the typesetter and none with the reader of marks.
fn last_page(model: &DocumentModel, dpi: u32, folder: &Path) -> Vec<u8> {
    let pdf = render(model, &FontSource::system().unwrap()).unwrap();
    let file = folder.join("checklist.pdf");
    std::fs::write(&file, &pdf).unwrap();
    let info = String::from_utf8(run(Command::new("pdfinfo").arg(&file), "poppler-utils")).unwrap();
    let pages = info
        .lines()
        .find_map(|line| line.strip_prefix("Pages:"))
        .unwrap()
        .trim()
        .to_owned();
    let (dpi, base) = (dpi.to_string(), folder.join("page"));
    let mut draw = Command::new("pdftoppm");
    draw.args([
        "-gray",
        "-png",
        "-singlefile",
        "-r",
        &dpi,
        "-f",
        &pages,
        "-l",
        &pages,
    ])
    .arg(&file)
    .arg(&base);
    run(&mut draw, "poppler-utils");
    std::fs::read(base.with_extension("png")).unwrap()
}

fn codes(png: &[u8], folder: &Path) -> String {
    let file = folder.join("scan.png");
    std::fs::write(&file, png).unwrap();
    let said = run(
        Command::new("zbarimg")
            .args(["--raw", "--quiet", "-Sdisable", "-Sqrcode.enable"])
            .arg(&file),
        "zbar-tools",
    );
    String::from_utf8(said).unwrap()
}

/// A stroke of a pen, in millimetres.
fn stroke(page: &mut GrayImage, dpi: u32, from: (f64, f64), to: (f64, f64)) {
    let px = f64::from(dpi) / 25.4;
    let (reach, steps) = ((0.35 * px).ceil() as i32, 400);
    for step in 0..=steps {
        let share = f64::from(step) / f64::from(steps);
        let along = |from: f64, to: f64| ((from + (to - from) * share) * px) as i32;
        let (x, y) = (along(from.0, to.0), along(from.1, to.1));
        for (dx, dy) in (-reach..=reach).flat_map(|dx| (-reach..=reach).map(move |dy| (dx, dy))) {
            page.put_pixel((x + dx) as u32, (y + dy) as u32, Luma([30]));
        }
    }
}

#[test]
fn the_code_on_the_last_page_is_the_link_on_record() {
    let launch = asking_launch();
    let model = launch.model_on_paper();
    assert_eq!(model.data.feedback.as_ref().unwrap().url, LINK);
    for dpi in [100, 150, 300] {
        let page = last_page(&model, dpi, launch.dir.path());
        assert_eq!(codes(&page, launch.dir.path()).trim_end(), LINK, "{dpi} dpi");
    }
    // On a screen it is followed with a click.
    let file = launch.dir.path().join("screen.pdf");
    std::fs::write(&file, render(&model, &FontSource::system().unwrap()).unwrap()).unwrap();
    let mut ask = Command::new("pdfinfo");
    let links = String::from_utf8(run(ask.arg("-url").arg(&file), "poppler-utils")).unwrap();
    assert!(links.lines().any(|line| line.ends_with(LINK)), "{links}");
}

#[test]
fn the_page_by_hand_of_a_checklist_is_read_by_the_machine() {
    let layout = Layout::of_a_checklist();
    let mut silent = Launch::start(PLAN, "plans/test.yaml");
    silent.finish();
    for launch in [asking_launch(), silent] {
        let model = launch.model_on_paper();
        for dpi in [100, 150, 300] {
            let mut page = read_scan(&last_page(&model, dpi, launch.dir.path())).unwrap();
            let states = |page: &GrayImage| -> Vec<TickState> {
                detect(page, &layout)
                    .unwrap()
                    .iter()
                    .map(|tick| tick.state)
                    .collect()
            };
            assert_eq!(states(&page), [TickState::Empty; 3], "{dpi} dpi");
            let second = &layout.boxes()[1];
            let (x, y) = (second.x_mm, second.y_mm);
            stroke(&mut page, dpi, (x - 1.9, y), (x - 0.5, y + 1.7));
            stroke(&mut page, dpi, (x - 0.5, y + 1.7), (x + 2.0, y - 1.9));
            assert_eq!(
                states(&page),
                [TickState::Empty, TickState::Ticked, TickState::Empty],
                "{dpi} dpi"
            );
        }
    }
}

/// The water mark, head and foot of other pages are on this one too, but not where the machine looks.
#[test]
fn nothing_is_within_three_millimetres_of_a_mark_or_a_box() {
    for language in [Language::Both, Language::Zh, Language::En] {
        clear_in(language);
    }
}

#[track_caller]
fn clear_in(language: Language) {
    const DPI: u32 = 150;
    let launch = asking_launch();
    let mut model = launch.model_on_paper();
    model.language = language;
    let page = read_scan(&last_page(&model, DPI, launch.dir.path())).unwrap();
    let layout = Layout::of_a_checklist();
    let marks = layout.marks().map(|mark| (mark.x_mm, mark.y_mm, 3.0));
    let boxes = layout.boxes().iter().map(|place| (place.x_mm, place.y_mm, 3.35));
    for (x_mm, y_mm, half_mm) in marks.into_iter().chain(boxes) {
        let px = |mm: f64| (mm * f64::from(DPI) / 25.4).round() as i32;
        let (x, y, inner, outer) = (px(x_mm), px(y_mm), px(half_mm + 0.3), px(half_mm + 3.0));
        for (dx, dy) in (-outer..=outer).flat_map(|dx| (-outer..=outer).map(move |dy| (dx, dy))) {
            let pixel = page.get_pixel((x + dx) as u32, (y + dy) as u32).0[0];
            let inside = dx.abs().max(dy.abs()) <= inner;
            assert!(
                inside || pixel == 255,
                "{language:?}, {x_mm} mm, {y_mm} mm: {pixel} at {dx}, {dy} pixels"
            );
        }
    }
}

#[test]
fn an_edition_for_customers_has_the_code_and_no_page_by_hand() {
    let launch = asking_launch();
    let internal = launch.model_on_paper();
    assert!(
        internal
            .data
            .timeline
            .rows
            .iter()
            .all(|row| !row.ran_h.is_empty())
    );
    let model = of_customers(&internal);
    let fonts = FontSource::system().unwrap();
    let pdf = render(&model, &fonts).unwrap();
    assert_eq!(
        read_back(&pdf, &model, &fonts, &Limits::default())
            .unwrap()
            .findings,
        []
    );
    let page = last_page(&model, 200, launch.dir.path());
    assert_eq!(codes(&page, launch.dir.path()).trim_end(), LINK);
    assert!(detect(&read_scan(&page).unwrap(), &Layout::of_a_checklist()).is_err());
}

#[test]
fn attempts_that_decide_nothing_are_bars_of_their_own_and_not_for_customers() {
    let mut launch = Launch::start(PLAN, "plans/test.yaml");
    let at_ms = launch.later(60_000);
    let (item, gate) = ("routes".to_owned(), "no-token".to_owned());
    launch.fact(&Fact::GateStarted {
        item: item.clone(),
        gate: gate.clone(),
        attempt: 1,
        at_ms,
    });
    let at_ms = launch.later(5_000);
    launch.fact(&Fact::GateCouldNotRun {
        item,
        gate,
        attempt: 1,
        at_ms,
        why: "no gateway".to_owned(),
    });
    let data = launch.model().data;
    let row = &data.timeline.rows[1];
    // 720 times as fast: 60 s are hour 12, 5 s are one.
    assert_eq!(
        (row.planned.as_str(), row.planned_h),
        ("T+12\u{2013}24 h", (12.0, 24.0))
    );
    assert_eq!((row.ran.as_str(), row.late.as_str()), ("", ""));
    assert_eq!(
        (row.ran_h.as_slice(), row.others_h.as_slice()),
        (&[][..], &[(12.0, 13.0)][..])
    );
    assert_eq!(
        data.timeline.labels_h,
        [0.0, 6.0, 12.0, 18.0, 24.0, 30.0, 36.0, 42.0, 48.0]
    );
    let shown = for_customers(&data, "-");
    assert!(shown.timeline.rows.iter().all(|row| row.others_h.is_empty()));
    assert_eq!(shown.timeline.rows[1].planned, row.planned);
}

#[test]
fn what_ran_after_its_window_says_by_how_much() {
    let mut launch = Launch::start(PLAN, "plans/test.yaml");
    launch.later(79_000);
    // From 80 s to 110 s: hours 16 to 22 of the plan; the window ended at hour 12.
    launch.gate("load-test", "players", &[]);
    let data = launch.model().data;
    let row = &data.timeline.rows[0];
    assert_eq!(
        (row.ran.as_str(), row.late.as_str()),
        ("T+16\u{2013}22 h", "+10 h")
    );
    assert_eq!(row.ran_h, [(16.0, 22.0)]);
}

#[test]
fn the_html_edition_shows_timeline_and_link() {
    let launch = asking_launch();
    let model = launch.model_on_paper();
    let page = html(&model).unwrap();
    assert!(page.contains(&format!("<a href=\"{LINK}\"")));
    let (pdf, text) = printed(&page, launch.dir.path());
    assert_eq!(compare_html(&text, &model), []);
    assert_eq!(compare_html_marks(&pdf, &model, &Limits::default()).unwrap(), []);
    for (from, to, place) in [
        (LINK, "https://launch.example.org/feedback/x", "feedback, link"),
        ("<strong>T+", "<strong>T\u{2212}", "timeline, row of item 1"),
    ] {
        let (_, text) = printed(&page.replace(from, to), launch.dir.path());
        let found = compare_html(&text, &model);
        assert!(
            found.iter().any(|f| f.place.contains(place)),
            "{place:?} is not in {found:#?}"
        );
    }
}

#[test]
fn a_record_whose_link_is_no_web_address_has_none() {
    let mut launch = Launch::start(PLAN, "plans/test.yaml");
    launch.feedback_url = Some("javascript:alert(1)".to_owned());
    launch.finish();
    assert_eq!(launch.model().data.feedback, None);
}

#[test]
fn a_timeline_of_many_items_goes_over_pages_and_reads_back() {
    let mut model = long_launch(40).model();
    model.on_paper.by_hand = asking_launch().model_on_paper().on_paper.by_hand;
    let fonts = FontSource::system().unwrap();
    let pdf = render(&model, &fonts).unwrap();
    assert_eq!(
        read_back(&pdf, &model, &fonts, &Limits::default())
            .unwrap()
            .findings,
        []
    );
    assert!(
        render(&model, &fonts).unwrap() == pdf,
        "equal models, equal bytes"
    );
}

/// The edition of it for customers.
fn of_customers(internal: &DocumentModel) -> DocumentModel {
    DocumentModel {
        data: for_customers(&internal.data, "\u{25ae}"),
        attachments: Vec::new(),
        on_paper: OnPaper {
            by_hand: None,
            ..internal.on_paper.clone()
        },
        language: internal.language,
        template: internal.template.clone(),
    }
}

/// Writes the documents for people to look at: `CHECKLIST_OUT=folder cargo test … -- --ignored for_the_eye`.
#[test]
#[ignore = "for the eye"]
fn for_the_eye() {
    let folder =
        std::path::PathBuf::from(std::env::var("CHECKLIST_OUT").expect("CHECKLIST_OUT names a folder"));
    let fonts = FontSource::system().unwrap();
    let internal = asking_launch().model_on_paper();
    let customer = of_customers(&internal);
    let mut long = long_launch(9).model();
    long.on_paper.by_hand = internal.on_paper.by_hand.clone();
    let in_one = |language| DocumentModel {
        language,
        ..internal.clone()
    };
    let (zh, en) = (in_one(Language::Zh), in_one(Language::En));
    for (name, model) in [
        ("zh", zh),
        ("en", en),
        ("internal", internal),
        ("customer", customer),
        ("long", long),
    ] {
        std::fs::write(
            folder.join(format!("{name}.pdf")),
            render(&model, &fonts).unwrap(),
        )
        .unwrap();
        std::fs::write(folder.join(format!("{name}.html")), html(&model).unwrap()).unwrap();
    }
}
