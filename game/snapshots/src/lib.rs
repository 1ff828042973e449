//! Players' profiles copied from the journal to a primary and a secondary store, and the proof that both
//! hold the same.
//!
//! [`Copier`] carries the journal's outbox into one [`Store`], in order, from the cursor that the store
//! itself keeps; there is one per store, and neither knows of the other. [`verify`] reads both stores and
//! names every row that differs; [`repair`] mends rows from the journal alone. What is decided stands apart
//! from what is read and written: [`row`], [`compare`], [`ranges`] and [`pace`] do no I/O and read no clock.
//!
//! Stores are MySQL, whatever speaks its protocol and takes the SQL in `store::sql` (TiDB, MariaDB), or a
//! SQLite file. This is the only crate that links their drivers.

pub mod compare;
mod copier;
mod error;
mod figures;
pub mod pace;
pub mod ranges;
pub mod row;
mod source;
mod store;
mod url;
mod verify;

pub use copier::{Copier, CopyOptions};
pub use error::SnapshotError;
pub use figures::SinkFigures;
pub use source::Source;
pub use store::{Applied, Standing, Store};
pub use url::StoreUrl;
pub use verify::{Progress, Repair, Report, VerifyOptions, repair, verify};
