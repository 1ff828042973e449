//! A document that is typeset with one of the launch's own artifacts.

use tminus_checklist::{
    Attachment, DocumentModel, FontSource, Limits, NamedDigest, OwnTemplate, TEMPLATE, Template,
    attached_files, page_texts, read_back, render, verify,
};

use crate::launch::{Launch, PLAN, whole_launch};

/// As a team would change it: another colour, a line of its own, a picture.
fn house_style() -> String {
    let coloured = TEMPLATE.replacen("#let ink = rgb(\"#141c28\")", "#let ink = rgb(\"#0b2a5b\")", 1);
    let picture = r##"image(bytes("<svg xmlns='http://www.w3.org/2000/svg' width='20' height='8'><rect width='20' height='8' fill='#0b2a5b'/></svg>"), alt: "Harbour Games", width: 20mm)"##;
    let headed = coloured.replacen(
        "// --- cover ---",
        &format!("#{picture}\n#text(size: 8pt)[Harbour Games]\n// --- cover ---"),
        1,
    );
    assert_ne!(headed, coloured);
    headed
}

pub fn launch(template: &str) -> Launch {
    let named = "  - { name: house-style, path: house.typ }\nchecklist: { template: house-style }\nitems:";
    let plan = PLAN.replacen("items:", named, 1);
    let artifacts: [(&str, &[u8]); 2] = [("starvault", b"starvault"), ("house-style", template.as_bytes())];
    let mut launch = Launch::start_with(&plan, "plans/test.yaml", &artifacts);
    launch.run_whole();
    launch
}

fn own(template: &str, model: &DocumentModel) -> OwnTemplate {
    OwnTemplate::new("house-style", template.as_bytes().to_vec(), &model.data.artifacts).unwrap()
}

fn issued(launch: &mut Launch, model: &DocumentModel, fonts: &FontSource) -> (Vec<u8>, Vec<(bool, String)>) {
    launch.issue(model, fonts);
    let report = verify(&launch.pdf(), launch.record_dir(), Some(&launch.key())).unwrap();
    let lines = report
        .lines
        .iter()
        .map(|line| (line.ok, format!("{} {}", line.part, line.says)));
    (std::fs::read(launch.pdf()).unwrap(), lines.collect())
}

#[track_caller]
fn says(lines: &[(bool, String)], ok: bool, what: &str) {
    assert!(
        lines.iter().any(|line| line.0 == ok && line.1.contains(what)),
        "{what:?} is not in {lines:#?}"
    );
    assert_eq!(lines.iter().all(|line| line.0), ok, "{lines:#?}");
}

#[test]
fn it_is_used_attached_read_back_and_verified() {
    let (template, fonts) = (house_style(), FontSource::system().unwrap());
    let mut launch = launch(&template);
    let mut model = launch.model();
    model.set_with(own(&template, &model));
    let (pdf, lines) = issued(&mut launch, &model, &fonts);
    assert!(page_texts(&pdf, 9).unwrap()[0].contains("Harbour Games"));
    assert_eq!(
        attached_files(&pdf).unwrap()["template/house-style.typ"],
        template.as_bytes()
    );
    let read = read_back(&pdf, &model, &fonts, &Limits::default()).unwrap();
    assert_eq!(read.findings, []);
    says(
        &lines,
        true,
        "template/house-style.typ is the launch's artifact `house-style`",
    );
}

#[test]
fn one_that_did_not_do_is_told_on_paper_and_when_it_is_verified() {
    let fonts = FontSource::system().unwrap();
    let mut launch = launch("#panic()");
    let mut model = launch.model();
    model.template = Template::InsteadOf("house-style".to_owned());
    let (pdf, lines) = issued(&mut launch, &model, &fonts);
    let text = page_texts(&pdf, 99)
        .unwrap()
        .concat()
        .replace(char::is_whitespace, "");
    assert!(text.contains("theplan's,house-style,didnotdo"), "{text}");
    says(
        &lines,
        true,
        "the release's own template; the plan's, `house-style`, did not do",
    );
}

#[test]
fn another_template_than_the_one_on_record_is_refused() {
    let (template, fonts) = (house_style(), FontSource::system().unwrap());
    let mut other = launch(&template);
    let mut model = other.model();
    model.set_with(own(&template, &model));
    model
        .attachments
        .last_mut()
        .unwrap()
        .bytes
        .extend_from_slice(b"\n// one line more");
    let (_, lines) = issued(&mut other, &model, &fonts);
    says(
        &lines,
        false,
        "template/house-style.typ was altered: its SHA-256 is",
    );

    let attached = |name: &str| Attachment {
        name: name.to_owned(),
        mime_type: "text/plain",
        description: "a template".to_owned(),
        bytes: template.clone().into_bytes(),
    };
    let mut unplanned = whole_launch();
    let mut model = unplanned.model();
    model.attachments.push(attached("template/house-style.typ"));
    let (_, lines) = issued(&mut unplanned, &model, &fonts);
    says(&lines, false, "template/house-style.typ is not of this launch");

    let mut named = launch(&template);
    let mut model = named.model();
    model.attachments.push(attached("template/other.typ"));
    let (_, lines) = issued(&mut named, &model, &fonts);
    says(&lines, false, "template/other.typ is not of this launch");
}

#[test]
fn a_mistake_in_it_is_told_with_its_line() {
    let fonts = FontSource::system().unwrap();
    let template = "#let d = json(\"data.json\")\n#d.product\n#d.produce\n";
    let launch = launch(template);
    for on_paper in [false, true] {
        let mut model = if on_paper {
            launch.model_on_paper()
        } else {
            launch.model()
        };
        model.set_with(own(template, &model));
        let said = render(&model, &fonts).unwrap_err().to_string();
        assert!(
            said.contains("line 3 of the template: ") && said.contains("produce"),
            "{said}"
        );
    }
}

#[test]
fn what_is_not_the_artifact_on_record_is_no_template() {
    let digest = |bytes: &[u8]| {
        use sha2::Digest as _;
        hex::encode(sha2::Sha256::digest(bytes))
    };
    let (large, no_text) = (vec![b' '; 1024 * 1024 + 1], vec![0xff, 0xfe]);
    let artifact = |name: &str, bytes: &[u8]| NamedDigest {
        name: name.to_owned(),
        sha256: digest(bytes),
    };
    let artifacts = [
        artifact("house", b"= Hi"),
        artifact("large", &large),
        artifact("no-text", &no_text),
    ];
    assert_eq!(
        OwnTemplate::new("house", b"= Hi".to_vec(), &artifacts)
            .unwrap()
            .name(),
        "house"
    );
    for (name, bytes, why) in [
        ("house", b"= Ho".to_vec(), "the launch began with"),
        ("other", b"= Hi".to_vec(), "the launch has no such artifact"),
        ("large", large, "more than the 1048576 of a template"),
        ("no-text", no_text, "it is no text"),
    ] {
        let said = OwnTemplate::new(name, bytes, &artifacts).unwrap_err().to_string();
        assert!(
            said.contains(&format!("the template `{name}`")) && said.contains(why),
            "{said}"
        );
    }
}
