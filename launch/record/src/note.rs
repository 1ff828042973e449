//! Signed notes (c2sp.org/signed-note) and the checkpoint in one (c2sp.org/tlog-checkpoint). Pure.
//!
//! Stricter than the specification where it allows choice: exactly one signature, no extension
//! lines, no other spelling of any number or base64.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use sha2::{Digest, Sha256};

use crate::merkle::Hash;
use crate::{MAX_ENTRIES, SigningKey, VerifyingKey};

/// Signature algorithm number of ed25519 in verifier keys.
const ED25519: u8 = 1;

/// A record's state, as its owner signs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The name of the record, such as `starvault/2026-11-22T10:00Z`; also the name of its key.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// RFC 6962 root hash of all entries.
    pub root: Hash,
}

/// Why a note or a verifier key is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    #[error("not a signed checkpoint: {0}")]
    Malformed(&'static str),
    #[error("the checkpoint was signed with another key than {key_id}")]
    OtherKey { key_id: String },
    #[error("the signature does not fit the checkpoint")]
    WrongSignature,
    #[error("not a verifier key: {0}")]
    NotAKey(&'static str),
}

/// Whether a name may stand in a note: not empty, printable, no space, no plus sign, at most 200 bytes.
pub fn check_origin(origin: &str) -> Result<(), &'static str> {
    if origin.is_empty() {
        return Err("it is empty");
    }
    if origin.len() > 200 {
        return Err("it is longer than 200 bytes");
    }
    if origin.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+') {
        return Err("it contains a space, a control character or a plus sign");
    }
    Ok(())
}

impl Checkpoint {
    /// The signed note.
    pub fn sign(&self, key: &SigningKey) -> String {
        let text = format!("{}\n{}\n{}\n", self.origin, self.size, BASE64.encode(self.root));
        let mut signature = key_hash(&self.origin, &key.verifying_key()).to_vec();
        signature.extend_from_slice(&key.sign(text.as_bytes()));
        format!("{text}\n\u{2014} {} {}\n", self.origin, BASE64.encode(signature))
    }

    /// Reads a note that `key` signed under the checkpoint's own origin.
    pub fn open(note: &[u8], key: &VerifyingKey) -> Result<Self, NoteError> {
        use NoteError::Malformed;
        let note = std::str::from_utf8(note).map_err(|_| Malformed("not UTF-8"))?;
        let mut lines = note.split('\n');
        let mut line = || lines.next().ok_or(Malformed("it ends early"));
        let (origin, size, root, blank, signature, end) =
            (line()?, line()?, line()?, line()?, line()?, line()?);
        if !end.is_empty() || lines.next().is_some() {
            return Err(Malformed("bytes follow the signature"));
        }
        check_origin(origin).map_err(Malformed)?;
        if !blank.is_empty() {
            return Err(Malformed("no blank line before the signature"));
        }
        let number: u64 = size.parse().map_err(|_| Malformed("the size is not a number"))?;
        if number.to_string() != size {
            return Err(Malformed("the size is not in its shortest form"));
        }
        if number > MAX_ENTRIES {
            return Err(Malformed("the size is beyond what a record may hold"));
        }
        let root: Hash = BASE64
            .decode(root)
            .ok()
            .and_then(|r| r.try_into().ok())
            .ok_or(Malformed("the root is not base64 of 32 bytes"))?;
        let signature = signature
            .strip_prefix("\u{2014} ")
            .and_then(|s| s.strip_prefix(origin))
            .and_then(|s| s.strip_prefix(' '))
            .ok_or(Malformed("no signature in the name of the origin"))?;
        let signature = BASE64
            .decode(signature)
            .map_err(|_| Malformed("the signature is not base64"))?;
        let (hash, signature) = signature
            .split_first_chunk::<4>()
            .ok_or(Malformed("the signature is too short"))?;
        if *hash != key_hash(origin, key) {
            return Err(NoteError::OtherKey { key_id: key.key_id() });
        }
        let text = format!("{origin}\n{size}\n{}\n", BASE64.encode(root));
        if !key.verify(text.as_bytes(), signature) {
            return Err(NoteError::WrongSignature);
        }
        Ok(Self {
            origin: origin.to_owned(),
            size: number,
            root,
        })
    }
}

/// The verifier key line `origin+hash+base64(0x01 ‖ key)`, without the line's end.
pub fn verifier_line(origin: &str, key: &VerifyingKey) -> String {
    let mut bytes = vec![ED25519];
    bytes.extend_from_slice(&key.to_bytes());
    format!(
        "{origin}+{}+{}",
        hex::encode(key_hash(origin, key)),
        BASE64.encode(bytes)
    )
}

/// Reads what [`verifier_line`] writes: the origin and the key.
pub fn parse_verifier_line(line: &str) -> Result<(String, VerifyingKey), NoteError> {
    use NoteError::NotAKey;
    let (origin, rest) = line.split_once('+').ok_or(NotAKey("no + in it"))?;
    check_origin(origin).map_err(NotAKey)?;
    let (hash, key) = rest.split_once('+').ok_or(NotAKey("only one + in it"))?;
    let bytes = BASE64.decode(key).map_err(|_| NotAKey("the key is not base64"))?;
    let Some((&ED25519, bytes)) = bytes.split_first() else {
        return Err(NotAKey("the algorithm is not ed25519"));
    };
    let bytes: [u8; 32] = bytes
        .try_into()
        .map_err(|_| NotAKey("the key has not 32 bytes"))?;
    let key = VerifyingKey::from_bytes(&bytes).map_err(|_| NotAKey("not a point of the curve"))?;
    if hash != hex::encode(key_hash(origin, &key)) {
        return Err(NotAKey("its hash does not fit name and key"));
    }
    Ok((origin.to_owned(), key))
}

/// First four bytes of SHA-256(name ‖ "\n" ‖ 0x01 ‖ key).
fn key_hash(name: &str, key: &VerifyingKey) -> [u8; 4] {
    let digest: Hash = Sha256::new()
        .chain_update(name)
        .chain_update(b"\n")
        .chain_update([ED25519])
        .chain_update(key.to_bytes())
        .finalize()
        .into();
    [digest[0], digest[1], digest[2], digest[3]]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> (Checkpoint, SigningKey) {
        let checkpoint = Checkpoint {
            origin: "example.com/log".into(),
            size: 7,
            root: [9; 32],
        };
        (checkpoint, SigningKey::from_seed([3; 32]))
    }

    #[test]
    fn the_key_line_of_the_go_implementation_is_read() {
        // golang.org/x/mod/sumdb/note's documented example key.
        let line = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let (name, key) = parse_verifier_line(line).unwrap();
        assert_eq!(name, "PeterNeumann");
        assert_eq!(verifier_line(&name, &key), line);
    }

    #[test]
    fn a_note_opens_under_its_key_only() {
        let (checkpoint, key) = checkpoint();
        let note = checkpoint.sign(&key);
        assert_eq!(
            Checkpoint::open(note.as_bytes(), &key.verifying_key()),
            Ok(checkpoint)
        );
        let other = SigningKey::from_seed([4; 32]).verifying_key();
        assert!(matches!(
            Checkpoint::open(note.as_bytes(), &other),
            Err(NoteError::OtherKey { .. })
        ));
    }

    #[test]
    fn every_flipped_bit_cut_or_added_byte_of_a_note_is_refused() {
        let (checkpoint, key) = checkpoint();
        let note = checkpoint.sign(&key).into_bytes();
        let key = key.verifying_key();
        for at in 0..note.len() {
            for bit in 0..8 {
                let mut other = note.clone();
                other[at] ^= 1 << bit;
                assert!(Checkpoint::open(&other, &key).is_err(), "byte {at} bit {bit}");
            }
            assert!(Checkpoint::open(&note[..at], &key).is_err(), "cut at {at}");
        }
        for more in ["\n", " ", "\u{2014} x AAAA\n"] {
            let mut other = note.clone();
            other.extend_from_slice(more.as_bytes());
            assert!(Checkpoint::open(&other, &key).is_err(), "{more:?}");
        }
    }

    #[test]
    fn every_flipped_bit_of_a_key_line_is_refused() {
        let (checkpoint, key) = checkpoint();
        let line = verifier_line(&checkpoint.origin, &key.verifying_key()).into_bytes();
        for at in 0..line.len() {
            for bit in 0..8 {
                let mut other = line.clone();
                other[at] ^= 1 << bit;
                let read = std::str::from_utf8(&other)
                    .ok()
                    .and_then(|l| parse_verifier_line(l).ok());
                assert_eq!(read, None, "byte {at} bit {bit}");
            }
        }
    }
}
