//! The signing key's file: made once with access for its owner alone, then shared by every process
//! that serves these players. Its content is never logged.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use ed25519_dalek::{
    SigningKey,
    pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, spki::der::pem::LineEnding},
};

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("cannot {what} the signing key {}: {source}; check the folder and its permissions", path.display())]
    Io {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{} holds no Ed25519 key in PKCS#8 PEM; give another path, or remove the file to have one made", path.display())]
    NotAKey { path: PathBuf },
    #[error("a key that was just made cannot be written as PEM")]
    Encode,
}

/// The key at `path`, made if there is none. Of several processes that start at once one makes
/// it, and all of them use that one.
///
/// # Errors
/// The file cannot be made or read, or holds something else.
pub fn load_or_create(path: &Path, seed: impl FnOnce() -> [u8; 32]) -> Result<SigningKey, KeyError> {
    let io_error = |what| {
        move |source| KeyError::Io {
            what,
            path: path.to_owned(),
            source,
        }
    };
    match fs::read_to_string(path) {
        Ok(pem) => return parse(path, &pem),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create(path, &SigningKey::from_bytes(&seed()))?;
        }
        Err(error) => return Err(io_error("read")(error)),
    }
    // Whoever was first: the file is complete from the moment it has its name.
    let pem = fs::read_to_string(path).map_err(io_error("read"))?;
    parse(path, &pem)
}

fn parse(path: &Path, pem: &str) -> Result<SigningKey, KeyError> {
    if let Ok(metadata) = fs::metadata(path)
        && metadata.permissions().mode() & 0o077 != 0
    {
        tracing::warn!(path = %path.display(), "others may read the signing key; chmod 600 it");
    }
    SigningKey::from_pkcs8_pem(pem).map_err(|_| KeyError::NotAKey {
        path: path.to_owned(),
    })
}

/// Writes under a name of our own, then links it to `path`: a link never replaces what is there.
fn create(path: &Path, key: &SigningKey) -> Result<(), KeyError> {
    let io_error = |source| KeyError::Io {
        what: "make",
        path: path.to_owned(),
        source,
    };
    let pem = key.to_pkcs8_pem(LineEnding::LF).map_err(|_| KeyError::Encode)?;
    let own = path.with_extension(format!("{}.new", uuid::Uuid::new_v4().simple()));
    let write = || {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&own)?;
        file.write_all(pem.as_bytes())?;
        file.sync_all()?;
        match fs::hard_link(&own, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    };
    let written = write();
    let removed = fs::remove_file(&own);
    written.map_err(io_error)?;
    removed.map_err(io_error)?;
    let folder = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(io_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_that_race_agree_on_one_private_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        let threads: Vec<_> = (0..16u8)
            .map(|seed| {
                let path = path.clone();
                std::thread::spawn(move || load_or_create(&path, || [seed; 32]).unwrap().to_bytes())
            })
            .collect();
        let keys: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert!(keys.iter().all(|key| *key == keys[0]));
        assert_eq!(
            load_or_create(&path, || panic!("it exists")).unwrap().to_bytes(),
            keys[0]
        );
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "nothing is left beside it"
        );
    }

    #[test]
    fn a_file_that_is_no_key_is_refused_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        fs::write(&path, "not a key").unwrap();
        assert!(matches!(
            load_or_create(&path, || [0; 32]),
            Err(KeyError::NotAKey { .. })
        ));
        assert_eq!(fs::read_to_string(&path).unwrap(), "not a key");
    }
}
