//! The PROXY protocol, versions 1 and 2: what a proxy in front sends before the client's first byte.
//!
//! Source: haproxy.org/download/2.9/doc/proxy-protocol.txt, sections 2.1 and 2.2.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest header: version 1 has 107 bytes at most, version 2 as much as it says. More than this is refused.
pub const BYTES_MAX: usize = 16 + 2048;
const V1_BYTES_MAX: usize = 107;
const V2_SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// More bytes are needed.
    Partial,
    /// A whole header of so many bytes.
    Whole {
        /// Its length: what follows is the client's.
        bytes: usize,
        /// Where the client connects from; `None` when the proxy speaks for itself, or does not know.
        source: Option<SocketAddr>,
    },
}

/// It is no such header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection does not begin with a header of the PROXY protocol: {0}")]
pub struct NoHeader(&'static str);

/// Reads a header from the beginning of a connection's bytes.
///
/// # Errors
/// It is no header, or one that cannot be read.
pub fn read(bytes: &[u8]) -> Result<Header, NoHeader> {
    let begun = |whole: &[u8]| bytes.len() < whole.len() && whole.starts_with(bytes);
    if bytes.starts_with(&V2_SIGNATURE) {
        return read_v2(bytes);
    }
    if bytes.starts_with(b"PROXY ") {
        return read_v1(bytes);
    }
    if begun(&V2_SIGNATURE) || begun(b"PROXY ") {
        return Ok(Header::Partial);
    }
    Err(NoHeader("it begins otherwise"))
}

fn read_v1(bytes: &[u8]) -> Result<Header, NoHeader> {
    let seen = &bytes[..bytes.len().min(V1_BYTES_MAX)];
    let Some(end) = seen.windows(2).position(|pair| pair == b"\r\n") else {
        return if seen.len() == V1_BYTES_MAX {
            Err(NoHeader("its line does not end"))
        } else {
            Ok(Header::Partial)
        };
    };
    let line = std::str::from_utf8(&seen[..end]).map_err(|_| NoHeader("its line is no text"))?;
    let mut words = line.split(' ').skip(1);
    let source = match words.next() {
        // What follows on such a line says nothing.
        Some("UNKNOWN") => None,
        Some(family @ ("TCP4" | "TCP6")) => {
            let mut address = || words.next()?.parse::<IpAddr>().ok();
            let (source, destination) = (address(), address());
            let mut port = || words.next().filter(|port| is_port(port))?.parse::<u16>().ok();
            let (source_port, destination_port) = (port(), port());
            let whole = (source, destination, source_port, destination_port, words.next());
            let (Some(source), Some(destination), Some(port), Some(_), None) = whole else {
                return Err(NoHeader("its addresses cannot be read"));
            };
            if [source, destination]
                .iter()
                .any(|address| address.is_ipv4() != (family == "TCP4"))
            {
                return Err(NoHeader("its addresses are of another family than it says"));
            }
            Some(SocketAddr::new(source, port))
        }
        _ => return Err(NoHeader("its protocol is not known")),
    };
    Ok(Header::Whole {
        bytes: end + 2,
        source,
    })
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'))
}

fn read_v2(bytes: &[u8]) -> Result<Header, NoHeader> {
    let Some((&[version_and_command, family, high, low], _)) =
        bytes[V2_SIGNATURE.len()..].split_first_chunk()
    else {
        return Ok(Header::Partial);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let begin = V2_SIGNATURE.len() + 4;
    if version_and_command >> 4 != 2 {
        return Err(NoHeader("its version is not known"));
    }
    if begin + length > BYTES_MAX {
        return Err(NoHeader("it is too long"));
    }
    let Some(rest) = bytes.get(begin..begin + length) else {
        return Ok(Header::Partial);
    };
    let source = match (version_and_command & 0xf, family) {
        // LOCAL: the proxy's own, a health check as a rule.
        (0, _) => None,
        // Families and protocols that name no address to believe.
        (1, 0x00 | 0x12 | 0x22 | 0x31 | 0x32) => None,
        (1, 0x11) => {
            let Some((&[a, b, c, d, _, _, _, _, high, low, _, _], _)) = rest.split_first_chunk() else {
                return Err(NoHeader("its addresses are not whole"));
            };
            let port = u16::from_be_bytes([high, low]);
            Some(SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), port))
        }
        (1, 0x21) => {
            let Some((source, rest)) = rest.split_first_chunk::<16>() else {
                return Err(NoHeader("its addresses are not whole"));
            };
            let Some(&[high, low, _, _]) = rest.get(16..20) else {
                return Err(NoHeader("its addresses are not whole"));
            };
            let port = u16::from_be_bytes([high, low]);
            Some(SocketAddr::new(Ipv6Addr::from(*source).into(), port))
        }
        (1, _) => return Err(NoHeader("its family is not known")),
        _ => return Err(NoHeader("its command is not known")),
    };
    Ok(Header::Whole {
        bytes: begin + length,
        source,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&V2_SIGNATURE[..], &[0x20 | command, family], &length, rest].concat()
    }

    /// A whole header, then the client's bytes, and every beginning of it.
    #[track_caller]
    fn whole(header: &[u8], source: Option<&str>) {
        let expected = Header::Whole {
            bytes: header.len(),
            source: source.map(|source| source.parse().unwrap()),
        };
        assert_eq!(read(&[header, b"GET / HTTP/1.1\r\n"].concat()), Ok(expected));
        for end in 0..header.len() {
            assert_eq!(read(&header[..end]), Ok(Header::Partial), "{end} bytes");
        }
    }

    #[test]
    fn version_1_names_the_client_or_says_that_it_is_unknown() {
        whole(
            b"PROXY TCP4 203.0.113.7 10.0.0.1 56324 443\r\n",
            Some("203.0.113.7:56324"),
        );
        whole(
            b"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n",
            Some("[2001:db8::1]:1"),
        );
        whole(b"PROXY UNKNOWN\r\n", None);
        whole(b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None);
    }

    #[test]
    fn version_2_names_the_client_and_may_hold_more() {
        let v4 = [203, 0, 113, 7, 10, 0, 0, 1, 0xdc, 4, 1, 0xbb];
        whole(&v2(1, 0x11, &v4), Some("203.0.113.7:56324"));
        let with_more = [&v4[..], b"\x04\x00\x03abc"].concat();
        whole(&v2(1, 0x11, &with_more), Some("203.0.113.7:56324"));
        let one: Ipv6Addr = "2001:db8::1".parse().unwrap();
        let v6 = [&one.octets()[..], &one.octets(), &[0, 80, 0, 81]].concat();
        whole(&v2(1, 0x21, &v6), Some("[2001:db8::1]:80"));
        whole(&v2(0, 0x11, &v4), None);
        whole(&v2(0, 0, &[]), None);
        whole(&v2(1, 0, &[1, 2, 3]), None);
    }

    #[test]
    fn what_is_no_header_is_refused_and_names_nobody() {
        for wrong in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"PROXY TCP5 1.1.1.1 1.1.1.1 1 1\r\n",
            b"PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n",
            b"PROXY TCP4 1.1.1.1 1.1.1.1 1 70000\r\n",
            b"PROXY TCP4 1.1.1.1 1.1.1.1 +1 1\r\n",
            b"PROXY TCP4 1.1.1.1 1.1.1.1 01 1\r\n",
            b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1 1\r\n",
            b"PROXY TCP4 ::1 ::1 1 1\r\n",
            b"PROXY TCP6 1.1.1.1 ::1 1 1\r\n",
            b"PROXY TCP4 1.1.1.1  1.1.1.1 1 1\r\n",
            b"PROXY \xff\r\n",
            &[&b"PROXY UNKNOWN "[..], &[b'a'; 200]].concat(),
            &v2(1, 0x11, &[1, 2, 3]),
            &v2(1, 0x21, &[0; 35]),
            &v2(1, 0x41, &[0; 12]),
            &v2(2, 0x11, &[0; 12]),
            &v2(1, 0x11, &[0; 3000]),
            b"\r\n\r\n\0\r\nQUIT\n\x11\x11\0\x0c",
        ] {
            assert!(read(wrong).is_err(), "{}", wrong.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_read_past_what_is_there(bytes in prop::collection::vec(any::<u8>(), 0..200), v2: bool) {
            let bytes = if v2 { [&V2_SIGNATURE[..], &bytes].concat() } else { [&b"PROXY "[..], &bytes].concat() };
            if let Ok(Header::Whole { bytes: length, .. }) = read(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }
    }
}
