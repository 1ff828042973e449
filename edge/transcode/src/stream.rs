//! The answer of a method that streams, written message by message.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame};

use crate::call::BoxError;
use crate::error::ResponseError;
use crate::frame::FrameReader;
use crate::gzip::Deflating;
use crate::status::{GrpcStatus, OK};
use crate::transcoder::{Route, Transcoder};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// One JSON text per line (NDJSON).
    Lines,
    /// A JSON array, written as it grows.
    Array,
    /// `google.api.HttpBody`: data behind data.
    Raw,
}

/// A stream that fails after its first message ends with `{"error": google.rpc.Status}`, as its last line or
/// element; one of raw data breaks off.
#[derive(Debug)]
pub(crate) struct Streaming<R> {
    pub(crate) transcoder: Arc<Transcoder>,
    pub(crate) route: Route,
    pub(crate) upstream: R,
    pub(crate) frames: FrameReader,
    /// The message that the HTTP status waited for.
    pub(crate) first: Option<Bytes>,
    /// How it ended, if that is known already.
    pub(crate) status: Option<GrpcStatus>,
    pub(crate) format: Format,
    pub(crate) gzip: Option<Deflating>,
    pub(crate) begun: bool,
    pub(crate) ended: bool,
    /// The code that it ended with, if it is no good one.
    pub(crate) failure: Option<u32>,
}

impl<R> Streaming<R>
where
    R: Body<Data = Bytes> + Unpin,
{
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let status = loop {
            let next = match self.first.take() {
                Some(first) => Ok(Some(first)),
                None => self.frames.next_message().map_err(ResponseError::from),
            };
            match next.and_then(|message| message.map(|message| self.piece(&message)).transpose()) {
                Ok(Some(piece)) => return Poll::Ready(Some(Ok(self.packed(piece)))),
                Ok(None) => {}
                Err(error) => break status_of(&error),
            }
            if let Some(status) = self.status.take() {
                break status;
            }
            match ready!(Pin::new(&mut self.upstream).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.frames.push(&data),
                    Err(frame) => {
                        let trailers = frame.into_trailers().unwrap_or_default();
                        let status = GrpcStatus::from_headers(&trailers);
                        self.status = Some(status.unwrap_or_else(|| status_of(&ResponseError::NoStatus)));
                    }
                },
                Some(Err(_)) => self.status = Some(status_of(&ResponseError::BrokeOff)),
                None => self.status = Some(status_of(&ResponseError::NoStatus)),
            }
        };
        self.ended = true;
        let status = match self.frames.end() {
            Err(error) if status.code == OK => status_of(&error.into()),
            _ => status,
        };
        self.failure = (status.code != OK).then_some(status.code);
        if self.format == Format::Raw && status.code != OK {
            return Poll::Ready(Some(Err(status.message.into())));
        }
        let piece = self.end(&status);
        let mut piece = match &mut self.gzip {
            Some(gzip) => gzip.piece(&piece),
            None => piece,
        };
        if let Some(gzip) = self.gzip.take() {
            piece.extend(gzip.end());
        }
        Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece.into()))))
    }

    fn packed(&mut self, piece: Vec<u8>) -> Frame<Bytes> {
        let piece = match &mut self.gzip {
            Some(gzip) => gzip.piece(&piece),
            None => piece,
        };
        Frame::data(piece.into())
    }

    fn separator(&mut self) -> Vec<u8> {
        let separator: &[u8] = match (self.format, self.begun) {
            (Format::Array, false) => b"[",
            (Format::Array, true) => b",",
            (Format::Lines | Format::Raw, _) => b"",
        };
        self.begun = true;
        separator.to_vec()
    }

    fn piece(&mut self, message: &[u8]) -> Result<Vec<u8>, ResponseError> {
        let begun = self.begun;
        let separator = self.separator();
        let written = self.transcoder.response_behind(separator, &self.route, message);
        let (_, mut piece) = written.inspect_err(|_| self.begun = begun)?;
        if self.format == Format::Lines {
            piece.push(b'\n');
        }
        Ok(piece)
    }

    fn end(&mut self, status: &GrpcStatus) -> Vec<u8> {
        let mut piece = Vec::new();
        if status.code != OK {
            piece = self.separator();
            piece.extend_from_slice(b"{\"error\":");
            let bytes_max = self.transcoder.options.response_bytes_max;
            piece = status.write(&self.transcoder.schema, bytes_max, piece);
            piece.push(b'}');
            if self.format == Format::Lines {
                piece.push(b'\n');
            }
        } else if !self.begun {
            piece = self.separator();
        }
        if self.format == Format::Array {
            piece.push(b']');
        }
        piece
    }
}

pub(crate) fn status_of(error: &ResponseError) -> GrpcStatus {
    GrpcStatus::new(error.code(), error.to_string())
}
