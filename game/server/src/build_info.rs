//! What runs here: package version, commit and the digest of the executable.

use std::{fs::File, io};

use sha2::{Digest as _, Sha256};

use crate::error::StartError;

/// The git commit that this was built from, `unknown` outside a checkout.
pub const COMMIT: &str = match option_env!("STARVAULT_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// SHA-256 of the running executable, in lower-case hexadecimal. Read through `/proc`, so that it
/// is the file that runs even if another one has taken its name since. Blocks.
///
/// # Errors
/// The executable cannot be read.
pub fn executable_sha256() -> Result<String, StartError> {
    let path = std::path::PathBuf::from("/proc/self/exe");
    let path = if path.exists() {
        path
    } else {
        std::env::current_exe().unwrap_or(path)
    };
    let hash = || -> io::Result<String> {
        let mut hasher = Sha256::new();
        io::copy(&mut File::open(&path)?, &mut hasher)?;
        Ok(hex::encode(hasher.finalize()))
    };
    hash().map_err(|source| StartError::Executable {
        path: path.clone(),
        source,
    })
}
