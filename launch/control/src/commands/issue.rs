//! What a rehearsal and a launch share: the checklist as it is issued, and how the end is told.

use tminus_checklist::{DocumentModel, FontSource, Limits};
use tminus_plan::{ArtifactDigest, LaunchState};

use crate::console::Console;
use crate::engine::book::{Book, Snapshot};
use crate::engine::{Issued, Issuer};
use crate::error::{CliError, Exit, Kind, Result, from_part};
use crate::gates::journal::Acknowledged;
use crate::layout::{Layout, write_whole};
use crate::report;
use crate::session::{self, PlanText};
use crate::templates::{self, Edition, Readying};

pub(super) fn acknowledged(layout: &Layout) -> Result<Acknowledged> {
    let folder = layout.state().join("acknowledged");
    std::fs::create_dir_all(&folder).map_err(|e| CliError::file("create the folder", &folder, &e))?;
    Ok(Acknowledged {
        folder,
        merged: layout.acknowledged(),
    })
}

pub(super) fn fonts() -> Result<FontSource> {
    FontSource::system().map_err(|e| {
        let it = from_part(Kind::Environment, "the checklist needs fonts", &e);
        match e {
            tminus_checklist::ChecklistError::NoCjkFont { .. } => it.hint("apt-get install fonts-noto-cjk"),
            _ => it,
        }
    })
}

/// Before anything runs: one that goes on (`begun`) does so with its plan and artifacts, and the plan's templates do.
pub(super) fn ready(
    begun: Option<&Book>,
    plan: &PlanText,
    artifacts: &[ArtifactDigest],
    with: &Readying<'_>,
) -> Result<()> {
    if let Some(book) = begun {
        session::check_unchanged(book, plan, artifacts)?;
    }
    templates::ready(begun.is_none(), plan, artifacts, with)
}

/// Typesets the checklist and puts it into the launch's folder.
pub(super) struct Pdf {
    pub layout: Layout,
    pub fonts: FontSource,
    pub console: Console,
}

impl Issuer for Pdf {
    fn feedback_url(&self, state: &LaunchState, at_ms: u64) -> Result<Option<String>> {
        crate::feedback_link::url(&self.layout, &state.plan, &state.launch_id, at_ms)
    }

    fn issue(&self, record: &Snapshot) -> Result<Issued> {
        use sha2::Digest as _;
        let told = |e: &tminus_checklist::ChecklistError| {
            from_part(Kind::Checklist, "the checklist", e)
                .hint("the record is whole: mend the cause, then --resume")
        };
        let full = DocumentModel::from_record(&record.entries, record.checkpoint.as_bytes(), &record.key)
            .map_err(|e| told(&e))?;
        let model = Edition::Internal.of(full)?;
        let said = |text: &str| self.console.line(text);
        let (_, pdf) = templates::typeset(Edition::Internal, model, &self.fonts, &self.layout, &said)?;
        let file = self.layout.checklist();
        write_whole(&file, &pdf)?;
        Ok(Issued {
            file_name: file
                .file_name()
                .map(|n| n.to_string_lossy().into_owned())
                .unwrap_or_default(),
            sha256: hex::encode(sha2::Sha256::digest(&pdf)),
            bytes: pdf.len() as u64,
        })
    }
}

/// Nothing leaves that does not read as it was meant: by text, by marks, by attachments, by pixels.
///
/// # Errors
/// It does not; pictures of what differs lie in the launch's state folder.
pub(crate) fn read_back(
    pdf: &[u8],
    model: &DocumentModel,
    fonts: &FontSource,
    layout: &Layout,
) -> Result<()> {
    let read = tminus_checklist::read_back(pdf, model, fonts, &Limits::default())
        .map_err(|e| from_part(Kind::Checklist, "the checklist cannot be read back", &e))?;
    if !read.blocks() {
        return Ok(());
    }
    let folder = layout.state().join("read-back");
    let pictures = read
        .write_pictures(&folder)
        .map_err(|e| from_part(Kind::Checklist, "the pictures of what differs", &e))?;
    let what = read.findings.first().map(ToString::to_string).unwrap_or_default();
    Err(CliError::new(
        Kind::Checklist,
        format!(
            "the checklist does not read as the record says, in {} places; {what}",
            read.findings_total
        ),
    )
    .hint(format!(
        "nothing was issued, the record is whole; {} pictures are in {}",
        pictures.len(),
        folder.display()
    )))
}

/// A launch that had ended before: its result once more.
pub(super) fn told_again(book: &Book, layout: &Layout, console: &Console, as_json: bool) -> Result<Exit> {
    console.line(&format!(
        "{} has ended already: this is its result",
        layout.out.display()
    ));
    finish(&book.state()?, book, layout, console, as_json)
}

pub(super) fn finish(
    state: &LaunchState,
    book: &Book,
    layout: &Layout,
    console: &Console,
    as_json: bool,
) -> Result<Exit> {
    let exit = report::exit(state);
    if as_json {
        println!("{}", report::to_json(state, book, layout, exit));
    } else {
        report::print(state, layout, console);
    }
    Ok(exit)
}
