//! The contract of Starvault.
//!
//! `proto/starvault/v1/*.proto` is the one source. From it come the gRPC services and messages
//! (tonic, prost), their JSON form (ProtoJSON, by pbjson) and the descriptor set that reflection
//! serves; [`Codec`] is how WebSocket frames are written. This crate holds no behaviour of the game.

mod codec;
mod event;

pub use codec::{Codec, DecodeError, EncodeError, Payload};
pub use event::GameEventFrame;

/// Messages and services of `starvault.v1`.
#[allow(
    clippy::all,
    clippy::pedantic,
    missing_debug_implementations,
    unused_qualifications
)]
pub mod v1 {
    tonic::include_proto!("starvault.v1");
    include!(concat!(env!("OUT_DIR"), "/starvault.v1.serde.rs"));

    /// The encoded `FileDescriptorSet` of this package, as gRPC reflection serves it.
    pub const FILE_DESCRIPTOR_SET: &[u8] =
        include_bytes!(concat!(env!("OUT_DIR"), "/starvault.v1.descriptor.bin"));
}

/// WebSocket subprotocol: one ProtoJSON object per text message.
pub const SUBPROTOCOL_JSON: &str = "starvault.v1.json";
/// WebSocket subprotocol: one encoded message per binary message.
pub const SUBPROTOCOL_PROTO: &str = "starvault.v1.proto";
/// Prefix of the offered subprotocol that carries the token: `bearer.TOKEN`.
pub const SUBPROTOCOL_BEARER_PREFIX: &str = "bearer.";
/// A client frame above this size (bytes) is refused with `FRAME_TOO_LARGE`.
pub const CLIENT_FRAME_BYTES_MAX: usize = 4 * 1024;
