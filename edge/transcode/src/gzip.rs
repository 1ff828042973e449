//! gzip, bounded when it grows.

use std::io::{Read as _, Write as _};

use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use http::{HeaderMap, header};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Uninflatable {
    NotGzip,
    TooLarge,
}

pub(crate) fn inflate(bytes: &[u8], bytes_max: usize) -> Result<Vec<u8>, Uninflatable> {
    let mut inflated = Vec::new();
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    MultiGzDecoder::new(bytes)
        .take(limit)
        .read_to_end(&mut inflated)
        .map_err(|_| Uninflatable::NotGzip)?;
    if inflated.len() > bytes_max {
        return Err(Uninflatable::TooLarge);
    }
    Ok(inflated)
}

/// Compresses piece by piece; each piece can be read when it has arrived.
#[derive(Debug)]
pub(crate) struct Deflating(GzEncoder<Vec<u8>>);

impl Deflating {
    pub(crate) fn new() -> Self {
        Self(GzEncoder::new(Vec::new(), Compression::fast()))
    }

    // Writing to memory does not fail.
    pub(crate) fn piece(&mut self, bytes: &[u8]) -> Vec<u8> {
        let _ = self.0.write_all(bytes);
        let _ = self.0.flush();
        std::mem::take(self.0.get_mut())
    }

    pub(crate) fn end(self) -> Vec<u8> {
        self.0.finish().unwrap_or_default()
    }
}

pub(crate) fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 2), Compression::fast());
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

/// Whether the client takes gzip (RFC 9110 section 12.5.3); without the header it does not.
pub(crate) fn is_accepted(headers: &HeaderMap) -> bool {
    let mut any = None;
    for part in headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
    {
        let (coding, parameters) = part.split_once(';').unwrap_or((part, ""));
        let weight = parameters
            .trim()
            .strip_prefix("q=")
            .map_or(Some(1.0), |weight| weight.trim().parse::<f32>().ok());
        let wanted = weight.is_some_and(|weight| weight > 0.0);
        match coding.trim() {
            coding if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") => {
                return wanted;
            }
            "*" => any = Some(wanted),
            _ => {}
        }
    }
    any.unwrap_or(false)
}
