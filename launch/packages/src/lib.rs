//! Packages of a launch for its readers.
//!
//! A package is a set of files with a manifest that the launch key signs: each file by its SHA-256, and by name what the
//! reader might look for and does not get, with the reason. A package for readers who may not see everything carries
//! a [`Disclosure`]: it proves that what it shows is what the full document says, and how much was left out.
//!
//! Pure: bytes in, bytes out; the same input gives the same ZIP.

mod disclosure;
mod manifest;
mod rollback;
mod unpack;
mod verify;

pub use disclosure::{Disclosure, LEFT_OUT};
pub use manifest::{LaunchRef, Manifest, NotChecked, Package, PackageError};
pub use rollback::{GatewaySplit, rollback_script};
pub use unpack::{UnpackError, unpack};
pub use verify::{PackageLine, PackageReport, verify_package};

/// The signed manifest's file in every package.
pub const MANIFEST_FILE: &str = "manifest.json";
/// The disclosure's file in packages that leave something out.
pub const DISCLOSURE_FILE: &str = "disclosure.json";
/// What the document shows, as data; the disclosure speaks of it.
pub const SHOWN_FILE: &str = "checklist-data.json";
