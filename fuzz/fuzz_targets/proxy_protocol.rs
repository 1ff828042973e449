//! What a proxy sends before a client's first byte. A header that is whole lies within what was read, and more bytes behind it
//! change nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tminus_origin::proxy_protocol::{self, Header};

fuzz_target!(|bytes: &[u8]| {
    let Ok(header) = proxy_protocol::read(bytes) else {
        return;
    };
    if let Header::Whole { bytes: length, .. } = header {
        assert!(length <= bytes.len());
        assert_eq!(proxy_protocol::read(&[bytes, b"GET / HTTP/1.1"].concat()), Ok(header));
    }
});
