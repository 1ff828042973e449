//! Texts that are made for people.

use std::fmt::Write as _;

use tminus_plan::{ItemStatus, LaunchState};

use super::WayBack;

/// How an auditor checks the package without us.
pub(super) const VERIFICATION: &str = include_str!("../../assets/verification.md");

/// What whoever is on call needs of this launch, on one page.
pub(super) fn runbook(state: &LaunchState, way_back: &Result<WayBack, String>) -> String {
    let mut text = format!(
        "# Runbook: {} {}\n\nLaunch {}, from the plan `{}` (SHA-256 {}).\n\n",
        state.plan.name, state.plan.version, state.launch_id, state.plan_file, state.plan_sha256
    );
    if state.rehearsal {
        text += "**This was a rehearsal.** Addresses in here were of one machine, and are gone.\n\n";
    }
    text += "## Take the new release back\n\n";
    match way_back {
        Ok(way) => {
            text += "```sh\n./rollback.sh                                # the gateway of the launch\n\
                     ADMIN=http://127.0.0.1:8081 ./rollback.sh    # another one\n```\n\n\
                     All weight goes to the stable release, players on the new one are told to reconnect and go on with their game \
                     there. The script says `rolled back` and ends with 0 when the gateway says so itself. It may be run \
                     again.\n\n";
            text += &match &way.tested {
                Some(how) => format!("Tried: {how}.\n\n"),
                None => "Not tried yet: run it once before you need it.\n\n".to_owned(),
            };
        }
        Err(why) => {
            let _ = write!(text, "There is no script for it: {why}.\n\n");
        }
    }
    text += "## Where the launch stands\n\n| item | status | owner | why |\n|---|---|---|---|\n";
    for (planned, item) in state.items_with_plan() {
        let status = match item.status {
            ItemStatus::Ticked => "ticked",
            ItemStatus::Crossed => "crossed",
            ItemStatus::NotChecked => "not checked",
        };
        let why = item.reasons.join("; ").replace('|', "\\|").replace('\n', " ");
        let _ = writeln!(
            text,
            "| {} {} | {status} | {} | {why} |",
            item.number, planned.title.en, planned.owner
        );
    }
    text += "\n## Check these files\n\n```sh\ntminus package verify ops.zip\n```\n";
    text
}
