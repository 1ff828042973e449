//! `tminus team publish`, `compare` and `watch`.

use std::io::Read as _;
use std::path::Path;

use serde_json::json;
use sha2::{Digest as _, Sha256};
use tminus_checklist::Overall;
use tminus_plan::{Fact, LaunchState};

use super::verify::{record_of, trusted_key};
use crate::cli::{TeamCommand, TeamCompare, TeamPublish, TeamWatch};
use crate::error::{CliError, Exit, Kind, Result, from_part};
use crate::keys;
use crate::team::{self, Published, Watched};
use crate::wall::{SystemWall, Wall as _};

const PDF_BYTES_MAX: u64 = 512 * 1024 * 1024;

pub(super) fn run(command: &TeamCommand) -> Result<Exit> {
    match command {
        TeamCommand::Publish(args) => publish(args),
        TeamCommand::Compare(args) => compare(args),
        TeamCommand::Watch(args) => watch(args),
    }
}

fn publish(args: &TeamPublish) -> Result<Exit> {
    let record = record_of(&args.file, args.record.as_ref());
    let report = tminus_checklist::verify(&args.file, &record, None)
        .map_err(|e| from_part(Kind::Checklist, "cannot verify what is to be published", &e))?;
    let verdict = match (report.ok, report.verdict) {
        (true, Some(Overall::Complete)) => "complete",
        (true, Some(Overall::Incomplete)) => "incomplete",
        (true, Some(Overall::Failed)) => "failed",
        _ => {
            return Err(
                CliError::new(Kind::Checklist, "only a checklist that verifies is published")
                    .hint("`tminus verify` says what is wrong"),
            );
        }
    };
    let published = published(&record, verdict)?;
    let key = keys::load(&args.key)?;
    let (entry, is_new) = team::publish(&args.team, &args.name, &key, &published)?;
    if args.json {
        println!(
            "{}",
            json!({ "ok": true, "entry": entry, "new": is_new, "published": published })
        );
    } else if is_new {
        println!("{} is entry {entry} of the team's record", published.launch_id);
    } else {
        println!(
            "{} was entry {entry} of the team's record already",
            published.launch_id
        );
    }
    Ok(Exit::Ok)
}

/// What a verified launch record says of its checklist.
fn published(record: &Path, verdict: &str) -> Result<Published> {
    let unreadable = |why: String| CliError::new(Kind::Record, why);
    let verified = tminus_record::verify(record, None)
        .map_err(|faults| unreadable(faults.first().map(ToString::to_string).unwrap_or_default()))?;
    let mut facts = Vec::new();
    for (index, entry) in (0_u64..).zip(&verified.entries) {
        let (fact, _) = crate::engine::book::read_entry(entry).map_err(unreadable)?;
        facts.push((index, fact));
    }
    let Some((_, Fact::ChecklistIssued { sha256, bytes, .. })) = facts.last().cloned() else {
        return Err(unreadable("the launch has not ended".to_owned()));
    };
    let state = LaunchState::fold(facts).map_err(|e| unreadable(e.to_string()))?;
    Ok(Published {
        launch_id: state.launch_id,
        product: state.plan.name,
        version: state.plan.version,
        verdict: verdict.to_owned(),
        sha256,
        bytes,
        record_origin: verified.origin,
        record_size: verified.size,
        record_root: hex::encode(verified.root),
        launch_key_id: verified.key.key_id(),
        at_ms: SystemWall.now_ms(),
    })
}

fn compare(args: &TeamCompare) -> Result<Exit> {
    let key = args.key.as_deref().map(trusted_key).transpose()?;
    let digests = [issued_digest(&args.first)?, issued_digest(&args.second)?];
    let found = team::compare(&args.team, key.as_ref(), [&digests[0], &digests[1]])?;
    if args.json {
        println!("{}", json!({ "ok": true, "compared": found }));
    } else {
        for (which, entry) in [("earlier", &found.earlier), ("later  ", &found.later)] {
            let it = &entry.published;
            println!(
                "{which}  entry {}  {} {} {}  {}  SHA-256 {}",
                entry.index, it.launch_id, it.product, it.version, it.verdict, it.sha256
            );
        }
        println!(
            "the log with the later one continues the log with the earlier one: {} hashes prove it (--json shows them)",
            found.consistency.len()
        );
    }
    Ok(Exit::Ok)
}

/// SHA-256 of a checklist as it was issued: of the file up to its first seal.
fn issued_digest(file: &Path) -> Result<String> {
    let mut pdf = Vec::new();
    std::fs::File::open(file)
        .and_then(|opened| opened.take(PDF_BYTES_MAX).read_to_end(&mut pdf))
        .map_err(|e| CliError::file("read", file, &e))?;
    let seals = tminus_seal::verify_seals(&pdf, &tminus_seal::Roots::default())
        .map_err(|why| CliError::new(Kind::Checklist, format!("{}: {why}", file.display())))?;
    let issued = pdf.get(..seals.sealed_bytes).unwrap_or(&pdf);
    Ok(hex::encode(Sha256::digest(issued)))
}

fn watch(args: &TeamWatch) -> Result<Exit> {
    let key = args.key.as_deref().map(trusted_key).transpose()?;
    let found = team::watch(&args.team, &args.seen, key.as_ref())?;
    let (ok, says) = match &found {
        Watched::First { size } => (true, format!("seen for the first time: {size} entries")),
        Watched::Continues { seen, size } => (
            true,
            format!("continues what was seen: {seen} entries, now {size}"),
        ),
        Watched::Removed { seen, size } => (
            false,
            format!("entries were REMOVED: {seen} were seen, {size} are there"),
        ),
        Watched::Forked { seen, size } => (
            false,
            format!(
                "the log has FORKED: the {seen} entries that were seen are not the first {seen} of the {size} that are there"
            ),
        ),
        Watched::Another { why } => (false, format!("ANOTHER log: {why}")),
        Watched::Damaged { why } => (false, why.clone()),
    };
    if args.json {
        println!("{}", json!({ "ok": ok, "watched": found, "says": says }));
    } else {
        println!("{}  {says}", args.team.display());
    }
    Ok(if ok { Exit::Ok } else { Exit::CheckFailed })
}
