//! A link's token. Whatever the bytes are, reading must not panic, and no link of another key's is good. What could be
//! a grant, signed by our key, reads back as itself.

#![no_main]

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use libfuzzer_sys::fuzz_target;
use tminus_handoff::links::{Grant, LinkKeys, Name};

fuzz_target!(|bytes: &[u8]| {
    let keys = LinkKeys::new(vec![("k1".to_owned(), [7; 32])]).expect("a key");
    assert_eq!(keys.read(&URL_SAFE_NO_PAD.encode(bytes)), None);
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    assert_eq!(keys.read(text), None);
    let Ok(file) = Name::plain(text) else { return };
    let grant = Grant {
        role: "ops".to_owned(),
        file,
        expires_at_ms: bytes.len() as i64,
        nonce: [bytes[0]; 16],
    };
    assert_eq!(keys.read(&keys.token(&grant)), Some(grant));
});
