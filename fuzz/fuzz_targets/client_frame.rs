//! A client's WebSocket message, in either codec. Whatever the bytes are, decoding must not panic,
//! and a frame that is taken must survive being written and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use starvault_wire::{Codec, Payload, v1::ClientFrame};

fn assert_kept(frame: &ClientFrame) {
    for codec in [Codec::Json, Codec::Proto] {
        let again: ClientFrame = match codec.encode(frame).expect("a client's frame has no enums") {
            Payload::Text(text) => codec.decode_text(&text).expect("written by ourselves"),
            Payload::Binary(bytes) => codec.decode_binary(&bytes).expect("written by ourselves"),
        };
        assert_eq!(again, *frame);
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
