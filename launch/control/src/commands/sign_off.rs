//! `tminus sign-off`: a person signs an item, in a launch that runs or between its runs.

use std::time::Duration;

use serde_json::json;
use tminus_plan::Fact;

use crate::cli::SignOff;
use crate::dashboard::SignOffAccepted;
use crate::engine::book::Book;
use crate::engine::sign_offs;
use crate::engine::sign_offs::Signing;
use crate::error::{CliError, Exit, Kind, Result};
use crate::layout::Layout;
use crate::session::Control;
use crate::wall::{SystemWall, Wall as _};
use crate::{keys, session};

const SIGN_OFF_ANSWER_MAX: Duration = Duration::from_secs(10);

pub(super) async fn run(args: SignOff) -> Result<Exit> {
    let key = keys::load(&args.key)?;
    let layout = Layout::new(&args.out);
    if !layout.has_record() {
        return Err(
            CliError::usage(format!("{} holds no launch", layout.out.display()))
                .hint("give --out the folder that `tminus launch` was given"),
        );
    }
    let accepted = match session::open_book(&layout) {
        Ok(mut book) => {
            let envelope = signed_now(&args, &key, &Seen::of(&book))?;
            sign_offs::accept(&mut book, &envelope)?.map_err(|why| refused(&args, &why))?
        }
        // The lock is held: a launch runs and owns the record, so it takes the envelope.
        Err(locked) => sign_with_running(&args, &key, &layout)
            .await
            .map_err(|e| e.unwrap_or(locked))?,
    };
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

/// The record as the signer sees it.
struct Seen {
    root_hex: String,
    size: u64,
    subject: Vec<tminus_plan::Subject>,
}

impl Seen {
    fn of(book: &Book) -> Self {
        Self {
            root_hex: book.root_hex(),
            size: book.size(),
            subject: book.subject().to_vec(),
        }
    }
}

fn signed_now(args: &SignOff, key: &tminus_record::SigningKey, seen: &Seen) -> Result<Vec<u8>> {
    let what = Signing {
        item: &args.item,
        role: &args.role,
        statement: &args.statement,
        at_ms: SystemWall.now_ms(),
        record_root_hex: seen.root_hex.clone(),
        record_size: seen.size,
    };
    Ok(sign_offs::envelope(what, &seen.subject, key)?.to_bytes())
}

fn refused(args: &SignOff, why: &str) -> CliError {
    CliError::usage(format!(
        "the sign-off of `{}` by {} is refused: {why}",
        args.item, args.role
    ))
}

/// Posts the envelope to the launch that runs. `Err(None)`: none says that it runs.
async fn sign_with_running(
    args: &SignOff,
    key: &tminus_record::SigningKey,
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
    let mut subject = Vec::new();
    if let Some(first) = verified.entries.first() {
        match crate::engine::book::read_entry(first) {
            Ok((Fact::LaunchStarted { .. }, about)) => subject = about,
            _ => {
                return Err(Some(CliError::new(
                    Kind::Record,
                    "the record does not begin with a launch",
                )));
            }
        }
    }
    let seen = Seen {
        root_hex: hex::encode(verified.root),
        size: verified.size,
        subject,
    };
    let envelope = signed_now(args, key, &seen).map_err(Some)?;
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
    Err(Some(refused(args, &why)))
}
