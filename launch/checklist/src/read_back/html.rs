//! The HTML edition, printed by a browser, against the same data.

use crate::{ChecklistError, DocumentModel, words};

use super::fields::{OnPaper, Required};
use super::text::{self, Body, squeeze};
use super::{Check, Finding, Limits, ReadBack, raster};

/// The text of the printed edition, as any reader of PDF gives it, with a form feed after each page: the same
/// fields in the same order as the PDF has them. What is not there is a finding.
pub fn compare_html(html_pdf_text: &str, model: &DocumentModel) -> Vec<Finding> {
    let required = required(model);
    let mut body = Body::default();
    for page in html_pdf_text.split('\x0c') {
        body.page(&squeeze(page));
    }
    let missing = text::missing(&body, &required.sections).into_iter();
    missing
        .map(|missing| Finding {
            check: Check::Text,
            page: missing.page,
            place: format!("{}, {}", missing.section, missing.field),
            what: format!("\u{201c}{}\u{201d} is not where it must be", missing.text),
        })
        .collect()
}

fn required(model: &DocumentModel) -> Required {
    let visible = |text: &str| {
        let mut shown = String::with_capacity(text.len());
        text.chars().for_each(|c| words::visible(c, &mut shown));
        shown
    };
    let value = serde_json::to_value(&model.data).unwrap_or_default();
    let data = serde_json::from_value(words::each_text(value, &mut { visible }));
    // Texts for texts: it reads back as it was.
    let data = data.unwrap_or_else(|_| model.data.clone());
    // Nobody fills in a screen.
    let on_screen = OnPaper {
        files: super::file_names(model),
        by_hand: None,
        instead_of: None,
    };
    Required::of(&data, &on_screen, model.language)
}

/// The marks of the printed edition, by its pixels.
///
/// # Errors
/// The model is too large. A file that cannot be read is a finding.
pub fn compare_html_marks(
    html_pdf: &[u8],
    model: &DocumentModel,
    limits: &Limits,
) -> Result<Vec<Finding>, ChecklistError> {
    crate::typeset::bounded(model)?;
    let required = required(model);
    let mut found = ReadBack::default();
    let read = super::content::pages(html_pdf, limits.pages).and_then(|pages| {
        tminus_seal::guarded(move || {
            let mut shapes = Vec::new();
            raster::each_page(html_pdf, limits.pages, |index, drawn| {
                shapes.extend(super::shapes_of(&pages, index, &drawn));
                Ok(())
            })?;
            Ok(shapes)
        })
    });
    match read {
        Ok(shapes) => super::compare_marks(&mut found, limits, &required.marks, &shapes),
        Err(why) => found.find(limits, Check::File, None, "file", why),
    }
    Ok(found.findings)
}
