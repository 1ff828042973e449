//! The link by which those who were there say how it went: its key, the link at the end of a launch, and what paper
//! has of it: the code, and the page that is filled in by hand.

use std::path::Path;

use tminus_after::feedback::{FeedbackLinks, Invitation, LinkError, LinkKey, qr_rows};
use tminus_after::paper;
use tminus_checklist::{ByHand, ChecklistData, OnPaper};
use tminus_plan::Plan;

use crate::error::{CliError, Kind, Result, from_part};
use crate::keys;
use crate::layout::Layout;

/// The only key of a launch; `tminus_after` can check with more.
const KEY_ID: &str = "k1";

/// Signs and checks the links of a launch. The key is the launch's own: made when it is missing, and never shown.
///
/// # Errors
/// The key file cannot be read or written, or holds something else.
pub(crate) fn links(layout: &Layout) -> Result<FeedbackLinks> {
    let secret = keys::secret(&layout.feedback_key())
        .map_err(|e| e.hint("links that are out do not work without it; move it away to begin anew"))?;
    signed_with(&secret)
}

/// Checks the links of a launch that has ended, by the key that it left.
///
/// # Errors
/// There is no such file, others can read it, or it holds something else.
pub(crate) fn links_left(file: &Path) -> Result<FeedbackLinks> {
    let secret = keys::read_secret(file).map_err(|e| {
        e.hint("the launch made it in its folder of keys when it ended: name that folder in `launch`, or the file in `feedback_key`")
            .hint("links signed with another key are answered 404")
    })?;
    signed_with(&secret)
}

fn signed_with(secret: &[u8; 32]) -> Result<FeedbackLinks> {
    LinkKey::new(KEY_ID, secret)
        .and_then(|key| FeedbackLinks::new(vec![key]))
        .map_err(|e| told(&e))
}

/// The link for those who were there; none when the plan asks nobody.
///
/// # Errors
/// As [`links`], or no code holds the link.
pub(crate) fn url(layout: &Layout, plan: &Plan, launch_id: &str, at_ms: u64) -> Result<Option<String>> {
    let Some(feedback) = &plan.feedback else {
        return Ok(None);
    };
    let invitation = Invitation {
        launch: launch_id.to_owned(),
        sections: feedback.sections.clone(),
        issued_at_ms: at_ms,
    };
    let token = links(layout)?.token(&invitation).map_err(|e| told(&e))?;
    let url = format!("{}/feedback/{token}", feedback.url);
    code(&url)?;
    Ok(Some(url))
}

/// What the edition for those who carry the launch out has on paper.
///
/// # Errors
/// No code holds the link.
pub(crate) fn internal(data: &ChecklistData) -> Result<OnPaper> {
    Ok(OnPaper {
        by_hand: Some(ByHand {
            template: paper::TEMPLATE.to_owned(),
            table: paper::Layout::of_a_checklist().table(),
        }),
        ..customer(data)?
    })
}

/// What the customers' edition has: it is read and not filled in.
///
/// # Errors
/// As [`internal`].
pub(crate) fn customer(data: &ChecklistData) -> Result<OnPaper> {
    Ok(OnPaper {
        feedback_code: data
            .feedback
            .as_ref()
            .map(|feedback| code(&feedback.url))
            .transpose()?,
        by_hand: None,
    })
}

fn code(url: &str) -> Result<Vec<Vec<bool>>> {
    qr_rows(url).map_err(|e| {
        from_part(Kind::Plan, "the link for feedback", &e).hint("shorten `feedback:` in the plan")
    })
}

fn told(error: &LinkError) -> CliError {
    from_part(Kind::Plan, "the link for feedback", error).hint("shorten `feedback:` in the plan")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_795_356_000_000;
    const LAUNCH: &str = "20261122-140000-3f9a";

    fn plan(feedback: &str) -> Plan {
        let text = include_str!("../../../plans/http-service.yaml");
        let text = text.replacen("\nitems:", &format!("\n{feedback}\nitems:"), 1);
        Plan::parse(&text, "plan.yaml").unwrap()
    }

    fn folder() -> (tempfile::TempDir, Layout) {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path());
        layout.create().unwrap();
        (folder, layout)
    }

    #[test]
    fn a_link_of_a_launch_is_checked_with_the_key_in_its_folder() {
        let (_folder, layout) = folder();
        let plan = plan("feedback: { url: \"https://launch.example.org/team\", sections: [sound, 画面] }");
        let made = url(&layout, &plan, LAUNCH, NOW_MS).unwrap().unwrap();
        let token = made
            .strip_prefix("https://launch.example.org/team/feedback/")
            .unwrap();
        let invitation = links(&layout).unwrap().check(token, NOW_MS).unwrap();
        assert_eq!(
            (invitation.launch.as_str(), invitation.issued_at_ms),
            (LAUNCH, NOW_MS)
        );
        assert_eq!(invitation.sections, ["sound", "画面"]);
        assert_eq!(url(&layout, &plan, LAUNCH, NOW_MS).unwrap().unwrap(), made);
        let (_other, elsewhere) = folder();
        assert_eq!(links(&elsewhere).unwrap().check(token, NOW_MS), None);
    }

    #[test]
    fn a_plan_that_asks_nobody_makes_no_key() {
        let (_folder, layout) = folder();
        assert_eq!(url(&layout, &plan(""), LAUNCH, NOW_MS).unwrap(), None);
        assert!(!layout.feedback_key().exists());
    }

    /// What the plan lets through, a code holds.
    #[test]
    fn the_longest_link_that_a_plan_can_ask_for_has_a_code() {
        let (_folder, layout) = folder();
        let host = format!("https://{}", "a".repeat(92));
        let section = |n: usize| format!("{}{n}", "x".repeat(31));
        let plan = plan(&format!(
            "feedback: {{ url: \"{host}\", sections: [{}, {}, {}, {}] }}",
            section(0),
            section(1),
            section(2),
            section(3)
        ));
        let made = url(&layout, &plan, LAUNCH, NOW_MS).unwrap().unwrap();
        assert!((400..=420).contains(&made.len()), "{}", made.len());
    }

    #[test]
    fn a_damaged_key_says_what_it_costs() {
        let (_folder, layout) = folder();
        keys::write_private(&layout.feedback_key(), b"no key").unwrap();
        let plan = plan("feedback: { url: \"https://launch.example.org\" }");
        let error = url(&layout, &plan, LAUNCH, NOW_MS).unwrap_err();
        assert!(error.to_string().contains("feedback.key"), "{error}");
    }
}
