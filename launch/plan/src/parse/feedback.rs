//! `feedback:`: where those who were there are asked how it went.

use crate::error::PlanError;
use crate::parse::fields::{Context, Fields};
use crate::parse::node::{Node, Place};
use crate::plan::FeedbackSpec;

pub(super) const FIELDS: [&str; 2] = ["url", "sections"];
const URL_BYTES_MAX: usize = 100;
const SECTIONS_MAX: usize = 12;
const SECTION_CHARACTERS_MAX: usize = 40;
/// Of all sections, each with its quotes and comma: address and sections lie in one link, which a code on paper has to hold.
const SECTIONS_BYTES_MAX: usize = 140;
/// What is asked about when the plan does not say.
const SECTIONS: [&str; 4] = ["压测 load", "发布 release", "回滚 rollback", "检查单 checklist"];

pub(super) fn feedback(context: &Context, node: &Node) -> Result<FeedbackSpec, PlanError> {
    let fields = Fields::new(context, node, "`feedback`", &FIELDS)?;
    let url = url(context, fields.required("url")?)?;
    let sections = match fields.get("sections") {
        None => SECTIONS.map(str::to_owned).to_vec(),
        Some(list) => sections(context, list)?,
    };
    Ok(FeedbackSpec {
        url,
        sections,
        line: node.place.line,
    })
}

/// The link is this, a slash and a signed word: nothing may follow the path, and nothing secret may stand in it.
fn url(context: &Context, node: &Node) -> Result<String, PlanError> {
    let text = context.text(node, "url")?;
    let rest = ["https://", "http://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    let good = rest.is_some_and(|rest| {
        rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
            && rest
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-._~:/[]%".contains(c))
    });
    if good && text.len() <= URL_BYTES_MAX {
        Ok(text.trim_end_matches('/').to_owned())
    } else {
        Err(context.error(
            node.place,
            format!("`url` is `{text}`"),
            format!("an address such as `https://launch.example.org`, at most {URL_BYTES_MAX} bytes, without user, query and fragment"),
        ))
    }
}

fn sections(context: &Context, node: &Node) -> Result<Vec<String>, PlanError> {
    let list = context.list(node, "sections", SECTIONS_MAX)?;
    let sections = super::unique(
        context,
        list.iter().map(|node| section(context, node)),
        Clone::clone,
        "the section",
    )?;
    let bytes: usize = sections.iter().map(|section| section.len() + 3).sum();
    if sections.is_empty() || bytes > SECTIONS_BYTES_MAX {
        return Err(context.error(
            node.place,
            format!("`sections` has {} entries, {bytes} bytes with their quotes and commas", sections.len()),
            format!("1 to {SECTIONS_MAX} of them, at most {SECTIONS_BYTES_MAX} bytes together: a code on paper holds no more"),
        ));
    }
    Ok(sections)
}

fn section(context: &Context, node: &Node) -> Result<(Place, String), PlanError> {
    let text = context.text(node, "sections")?;
    // What JSON would have to escape makes the link longer than it looks.
    let good = text.chars().count() <= SECTION_CHARACTERS_MAX
        && text.trim() == text
        && !text.chars().any(|c| c.is_control() || "\"\\".contains(c));
    if good {
        Ok((node.place, text))
    } else {
        Err(context.error(
            node.place,
            format!("a section is `{text}`"),
            format!("1 to {SECTION_CHARACTERS_MAX} characters on one line, without quotes and backslashes"),
        ))
    }
}
