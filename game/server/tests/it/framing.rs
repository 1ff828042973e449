//! The WebSocket endpoint, byte by byte, in the categories of the Autobahn test suite: framing,
//! ping and pong, reserved bits, opcodes, fragmentation, UTF-8, close handling, limits. Where the
//! suite expects an echo, the answer here is the game's: `Pong` to a `Ping` command.

use starvault_wire::v1::{error::Code, server_frame::Event};

use crate::{
    raw::{
        BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, Raw, Received, TEXT, close, frame, head, ping_command,
        text,
    },
    support::{Running, SignedIn, folder},
};

async fn start() -> (tempfile::TempDir, Running, SignedIn) {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |config| {
        config.limits.commands_burst = 10_000;
    })
    .await;
    let who = server.sign_in("Ada").await;
    (folder, server, who)
}

/// Each of these ends its connection with that code, and no other connection.
async fn assert_closes<'a>(cases: impl IntoIterator<Item = (&'a str, Vec<u8>, u16)>) {
    let (_folder, server, who) = start().await;
    let mut bystander = Raw::open(&server, &who).await;
    for (what, bytes, code) in cases {
        let mut raw = Raw::open(&server, &who).await;
        raw.assert_alive().await;
        raw.send_in_vain(&bytes).await;
        assert_eq!(raw.close_code().await, code, "{what}");
    }
    bystander.assert_alive().await;
    server.stop().await;
}

/// Each of these is answered like a `Ping` command.
async fn assert_answered(cases: impl IntoIterator<Item = (String, Vec<u8>)>) {
    let (_folder, server, who) = start().await;
    for (what, bytes) in cases {
        let mut raw = Raw::open(&server, &who).await;
        for bytewise in [false, true] {
            if bytewise {
                raw.send_bytewise(&bytes).await;
            } else {
                raw.send(&bytes).await;
            }
            let event = raw.event().await;
            assert!(matches!(event, Event::Pong(_)), "{what}: {event:?}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn messages_of_every_length_form_arrive() {
    // The three forms of a length meet at 125/126 and 65,535/65,536.
    assert_answered(
        [64, 124, 125, 126, 127, 128, 255, 256, 4096]
            .map(|bytes| (format!("{bytes} bytes"), text(ping_command(1, bytes)))),
    )
    .await;
    let (_folder, server, who) = start().await;
    let mut raw = Raw::open(&server, &who).await;
    for (what, bytes, code) in [
        ("nothing", text(""), Code::MalformedFrame),
        ("4,097 bytes", text(ping_command(1, 4097)), Code::FrameTooLarge),
        ("65,535 bytes", text(ping_command(1, 65_535)), Code::FrameTooLarge),
        ("65,536 bytes", text(ping_command(1, 65_536)), Code::FrameTooLarge),
        ("no bytes", frame(FIN | BINARY, b""), Code::MalformedFrame),
        ("126 bytes", frame(FIN | BINARY, &[0; 126]), Code::MalformedFrame),
        (
            "65,536 bytes",
            frame(FIN | BINARY, &[0; 65_536]),
            Code::FrameTooLarge,
        ),
    ] {
        raw.send(&bytes).await;
        match raw.event().await {
            Event::Error(error) => assert_eq!(error.code(), code, "{what}"),
            event => panic!("{what}: {event:?}"),
        }
    }
    raw.assert_alive().await;
    server.stop().await;
}

#[tokio::test]
async fn what_is_too_large_to_be_read_closes_the_socket() {
    let mut fragments = frame(TEXT, &[b' '; 40_000]);
    fragments.extend(frame(FIN | CONTINUATION, &[b' '; 40_000]));
    // Only the head: nobody has to send a terabyte to be refused.
    let terabyte = [head(FIN | BINARY, 0x80, 1 << 40), vec![1, 2, 3, 4]].concat();
    let endless = [vec![FIN | BINARY, 0x80 | 127], vec![0xff; 8], vec![1, 2, 3, 4]].concat();
    assert_closes([
        ("65,537 bytes", text(vec![b' '; 65_537]), 1009),
        ("1 MiB of text", text(vec![b' '; 1 << 20]), 1009),
        ("1 MiB of bytes", frame(FIN | BINARY, &vec![0; 1 << 20]), 1009),
        ("80,000 bytes in two fragments", fragments, 1009),
        ("a terabyte announced", terabyte, 1009),
        ("2^64 - 1 bytes announced", endless, 1009),
    ])
    .await;
}

#[tokio::test]
async fn a_client_must_mask() {
    let unmasked = |first: u8, payload: &[u8]| [head(first, 0, payload.len()), payload.to_vec()].concat();
    assert_closes([
        (
            "text",
            unmasked(FIN | TEXT, br#"{"requestId":1,"ping":{}}"#),
            1002,
        ),
        ("nothing", unmasked(FIN | TEXT, b""), 1002),
        ("a ping", unmasked(FIN | PING, b"x"), 1002),
        ("a close", unmasked(FIN | CLOSE, &close(1000, b"")), 1002),
    ])
    .await;
}

#[tokio::test]
async fn a_ping_is_answered_with_its_own_payload() {
    let (_folder, server, who) = start().await;
    let mut raw = Raw::open(&server, &who).await;
    let payloads = [
        &b""[..],
        b"Hello",
        &[0, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0],
        &[0xfe; 125],
    ];
    for bytewise in [false, true] {
        for payload in payloads {
            let ping = frame(FIN | PING, payload);
            if bytewise {
                raw.send_bytewise(&ping).await;
            } else {
                raw.send(&ping).await;
            }
            let pong = Received {
                opcode: PONG,
                payload: payload.to_vec(),
            };
            assert_eq!(raw.next().await, Some(pong));
        }
    }
    // One after another without waiting: the answers keep the order.
    let pings: Vec<u8> = (0..10).flat_map(|n| frame(FIN | PING, &[b'a' + n])).collect();
    raw.send(&pings).await;
    for n in 0..10 {
        assert_eq!(raw.next().await.map(|pong| pong.payload), Some(vec![b'a' + n]));
    }
    raw.assert_alive().await;
    server.stop().await;
}

#[tokio::test]
async fn a_pong_that_nobody_asked_for_is_passed_over() {
    let (_folder, server, who) = start().await;
    let mut raw = Raw::open(&server, &who).await;
    for payload in [&b""[..], b"unsolicited", &[0, 0, 0, 1], &[7; 125]] {
        raw.send(&frame(FIN | PONG, payload)).await;
        raw.assert_alive().await;
    }
    raw.send(&[frame(FIN | PONG, b"x"), frame(FIN | PING, b"y")].concat())
        .await;
    assert_eq!(raw.next().await.map(|pong| pong.payload), Some(b"y".to_vec()));
    server.stop().await;
}

#[tokio::test]
async fn control_frames_are_short_and_whole() {
    assert_closes([
        ("a ping of 126 bytes", frame(FIN | PING, &[1; 126]), 1002),
        ("a pong of 126 bytes", frame(FIN | PONG, &[1; 126]), 1002),
        (
            "a close of 126 bytes",
            frame(FIN | CLOSE, &close(1000, &[b'x'; 124])),
            1002,
        ),
        ("a ping in fragments", frame(PING, b"x"), 1002),
        ("a pong in fragments", frame(PONG, b"x"), 1002),
        ("a close in fragments", frame(CLOSE, &close(1000, b"")), 1002),
    ])
    .await;
}

#[tokio::test]
async fn reserved_bits_and_opcodes_are_refused() {
    let ping = br#"{"requestId":1,"ping":{}}"#;
    let bits = (1..8).flat_map(|bits: u8| {
        [TEXT, BINARY, PING, PONG, CLOSE]
            .map(|opcode| ("a reserved bit", frame(FIN | bits << 4 | opcode, ping), 1002))
    });
    let opcodes = (3..8).chain(11..16).flat_map(|opcode: u8| {
        [&b""[..], b"x"].map(|payload| ("a reserved opcode", frame(FIN | opcode, payload), 1002))
    });
    assert_closes(bits.chain(opcodes)).await;
}

#[tokio::test]
async fn a_message_may_come_in_fragments() {
    let message = ping_command(1, 300);
    let bytes = message.as_bytes();
    let in_two = [
        frame(TEXT, &bytes[..100]),
        frame(FIN | CONTINUATION, &bytes[100..]),
    ];
    let with_empty_ones = [
        frame(TEXT, b""),
        frame(CONTINUATION, b""),
        frame(CONTINUATION, bytes),
        frame(CONTINUATION, b""),
        frame(FIN | CONTINUATION, b""),
    ];
    let single_bytes: Vec<u8> = bytes
        .iter()
        .enumerate()
        .flat_map(|(n, byte)| {
            let opcode = if n == 0 { TEXT } else { CONTINUATION };
            let last = if n + 1 == bytes.len() { FIN } else { 0 };
            frame(last | opcode, &[*byte])
        })
        .collect();
    assert_answered([
        ("two fragments".to_owned(), in_two.concat()),
        ("empty fragments".to_owned(), with_empty_ones.concat()),
        ("a fragment for each byte".to_owned(), single_bytes),
    ])
    .await;
}

#[tokio::test]
async fn control_frames_come_between_fragments() {
    let (_folder, server, who) = start().await;
    let mut raw = Raw::open(&server, &who).await;
    let message = ping_command(1, 90);
    let bytes = message.as_bytes();
    let parts = [
        frame(TEXT, &bytes[..30]),
        frame(FIN | PING, b"one"),
        frame(CONTINUATION, &bytes[30..60]),
        frame(FIN | PONG, b"unsolicited"),
        frame(FIN | PING, b"two"),
        frame(FIN | CONTINUATION, &bytes[60..]),
    ];
    raw.send(&parts.concat()).await;
    for payload in [b"one", b"two"] {
        let pong = raw.next().await.unwrap();
        assert_eq!((pong.opcode, &pong.payload[..]), (PONG, &payload[..]));
    }
    assert!(matches!(raw.event().await, Event::Pong(_)));
    // In the middle of a message a close still closes.
    raw.send(&[frame(TEXT, b"{"), frame(FIN | CLOSE, &close(1000, b""))].concat())
        .await;
    assert_eq!(raw.close_code().await, 1000);
    server.stop().await;
}

#[tokio::test]
async fn fragments_out_of_order_are_refused() {
    assert_closes([
        (
            "a last fragment of nothing",
            frame(FIN | CONTINUATION, b"x"),
            1002,
        ),
        ("a fragment of nothing", frame(CONTINUATION, b"x"), 1002),
        (
            "an empty fragment of nothing",
            frame(FIN | CONTINUATION, b""),
            1002,
        ),
        (
            "a second message before the first has ended",
            [frame(TEXT, b"{"), frame(FIN | TEXT, b"}")].concat(),
            1002,
        ),
        (
            "another kind of message before the first has ended",
            [frame(TEXT, b"{"), frame(BINARY, b"}")].concat(),
            1002,
        ),
        (
            "one fragment too many",
            [
                frame(TEXT, br#"{"requestId":1,"#),
                frame(FIN | CONTINUATION, br#""ping":{}}"#),
                frame(FIN | CONTINUATION, b"x"),
            ]
            .concat(),
            1002,
        ),
    ])
    .await;
}

#[tokio::test]
async fn text_in_utf_8_arrives_however_it_is_cut() {
    let texts = [
        "κόσμε",
        "星穹棋局",
        "\u{80}\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}",
        "\u{fffe}\u{1fffe}\u{10fffe}",
        "\u{d7ff}\u{e000}\u{fffd}",
        "🧿♟️",
    ];
    let cases = texts.into_iter().flat_map(|content| {
        let message = format!(r#"{{"requestId":1,"ping":{{}},"x":"{content}"}}"#).into_bytes();
        let start = message.len() - 2 - content.len();
        // Every cut, also in the middle of a character.
        let cuts = (start..message.len()).map(move |cut| {
            let parts = [
                frame(TEXT, &message[..cut]),
                frame(FIN | CONTINUATION, &message[cut..]),
            ];
            (format!("{content:?} cut at {cut}"), parts.concat())
        });
        cuts.collect::<Vec<_>>()
    });
    assert_answered(cases).await;
}

#[tokio::test]
async fn text_that_is_not_utf_8_closes_the_socket() {
    let wrong: [(&str, &[u8]); 14] = [
        ("a lone continuation byte", &[0x80]),
        ("many of them", &[0x80, 0xbf, 0x80, 0xbf]),
        ("a start without its rest", &[0xc3]),
        ("a start of three without its rest", &[0xe2, 0x82]),
        ("a start of four without its rest", &[0xf0, 0x9f, 0x98]),
        ("a start and then ASCII", &[0xc3, b'x']),
        ("an overlong slash", &[0xc0, 0xaf]),
        ("an overlong slash in three", &[0xe0, 0x80, 0xaf]),
        ("an overlong null", &[0xc0, 0x80]),
        ("a surrogate", &[0xed, 0xa0, 0x80]),
        ("a pair of surrogates", &[0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80]),
        ("above U+10FFFF", &[0xf4, 0x90, 0x80, 0x80]),
        ("a start of five", &[0xf8, 0x88, 0x80, 0x80, 0x80]),
        ("a byte that never occurs", &[0xff]),
    ];
    let message = |bytes: &[u8]| [br#"{"requestId":1,"ping":{},"x":""#, bytes, br#""}"#].concat();
    let whole = wrong.map(|(what, bytes)| (what, text(message(bytes)), 1007));
    let cut = wrong.map(|(what, bytes)| {
        let message = message(bytes);
        let (head, tail) = message.split_at(message.len() - 2 - bytes.len() / 2);
        let parts = [
            frame(TEXT, head),
            frame(CONTINUATION, b""),
            frame(FIN | CONTINUATION, tail),
        ];
        (what, parts.concat(), 1007)
    });
    // What can never become right is not waited for.
    let early = ("a wrong byte in a first fragment", frame(TEXT, b"{\xff"), 1007);
    let late = (
        "a wrong byte in a later fragment",
        [frame(TEXT, b"{"), frame(CONTINUATION, b"\xc0\xaf")].concat(),
        1007,
    );
    assert_closes(whole.into_iter().chain(cut).chain([early, late])).await;
}

#[tokio::test]
async fn a_close_is_answered_in_kind() {
    let (_folder, server, who) = start().await;
    let long = [b'x'; 123];
    let star = "星".repeat(41).into_bytes();
    let mut cases: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for payload in [
        vec![],
        close(1000, b""),
        close(1000, b"bye"),
        close(1000, &long),
        close(1000, &star),
    ] {
        cases.push((payload.clone(), payload));
    }
    for code in [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999,
    ] {
        cases.push((close(code, b"x"), close(code, b"x")));
    }
    for (sent, expected) in cases {
        let mut raw = Raw::open(&server, &who).await;
        raw.send(&frame(FIN | CLOSE, &sent)).await;
        assert_eq!(raw.close_payload().await, expected);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_wrong_close_is_answered_with_what_is_wrong() {
    let codes = [
        0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535,
    ];
    let codes = codes.map(|code| {
        (
            "a code that nobody may send",
            frame(FIN | CLOSE, &close(code, b"")),
            1002,
        )
    });
    let others = [
        ("half a code", frame(FIN | CLOSE, &[3]), 1002),
        (
            "a reason that is not UTF-8",
            frame(FIN | CLOSE, &close(1000, b"\xed\xa0\x80")),
            1007,
        ),
        (
            "a reason cut off",
            frame(FIN | CLOSE, &close(1000, b"\xe2\x82")),
            1007,
        ),
    ];
    assert_closes(codes.into_iter().chain(others)).await;
}

#[tokio::test]
async fn nothing_counts_after_a_close() {
    let (_folder, server, who) = start().await;
    let bye = frame(FIN | CLOSE, &close(1000, b"bye"));
    for after in [
        bye.clone(),
        frame(FIN | PING, b"x"),
        text(r#"{"requestId":1,"ping":{}}"#),
        vec![0xff; 64],
    ] {
        let mut raw = Raw::open(&server, &who).await;
        raw.send(&[bye.clone(), after].concat()).await;
        let first = raw.next().await.unwrap();
        assert_eq!((first.opcode, first.payload), (CLOSE, close(1000, b"bye")));
        assert_eq!(raw.next().await, None, "no answer, only the end");
    }
    server.stop().await;
}
