//! `google.rpc.Status`: out of the headers of gRPC, into JSON; and the statuses of HTTP.

use base64::Engine as _;
use http::{HeaderMap, StatusCode};

use crate::json::found::all_bytes;
use crate::json::write::Writer;
use crate::path;
use crate::schema::Schema;

pub(crate) const OK: u32 = 0;
pub(crate) const UNKNOWN: u32 = 2;
pub(crate) const INVALID_ARGUMENT: u32 = 3;
pub(crate) const NOT_FOUND: u32 = 5;
pub(crate) const PERMISSION_DENIED: u32 = 7;
pub(crate) const UNIMPLEMENTED: u32 = 12;
pub(crate) const INTERNAL: u32 = 13;
pub(crate) const UNAVAILABLE: u32 = 14;
pub(crate) const UNAUTHENTICATED: u32 = 16;

/// The status of HTTP for a code of gRPC: grpc-gateway's table (runtime/errors.go, `HTTPStatusFromCode`).
#[must_use]
pub fn http_status(code: u32) -> StatusCode {
    let status = match code {
        OK => 200,
        1 => 499,                         // CANCELLED
        INVALID_ARGUMENT | 9 | 11 => 400, // FAILED_PRECONDITION, OUT_OF_RANGE
        4 => 504,                         // DEADLINE_EXCEEDED
        NOT_FOUND => 404,
        6 | 10 => 409, // ALREADY_EXISTS, ABORTED
        PERMISSION_DENIED => 403,
        8 => 429, // RESOURCE_EXHAUSTED
        UNIMPLEMENTED => 501,
        UNAVAILABLE => 503,
        UNAUTHENTICATED => 401,
        _ => 500, // UNKNOWN, INTERNAL, DATA_LOSS, and what nobody knows
    };
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The code for an answer that carries none (grpc/doc/http-grpc-status-mapping.md).
pub(crate) fn code_of_http(status: StatusCode) -> u32 {
    match status.as_u16() {
        400 => INTERNAL,
        401 => UNAUTHENTICATED,
        403 => PERMISSION_DENIED,
        404 => UNIMPLEMENTED,
        429 | 502 | 503 | 504 => UNAVAILABLE,
        _ => UNKNOWN,
    }
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GrpcStatus {
    pub code: u32,
    pub message: String,
    /// Encoded `google.protobuf.Any`s.
    pub details: Vec<Vec<u8>>,
}

impl GrpcStatus {
    pub(crate) fn new(code: u32, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            details: Vec::new(),
        }
    }

    /// From trailers, or from the headers of an answer that has nothing else. Nothing if there is no `grpc-status`.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let code = headers.get("grpc-status")?;
        let code = code
            .to_str()
            .ok()
            .and_then(|code| code.parse().ok())
            .unwrap_or(UNKNOWN);
        let message = headers
            .get("grpc-message")
            .map(|message| path::decode_message(message.as_bytes()))
            .unwrap_or_default();
        let details = headers
            .get("grpc-status-details-bin")
            .and_then(|details| details_of(details.as_bytes()))
            .unwrap_or_default();
        Some(Self {
            code,
            message,
            details,
        })
    }

    /// Appends `{"code":…,"message":…,"details":[…]}`.
    pub(crate) fn write(&self, schema: &Schema, bytes_max: usize, out: Vec<u8>) -> Vec<u8> {
        let mut writer = Writer {
            schema,
            defaults: false,
            bytes_max: usize::MAX,
            out,
        };
        writer
            .out
            .extend_from_slice(format!("{{\"code\":{},\"message\":", self.code).as_bytes());
        writer.string(&self.message);
        writer.out.extend_from_slice(b",\"details\":[");
        let start = writer.out.len();
        writer.bytes_max = start.saturating_add(bytes_max);
        for detail in &self.details {
            let before = writer.out.len();
            if before > start {
                writer.out.push(b',');
            }
            if put_detail(&mut writer, detail).is_none() {
                // A detail that cannot be told is left out; the status is the more important part.
                writer.out.truncate(before);
            }
        }
        writer.out.extend_from_slice(b"]}");
        writer.out
    }
}

fn put_detail(writer: &mut Writer<'_>, detail: &[u8]) -> Option<()> {
    let url = std::str::from_utf8(all_bytes(detail, 1).ok()?.pop()?).ok()?;
    let value = all_bytes(detail, 2).ok()?.pop().unwrap_or_default();
    let before = writer.out.len();
    if writer.any(url, value, 0).is_err() {
        writer.out.truncate(before);
        // Damaged for us: as bytes, like one whose type is unknown.
        writer.any_as_bytes(url, value).ok()?;
    }
    Some(())
}

/// `google.rpc.Status` {code 1, message 2, details 3} in base64, with or without padding.
fn details_of(header: &[u8]) -> Option<Vec<Vec<u8>>> {
    use base64::engine::general_purpose::STANDARD_NO_PAD;
    let text: &[u8] = header.trim_ascii_end();
    let end = text.iter().rposition(|byte| *byte != b'=').map_or(0, |at| at + 1);
    let bytes = STANDARD_NO_PAD.decode(&text[..end]).ok()?;
    let details = all_bytes(&bytes, 3).ok()?;
    Some(details.into_iter().map(<[u8]>::to_vec).collect())
}
