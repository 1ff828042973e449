//! The run of the typesetter: what it is given is bounded, and so is its time.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use typst_layout::PagedDocument;

use crate::render::{Paper, explain};
use crate::{ChecklistError, DocumentModel, FontSource, Template};

/// Items of one document; at three to a page, more than anybody reads.
pub(crate) const MAX_ITEMS: usize = 1_000;
/// Files of one document: evidence, sign-offs and approvals of as many items, with repeats.
pub(crate) const MAX_FILES: usize = 10_000;
/// Bytes of what the pages show, as JSON. The typesetter takes some hundred times as much memory.
pub(crate) const MAX_DATA_BYTES: usize = 16 * 1024 * 1024;
/// The largest code has 31,329 modules.
const MAX_ON_PAPER_BYTES: usize = 1024 * 1024;
/// A hundred times what 40 items take with an unoptimised typesetter.
const MAX_TIME: Duration = Duration::from_secs(600);
/// Of a template that may be anybody's: what waits for it is a launch that wants to end.
const MAX_TIME_OWN: Duration = Duration::from_secs(120);
/// Layout recurses.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// Refuses what is too large for one document, before anything is done with it.
pub(crate) fn bounded(model: &DocumentModel) -> Result<(), ChecklistError> {
    let code = model.on_paper.feedback_code.iter().flatten();
    let by_hand = model.on_paper.by_hand.as_ref();
    let on_paper = code.map(Vec::len).sum::<usize>()
        + by_hand.map_or(0, |page| page.template.len() + page.table.to_string().len());
    let shown = crate::render::data_bytes(&model.data)?.len();
    for (what, count, max) in [
        ("items", model.data.items.len(), MAX_ITEMS),
        ("attached files", model.attachments.len(), MAX_FILES),
        ("bytes of data", shown, MAX_DATA_BYTES),
        (
            "modules of a code and bytes of a page by hand",
            on_paper,
            MAX_ON_PAPER_BYTES,
        ),
    ] {
        if count > max {
            return Err(ChecklistError::TooMuch { what, count, max });
        }
    }
    Ok(())
}

/// Link and code go together: an edition that forgets one says so before anybody holds it.
fn complete(model: &DocumentModel) -> Result<(), ChecklistError> {
    match (&model.data.feedback, &model.on_paper.feedback_code) {
        (Some(_), None) => Err(ChecklistError::Code {
            there: "a link for feedback",
            lacks: "no code for it",
        }),
        (None, Some(_)) => Err(ChecklistError::Code {
            there: "a code for feedback",
            lacks: "no link that it could hold",
        }),
        _ => Ok(()),
    }
}

/// The laid out pages.
///
/// The shipped template has no `while` and no recursion, only loops over data that is bounded.
/// Another template may run for ever, and the typesetter cannot be interrupted: it is left alone in
/// its thread, which ends with the process.
pub(crate) fn typeset(
    model: &DocumentModel,
    fonts: &FontSource,
    template: &str,
) -> Result<PagedDocument, ChecklistError> {
    let limit = match model.template {
        Template::Own(_) => MAX_TIME_OWN,
        Template::Shipped | Template::InsteadOf(_) => MAX_TIME,
    };
    typeset_within(model, fonts, template, limit)
}

pub(crate) fn typeset_within(
    model: &DocumentModel,
    fonts: &FontSource,
    template: &str,
    limit: Duration,
) -> Result<PagedDocument, ChecklistError> {
    let failed = |what: String| ChecklistError::Typeset { what };
    bounded(model)?;
    complete(model)?;
    let world = Paper::new(model, fonts, template)?;
    let (answer, answered) = mpsc::sync_channel(1);
    let work = move || {
        let compiled = typst::compile::<PagedDocument>(&world)
            .output
            .map_err(|errors| explain(&errors, Some(&world)));
        // Nobody may be waiting any more.
        let _ = answer.send(compiled);
    };
    std::thread::Builder::new()
        .name("typeset".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(work)
        .map_err(|e| failed(format!("no thread for it: {e}")))?;
    match answered.recv_timeout(limit) {
        Ok(compiled) => compiled.map_err(failed),
        Err(RecvTimeoutError::Timeout) => Err(failed(format!(
            "it took longer than {} s; a template that loops never ends",
            limit.as_secs_f64()
        ))),
        Err(RecvTimeoutError::Disconnected) => Err(failed("the typesetter broke down".to_owned())),
    }
}
