//! The fields of a session of Spring, in Java's serialisation. Whatever the bytes are, reading must not panic, and a player
//! that is found fits the limits.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tminus_identity::session::{SpringFields, java_scalar};

fuzz_target!(|bytes: &[u8]| {
    let _ = java_scalar(bytes);
    // Three fields, each up to a byte that no stream of Java begins with.
    let mut fields = bytes.splitn(3, |byte| *byte == 0xFF);
    let fields = SpringFields {
        player: fields.next(),
        last_used: fields.next(),
        lifetime: fields.next(),
    };
    if let Ok(Some(player)) = fields.player_of(1_700_000_000_000) {
        assert!((1..=128).contains(&player.len()) && !player.chars().any(char::is_control));
    }
});
