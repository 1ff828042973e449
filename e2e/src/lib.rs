//! What tests of whole programs share.

pub mod lying_disk;
