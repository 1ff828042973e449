//! DSSE envelopes (<https://github.com/secure-systems-lab/dsse>, protocol 1.0.2) in one canonical
//! byte form: compact JSON, fields in the order payloadType, payload, signatures; padded base64.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};

use crate::{MAX_ENTRY_BYTES, SigningKey, VerifyingKey};

/// The payload type of in-toto statements.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";

/// A payload of this many bytes, signed once, still fits into one entry of the record
/// ([`MAX_ENTRY_BYTES`]; base64 makes it a third longer).
pub const MAX_PAYLOAD_BYTES: usize = 48_000;

/// More signatures than this on one envelope are refused.
pub const MAX_SIGNATURES: usize = 8;

/// A signed payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    pub payload_type: String,
    pub payload: Vec<u8>,
    pub signatures: Vec<Signature>,
}

/// One signature of an envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// [`VerifyingKey::key_id`]; a hint, proves nothing.
    pub key_id: String,
    pub signature: Vec<u8>,
}

/// Why bytes are no envelope, or an envelope is not to be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DsseError {
    #[error("not a DSSE envelope: {why}")]
    Malformed { why: String },
    #[error("the envelope is not in its canonical form")]
    NotCanonical,
    #[error("no signature of key {key_id} on the envelope (it names {})", if named.is_empty() { "none".to_owned() } else { named.join(", ") })]
    NotSignedBy { key_id: String, named: Vec<String> },
    #[error("the signature of key {key_id} does not fit the payload")]
    WrongSignature { key_id: String },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Json {
    payload_type: String,
    payload: String,
    signatures: Vec<JsonSignature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonSignature {
    keyid: String,
    sig: String,
}

impl Envelope {
    /// Signs `payload` with one key.
    pub fn sign(payload_type: &str, payload: Vec<u8>, key: &SigningKey) -> Self {
        let signature = key.sign(&pre_authentication(payload_type, &payload)).to_vec();
        let signatures = vec![Signature {
            key_id: key.verifying_key().key_id(),
            signature,
        }];
        Self {
            payload_type: payload_type.to_owned(),
            payload,
            signatures,
        }
    }

    /// The canonical bytes: what goes into the record and into the checklist's attachments.
    pub fn to_bytes(&self) -> Vec<u8> {
        let json = Json {
            payload_type: self.payload_type.clone(),
            payload: BASE64.encode(&self.payload),
            signatures: self
                .signatures
                .iter()
                .map(|s| JsonSignature {
                    keyid: s.key_id.clone(),
                    sig: BASE64.encode(&s.signature),
                })
                .collect(),
        };
        serde_json::to_vec(&json).expect("strings always serialise")
    }

    /// Reads the canonical bytes and nothing else. Checks no signature: see [`Envelope::verify`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DsseError> {
        let malformed = |why: String| DsseError::Malformed { why };
        if bytes.len() > MAX_ENTRY_BYTES {
            return Err(malformed(format!(
                "{} bytes, more than {MAX_ENTRY_BYTES}",
                bytes.len()
            )));
        }
        let json: Json = serde_json::from_slice(bytes).map_err(|e| malformed(e.to_string()))?;
        if json.signatures.is_empty() || json.signatures.len() > MAX_SIGNATURES {
            return Err(malformed(format!("{} signatures", json.signatures.len())));
        }
        let payload = BASE64
            .decode(&json.payload)
            .map_err(|e| malformed(format!("payload: {e}")))?;
        let mut signatures = Vec::with_capacity(json.signatures.len());
        for s in json.signatures {
            let signature = BASE64
                .decode(&s.sig)
                .map_err(|e| malformed(format!("sig: {e}")))?;
            signatures.push(Signature {
                key_id: s.keyid,
                signature,
            });
        }
        let envelope = Self {
            payload_type: json.payload_type,
            payload,
            signatures,
        };
        if envelope.to_bytes() != bytes {
            return Err(DsseError::NotCanonical);
        }
        Ok(envelope)
    }

    /// Checks that `key` signed this payload.
    pub fn verify(&self, key: &VerifyingKey) -> Result<(), DsseError> {
        let key_id = key.key_id();
        let message = pre_authentication(&self.payload_type, &self.payload);
        let mut named = self.signatures.iter().filter(|s| s.key_id == key_id).peekable();
        if named.peek().is_none() {
            let named = self.signatures.iter().map(|s| s.key_id.clone()).collect();
            return Err(DsseError::NotSignedBy { key_id, named });
        }
        if named.any(|s| key.verify(&message, &s.signature)) {
            Ok(())
        } else {
            Err(DsseError::WrongSignature { key_id })
        }
    }
}

/// PAE: what is signed, so that neither type nor payload can be reread as the other.
fn pre_authentication(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> SigningKey {
        SigningKey::from_seed([n; 32])
    }

    #[test]
    fn the_signed_bytes_are_those_of_the_protocol_example() {
        assert_eq!(
            pre_authentication("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn an_envelope_survives_its_bytes_and_convinces_only_under_its_key() {
        let envelope = Envelope::sign(IN_TOTO, b"{}".to_vec(), &key(1));
        let read = Envelope::from_bytes(&envelope.to_bytes()).unwrap();
        assert_eq!(read, envelope);
        assert_eq!(read.verify(&key(1).verifying_key()), Ok(()));
        assert!(matches!(
            read.verify(&key(2).verifying_key()),
            Err(DsseError::NotSignedBy { .. })
        ));
        let mut renamed = read.clone();
        renamed.signatures[0].key_id = key(2).verifying_key().key_id();
        assert!(matches!(
            renamed.verify(&key(2).verifying_key()),
            Err(DsseError::WrongSignature { .. })
        ));
    }

    #[test]
    fn every_flipped_bit_of_an_envelope_is_refused() {
        let bytes = Envelope::sign(IN_TOTO, b"{\"a\":1}".to_vec(), &key(1)).to_bytes();
        let trusted = key(1).verifying_key();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut other = bytes.clone();
                other[at] ^= 1 << bit;
                let believed = Envelope::from_bytes(&other).is_ok_and(|e| e.verify(&trusted).is_ok());
                assert!(!believed, "byte {at} bit {bit}");
            }
        }
    }

    #[test]
    fn other_spellings_of_the_same_envelope_are_refused() {
        let text = String::from_utf8(Envelope::sign(IN_TOTO, b"{}".to_vec(), &key(1)).to_bytes()).unwrap();
        for other in [
            format!("{text}\n"),
            format!(" {text}"),
            text.replace(":", ": "),
            text.replacen('{', "{\"more\":1,", 1),
            text.replace("e30=", "e30"),
            text.replace("e30=", "e31="),
        ] {
            assert!(Envelope::from_bytes(other.as_bytes()).is_err(), "{other}");
        }
    }

    #[test]
    fn a_payload_at_its_bound_fits_an_entry() {
        let envelope = Envelope::sign(IN_TOTO, vec![b'x'; MAX_PAYLOAD_BYTES], &key(1));
        assert!(envelope.to_bytes().len() <= MAX_ENTRY_BYTES);
    }
}
