//! A client's WebSocket message, in either codec. Whatever the bytes are, decoding must not panic,
//! and a frame that is taken must survive being written and read again.
//! An emote's number without a name has no JSON form; that one is left to the binary codec.

#![no_main]

use libfuzzer_sys::fuzz_target;
use starvault_wire::{
    Codec, Payload,
    v1::{ClientFrame, Emote, client_frame::Command},
};

fn assert_kept(frame: &ClientFrame) {
    for codec in [Codec::Json, Codec::Proto] {
        let payload = match codec.encode(frame) {
            Ok(payload) => payload,
            Err(_) if codec == Codec::Json && !all_named(frame) => continue,
            Err(error) => panic!("{codec:?} cannot write {frame:?}: {error}"),
        };
        let again: ClientFrame = match payload {
            Payload::Text(text) => codec.decode_text(&text).expect("written by ourselves"),
            Payload::Binary(bytes) => codec.decode_binary(&bytes).expect("written by ourselves"),
        };
        assert_eq!(again, *frame);
    }
}

fn all_named(frame: &ClientFrame) -> bool {
    match &frame.command {
        Some(Command::SendEmote(send)) => Emote::try_from(send.emote).is_ok(),
        _ => true,
    }
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(frame) = Codec::Proto.decode_binary(bytes) {
        assert_kept(&frame);
    }
    if let Some(frame) = std::str::from_utf8(bytes)
        .ok()
        .and_then(|text| Codec::Json.decode_text(text).ok())
    {
        assert_kept(&frame);
    }
});
