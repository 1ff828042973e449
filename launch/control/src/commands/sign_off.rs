//! `tminus sign-off` and `tminus approve`: a person signs an item, in a launch that runs or between its runs, or
//! lets a canary on that waits for it.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tminus_plan::{GateKind, LaunchState, Plan, Subject};
use tminus_record::SigningKey;

use crate::cli::{Approve, SignOff};
use crate::dashboard::SignOffAccepted;
use crate::engine::book::Book;
use crate::engine::sign_offs;
use crate::engine::sign_offs::{Purpose, Signing};
use crate::error::{CliError, Exit, Kind, Result};
use crate::layout::Layout;
use crate::session::Control;
use crate::wall::{SystemWall, Wall as _};
use crate::{keys, session};

const SIGN_OFF_ANSWER_MAX: Duration = Duration::from_secs(10);

pub(super) async fn run(args: &SignOff) -> Result<Exit> {
    let signer = Signer {
        key: keys::load(&args.key)?,
        role: &args.role,
        statement: &args.statement,
        what: What::Item(&args.item),
    };
    let accepted = signer.submit(&args.out).await?;
    if args.json {
        println!(
            "{}",
            json!({ "ok": true, "item": accepted.item, "role": accepted.role, "entry": accepted.entry })
        );
    } else {
        println!(
            "{} signed by {}: entry {} of the record",
            accepted.item, accepted.role, accepted.entry
        );
    }
    Ok(Exit::Ok)
}

pub(super) async fn approve(args: &Approve) -> Result<Exit> {
    let signer = Signer {
        key: keys::load(&args.key)?,
        role: &args.role,
        statement: &args.statement,
        what: What::Step {
            approval: &args.approval,
            item: args.item.as_deref(),
        },
    };
    let accepted = signer.submit(&args.out).await?;
    if args.json {
        println!(
            "{}",
            json!({ "ok": true, "item": accepted.item, "approval": args.approval, "role": accepted.role, "entry": accepted.entry })
        );
    } else {
        println!(
            "`{}` of {} approved by {}: entry {} of the record",
            args.approval, accepted.item, accepted.role, accepted.entry
        );
    }
    Ok(Exit::Ok)
}

/// The record as the signer sees it.
struct Seen {
    root_hex: String,
    size: u64,
    subject: Vec<Subject>,
    plan: Plan,
    rehearsal: bool,
}

/// What a person wants to sign, before the record is read.
enum What<'a> {
    Item(&'a str),
    Step {
        approval: &'a str,
        item: Option<&'a str>,
    },
}

struct Signer<'a> {
    key: SigningKey,
    role: &'a str,
    statement: &'a str,
    what: What<'a>,
}

impl Seen {
    fn of(book: &Book) -> Result<Self> {
        let state = book.state()?;
        Ok(Self {
            root_hex: book.root_hex(),
            size: book.size(),
            subject: book.subject().to_vec(),
            rehearsal: state.rehearsal,
            plan: state.plan,
        })
    }
}

impl Signer<'_> {
    async fn submit(&self, out: &Path) -> Result<SignOffAccepted> {
        let layout = Layout::new(out);
        if !layout.has_record() {
            return Err(
                CliError::usage(format!("{} holds no launch", layout.out.display()))
                    .hint("give --out the folder that `tminus launch` was given"),
            );
        }
        match session::open_book(&layout) {
            Ok(mut book) => {
                let envelope = self.envelope(&Seen::of(&book)?)?;
                sign_offs::accept(&mut book, &envelope)?.map_err(|why| self.refused(&why))
            }
            // The lock is held: a launch runs and owns the record, so it takes the envelope.
            Err(locked) => sign_with_running(self, &layout)
                .await
                .map_err(|e| e.unwrap_or(locked)),
        }
    }

    fn envelope(&self, seen: &Seen) -> Result<Vec<u8>> {
        let (item, purpose) = match self.what {
            What::Item(item) => (item, Purpose::Item),
            What::Step { approval, item } => {
                let (item, gate) = step_of(seen, approval, item)?;
                (item, Purpose::Step { gate, approval })
            }
        };
        let what = Signing {
            item,
            purpose,
            role: self.role,
            statement: self.statement,
            at_ms: SystemWall.now_ms(),
            record_root_hex: seen.root_hex.clone(),
            record_size: seen.size,
        };
        Ok(sign_offs::envelope(what, &seen.subject, &self.key)?.to_bytes())
    }

    fn refused(&self, why: &str) -> CliError {
        let what = match &self.what {
            What::Item(item) => format!("the sign-off of `{item}`"),
            What::Step { approval, .. } => format!("the approval `{approval}`"),
        };
        CliError::usage(format!("{what} by {} is refused: {why}", self.role))
    }
}

/// The one gate with a step that waits for the approval: its item and itself.
fn step_of<'a>(seen: &'a Seen, approval: &str, item: Option<&str>) -> Result<(&'a str, &'a str)> {
    let mut names = Vec::new();
    let mut found = Vec::new();
    for planned in &seen.plan.items {
        for gate in &planned.gates {
            let GateKind::Canary(spec) = gate.kind_for(seen.rehearsal) else {
                continue;
            };
            names.extend(spec.at.values().filter_map(|step| step.approval.clone()));
            if spec.approved_step(approval).is_some() && item.is_none_or(|item| item == planned.id) {
                found.push((planned.id.as_str(), gate.id.as_str()));
            }
        }
    }
    match found[..] {
        [one] => Ok(one),
        [] => Err(
            CliError::usage(format!("no step of the plan waits for the approval `{approval}`")).hint(
                if names.is_empty() {
                    "the plan asks for no approvals".to_owned()
                } else {
                    format!("those it asks for: {}", names.join(", "))
                },
            ),
        ),
        [(first, _), ..] => Err(CliError::usage(format!(
            "more than one canary waits for the approval `{approval}`"
        ))
        .hint(format!("name the item with --item, e.g. --item {first}"))),
    }
}

/// Posts the envelope to the launch that runs. `Err(None)`: none says that it runs.
async fn sign_with_running(
    signer: &Signer<'_>,
    layout: &Layout,
) -> std::result::Result<SignOffAccepted, Option<CliError>> {
    let text = std::fs::read_to_string(layout.control()).map_err(|_| None)?;
    let control: Control = serde_json::from_str(&text).map_err(|_| None)?;
    // What the signer vouches for is read and proved by the signer, not told by the launch.
    let verified = tminus_record::verify(&layout.record(), None).map_err(|faults| {
        let told = faults.first().map(ToString::to_string).unwrap_or_default();
        Some(
            CliError::new(
                Kind::Record,
                format!("the record was changing while it was read: {told}"),
            )
            .hint("try again in a moment"),
        )
    })?;
    let seen = seen_of(&verified).map_err(Some)?;
    let envelope = signer.envelope(&seen).map_err(Some)?;
    let client = crate::gates::http::client().map_err(|e| Some(CliError::new(Kind::Environment, e.why)))?;
    let answer = client
        .post(format!("{}api/sign-offs", control.url))
        .header("content-type", "application/json")
        .body(envelope)
        .timeout(SIGN_OFF_ANSWER_MAX)
        .send()
        .await
        .map_err(|e| {
            let why = crate::gates::http::words(&e);
            Some(CliError::new(
                Kind::Environment,
                format!("the running launch (pid {}) does not answer: {why}", control.pid),
            ))
        })?;
    let status = answer.status();
    let text = answer.text().await.unwrap_or_default();
    if status.is_success() {
        return serde_json::from_str(&text).map_err(|e| {
            Some(CliError::new(
                Kind::Environment,
                format!("the launch's answer cannot be read: {e}"),
            ))
        });
    }
    let why = serde_json::from_str::<serde_json::Value>(&text)
        .ok()
        .and_then(|v| v.get("error").and_then(|e| e.as_str()).map(str::to_owned))
        .unwrap_or(text);
    Err(Some(signer.refused(&why)))
}

/// What a record that someone else writes says now.
fn seen_of(verified: &tminus_record::Verified) -> Result<Seen> {
    let no_launch = |why: String| {
        CliError::new(
            Kind::Record,
            format!("the record does not begin with a launch{why}"),
        )
    };
    let first = verified.entries.first().ok_or_else(|| no_launch(String::new()))?;
    let (fact, subject) =
        crate::engine::book::read_entry(first).map_err(|why| no_launch(format!(": {why}")))?;
    let state = LaunchState::fold([(0, fact)]).map_err(|error| no_launch(format!(": {error}")))?;
    Ok(Seen {
        root_hex: hex::encode(verified.root),
        size: verified.size,
        subject,
        rehearsal: state.rehearsal,
        plan: state.plan,
    })
}
