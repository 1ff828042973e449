//! Whatever arrives: the decoder never panics, and what it takes it can write again unchanged. The
//! fuzz target `client_frame` looks for the same with coverage as its guide.

use proptest::{collection::vec, option, prelude::*, sample::select};
use starvault_wire::{
    CLIENT_FRAME_BYTES_MAX, Codec, Payload,
    v1::{
        AnswerDraw, AnswerRematch, ClientFrame, Emote, JoinLobby, LeaveLobby, OfferDraw, OfferRematch, Ping,
        PlayMove, Resign, Resume, SendEmote, ServerFrame, client_frame::Command,
    },
};

fn decode(payload: &Payload) -> ClientFrame {
    match payload {
        Payload::Text(text) => Codec::Json.decode_text(text).unwrap(),
        Payload::Binary(bytes) => Codec::Proto.decode_binary(bytes).unwrap(),
    }
}

/// A client's frame can be written in both codecs, and both give it back. An emote that only a newer
/// release knows has a number and no name, so there is a binary form only.
fn assert_kept(frame: &ClientFrame) {
    for codec in [Codec::Json, Codec::Proto] {
        match codec.encode(frame) {
            Ok(payload) => assert_eq!(decode(&payload), *frame, "{codec:?}"),
            Err(_) => assert!(codec == Codec::Json && !all_named(frame), "{frame:?}"),
        }
    }
}

fn all_named(frame: &ClientFrame) -> bool {
    match &frame.command {
        Some(Command::SendEmote(send)) => Emote::try_from(send.emote).is_ok(),
        _ => true,
    }
}

fn take_in(bytes: &[u8]) {
    if let Ok(frame) = Codec::Proto.decode_binary::<ClientFrame>(bytes) {
        assert_kept(&frame);
    }
    // A client's decoder has no reason to panic either. It may meet an enum number that a newer
    // release knows; then there is a binary form only.
    if let Ok(frame) = Codec::Proto.decode_binary::<ServerFrame>(bytes) {
        let Payload::Binary(again) = Codec::Proto.encode(&frame).unwrap() else {
            panic!("binary")
        };
        assert_eq!(Codec::Proto.decode_binary::<ServerFrame>(&again).unwrap(), frame);
        let _ = Codec::Json.encode(&frame);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Ok(frame) = Codec::Json.decode_text::<ClientFrame>(text) {
            assert_kept(&frame);
        }
        let _ = Codec::Json.decode_text::<ServerFrame>(text);
    }
}

fn a_text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-z0-9-]{1,64}", any::<String>()]
}

fn a_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        a_text().prop_map(|region| Command::JoinLobby(JoinLobby { region })),
        Just(Command::LeaveLobby(LeaveLobby {})),
        Just(Command::Ping(Ping {})),
        (a_text(), any::<u32>()).prop_map(|(game_id, last_sequence)| {
            Command::Resume(Resume {
                game_id,
                last_sequence,
            })
        }),
        (a_text(), a_text(), any::<u32>(), a_text()).prop_map(
            |(game_id, command_id, expected_sequence, uci)| {
                Command::PlayMove(PlayMove {
                    game_id,
                    command_id,
                    expected_sequence,
                    uci,
                })
            }
        ),
        (a_text(), a_text())
            .prop_map(|(game_id, command_id)| Command::Resign(Resign { game_id, command_id })),
        (a_text(), a_text())
            .prop_map(|(game_id, command_id)| Command::OfferDraw(OfferDraw { game_id, command_id })),
        (a_text(), a_text(), any::<bool>()).prop_map(|(game_id, command_id, accept)| {
            Command::AnswerDraw(AnswerDraw {
                game_id,
                command_id,
                accept,
            })
        }),
        a_text().prop_map(|game_id| Command::OfferRematch(OfferRematch { game_id })),
        (a_text(), any::<bool>())
            .prop_map(|(game_id, accept)| Command::AnswerRematch(AnswerRematch { game_id, accept })),
        (a_text(), -1..8_i32).prop_map(|(game_id, emote)| Command::SendEmote(SendEmote { game_id, emote })),
    ]
}

fn a_frame() -> impl Strategy<Value = ClientFrame> {
    (any::<u32>(), option::of(a_command()))
        .prop_map(|(request_id, command)| ClientFrame { request_id, command })
}

/// JSON as an unkind client might write it: right names with wrong values, and the other way round.
fn almost_json() -> impl Strategy<Value = String> {
    let names = select(vec![
        "requestId",
        "request_id",
        "joinLobby",
        "playMove",
        "resume",
        "ping",
        "gameId",
        "accept",
        "sendEmote",
        "emote",
        "uci",
        "lastSequence",
        "expectedSequence",
        "later",
    ]);
    let leaf = select(vec![
        "0",
        "-1",
        "1e9",
        "1.5",
        "4294967295",
        "4294967296",
        "\"7\"",
        "\"\"",
        "null",
        "true",
        "{}",
        "[]",
        "\"\\ud800\"",
        "\"\\u0000\"",
        "NaN",
        "",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(4, 32, 4, move |inner| {
        prop_oneof![
            vec((names.clone(), inner.clone()), 0..4).prop_map(|fields| {
                let fields: Vec<_> = fields
                    .iter()
                    .map(|(name, value)| format!("\"{name}\":{value}"))
                    .collect();
                format!("{{{}}}", fields.join(","))
            }),
            vec(inner, 0..3).prop_map(|values| format!("[{}]", values.join(","))),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back_the_same(frame in a_frame()) {
        assert_kept(&frame);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..256)) {
        take_in(&bytes);
    }

    #[test]
    fn frames_with_damage_never_panic(
        frame in a_frame(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        for codec in [Codec::Json, Codec::Proto] {
            let mut bytes = match codec.encode(&frame) {
                Ok(Payload::Text(text)) => text.into_bytes(),
                Ok(Payload::Binary(bytes)) => bytes,
                // An emote without a name.
                Err(_) => continue,
            };
            if bytes.is_empty() {
                continue;
            }
            for (at, byte) in &damage {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            take_in(&bytes);
            bytes.truncate(cut.index(bytes.len()));
            take_in(&bytes);
        }
    }

    #[test]
    fn almost_json_never_panics(text in almost_json()) {
        take_in(text.as_bytes());
    }
}

#[test]
fn nesting_as_deep_as_a_frame_may_be_long_is_refused_or_passed_over() {
    let deep = |open: &str, close: &str, head: &str| {
        let levels = (CLIENT_FRAME_BYTES_MAX - head.len() - 1) / (open.len() + close.len());
        format!("{head}{}{}}}", open.repeat(levels), close.repeat(levels))
    };
    for text in [
        deep("[", "]", r#"{"later":"#),
        deep(r#"{"x":"#, "}", r#"{"later":"#),
        deep("[", "", r#"{"requestId":1,"ping":"#),
    ] {
        assert!(text.len() <= CLIENT_FRAME_BYTES_MAX);
        take_in(text.as_bytes());
    }
    // Groups (wire type 3) of a field that the contract does not have.
    let groups = [0xa3, 0x06].repeat(CLIENT_FRAME_BYTES_MAX / 2);
    assert!(Codec::Proto.decode_binary::<ClientFrame>(&groups).is_err());
}

#[test]
fn the_seeds_of_the_fuzz_target_are_frames() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/client_frame");
    let mut seeds = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        take_in(&bytes);
        let text = std::str::from_utf8(&bytes).ok();
        let is_json =
            text.is_some_and(|text| Codec::Json.decode_text::<ClientFrame>(text.trim_end()).is_ok());
        let is_proto = Codec::Proto.decode_binary::<ClientFrame>(&bytes).is_ok();
        assert!(is_json || is_proto, "{}", path.display());
        seeds += 1;
    }
    assert!(seeds >= 4);
}
