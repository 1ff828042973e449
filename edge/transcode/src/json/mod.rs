//! ProtoJSON: read to the wire format, and written from it.

pub(crate) mod any;
pub(crate) mod found;
mod names;
pub(crate) mod read;
pub(crate) mod write;
