//! Percent-encoding of paths and queries (RFC 3986 section 2.1).

/// Why text of a URL cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Undecodable {
    #[error("a '%' is not followed by two hexadecimal digits")]
    Escape,
    #[error("it is not UTF-8 once decoded")]
    Utf8,
}

/// A capture of one segment, decoded whole and once.
pub(crate) fn decode(text: &str) -> Result<String, Undecodable> {
    decode_with(text, |_| false, false)
}

/// A capture that may span segments: the reserved characters of RFC 3986 section 2.2 stay as they are escaped, so
/// that `%2F` and a real `/` can be told apart (google/api/http.proto, `fully_decode_reserved_expansion` off).
pub(crate) fn decode_multi(text: &str) -> Result<String, Undecodable> {
    decode_with(text, |byte| b":/?#[]@!$&'()*+,;=".contains(&byte), false)
}

/// A name or a value of a query: `+` is a space.
pub(crate) fn decode_query(text: &str) -> Result<String, Undecodable> {
    decode_with(text, |_| false, true)
}

fn decode_with(text: &str, keep: impl Fn(u8) -> bool, plus: bool) -> Result<String, Undecodable> {
    if !text.bytes().any(|byte| byte == b'%' || (plus && byte == b'+')) {
        return Ok(text.to_owned());
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'%' => {
                let ([high, low], after) = rest.split_first_chunk().ok_or(Undecodable::Escape)?;
                let value = hex(*high)? << 4 | hex(*low)?;
                if keep(value) {
                    decoded.extend_from_slice(&[b'%', *high, *low]);
                } else {
                    decoded.push(value);
                }
                rest = after;
            }
            b'+' if plus => decoded.push(b' '),
            _ => decoded.push(byte),
        }
    }
    String::from_utf8(decoded).map_err(|_| Undecodable::Utf8)
}

fn hex(digit: u8) -> Result<u8, Undecodable> {
    char::from(digit)
        .to_digit(16)
        .map(|value| value as u8)
        .ok_or(Undecodable::Escape)
}

/// `grpc-message` as it was before it was percent-encoded (gRPC over HTTP/2, "Status-Message"): what is broken is kept.
pub(crate) fn decode_message(bytes: &[u8]) -> String {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'%'
            && let Some(([high, low], after)) = rest.split_first_chunk()
            && let (Ok(high), Ok(low)) = (hex(*high), hex(*low))
        {
            decoded.push(high << 4 | low);
            rest = after;
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
