//! Files with secrets: mode 0600, made when they are not there, never shown.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::keys::{Algorithm, PrivateKey};

use crate::DeliveryError;

const BYTES_MAX: u64 = 16 * 1024;

/// The file's text; `None` when there is no file.
fn read(path: &Path) -> Result<Option<String>, DeliveryError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(DeliveryError::io(path, "cannot open the secret"))?,
    };
    let meta = file
        .metadata()
        .map_err(DeliveryError::io(path, "cannot look at the secret"))?;
    let mode = meta.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(DeliveryError::Readable {
            path: path.to_owned(),
            mode,
        });
    }
    let mut text = String::new();
    let read = file.take(BYTES_MAX).read_to_string(&mut text);
    read.map_err(DeliveryError::io(path, "cannot read the secret"))?;
    Ok(Some(text))
}

fn store_new(path: &Path, text: &str) -> Result<(), DeliveryError> {
    let mut options = OpenOptions::new();
    let options = options.write(true).create_new(true).mode(0o600);
    let mut file = options
        .open(path)
        .map_err(DeliveryError::io(path, "cannot create the secret"))?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.map_err(DeliveryError::io(path, "cannot write the secret"))
}

/// A host key; made from `seed` when there is none.
pub(crate) fn host_key(path: &Path, seed: impl FnOnce() -> [u8; 32]) -> Result<PrivateKey, DeliveryError> {
    let wrong = |what| DeliveryError::Secret {
        path: path.to_owned(),
        what,
    };
    if let Some(text) = read(path)? {
        let key = PrivateKey::from_openssh(&text);
        let key =
            key.map_err(|_| wrong("no private key in OpenSSH's format; ssh-keygen -t ed25519 makes one"))?;
        if key.is_encrypted() || key.algorithm() != Algorithm::Ed25519 {
            return Err(wrong("a host key is Ed25519 and has no passphrase"));
        }
        return Ok(key);
    }
    let key = PrivateKey::from(Ed25519Keypair::from_seed(&seed()));
    let text = key
        .to_openssh(LineEnding::LF)
        .map_err(|_| wrong("the new key cannot be written as text"))?;
    store_new(path, &text)?;
    Ok(key)
}

/// 32 bytes in hexadecimal; made from `seed` when there are none.
pub(crate) fn link_key(path: &Path, seed: impl FnOnce() -> [u8; 32]) -> Result<[u8; 32], DeliveryError> {
    let Some(text) = read(path)? else {
        let key = seed();
        store_new(path, &(hex::encode(key) + "\n"))?;
        return Ok(key);
    };
    let mut key = [0; 32];
    hex::decode_to_slice(text.trim(), &mut key).map_err(|_| DeliveryError::Secret {
        path: path.to_owned(),
        what: "a key of links is 64 hexadecimal digits (openssl rand -hex 32)",
    })?;
    Ok(key)
}

/// Text of one line, for instance a client's secret. It has to be there.
pub(crate) fn line(path: &Path) -> Result<String, DeliveryError> {
    let text = read(path)?
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty());
    text.ok_or_else(|| DeliveryError::Secret {
        path: path.to_owned(),
        what: "this secret has to be there, as one line",
    })
}
