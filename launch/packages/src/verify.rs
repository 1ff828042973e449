//! Checking a package, offline.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tminus_record::VerifyingKey;
use tminus_record::dsse::Envelope;

use crate::manifest::PREDICATE;
use crate::{DISCLOSURE_FILE, Disclosure, MANIFEST_FILE, Manifest, SHOWN_FILE};

/// What was checked, and how it came out.
#[derive(Debug, Clone, Serialize)]
pub struct PackageReport {
    pub ok: bool,
    pub lines: Vec<PackageLine>,
    /// None when it cannot be read or is not signed by the key.
    pub manifest: Option<Manifest>,
}

/// One claim about one file.
#[derive(Debug, Clone, Serialize)]
pub struct PackageLine {
    pub part: String,
    pub ok: bool,
    pub says: String,
}

#[derive(Deserialize)]
struct Statement {
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: Manifest,
}

/// Checks the files of a package against its manifest, and the manifest against the launch's public key.
#[must_use]
pub fn verify_package(files: &BTreeMap<String, Vec<u8>>, key: &VerifyingKey) -> PackageReport {
    let mut lines = Vec::new();
    let manifest = match manifest(files, key) {
        Ok(manifest) => manifest,
        Err(why) => {
            lines.push(line(MANIFEST_FILE, Err(why)));
            return report(lines, None);
        }
    };
    lines.push(line(
        MANIFEST_FILE,
        Ok(format!(
            "package `{}` of launch {}, signed with the launch key {}",
            manifest.package,
            manifest.launch.launch_id,
            key.key_id()
        )),
    ));
    for named in &manifest.files {
        let found = match files.get(&named.path) {
            None => Err("is missing".to_owned()),
            Some(bytes) if hex::encode(Sha256::digest(bytes)) != named.sha256 => {
                Err("was altered".to_owned())
            }
            Some(_) => Ok(format!("is as it was signed: SHA-256 {}", named.sha256)),
        };
        lines.push(line(&named.path, found));
    }
    for path in files.keys() {
        if path != MANIFEST_FILE && !manifest.files.iter().any(|named| named.path == *path) {
            lines.push(line(path, Err("is not of this package".to_owned())));
        }
    }
    if manifest.files.iter().any(|named| named.path == DISCLOSURE_FILE) {
        lines.push(line(DISCLOSURE_FILE, disclosed(files, &manifest)));
    }
    for left in &manifest.not_checked {
        lines.push(line(&left.what, Ok(format!("not checked: {}", left.why))));
    }
    for (path, how) in &manifest.tested {
        lines.push(line(path, Ok(how.clone())));
    }
    report(lines, Some(manifest))
}

fn manifest(files: &BTreeMap<String, Vec<u8>>, key: &VerifyingKey) -> Result<Manifest, String> {
    let bytes = files.get(MANIFEST_FILE).ok_or("is missing: this is no package")?;
    let envelope = Envelope::from_bytes(bytes).map_err(|e| e.to_string())?;
    envelope
        .verify(key)
        .map_err(|e| format!("is not signed with the launch key: {e}"))?;
    let statement: Statement =
        serde_json::from_slice(&envelope.payload).map_err(|e| format!("cannot be read: {e}"))?;
    if statement.predicate_type != PREDICATE {
        return Err(format!("is a `{}`", statement.predicate_type));
    }
    Ok(statement.predicate)
}

fn disclosed(files: &BTreeMap<String, Vec<u8>>, manifest: &Manifest) -> Result<String, String> {
    let disclosure = files.get(DISCLOSURE_FILE).ok_or("is missing")?;
    let disclosure: Disclosure =
        serde_json::from_slice(disclosure).map_err(|e| format!("cannot be read: {e}"))?;
    let shown = files
        .get(SHOWN_FILE)
        .ok_or_else(|| format!("{SHOWN_FILE} is missing: what is shown cannot be compared"))?;
    let shown: Value = serde_json::from_slice(shown).map_err(|e| format!("{SHOWN_FILE}: {e}"))?;
    disclosure.verify(&manifest.disclosure_root, &shown)?;
    let (shown, left_out) = disclosure.counts();
    Ok(format!(
        "all that is shown is in the full document, unchanged: {shown} values shown, {left_out} left out, whose hashes are \
         here; it does not say what they are"
    ))
}

fn line(part: &str, found: Result<String, String>) -> PackageLine {
    let ok = found.is_ok();
    let (Ok(says) | Err(says)) = found;
    PackageLine {
        part: part.to_owned(),
        ok,
        says,
    }
}

fn report(lines: Vec<PackageLine>, manifest: Option<Manifest>) -> PackageReport {
    PackageReport {
        ok: lines.iter().all(|line| line.ok),
        lines,
        manifest,
    }
}
