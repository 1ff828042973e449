//! Which builds the launch was about: what its entries say, and the files that a reader has.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tminus_plan::{ArtifactDigest, Subject};

use super::{Lines, Names};
use crate::ChecklistError;
use crate::entries::Entry;

/// Evidence of one build proves nothing of another: each entry names the artifacts that it speaks of.
pub(super) fn check_subjects(
    entries: &[Entry],
    artifacts: &[ArtifactDigest],
    names: &Names,
    lines: &mut Lines,
) {
    let expected: Vec<Subject> = artifacts
        .iter()
        .map(|artifact| Subject::sha256(&artifact.name, &artifact.sha256))
        .collect();
    let others: Vec<_> = entries
        .iter()
        .filter(|entry| entry.subject != expected)
        .map(|entry| {
            let says = "speaks of other artifacts than those that the launch began with".to_owned();
            (names.entry(entry.index), says)
        })
        .collect();
    if others.is_empty() && !artifacts.is_empty() {
        let list: Vec<String> = artifacts
            .iter()
            .map(|artifact| format!("`{}` sha256:{}", artifact.name, artifact.sha256))
            .collect();
        lines.good(
            &names.record,
            format!(
                "all {} entries speak of the same artifacts: {}",
                entries.len(),
                list.join(", ")
            ),
        );
    }
    lines.bad_each(&names.record, others);
}

/// A file of the reader's, and what the launch calls it.
pub(super) struct Found {
    name: String,
    file: PathBuf,
    sha256: String,
}

/// Reads the files, which may be large.
///
/// # Errors
/// One cannot be read.
pub(super) fn digests(files: &[(String, PathBuf)]) -> Result<Vec<Found>, ChecklistError> {
    files
        .iter()
        .map(|(name, file)| {
            let sha256 = digest(file).map_err(|source| ChecklistError::Io {
                path: file.clone(),
                action: "cannot read the artifact",
                source,
            })?;
            Ok(Found {
                name: name.clone(),
                file: file.clone(),
                sha256,
            })
        })
        .collect()
}

fn digest(file: &Path) -> io::Result<String> {
    let mut digest = Sha256::new();
    io::copy(&mut File::open(file)?, &mut digest)?;
    Ok(hex::encode(digest.finalize()))
}

/// Whether they are what the launch was about.
pub(super) fn check_files(found: &[Found], artifacts: &[ArtifactDigest], names: &Names, lines: &mut Lines) {
    if found.is_empty() && !artifacts.is_empty() {
        lines.good(
            &names.record,
            "no build was compared with these digests: give those that you have with --artifact NAME=FILE",
        );
    }
    for Found { name, file, sha256 } in found {
        let part = file.display().to_string();
        match artifacts.iter().find(|artifact| artifact.name == *name) {
            Some(artifact) if artifact.sha256 == *sha256 => {
                lines.good(&part, format!("is the launch's artifact `{name}`, byte for byte: sha256:{sha256}"));
            }
            Some(artifact) => lines.bad(
                &part,
                format!(
                    "is not the launch's artifact `{name}`: it has sha256:{sha256}, the launch was about sha256:{}",
                    artifact.sha256
                ),
            ),
            None => {
                let known: Vec<&str> = artifacts.iter().map(|artifact| artifact.name.as_str()).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                lines.bad(&part, format!("the launch has no artifact `{name}`; its artifacts: {known}"));
            }
        }
    }
}
