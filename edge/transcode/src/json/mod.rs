//! ProtoJSON: read to the wire format, and written from it.

pub(crate) mod any;
pub(crate) mod read;
pub(crate) mod write;
