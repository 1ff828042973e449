//! `tminus verify`: a checklist against its record, offline.

use std::path::{Path, PathBuf};

use tminus_checklist::Reader;
use tminus_record::VerifyingKey;

use crate::cli::Verify;
use crate::console::{Console, claim};
use crate::error::{CliError, Exit, Kind, Result, from_part};

pub(super) fn run(args: &Verify) -> Result<Exit> {
    let record = record_of(&args.file, args.record.as_ref());
    let roots = args.roots.as_deref().map(super::seal::roots).transpose()?;
    let artifacts = args.artifacts.iter();
    let reader = Reader {
        key: args.key.as_deref().map(trusted_key).transpose()?,
        roots: roots.unwrap_or_default(),
        artifacts: artifacts
            .map(|(name, file)| (name.clone(), PathBuf::from(file)))
            .collect(),
    };
    let report = tminus_checklist::verify_with(&args.file, &record, &reader).map_err(|e| {
        from_part(Kind::Checklist, "cannot verify", &e)
            .hint("give the PDF, and with --record the folder of its launch record")
    })?;
    if args.json {
        println!("{}", serde_json::to_string(&report).unwrap_or_default());
    } else {
        let console = Console::new();
        for line in &report.lines {
            claim(&console, line.ok, &line.part, &line.says);
        }
        let faults = report.lines.iter().filter(|line| !line.ok).count();
        if reader.key.is_none() && report.ok {
            println!("  the launch key is the record's own; give --key to check whose launch it was");
        }
        println!();
        println!(
            "{}",
            if report.ok {
                "verified: every tick stands on evidence".to_owned()
            } else {
                format!("NOT verified: {faults} faults")
            }
        );
    }
    Ok(if report.ok { Exit::Ok } else { Exit::CheckFailed })
}

/// The record that was named, or the one beside the file.
pub(super) fn record_of(file: &Path, named: Option<&PathBuf>) -> PathBuf {
    named.cloned().unwrap_or_else(|| {
        file.parent()
            .map_or_else(|| PathBuf::from("record"), |folder| folder.join("record"))
    })
}

/// A verifier key line `origin+hash+key`, as in `record/key.vkey`, or the base64 of the key.
pub(super) fn trusted_key(text: &str) -> Result<VerifyingKey> {
    let bad = || {
        CliError::usage("--key is not a verifier key")
            .hint("give the one line of the launch's record/key.vkey")
    };
    if let Ok((_, key)) = tminus_record::note::parse_verifier_line(text.trim()) {
        return Ok(key);
    }
    VerifyingKey::from_base64(text.trim()).map_err(|_| bad())
}
