//! Key files: the launch's own key, the roles' public keys, generated keys of a rehearsal.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tminus_record::{SigningKey, VerifyingKey};

use crate::error::{CliError, Kind, Result, from_part};

/// `SEQUENCE { SEQUENCE { OID 1.3.101.112 } BIT STRING` before the 32 bytes of an Ed25519 public key (RFC 8410).
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
const PEM_BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const PEM_END: &str = "-----END PUBLIC KEY-----";

/// 32 bytes of the system's randomness.
pub fn seed() -> [u8; 32] {
    rand::random()
}

/// Loads a private key, or makes it (0600) when there is none.
///
/// # Errors
/// The file cannot be read or written, is no key, or others may read it.
pub fn load_or_create(path: &Path) -> Result<SigningKey> {
    SigningKey::load_or_create(path, seed).map_err(|e| from_part(Kind::Environment, "the key", &e))
}

/// Loads a private key.
///
/// # Errors
/// As [`load_or_create`], and when there is no such file.
pub fn load(path: &Path) -> Result<SigningKey> {
    SigningKey::load(path)
        .map_err(|e| from_part(Kind::Usage, "the key", &e).hint("`tminus keygen FILE` makes a key pair"))
}

/// Makes a key pair: `file` (private, 0600) and `file.pub`; never overwrites one.
///
/// # Errors
/// A file exists already or cannot be written.
pub fn generate(file: &Path) -> Result<(PathBuf, VerifyingKey)> {
    let mut public_file = file.as_os_str().to_owned();
    public_file.push(".pub");
    let public_file = PathBuf::from(public_file);
    if public_file.exists() {
        return Err(
            CliError::usage(format!("{} exists already", public_file.display()))
                .hint("choose another name: a key is never overwritten"),
        );
    }
    let key = SigningKey::from_seed(seed());
    key.store_new(file).map_err(|e| {
        from_part(Kind::Environment, "the key", &e).hint("choose another name: a key is never overwritten")
    })?;
    let public = key.verifying_key();
    std::fs::write(&public_file, public_pem(&public))
        .map_err(|e| CliError::file("write", &public_file, &e))?;
    Ok((public_file, public))
}

/// Writes a private key for its owner alone; never over another one.
///
/// # Errors
/// The file exists or cannot be written.
pub fn write_private(file: &Path, bytes: &[u8]) -> Result<()> {
    use std::io::Write as _;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(file)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .map_err(|e| CliError::file("write", file, &e))
}

/// A file with a secret has no more than this.
const SECRET_BYTES_MAX: u64 = 1024;

/// 32 bytes that only their owner may read, in hexadecimal; made (0600) when there is no such file.
///
/// # Errors
/// The file cannot be read or written, holds something else, or others may read it.
pub fn secret(file: &Path) -> Result<[u8; 32]> {
    if !file.exists() {
        write_private(file, format!("{}\n", hex::encode(seed())).as_bytes())?;
    }
    read_secret(file)
}

/// Such bytes that are there already.
///
/// # Errors
/// As [`secret`], or there is no such file.
pub fn read_secret(file: &Path) -> Result<[u8; 32]> {
    let failed = |what: &str| CliError::new(Kind::Environment, format!("{} {what}", file.display()));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let found = std::fs::metadata(file).map_err(|e| CliError::file("read", file, &e))?;
        if found.permissions().mode() & 0o077 != 0 {
            return Err(failed("can be read by others").hint(format!("chmod 600 {}", file.display())));
        }
    }
    let mut text = String::new();
    std::fs::File::open(file)
        .and_then(|opened| opened.take(SECRET_BYTES_MAX).read_to_string(&mut text))
        .map_err(|e| CliError::file("read", file, &e))?;
    let mut bytes = [0; 32];
    hex::decode_to_slice(text.trim(), &mut bytes)
        .map_err(|_| failed("does not hold 64 hexadecimal digits (32 bytes)"))?;
    Ok(bytes)
}

/// A public key as PEM (SubjectPublicKeyInfo), as `openssl pkey -pubin` reads it.
pub fn public_pem(key: &VerifyingKey) -> String {
    let der = [&SPKI_PREFIX[..], &key.to_bytes()].concat();
    format!("{PEM_BEGIN}\n{}\n{PEM_END}\n", BASE64.encode(der))
}

/// Reads a public key: PEM, or the base64 of its 32 bytes on one line.
///
/// # Errors
/// The file cannot be read or is no Ed25519 public key.
pub fn load_public(path: &Path) -> Result<VerifyingKey> {
    let text = std::fs::read_to_string(path).map_err(|e| CliError::file("read", path, &e))?;
    read_public(&text).ok_or_else(|| {
        let it = CliError::usage(format!("{} is not an Ed25519 public key", path.display()));
        if text.contains("PRIVATE KEY") {
            it.hint("that is a private key: give its public half, the file that ends in .pub")
        } else {
            it.hint("`tminus keygen FILE` makes FILE (private) and FILE.pub (public)")
        }
    })
}

fn read_public(text: &str) -> Option<VerifyingKey> {
    let text = text.trim();
    match text
        .strip_prefix(PEM_BEGIN)
        .and_then(|rest| rest.strip_suffix(PEM_END))
    {
        Some(body) => {
            let body: String = body.split_whitespace().collect();
            let der = BASE64.decode(body).ok()?;
            let bytes: [u8; 32] = der.strip_prefix(&SPKI_PREFIX[..])?.try_into().ok()?;
            VerifyingKey::from_bytes(&bytes).ok()
        }
        None => VerifyingKey::from_base64(text).ok(),
    }
}

/// The private keys of roles that a rehearsal signs with itself; made under `folder` as needed.
///
/// # Errors
/// A key file cannot be read or written.
pub fn rehearsal_roles(folder: &Path, roles: &[&str]) -> Result<BTreeMap<String, SigningKey>> {
    let mut keys = BTreeMap::new();
    for role in roles {
        // A role's name is free text in a plan; a file name is not.
        let safe: String = role
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || "-_".contains(c) {
                    c
                } else {
                    '_'
                }
            })
            .collect();
        let key = load_or_create(&folder.join(format!("role-{safe}.pem")))?;
        keys.insert((*role).to_owned(), key);
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_pair_belongs_together_and_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("qa.pem");
        let (public_file, public) = generate(&file).unwrap();
        assert_eq!(load_public(&public_file).unwrap(), public);
        assert_eq!(load(&file).unwrap().verifying_key(), public);
        let said = generate(&file).unwrap_err().to_string();
        assert!(said.contains("never overwritten"), "{said}");
        std::fs::remove_file(&public_file).unwrap();
        assert!(generate(&file).is_err());
    }

    #[test]
    fn a_secret_is_made_once_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("feedback.key");
        let made = secret(&file).unwrap();
        assert_eq!(secret(&file).unwrap(), made);
        assert_eq!(std::fs::read_to_string(&file).unwrap().trim(), hex::encode(made));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(
                std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
                0o600
            );
            mode(0o640);
            assert!(secret(&file).unwrap_err().to_string().contains("read by others"));
            mode(0o600);
        }
        std::fs::write(&file, "00").unwrap();
        assert!(secret(&file).unwrap_err().to_string().contains("32 bytes"));
    }

    #[test]
    fn a_private_key_given_as_public_is_told_so() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("qa.pem");
        generate(&file).unwrap();
        let said = load_public(&file).unwrap_err().to_string();
        assert!(said.contains("that is a private key"), "{said}");
    }

    #[test]
    fn one_line_of_base64_is_a_public_key_too() {
        let key = SigningKey::from_seed([3; 32]).verifying_key();
        assert_eq!(read_public(&format!("{}\n", key.to_base64())), Some(key));
    }
}
