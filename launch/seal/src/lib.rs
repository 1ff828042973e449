//! Seals of PDF documents.
//!
//! Owns: the increment that a seal appends ([`revise`] writes any), the PAdES signature in it (B-B, with a time
//! stamp B-T), where its key comes from ([`keys`]), and the verification of all seals of a file ([`verify_seals`]).
//! Does no network: a time stamp authority is a function that is handed in. Reads no clock.
//!
//! Verification trusts no difference between revisions: it writes each seal's increment again from what the seal
//! says, and every byte has to be the same. What another program has appended is refused, whatever it is.

mod certificate;
mod error;
mod increment;
pub mod keys;
mod sealing;
mod signature;
mod timestamp;
mod verify;
mod write;

pub use certificate::{Certificate, Roots};
pub use error::SealError;
pub use increment::{guarded, revise, revise_with};
pub use sealing::{Sealed, Sealing, seal};
pub use timestamp::Authority;
pub use verify::{SealReport, SealView, StampView, verify_seals, verify_seals_of};
