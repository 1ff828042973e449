//! The messages of gRPC (grpc/doc/PROTOCOL-HTTP2.md, "Length-Prefixed-Message"): a flag, four bytes of length, the message.

use bytes::{Buf as _, Bytes, BytesMut};
use http::HeaderMap;

use crate::gzip::{self, Uninflatable};

pub(crate) const HEAD_BYTES: usize = 5;

/// Why bytes are no messages.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("a message is larger than {bytes_max} bytes")]
    TooLarge { bytes_max: usize },
    #[error("the flag of a message is {0}, not 0 or 1")]
    Flag(u8),
    #[error("a message is compressed with {0:?}; only gzip is understood")]
    Encoding(String),
    #[error("a compressed message is no gzip")]
    NotGzip,
    #[error("the last message is cut short")]
    CutShort,
}

/// Takes bytes as they come and gives whole messages.
#[derive(Debug)]
pub struct FrameReader {
    buffer: BytesMut,
    bytes_max: usize,
    /// `grpc-encoding`, if there is one.
    encoding: Option<String>,
}

impl FrameReader {
    /// `headers` are those of the answer; `bytes_max` holds for a message once it is inflated.
    #[must_use]
    pub fn new(headers: &HeaderMap, bytes_max: usize) -> Self {
        let encoding = headers
            .get("grpc-encoding")
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        Self {
            buffer: BytesMut::new(),
            bytes_max,
            encoding,
        }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, without its frame.
    ///
    /// # Errors
    /// A message is too large, or compressed in a way that is not understood.
    pub fn next_message(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some(([flag, length @ ..], _)) = self.buffer.split_first_chunk::<HEAD_BYTES>() else {
            return Ok(None);
        };
        let (flag, length) = (*flag, u32::from_be_bytes(*length) as usize);
        if flag > 1 {
            return Err(FrameError::Flag(flag));
        }
        if length > self.bytes_max {
            return Err(FrameError::TooLarge {
                bytes_max: self.bytes_max,
            });
        }
        if self.buffer.len() < HEAD_BYTES + length {
            return Ok(None);
        }
        self.buffer.advance(HEAD_BYTES);
        let message = self.buffer.split_to(length).freeze();
        if flag == 0 {
            return Ok(Some(message));
        }
        match self.encoding.as_deref() {
            Some("gzip") => gzip::inflate(&message, self.bytes_max)
                .map(|message| Some(message.into()))
                .map_err(|error| match error {
                    Uninflatable::NotGzip => FrameError::NotGzip,
                    Uninflatable::TooLarge => FrameError::TooLarge {
                        bytes_max: self.bytes_max,
                    },
                }),
            other => Err(FrameError::Encoding(other.unwrap_or("nothing named").to_owned())),
        }
    }

    /// # Errors
    /// Bytes of a message are left, and no more will come.
    pub fn end(&self) -> Result<(), FrameError> {
        if self.buffer.is_empty() {
            Ok(())
        } else {
            Err(FrameError::CutShort)
        }
    }
}
