//! The launch record: an append-only Merkle log of signed envelopes, kept as plain files.
//!
//! Owns: the file layout ([C2SP tlog-tiles]), the signed checkpoint ([C2SP tlog-checkpoint] in a
//! [C2SP signed note]), RFC 6962 hashing and proofs, DSSE envelopes and the ed25519 keys that sign
//! them. Never reads a clock, never draws randomness, never looks inside an entry: what a launch
//! means is the business of `tminus-plan`.
//!
//! # What is on disk
//!
//! ```text
//! key.vkey                     the verifier key, one line: origin+hash+base64
//! checkpoint                   origin, number of entries, root hash, signature
//! tile/0/000  …/x001/067       256 leaf hashes each; the last one as 000.p/W with W hashes
//! tile/1/…                     256 roots of full level-0 tiles each, and so on upwards
//! tile/entries/000  …          256 entries each, every one after its length (u16, big endian)
//! ```
//!
//! The checkpoint is the commit point: an entry is in the record when a checkpoint that covers it
//! has been renamed into place. Whatever else lies in the folder is left over from a writer that
//! stopped half way, and the next [`Record::open`] removes it.
//!
//! # What a liar could do
//!
//! - Somebody who can write files, without the key: destroy the record, or put an older copy in its
//!   place. Not change, add, drop or reorder an entry: [`verify`] names the file. A checklist that
//!   names the root makes the older copy visible too.
//! - Somebody who holds the key: sign another history. The checkpoint in every checklist that was
//!   handed out contradicts it ([`merkle::verify_consistency`]).
//!
//! [C2SP tlog-tiles]: https://c2sp.org/tlog-tiles
//! [C2SP tlog-checkpoint]: https://c2sp.org/tlog-checkpoint
//! [C2SP signed note]: https://c2sp.org/signed-note

mod check;
mod disk;
pub mod dsse;
mod error;
mod keys;
pub mod merkle;
pub mod note;
mod record;
pub mod tiles;

pub use check::{Verified, verify};
pub use error::{Fault, KeyError, RecordError};
pub use keys::{SigningKey, VerifyingKey};
pub use merkle::Hash;
pub use record::Record;

/// The longest entry, in bytes: its length stands before it as a u16.
pub const MAX_ENTRY_BYTES: usize = u16::MAX as usize;

/// The most entries that one record takes. A launch has some hundreds.
pub const MAX_ENTRIES: u64 = 65_536;

/// The most bytes that all entries of one record may have together.
pub const MAX_RECORD_BYTES: u64 = 256 * 1024 * 1024;
