//! Typesetting: the template, the data and the attachments in, PDF/A-3a and PDF/UA-1 out.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::Value;
use typst::diag::{FileError, FileResult, SourceDiagnostic};
use typst::foundations::{Bytes, Datetime, Duration, Smart};
use typst::syntax::{DiagSpan, FileId, RootedPath, Source, VirtualPath, VirtualRoot};
use typst::text::{Font, FontBook};
use typst::utils::LazyHash;
use typst::{Library, LibraryExt, World, WorldExt};
use typst_pdf::{PdfOptions, PdfStandard, PdfStandards, Timestamp};

use crate::model::{Attachment, DATA_FILE, DocumentModel};
use crate::view::ChecklistData;
use crate::{ChecklistError, FontSource, metadata, words};

/// The PDF's bytes. Equal for equal model and fonts.
///
/// # Errors
/// A template or font that does not do; never because of what a gate wrote into its evidence:
/// characters that no font has are printed as `‹U+1F600›`.
pub fn render(model: &DocumentModel, fonts: &FontSource) -> Result<Vec<u8>, ChecklistError> {
    render_as(model, fonts, model.template.text())
}

/// [`render`] with another template.
pub(crate) fn render_as(
    model: &DocumentModel,
    fonts: &FontSource,
    template: &str,
) -> Result<Vec<u8>, ChecklistError> {
    let failed = |what: String| ChecklistError::Typeset { what };
    let document = crate::typeset::typeset(model, fonts, template)?;
    let options = PdfOptions {
        ident: Smart::Custom(format!("{}/{}", model.data.record.origin, model.data.record.root)),
        creator: Smart::Custom(Some(model.data.generator.clone())),
        timestamp: Some(Timestamp::new_utc(made_at(model)?)),
        standards: PdfStandards::new(&[PdfStandard::A_3a, PdfStandard::Ua_1])
            .map_err(|e| failed(e.message().to_string()))?,
        ..PdfOptions::default()
    };
    let pdf = typst_pdf::pdf(&document, &options).map_err(|errors| failed(explain(&errors, None)));
    // One document per process as a rule; a server must not keep every launch in memory. Another launch's pages have
    // too little in common with these to be worth it.
    typst::comemo::evict(0);
    metadata::added(&pdf?, &model.data)
}

/// The bytes of the attached data.
pub(crate) fn data_bytes(data: &ChecklistData) -> Result<Vec<u8>, ChecklistError> {
    serde_json::to_vec_pretty(data).map_err(|e| ChecklistError::Typeset { what: e.to_string() })
}

/// The newest moment of the record that a calendar has; without a date PDF/A takes no attachments.
fn made_at(model: &DocumentModel) -> Result<Datetime, ChecklistError> {
    let epoch = || Datetime::from_ymd_hms(1970, 1, 1, 0, 0, 0);
    moment(model.data.ended.ms)
        .or_else(|| moment(model.data.started.ms))
        .or_else(epoch)
        .ok_or_else(|| ChecklistError::Typeset {
            what: "no date to put on it".to_owned(),
        })
}

fn moment(ms: u64) -> Option<Datetime> {
    let time = jiff::Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()?;
    let time = time.to_zoned(jiff::tz::TimeZone::UTC).datetime();
    Datetime::from_ymd_hms(
        i32::from(time.year()),
        u8::try_from(time.month()).ok()?,
        u8::try_from(time.day()).ok()?,
        u8::try_from(time.hour()).ok()?,
        u8::try_from(time.minute()).ok()?,
        u8::try_from(time.second()).ok()?,
    )
}

/// What is wrong and, where `paper` says what was typeset, in which line of the template.
pub(crate) fn explain(errors: &[SourceDiagnostic], paper: Option<&Paper>) -> String {
    let one = |error: &SourceDiagnostic| match paper.and_then(|paper| paper.line(error.span)) {
        Some(line) => format!("line {line} of the template: {}", error.message),
        None => error.message.to_string(),
    };
    let mut said: Vec<String> = errors.iter().take(3).map(one).collect();
    said.extend(
        errors
            .iter()
            .flat_map(|e| e.hints.iter().map(|h| h.v.to_string()))
            .take(3),
    );
    said.join("; ")
}

/// What the language of templates brings; it takes a while to make, and is the same for all documents.
static LIBRARY: LazyLock<LazyHash<Library>> = LazyLock::new(|| LazyHash::new(Library::default()));

/// The few virtual files that the template may read. There is no file system behind it.
pub(crate) struct Paper {
    fonts: FontSource,
    main: Source,
    /// Lines of the main file that come before the template.
    lines_before: usize,
    files: BTreeMap<String, Bytes>,
}

impl Paper {
    pub(crate) fn new(
        model: &DocumentModel,
        fonts: &FontSource,
        template: &str,
    ) -> Result<Self, ChecklistError> {
        let failed = |what: String| ChecklistError::Typeset { what };
        let mut attachments = vec![Attachment {
            name: DATA_FILE.to_owned(),
            mime_type: "application/json",
            description: "What this document says, as data".to_owned(),
            bytes: data_bytes(&model.data)?,
        }];
        attachments.extend(model.attachments.iter().cloned());
        let shown = shown(&model.data, fonts)?.to_string();
        let list: Vec<_> = attachments
            .iter()
            .map(|a| serde_json::json!({"name": a.name, "mime": a.mime_type, "description": a.description}))
            .collect();
        let list = serde_json::to_vec(&list).map_err(|e| failed(e.to_string()))?;
        let mut files: BTreeMap<String, Bytes> = attachments
            .into_iter()
            .map(|a| (a.name, Bytes::new(a.bytes)))
            .collect();
        let on_paper = &model.on_paper;
        let table = on_paper.by_hand.as_ref().map(|page| &page.table);
        let code = on_paper.feedback_code.as_deref().map(runs);
        let has = serde_json::json!({
            "by-hand": table, "code": code, "language": model.language, "instead-of": model.template.instead_of(),
        });
        files.insert("paper.json".to_owned(), Bytes::new(has.to_string().into_bytes()));
        files.insert("data.json".to_owned(), Bytes::new(shown.into_bytes()));
        files.insert("attachments.json".to_owned(), Bytes::new(list));
        // One file for the typesetter, which is given no other: the page's function first.
        let before = match &on_paper.by_hand {
            Some(page) => format!("{}\n", page.template),
            None => String::new(),
        };
        let text = format!("{before}{template}");
        let main = VirtualPath::new("checklist.typ").map_err(|e| failed(format!("{e:?}")))?;
        let main = FileId::new(RootedPath::new(VirtualRoot::Project, main));
        Ok(Self {
            fonts: fonts.clone(),
            main: Source::new(main, text),
            lines_before: before.lines().count(),
            files,
        })
    }
}

impl Paper {
    /// The line of the template, from 1, in which this is.
    fn line(&self, span: DiagSpan) -> Option<usize> {
        let line = self.main.lines().byte_to_line(self.range(span)?.start)?;
        line.checked_sub(self.lines_before).map(|line| line + 1)
    }
}

/// A code as a pen draws it: its side with the quiet zone around it, and runs of black modules as column, row and length.
fn runs(rows: &[Vec<bool>]) -> Value {
    const QUIET: usize = 4;
    let mut runs = Vec::new();
    for (y, row) in rows.iter().enumerate() {
        let mut x = 0;
        for run in row.chunk_by(|l, r| l == r) {
            if run[0] {
                runs.push([x + QUIET, y + QUIET, run.len()]);
            }
            x += run.len();
        }
    }
    serde_json::json!({"side": rows.len() + 2 * QUIET, "runs": runs})
}

/// The data as the pages show it.
pub(crate) fn shown(data: &ChecklistData, fonts: &FontSource) -> Result<Value, ChecklistError> {
    let failed = |e: serde_json::Error| ChecklistError::Typeset { what: e.to_string() };
    let value = serde_json::to_value(data).map_err(failed)?;
    let mut known = BTreeMap::new();
    Ok(words::each_text(value, &mut |text| {
        drawable(text, &mut known, fonts)
    }))
}

/// The text with spaces for line ends and numbers for what no font can draw, or nobody can see.
fn drawable(text: &str, known: &mut BTreeMap<char, bool>, fonts: &FontSource) -> String {
    let mut drawn = String::with_capacity(text.len());
    for character in text.chars() {
        let plain = character.is_ascii() || character.is_control();
        if plain
            || *known
                .entry(character)
                .or_insert_with(|| fonts.can_draw(character))
        {
            words::visible(character, &mut drawn);
        } else {
            words::by_number(character, &mut drawn);
        }
    }
    drawn
}

impl World for Paper {
    fn library(&self) -> &LazyHash<Library> {
        &LIBRARY
    }

    fn book(&self) -> &LazyHash<FontBook> {
        self.fonts.store.book()
    }

    fn main(&self) -> FileId {
        self.main.id()
    }

    fn source(&self, id: FileId) -> FileResult<Source> {
        if id == self.main.id() {
            Ok(self.main.clone())
        } else {
            Err(FileError::AccessDenied)
        }
    }

    fn file(&self, id: FileId) -> FileResult<Bytes> {
        self.files
            .get(id.vpath().get_without_slash())
            .cloned()
            .ok_or(FileError::AccessDenied)
    }

    fn font(&self, index: usize) -> Option<Font> {
        self.fonts.store.font(index)
    }

    fn today(&self, _offset: Option<Duration>) -> Option<Datetime> {
        // The document knows the time from the record only.
        None
    }
}
