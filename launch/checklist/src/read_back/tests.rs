//! Documents that lie, and the honest one.

use std::sync::LazyLock;

use super::*;
use crate::render::render_as;
use crate::{OwnTemplate, TEMPLATE, Template};
use launch::whole_launch;

#[path = "../../tests/it/launch.rs"]
#[allow(dead_code, reason = "the tests of the public interface use the rest of it")]
mod launch;

/// Reading a collection of fonts takes longer than a document.
fn fonts() -> &'static FontSource {
    static FONTS: LazyLock<FontSource> = LazyLock::new(|| FontSource::system().unwrap());
    &FONTS
}

/// What is found in the document that the template makes after `from` in it became `to`.
#[track_caller]
fn altered(model: &DocumentModel, from: &str, to: &str) -> ReadBack {
    assert!(TEMPLATE.contains(from), "{from:?} is not in the template");
    let pdf = render_as(model, fonts(), &TEMPLATE.replacen(from, to, 1)).unwrap();
    read_back(&pdf, model, fonts(), &Limits::default()).unwrap()
}

/// The same by the text alone.
#[track_caller]
fn altered_text(model: &DocumentModel, from: &str, to: &str) -> ReadBack {
    assert!(TEMPLATE.contains(from), "{from:?} is not in the template");
    let pdf = render_as(model, fonts(), &TEMPLATE.replacen(from, to, 1)).unwrap();
    let (mut read, limits) = (ReadBack::default(), Limits::default());
    let data = shown(&model.data, fonts()).unwrap();
    let required = required(model, &data);
    let pages = content::pages(&pdf, 100).unwrap();
    texts(&mut read, &limits, &pages, &required);
    page_marks(&mut read, &limits, &pages, &model.data, model.language);
    read
}

#[track_caller]
fn finds(read: &ReadBack, check: Check, place: &str) {
    assert!(read.blocks());
    assert!(
        read.findings
            .iter()
            .any(|f| f.check == check && f.place.contains(place)),
        "no {check:?} finding of {place:?} in {:#?}",
        read.findings
    );
}

#[test]
fn an_honest_document_passes() {
    let model = whole_launch().model();
    let read = altered(&model, "// The checklist.", "// The checklist.");
    println!("{:?}", read.pages);
    assert_eq!(read.findings, []);
    assert!(!read.blocks() && read.pages.len() >= 3 && read.pictures.is_empty());
}

#[test]
fn a_field_that_a_template_leaves_out_is_named() {
    let model = whole_launch().model();
    for (from, to, place) in [
        (
            "\"owner\"), [#i.owner #h(1em)",
            "\"owner\"), [#h(1em)",
            "item 1 (load-test), owner",
        ),
        (
            "..gate.expectations.map(e =>",
            "..gate.expectations.slice(1).map(e =>",
            "item 1 (load-test), check players, expectation move_p99_ms <= 200",
        ),
        (
            "if i.sign_offs.len() > 0 { block(",
            "if false { block(",
            "item 3 (canary), check rollout, sign-off by qa",
        ),
        (
            "[#e.measured]",
            "[#e.measured.replace(\".4\", \"\")]",
            "expectation move_p99_ms <= 200",
        ),
        (
            "#entry-number(e.entry) · SHA-256 #short-hash(e.sha256)",
            "#entry-number(e.entry)",
            "check no-token, evidence",
        ),
        ("say(i.criterion.zh, ", "say([], ", "item 2 (routes), criterion"),
        (
            "#upper(r.role)], mono(r.key_id",
            "#upper(r.role)], mono(\"\"",
            "key of role qa",
        ),
        (
            "ticked: (\"已核\", \"Ticked\")",
            "ticked: (\"未核\", \"Not checked\")",
            "item 2 (routes), heading",
        ),
        (
            "label(\"对象\", \"against\"), mono(e.target),\n  label(\"命令\", \"command\"), mono(e.command),",
            "label(\"命令\", \"command\"), mono(e.command),\n  label(\"对象\", \"against\"), mono(e.target),",
            "item 1 (load-test), check players, command",
        ),
        (
            "#s.reason #quiet",
            "#quiet",
            "check rollout, canary step of entry",
        ),
    ] {
        finds(&altered_text(&model, from, to), Check::Text, place);
    }
}

#[test]
fn the_timeline_the_link_and_the_page_by_hand_are_read_back() {
    let mut model = launch::asking_launch().model_on_paper();
    model.data.timeline.rows[0].late = "+1 h".to_owned();
    let read = altered(&model, "// The checklist.", "// The checklist.");
    assert_eq!(read.findings, []);
    for (from, to, place) in [
        ("#timeline(d.timeline)", "", "timeline, heading"),
        ("[*#r.ran*#if", "[#if", "timeline, row of item 1"),
        ("quiet(size: 1em)[#r.planned]", "[]", "timeline, row of item 3"),
        ("#tell(\"超窗\", \"late\") #r.late", "", "timeline, row of item 1"),
        ("[#hour h]", "[#hour]", "timeline, hours of the axis"),
        (
            "#if paper.by-hand != none {",
            "#if false {",
            "page by hand, heading",
        ),
        (
            "*#d.product #d.version* · #mono(d.launch_id, size: 0.9em)]",
            "]",
            "page by hand, whose page it is",
        ),
        (
            "\\ #link(d.feedback.url, mono(d.feedback.url, size: 6pt))])\n}",
            "])\n}",
            "page by hand, link",
        ),
        (
            "#text(size: 8.4pt, asked)",
            "",
            "page by hand, what it asks about",
        ),
    ] {
        finds(&altered_text(&model, from, to), Check::Text, place);
    }
    let mut other = model.clone();
    let page = other.on_paper.by_hand.as_mut().unwrap();
    page.template = page.template.replacen("tell(item.zh, ", "tell([], ", 1);
    let pdf = crate::render(&other, fonts()).unwrap();
    let read = read_back(&pdf, &model, fonts(), &Limits::default()).unwrap();
    finds(&read, Check::Text, "page by hand, box emergency-rollback");
    // A reader of text sees no difference.
    for (from, to) in [
        (
            "for span in r.ran_h { ran-bar",
            "for span in r.others_h { ran-bar",
        ),
        ("planned-bar(r.planned_h, t.hours)", ""),
        (
            "if paper.code != none { code-picture(paper.by-hand.qr.side_mm * 1mm) }",
            "none",
        ),
    ] {
        let read = altered(&model, from, to);
        finds(&read, Check::Raster, "tile at");
    }
}

#[test]
fn a_template_of_the_plan_that_did_not_do_is_told_and_one_that_leaves_a_field_out_is_found() {
    let mut model = whole_launch().model();
    model.template = Template::InsteadOf("house-style".to_owned());
    let read = altered(&model, "// The checklist.", "// The checklist.");
    assert_eq!(read.findings, []);
    let read = altered_text(&model, "#if paper.instead-of != none {", "#if false {");
    finds(&read, Check::Text, "template that did not do");

    let text = TEMPLATE.replacen("#i.owner #h(1em)", "#h(1em)", 1);
    model.data.artifacts.push(crate::NamedDigest {
        name: "house-style".to_owned(),
        sha256: crate::entries::sha256_hex(text.as_bytes()),
    });
    let own = OwnTemplate::new("house-style", text.into_bytes(), &model.data.artifacts).unwrap();
    model.set_with(own);
    let pdf = crate::render(&model, fonts()).unwrap();
    let read = read_back(&pdf, &model, fonts(), &Limits::default()).unwrap();
    finds(&read, Check::Text, "item 1 (load-test), owner");
    // The pictures are those of the plan's template, and so is the attached file.
    assert!(
        read.findings.iter().all(|finding| finding.check == Check::Text),
        "{:#?}",
        read.findings
    );
}

/// Every text that may stand there stands there.
fn in_one_language(language: Language) -> DocumentModel {
    let mut model = launch::asking_launch().model_on_paper();
    model.language = language;
    model.data.timeline.rows[0].late = "+1 h".to_owned();
    model.data.timeline.rows[1].ran.clear();
    for item in &mut model.data.items {
        item.not_covered = Some(tminus_plan::Bilingual {
            zh: "其余各项".to_owned(),
            en: "all the rest".to_owned(),
        });
    }
    model
}

fn is_han(character: char) -> bool {
    ('\u{3400}'..='\u{9fff}').contains(&character)
}

#[test]
fn an_edition_in_one_language_is_read_back_and_has_no_word_of_the_other() {
    for language in [Language::Zh, Language::En] {
        let model = in_one_language(language);
        let pdf = crate::render(&model, fonts()).unwrap();
        let read = read_back(&pdf, &model, fonts(), &Limits::default()).unwrap();
        assert_eq!(read.findings, [], "{language:?}");
        // What is asked about is the plan's own.
        let asked = &model.data.feedback.as_ref().unwrap().sections;
        let own = |text: String| {
            asked
                .iter()
                .fold(text, |text, asked| text.replace(asked.as_str(), ""))
        };
        let paper = own(page_texts(&pdf, 100).unwrap().concat());
        let screen = own(crate::html(&model).unwrap());
        for text in [&paper, &screen] {
            if language == Language::En {
                let han: String = text.chars().filter(|c| is_han(*c)).collect();
                assert_eq!(han, "");
            } else {
                for english in [
                    "Ticked",
                    "Passed",
                    "Not checked",
                    "Launch checklist",
                    "REHEARSAL",
                    "rehearsal, not",
                    "OWNER",
                    "CRITERION",
                    "Timeline",
                    "By hand",
                    "page 1",
                    "attempt",
                    "(entry",
                    "not run",
                    "late +1",
                    "none named",
                    "Record and",
                    "EXPECTED",
                    "How did",
                    "No tick",
                    "unit",
                    "lang=\"en\"",
                ] {
                    assert!(!text.contains(english), "{english}");
                }
            }
        }
        assert!(screen.contains(match language {
            Language::En => "<html lang=\"en\">",
            _ => "<html lang=\"zh-CN\">",
        }));
    }
}

#[test]
fn an_edition_in_one_language_needs_the_texts_of_that_one() {
    for (language, from, to) in [
        (Language::En, "i.criterion.en, gap", "[], gap"),
        (Language::Zh, "say(i.criterion.zh, ", "say([], "),
    ] {
        let read = altered_text(&in_one_language(language), from, to);
        finds(&read, Check::Text, "item 2 (routes), criterion");
        let other = if language == Language::En {
            Language::Zh
        } else {
            Language::En
        };
        let read = altered_text(&in_one_language(other), from, to);
        assert_eq!(read.findings, []);
    }
}

#[test]
fn the_code_of_another_link_is_found_by_the_look_of_the_page() {
    let launch = launch::asking_launch();
    let model = launch.model_on_paper();
    let mut other = model.clone();
    let elsewhere = launch::LINK.replace("launch.example.org", "launch.example.com");
    other.on_paper.feedback_code = Some(tminus_after::feedback::qr_rows(&elsewhere).unwrap());
    let pdf = crate::render(&other, fonts()).unwrap();
    let read = read_back(&pdf, &model, fonts(), &Limits::default()).unwrap();
    assert!(read.findings.iter().all(|f| f.check == Check::Raster));
    finds(&read, Check::Raster, "tile at");
}

#[test]
fn a_link_without_its_code_and_a_code_without_its_link_are_refused() {
    let mut model = launch::asking_launch().model_on_paper();
    let code = model.on_paper.feedback_code.take();
    let error = crate::render(&model, fonts()).unwrap_err().to_string();
    assert!(error.contains("no code for it"), "{error}");
    (model.data.feedback, model.on_paper.feedback_code) = (None, code);
    let error = crate::render(&model, fonts()).unwrap_err().to_string();
    assert!(error.contains("no link"), "{error}");
}

#[test]
fn a_page_without_its_water_mark_is_named() {
    let model = whole_launch().model();
    let read = altered_text(&model, "\"REHEARSAL\")) \\ ]#water", "\"REHEARSAL\")) \\ ]");
    finds(&read, Check::WaterMark, "water mark across the page");
    assert!((1..=3).all(|page| read.findings.iter().any(|f| f.page == Some(page))));
    let read = altered_text(&model, "size: 6.2pt, water)", "size: 6.2pt, \"\")");
    finds(&read, Check::WaterMark, "water mark in the foot");
}

#[test]
fn a_tick_for_a_cross_is_found_by_its_shape_and_by_the_look_of_the_page() {
    let mut launch = launch::Launch::start(launch::PLAN, "plans/test.yaml");
    launch.gate("load-test", "players", &[("move_p99_ms", 200.5, "ms")]);
    let model = launch.model();
    let read = altered(
        &model,
        "if status in (\"ticked\", \"passed\", \"complete\") {",
        "if status in (\"ticked\", \"passed\", \"complete\", \"crossed\", \"failed\") {",
    );
    assert!(
        read.findings.iter().all(|f| f.check != Check::Text),
        "{:#?}",
        read.findings
    );
    for place in [
        "verdict",
        "row of item 1 (load-test)",
        "item 1 (load-test), check players, expectation move_p99_ms <= 200",
    ] {
        finds(&read, Check::Mark, place);
    }
    finds(&read, Check::Raster, "tile at");
}

#[test]
fn what_only_the_eye_can_see_is_found_with_a_picture() {
    let model = whole_launch().model();
    for (from, to) in [
        // White on white: a reader of text sees no difference.
        ("say([*#i.title.zh*],", "say([#text(fill: white)[*#i.title.zh*]],"),
        // A block two millimetres further down.
        (
            "#block(above: 3.5mm, below: 3.5mm, text(size: 8.5pt)[",
            "#block(above: 5.5mm, below: 1.5mm, text(size: 8.5pt)[",
        ),
    ] {
        let read = altered(&model, from, to);
        assert!(
            read.findings.iter().all(|f| f.check == Check::Raster),
            "{:#?}",
            read.findings
        );
        finds(&read, Check::Raster, "tile at");
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("pictures");
        let files = read.write_pictures(&folder).unwrap();
        assert!(
            read.findings[0]
                .what
                .contains(files[0].file_name().unwrap().to_str().unwrap())
        );
        let decoder = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(&files[0]).unwrap()));
        let info = decoder.read_info().unwrap();
        assert!(info.info().width > 2 * info.info().height);
    }
}

/// The smallest changes, each by itself: what they measure and that it is over the limit.
#[test]
fn a_digit_and_a_small_tick_are_over_the_limit_of_a_tile() {
    let mut honest = whole_launch().model();
    honest.data.items[0].gates[0].expectations[0].measured = "66.4 ms".to_owned();
    let mut digit = honest.clone();
    digit.data.items[0].gates[0].expectations[0].measured = "68.4 ms".to_owned();
    let mut tick = honest.clone();
    tick.data.items[0].gates[0].expectations[1].holds = Some(false);
    for (model, check) in [(digit, Check::Text), (tick, Check::Mark)] {
        let pdf = crate::render(&model, fonts()).unwrap();
        let read = read_back(&pdf, &honest, fonts(), &Limits::default()).unwrap();
        let worst = read
            .pages
            .iter()
            .map(|p| p.worst_tile_percent)
            .fold(0.0, f32::max);
        println!("{worst} %");
        finds(&read, check, "expectation");
        finds(&read, Check::Raster, "tile at");
        finds(&read, Check::Attachment, crate::model::DATA_FILE);
    }
}

#[test]
fn an_attached_file_that_differs_lacks_or_is_too_many_is_named() {
    let model = whole_launch().model();
    let mut other = model.clone();
    let changed = other.attachments[1].name.clone();
    other.attachments[1].bytes[40] ^= 1;
    let gone = other.attachments.remove(2).name;
    let mut more = other.attachments[0].clone();
    more.name = "evidence/99-more.json".to_owned();
    other.attachments.push(more);
    let pdf = crate::render(&other, fonts()).unwrap();
    let read = read_back(&pdf, &model, fonts(), &Limits::default()).unwrap();
    for place in [changed.as_str(), gone.as_str(), "evidence/99-more.json"] {
        finds(&read, Check::Attachment, place);
    }
}

#[test]
fn a_character_of_the_template_that_no_font_has_is_an_error() {
    let model = whole_launch().model();
    let template = TEMPLATE.replacen("\"上线检查单\", \"LAUNCH", "\"\u{13000}\", \"LAUNCH", 1);
    let error = render_as(&model, fonts(), &template).unwrap_err().to_string();
    assert!(error.contains("could not be displayed"), "{error}");
}

#[test]
fn letters_from_right_to_left_emoji_and_controls_read_back() {
    let mut launch = launch::Launch::start(launch::PLAN, "plans/test.yaml");
    launch.gate("routes", "no-token", &[]);
    let mut model = launch.model();
    let evidence = model.data.items[1].gates[0].evidence.as_mut().unwrap();
    evidence.notes = [
        "سلام and שלום, 12 مرة",
        "\u{1f600}\u{fe0f} \u{202e}desrever",
        "e\u{301} \u{200b}fi ffl ⽤",
        "<script>alert(1)</script> & \"'",
    ]
    .map(str::to_owned)
    .to_vec();
    let pdf = crate::render(&model, fonts()).unwrap();
    let read = read_back(&pdf, &model, fonts(), &Limits::default()).unwrap();
    assert_eq!(read.findings, []);
    let html = crate::html(&model).unwrap();
    assert!(html.contains("&lt;script&gt;") && !html.contains("<script"));
    assert!(html.contains("\u{2039}U+202E\u{203a}desrever"));
}

#[test]
fn what_is_no_checklist_is_a_finding() {
    let model = whole_launch().model();
    for bytes in [&b""[..], b"%PDF-1.7\n%%EOF", &[0xff; 2000]] {
        let read = read_back(bytes, &model, fonts(), &Limits::default()).unwrap();
        finds(&read, Check::File, "file");
    }
    let pdf = crate::render(&model, fonts()).unwrap();
    let few = Limits {
        pages: 1,
        ..Limits::default()
    };
    finds(
        &read_back(&pdf, &model, fonts(), &few).unwrap(),
        Check::File,
        "file",
    );
}

#[test]
fn what_is_too_large_for_a_document_is_refused() {
    let mut model = whole_launch().model();
    let item = model.data.items[1].clone();
    model.data.items = vec![item; 10_000];
    for error in [
        crate::render(&model, fonts()).unwrap_err(),
        read_back(b"", &model, fonts(), &Limits::default()).unwrap_err(),
        crate::html(&model).unwrap_err(),
    ] {
        let error = error.to_string();
        assert!(error.contains("10000 items, more than the 1000"), "{error}");
    }
}

#[test]
fn a_file_name_that_climbs_out_is_not_attached() {
    let mut model = whole_launch().model();
    model.attachments[0].name = "../../etc/cron.d/evil".to_owned();
    let error = crate::render(&model, fonts()).unwrap_err().to_string();
    assert!(error.contains("could not be typeset"), "{error}");
}

#[test]
fn a_template_that_loops_is_given_up() {
    let model = whole_launch().model();
    // Seconds for any machine; not for ever, because nothing ends it.
    let long = "#for a in range(2000) { for b in range(2000) { let c = a * b } }";
    for (template, says) in [
        ("#while true {}", "always true"),
        (long, "took longer than 0.2 s"),
    ] {
        let limit = std::time::Duration::from_millis(200);
        let limit = if template == long {
            limit
        } else {
            std::time::Duration::from_secs(600)
        };
        let error = crate::typeset::typeset_within(&model, fonts(), template, limit).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
    let scripts = [TEMPLATE, tminus_after::paper::TEMPLATE];
    for word in ["while ", "range(", "import ", "include "] {
        assert!(
            !scripts
                .iter()
                .flat_map(|script| script.lines())
                .any(|l| !l.trim_start().starts_with("//") && l.contains(word)),
            "{word}"
        );
    }
}

/// A PDF of one page; its content draws the form `/F`, whose content is given too.
fn page_with_form(content: &str, form: &str) -> Vec<u8> {
    use lopdf::{Dictionary, Document, Object, Stream, dictionary};
    let mut document = Document::with_version("1.7");
    let (pages, inner) = (document.new_object_id(), document.new_object_id());
    let resources = dictionary! { "XObject" => dictionary! { "F" => inner } };
    let kind = dictionary! { "Subtype" => "Form", "Resources" => resources.clone() };
    let form = Stream::new(kind, form.as_bytes().to_vec());
    document.objects.insert(inner, Object::Stream(form));
    let content = document.add_object(Stream::new(Dictionary::new(), content.as_bytes().to_vec()));
    let page = document.add_object(dictionary! {
        "Type" => "Page", "Parent" => pages, "Contents" => content, "Resources" => resources,
        "MediaBox" => vec![0.into(), 0.into(), 595.into(), 842.into()],
    });
    let tree = dictionary! { "Type" => "Pages", "Kids" => vec![page.into()], "Count" => 1 };
    document.objects.insert(pages, Object::Dictionary(tree));
    let catalog = document.add_object(dictionary! { "Type" => "Catalog", "Pages" => pages });
    document.trailer.set("Root", catalog);
    let mut bytes = Vec::new();
    document.save_to(&mut bytes).unwrap();
    bytes
}

#[test]
fn content_that_grows_without_end_is_refused() {
    let pages = |content: &str, form: &str| content::pages(&page_with_form(content, form), 10);
    assert_eq!(pages("q Q /F Do", "q Q").unwrap()[0].pieces.len(), 0);
    for (content, form, says) in [
        ("/F Do", "/F Do", "nested too deep"),
        (
            "/F Do ".repeat(2000).as_str(),
            "q Q ".repeat(500).as_str(),
            "more than a page",
        ),
        ("q ".repeat(2000).as_str(), "", "more than a page"),
        ("/Span BMC ".repeat(2000).as_str(), "", "more than a page"),
    ] {
        let error = pages(content, form).unwrap_err();
        assert!(error.contains(says), "{error}");
    }
}
