//! A package: files, and a manifest that is signed with the launch key.

use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};

use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tminus_record::SigningKey;
use tminus_record::dsse::{Envelope, IN_TOTO};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::MANIFEST_FILE;

/// The in-toto predicate of a manifest.
pub(crate) const PREDICATE: &str = "urn:tminus:package:v1";
const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// A name of a file in a package: its parts are of these characters, and none begins with a dot.
const NAME_CHARS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
const NAME_BYTES_MAX: usize = 200;

/// Which launch a package is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaunchRef {
    pub launch_id: String,
    pub product: String,
    pub version: String,
    pub record_origin: String,
    /// Entries of the record, its last one being the issue of the checklist, and their Merkle root.
    pub record_size: u64,
    pub record_root: String,
}

/// Something that a reader might look for and does not get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotChecked {
    pub what: String,
    pub why: String,
}

/// What the launch key signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// `ops`, `security`, `customer`
    pub package: String,
    pub launch: LaunchRef,
    /// Root of the disclosure tree over the full document.
    pub disclosure_root: String,
    pub not_checked: Vec<NotChecked>,
    /// What was done with a file beside making it, e.g. that a script was run; by file.
    pub tested: BTreeMap<String, String>,
    pub files: Vec<FileRef>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRef {
    pub path: String,
    pub bytes: u64,
    /// Lower-case hexadecimal.
    pub sha256: String,
}

/// A package before it is signed.
#[derive(Debug, Clone)]
pub struct Package {
    pub name: String,
    pub launch: LaunchRef,
    pub disclosure_root: String,
    pub not_checked: Vec<NotChecked>,
    pub tested: BTreeMap<String, String>,
    /// Path, with `/` between folders, to content.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// Why a package cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    #[error(
        "`{name}` is no name for a file of a package: parts of a-z, A-Z, 0-9, `-`, `_` and `.` with `/` between them"
    )]
    Name { name: String },
    #[error("the manifest cannot be written: {0}")]
    Manifest(#[from] serde_json::Error),
    #[error("the ZIP cannot be written: {0}")]
    Zip(#[from] zip::result::ZipError),
    #[error("the ZIP cannot be written: {0}")]
    Write(#[from] std::io::Error),
}

impl Package {
    /// All its files, the signed manifest among them.
    ///
    /// # Errors
    /// A name that could leave the folder it is unpacked in.
    pub fn signed(&self, key: &SigningKey) -> Result<BTreeMap<String, Vec<u8>>, PackageError> {
        for name in self.files.keys() {
            if !is_name(name) || name == MANIFEST_FILE {
                return Err(PackageError::Name { name: name.clone() });
            }
        }
        let files: Vec<FileRef> = self
            .files
            .iter()
            .map(|(path, bytes)| FileRef {
                path: path.clone(),
                bytes: bytes.len() as u64,
                sha256: hex::encode(Sha256::digest(bytes)),
            })
            .collect();
        let subject: Vec<_> = files
            .iter()
            .map(|file| json!({ "name": file.path, "digest": { "sha256": file.sha256 } }))
            .collect();
        let manifest = Manifest {
            package: self.name.clone(),
            launch: self.launch.clone(),
            disclosure_root: self.disclosure_root.clone(),
            not_checked: self.not_checked.clone(),
            tested: self.tested.clone(),
            files,
        };
        let statement = serde_json::to_vec(&json!({
            "_type": STATEMENT, "subject": subject, "predicateType": PREDICATE, "predicate": manifest,
        }))?;
        let mut all = self.files.clone();
        all.insert(
            MANIFEST_FILE.to_owned(),
            Envelope::sign(IN_TOTO, statement, key).to_bytes(),
        );
        Ok(all)
    }

    /// The package as a ZIP; equal files give equal bytes.
    ///
    /// # Errors
    /// As [`Package::signed`].
    pub fn zip(&self, key: &SigningKey) -> Result<Vec<u8>, PackageError> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in self.signed(key)? {
            let mode = if name.ends_with(".sh") { 0o755 } else { 0o644 };
            let options = SimpleFileOptions::default()
                .compression_method(CompressionMethod::Deflated)
                // The earliest that a ZIP has: the files' own times are nobody's business.
                .last_modified_time(DateTime::default())
                .unix_permissions(mode);
            zip.start_file(name, options)?;
            zip.write_all(&bytes)?;
        }
        Ok(zip.finish()?.into_inner())
    }
}

/// Whether a name stays in the folder that it is unpacked in, on every system.
pub(crate) fn is_name(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX
        && name.split('/').all(|part| {
            !part.is_empty() && !part.starts_with('.') && part.bytes().all(|byte| NAME_CHARS.contains(&byte))
        })
}
