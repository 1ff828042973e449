//! HTTP/JSON for gRPC services, from their descriptors.
//!
//! [`Transcoder`] holds the `google.api.http` rules of a descriptor set and does the thinking: which
//! method a path means, what its request message is, how an answer is written. [`TranscodeLayer`] puts it before
//! any gRPC service, in the same process or behind a connection. Neither does I/O of its own, reads a
//! clock or keeps anything between two calls. Messages are never built as objects: JSON is written to the wire
//! format, and read from it, along plans that were made from the descriptors once.

mod bounds;
mod call;
mod error;
mod frame;
mod gzip;
mod headers;
mod json;
mod layer;
mod path;
mod query;
mod router;
mod rules;
mod scalar;
mod schema;
mod status;
mod stream;
mod template;
mod time;
mod transcoder;
mod wire;

pub use call::{Call, TranscodedBody};
pub use error::{BuildError, RequestError, ResponseError};
pub use frame::{FrameError, FrameReader};
pub use layer::{RequestBody, ResponseBody, Transcode, TranscodeLayer};
pub use status::{GrpcStatus, http_status};
pub use transcoder::{Options, Payload, Route, Transcoder, Unknown};
