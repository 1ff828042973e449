//! Connections that break, come back, are replaced, are slow, or must end.

use starvault_store::{Journal as _, SqliteJournal, SqliteOptions};
use starvault_wire::{
    Codec,
    v1::{client_frame::Command, error::Code, game_event::Kind, server_frame::Event},
};

use crate::support::{Player, Running, SignedIn, assert_sound, folder, soon, store};

#[tokio::test]
async fn a_player_who_was_cut_off_resumes_and_learns_what_was_missed() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let mut table = server.two_in_a_game().await;
    table.play(1, "e2e4").await;
    // Cut without a closing handshake, right before the opponent's move.
    let last_move = table.a_move(2, "e7e5");
    let from_the_start = table.resume(0);
    drop(std::mem::replace(
        &mut table.white,
        server.connect(&table.white_in, Codec::Proto).await,
    ));
    assert!(!table.black.presence(false).await.connected);
    assert!(matches!(table.black.ask(last_move).await, Event::Ack(_)));
    table.black.game_event(3).await;

    assert_eq!(table.white.welcome.active_game_id, table.game_id);
    assert_eq!(
        table.white.refused(table.a_move(3, "g1f3")).await,
        Code::NotInGame,
        "resume first"
    );
    let resumed = table.white.resume(&table.game_id, 2).await;
    assert_eq!(resumed.you_play, 1);
    let missed: Vec<_> = resumed
        .missed
        .iter()
        .map(|event| (event.sequence, event.kind.clone()))
        .collect();
    let [(3, Some(Kind::MoveMade(missed)))] = missed.as_slice() else {
        panic!("one move: {missed:?}")
    };
    assert_eq!((missed.uci.as_str(), missed.san.as_str()), ("e7e5", "e5"));
    let view = resumed.game.unwrap();
    assert_eq!(
        (view.sequence, view.moves),
        (3, vec!["e4".to_owned(), "e5".to_owned()])
    );
    assert!(table.black.presence(true).await.connected);
    table.play(3, "g1f3").await;

    let Event::Resumed(everything) = table.white.ask(from_the_start).await else {
        panic!("resumed")
    };
    assert_eq!(
        everything
            .missed
            .iter()
            .map(|event| event.sequence)
            .collect::<Vec<_>>(),
        [1, 2, 3, 4]
    );
    server.stop().await;
    assert_sound(&folder);
}

#[tokio::test]
async fn a_command_sent_again_is_answered_again_and_applied_once() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let mut table = server.two_in_a_game().await;
    table.play(1, "e2e4").await;
    table.play(2, "e7e5").await;

    // Again on the same connection, and again on a new one.
    for turn in 0..2 {
        let again = table.a_move(1, "e2e4");
        let Event::Ack(ack) = table.white.ask(again).await else {
            panic!("acknowledged again")
        };
        assert_eq!((ack.sequence, ack.repeated), (2, true));
        if turn == 0 {
            table.white = server.connect(&table.white_in, Codec::Json).await;
            assert_eq!(
                table.white.resume(&table.game_id, 3).await.game.unwrap().sequence,
                3
            );
        }
    }
    // The same id with another content is a mistake.
    let Command::PlayMove(mut other) = table.a_move(1, "e2e4") else {
        panic!("a move")
    };
    other.uci = "d2d4".into();
    assert_eq!(
        table.white.refused(Command::PlayMove(other)).await,
        Code::CommandIdConflict
    );
    // A refusal is remembered like an acceptance.
    let illegal = table.a_move(3, "e1e5");
    assert_eq!(table.white.refused(illegal.clone()).await, Code::IllegalMove);
    table.play(3, "g1f3").await;
    assert_eq!(table.white.refused(illegal).await, Code::IllegalMove);
    server.stop().await;
    assert_sound(&folder);
}

#[tokio::test]
async fn a_newer_connection_takes_the_seat_and_the_end_of_the_older_one_changes_nothing() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let mut table = server.two_in_a_game().await;
    let mut newer = server.connect(&table.white_in, Codec::Proto).await;
    newer.resume(&table.game_id, 1).await;
    assert_eq!(table.white.closed().await, 4002);
    drop(std::mem::replace(&mut table.white, newer));
    table.play(1, "e2e4").await;
    table.play(2, "e7e5").await;
    table.black.resume(&table.game_id, 0).await;
    assert_eq!(
        table.black.absences, 0,
        "the opponent never heard that the seat was empty"
    );
    server.stop().await;
}

#[tokio::test]
async fn nobody_can_resume_a_game_of_others() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let other_server = Running::start(&folder, "v1.3", |_| {}).await;
    let mut table = server.two_in_a_game().await;
    let stranger = server.sign_in("Eve").await;
    for at in [&server, &other_server] {
        let mut eve = at.connect(&stranger, Codec::Json).await;
        assert_eq!(eve.refused(table.resume(0)).await, Code::NotInGame);
        assert_eq!(eve.refused(table.a_move(1, "e2e4")).await, Code::NotInGame);
    }
    table.play(1, "e2e4").await;
    // Nor once it has ended: not even its owner changes.
    let resign = Command::Resign(starvault_wire::v1::Resign {
        game_id: table.game_id.clone(),
        command_id: "r".into(),
    });
    assert!(matches!(table.white.ask(resign).await, Event::Ack(_)));
    let mut eve = other_server.connect(&stranger, Codec::Json).await;
    assert_eq!(eve.refused(table.resume(0)).await, Code::NotInGame);
    table.black.game_event(3).await;
    let journal = SqliteJournal::open(&store(folder.path()), SqliteOptions::default()).unwrap();
    let game_id = table.game_id.parse().unwrap();
    let ownership = journal.owner_of(&game_id).await.unwrap().unwrap();
    assert_eq!(ownership.epoch.0, 1, "the stranger pulled the game over");
    journal.close().await;
    for running in [server, other_server] {
        running.stop().await;
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_and_its_opponent_told() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |config| {
        config.limits.outbox_frames_max = 4;
        config.limits.commands_per_second = 1_000_000;
        config.limits.commands_burst = 1_000_000;
    })
    .await;
    let mut table = server.two_in_a_game().await;
    let who: SignedIn = table.white_in.clone();
    let mut slow = Player::connect(server.address, &who, Codec::Json, Some(4096)).await;
    slow.resume(&table.game_id, 0).await;
    let resume = table.resume(0);
    let flood = async {
        // Every answer is some kilobytes long, and none of them is read.
        loop {
            use futures_util::SinkExt as _;
            let frame = starvault_wire::v1::ClientFrame {
                request_id: 1,
                command: Some(resume.clone()),
            };
            let text = serde_json::to_string(&frame).unwrap();
            if slow
                .socket
                .send(tokio_websockets::Message::text(text))
                .await
                .is_err()
            {
                break;
            }
        }
    };
    soon("the slow client is cut", flood).await;
    table.black.presence(false).await;
    // The server goes on, and the player can come back.
    let mut back = server.connect(&who, Codec::Json).await;
    back.resume(&table.game_id, 0).await;
    table.white = back;
    table.play(1, "e2e4").await;
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_goes_down_closes_sockets_and_loses_no_move() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let mut table = server.two_in_a_game().await;
    table.play(1, "e2e4").await;
    // A move on its way while the server goes down: acknowledged or not, never half.
    table.black.send(table.a_move(2, "e7e5")).await;
    server.shutdown.cancel();
    assert_eq!(table.white.closed().await, 1012);
    assert_eq!(table.black.closed().await, 1012);
    server.stop().await;
    assert_sound(&folder);

    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let mut white = server.connect(&table.white_in, Codec::Json).await;
    assert_eq!(white.welcome.active_game_id, table.game_id);
    white.resume(&table.game_id, 0).await;
    let mut black = server.connect(&table.black_in, Codec::Proto).await;
    black.resume(&table.game_id, 0).await;
    // Sent again: applied now or answered again, once in any case.
    let again = table.a_move(2, "e7e5");
    let Event::Ack(ack) = black.ask(again).await else {
        panic!("acknowledged")
    };
    assert_eq!(ack.sequence, 3);
    (table.white, table.black) = (white, black);
    table.play(3, "g1f3").await;
    server.stop().await;
    assert_sound(&folder);
}
