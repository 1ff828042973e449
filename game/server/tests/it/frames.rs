//! Frames that are wrong, too large, too many or out of turn: each is refused and the game goes on.

use std::time::Duration;

use starvault_wire::{
    CLIENT_FRAME_BYTES_MAX, Codec,
    v1::{LeaveLobby, Ping, PlayMove, client_frame::Command, error::Code, server_frame::Event},
};
use tokio_websockets::Message;

use crate::{
    raw::{FIN, PING, PONG, Raw, frame, text},
    support::{Running, folder},
};

#[tokio::test]
async fn wrong_frames_are_refused_and_the_game_goes_on() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let mut table = server.two_in_a_game().await;
    let (json, proto) = (&mut table.white, &mut table.black);
    for wrong in [
        "",
        "{",
        "[]",
        "null",
        r#"{"requestId":"x"}"#,
        r#"{"requestId":9}"#,
        r#"{"requestId":9,"fly":{}}"#,
    ] {
        json.send_raw(Message::text(wrong.to_owned())).await;
        assert_eq!(json.error().await, Code::MalformedFrame, "{wrong:?}");
    }
    json.send_raw(Message::binary(vec![8, 1, 74, 0])).await;
    assert_eq!(
        json.error().await,
        Code::MalformedFrame,
        "binary on a text connection"
    );
    for wrong in [vec![], vec![0xff], vec![8, 1]] {
        proto.send_raw(Message::binary(wrong)).await;
        assert_eq!(proto.error().await, Code::MalformedFrame);
    }
    proto
        .send_raw(Message::text(r#"{"requestId":1,"ping":{}}"#))
        .await;
    assert_eq!(
        proto.error().await,
        Code::MalformedFrame,
        "text on a binary connection"
    );

    let large = |bytes: usize| {
        let head = r#"{"requestId":5,"ping":{},"padding":""#;
        format!(r#"{head}{}"}}"#, "x".repeat(bytes - head.len() - 2))
    };
    assert_eq!(large(100).len(), 100);
    json.send_raw(Message::text(large(CLIENT_FRAME_BYTES_MAX))).await;
    json.until(|frame| (frame.request_id == 5).then_some(())).await;
    json.send_raw(Message::text(large(CLIENT_FRAME_BYTES_MAX + 1)))
        .await;
    assert_eq!(json.error().await, Code::FrameTooLarge);

    table.play(1, "e2e4").await;
    // So large that it is not even read.
    table.white.send_raw(Message::text(large(80 * 1024))).await;
    assert_eq!(table.white.closed().await, 1009);
    table.white = server.connect(&table.white_in, Codec::Json).await;
    table.white.resume(&table.game_id, 2).await;
    table.play(2, "e7e5").await;
    server.stop().await;
}

#[tokio::test]
async fn moves_out_of_turn_out_of_sequence_or_against_the_rules_change_nothing() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let mut table = server.two_in_a_game().await;
    assert_eq!(
        table.black.refused(table.a_move(1, "e7e5")).await,
        Code::NotYourTurn
    );
    assert_eq!(
        table.white.refused(table.a_move(1, "e2e5")).await,
        Code::IllegalMove
    );
    let Event::Error(gap) = table.white.ask(table.a_move(7, "e2e4")).await else {
        panic!("refused")
    };
    assert_eq!((gap.code(), gap.current_sequence), (Code::SequenceGap, 1));
    let with = |change: fn(&mut PlayMove)| {
        let Command::PlayMove(mut play) = table.a_move(1, "e2e4") else {
            panic!("a move")
        };
        change(&mut play);
        Command::PlayMove(play)
    };
    let cases = [
        (
            with(|play| play.command_id = String::new()),
            Code::InvalidArgument,
        ),
        (
            with(|play| play.command_id = "x".repeat(65)),
            Code::InvalidArgument,
        ),
        (
            with(|play| play.game_id = "no game?".into()),
            Code::InvalidArgument,
        ),
        (with(|play| play.game_id = "g-unknown".into()), Code::NotInGame),
        (with(|play| play.uci = "e2e4".repeat(100)), Code::InvalidArgument),
    ];
    for (command, expected) in cases {
        assert_eq!(table.white.refused(command).await, expected);
    }
    assert!(matches!(
        table.white.ask(Command::LeaveLobby(LeaveLobby {})).await,
        Event::LeftLobby(_)
    ));
    let view = table.play(1, "e2e4").await;
    assert_eq!(view.sequence, 2);
    server.stop().await;
}

#[tokio::test]
async fn a_flood_is_refused_command_by_command_and_then_closed() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |config| {
        config.limits.commands_per_second = 0;
        config.limits.commands_burst = 3;
        config.limits.refusals_max = 5;
    })
    .await;
    let who = server.sign_in("Ada").await;
    let mut player = server.connect(&who, Codec::Json).await;
    for _ in 0..3 {
        assert!(matches!(player.ask(Command::Ping(Ping {})).await, Event::Pong(_)));
    }
    for _ in 0..5 {
        assert_eq!(player.refused(Command::Ping(Ping {})).await, Code::RateLimited);
    }
    player.send(Command::Ping(Ping {})).await;
    assert_eq!(player.closed().await, 1008);
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_is_mostly_right_is_never_closed() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |config| config.limits.refusals_max = 3).await;
    let who = server.sign_in("Ada").await;
    let mut player = server.connect(&who, Codec::Json).await;
    // Each good frame makes up for a refused one.
    for _ in 0..12 {
        player
            .send_raw(Message::text("x".repeat(CLIENT_FRAME_BYTES_MAX + 1)))
            .await;
        assert_eq!(player.error().await, Code::FrameTooLarge);
        assert!(matches!(player.ask(Command::Ping(Ping {})).await, Event::Pong(_)));
    }
    for _ in 0..4 {
        player
            .send_raw(Message::text("x".repeat(CLIENT_FRAME_BYTES_MAX + 1)))
            .await;
    }
    assert_eq!(player.closed().await, 1008);
    server.stop().await;
}

#[tokio::test]
async fn ten_thousand_frames_at_once_close_their_own_socket_and_no_other() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let mut table = server.two_in_a_game().await;
    let who = server.sign_in("Eve").await;
    let floods = [
        text(r#"{"requestId":1,"ping":{}}"#),
        text("rubbish"),
        frame(FIN | PING, b"x"),
        frame(FIN | PONG, b"unsolicited"),
    ];
    for flood in floods {
        let mut eve = Raw::open(&server, &who).await;
        for _ in 0..100 {
            eve.send_in_vain(&flood.repeat(100)).await;
        }
        assert_eq!(eve.close_code().await, 1008);
    }
    table.play(1, "e2e4").await;
    table.play(2, "e7e5").await;
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_is_silent_is_closed_and_its_opponent_told() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |config| {
        config.limits.ping_every = Duration::from_millis(50);
        config.limits.idle_timeout = Duration::from_millis(400);
    })
    .await;
    let mut table = server.two_in_a_game().await;
    // As after a lost link: the connection is open and nobody is there to answer a ping.
    let mut mute = Raw::open(&server, &table.white_in).await;
    let resume = serde_json::json!({"requestId": 1, "resume": {"gameId": table.game_id}});
    mute.send(&text(resume.to_string())).await;
    let told = async {
        // Reading answers the server's pings, so the opponent stays.
        table.black.presence(false).await;
    };
    let (code, ()) = tokio::join!(mute.close_code(), told);
    assert_eq!(code, 1008);
    server.stop().await;
}

#[tokio::test]
async fn half_a_request_does_not_hold_a_connection() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |config| {
        config.limits.header_timeout = Duration::from_millis(100);
    })
    .await;
    let mut slow = Raw::connect(&server).await;
    slow.send(b"GET /v1/play HTTP/1.1\r\nhost: x\r\n").await;
    slow.ended().await;
    for start in [&b""[..], b"PRI * HTTP/2.0\r\n"] {
        let mut mute = Raw::connect(&server).await;
        mute.send(start).await;
        mute.ended().await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_closes_gets_its_close_answered() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let who = server.sign_in("Ada").await;
    for codec in [Codec::Json, Codec::Proto] {
        let mut player = server.connect(&who, codec).await;
        player
            .send_raw(Message::close(
                Some(tokio_websockets::CloseCode::NORMAL_CLOSURE),
                "bye",
            ))
            .await;
        assert_eq!(player.closed().await, 1000);
    }
    server.stop().await;
}
