//! A session's value in JSON. Whatever the bytes are, reading must not panic, and a player that is found fits the limits.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tminus_identity::session::{SessionFormat, player_of};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(player) = player_of(SessionFormat::Json, bytes, "player_id") {
        assert!((1..=128).contains(&player.len()) && !player.chars().any(char::is_control));
    }
});
