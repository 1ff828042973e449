//! The way into a game and out of it: arrival, abort, long absence, lag.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt as _;
use starvault_wire::{
    Codec,
    v1::{
        Color, JoinLobby, OfferDraw, OfferRematch, Resign, Resume, client_frame::Command, error::Code,
        game_event::Kind, outcome::Reason, server_frame::Event,
    },
};

use crate::support::{Player, Running, SignedIn, Table, assert_sound, folder, soon};

const JOIN: Command = Command::JoinLobby(JoinLobby {
    region: String::new(),
});

/// Two players who wait, of whom the second reads nothing any more once it has joined.
async fn one_here_one_silent(server: &Running) -> (Player, Player, SignedIn, SignedIn) {
    let (ada, bo) = (server.sign_in("Ada").await, server.sign_in("Bo").await);
    let mut silent = server.connect(&bo, Codec::Proto).await;
    silent.send(JOIN).await;
    let mut here = server.connect(&ada, Codec::Json).await;
    here.ask(JOIN).await;
    (here, silent, ada, bo)
}

#[tokio::test]
async fn a_game_whose_player_never_arrives_counts_for_nobody_and_the_other_waits_on() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |config| {
        config.limits.arrival_timeout = Duration::from_millis(300);
    })
    .await;
    let (mut here, silent, ada, bo) = one_here_one_silent(&server).await;
    let game_id = here.matched().await.game.unwrap().game_id;
    here.arrives().await;
    let ended = here.game_event(2).await;
    let Some(Kind::Ended(ended_as)) = ended.kind else {
        panic!("it is aborted")
    };
    let outcome = ended_as.outcome.unwrap();
    assert_eq!(
        (outcome.winner(), outcome.reason()),
        (Color::Unspecified, Reason::Aborted)
    );
    // Back in the lobby, unasked and with the place of before.
    let queued = here
        .until(|frame| match (frame.request_id, frame.event) {
            (0, Some(Event::Queued(queued))) => Some(queued),
            _ => None,
        })
        .await;
    assert!(queued.since_ms <= ended.at_ms - 300, "the wait goes on");
    for who in [&ada, &bo] {
        let profile = server.profile(who).await;
        assert_eq!((profile.games_played, profile.xp, profile.rating), (0, 0, 1500));
        assert_eq!(profile.active_game_id, "");
    }
    let offer = Command::OfferRematch(OfferRematch {
        game_id: game_id.clone(),
    });
    assert_eq!(here.refused(offer).await, Code::NoRematch);
    // The next opponent comes without another `joinLobby` of the one who was here.
    let cy = server.sign_in("Cy").await;
    let mut third = server.connect(&cy, Codec::Json).await;
    third.ask(JOIN).await;
    let next = here.matched().await.game.unwrap();
    assert_eq!(third.matched().await.game.unwrap().game_id, next.game_id);
    assert_ne!(next.game_id, game_id);
    drop(silent);
    server.stop().await;
    assert_sound(&folder);
}

#[tokio::test]
async fn a_match_is_told_again_to_the_next_connection_of_who_has_not_arrived() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let (mut here, silent, _, bo) = one_here_one_silent(&server).await;
    let game = here.matched().await.game.unwrap();
    drop(silent);
    let mut back = server.connect(&bo, Codec::Json).await;
    // Unasked.
    let matched = back.matched().await;
    assert_eq!(matched.game.unwrap().game_id, game.game_id);
    back.arrives().await;
    let (white, black) = if matched.you_play == i32::from(Color::White) {
        (back, here)
    } else {
        (here, back)
    };
    let mut table = Table {
        game_id: game.game_id,
        white,
        black,
        white_in: bo.clone(),
        black_in: bo,
    };
    table.play(1, "e2e4").await;
    table.play(2, "e7e5").await;
    server.stop().await;
    assert_sound(&folder);
}

/// The end of a game, as `player` hears it.
async fn end_of_game(player: &mut Player) -> (Color, Reason) {
    player
        .until(|frame| match frame.event {
            Some(Event::GameEvent(event)) => match event.kind {
                Some(Kind::Ended(ended)) => ended.outcome.map(|end| (end.winner(), end.reason())),
                _ => None,
            },
            _ => None,
        })
        .await
}

#[tokio::test]
async fn whoever_says_anything_has_arrived() {
    let folder = folder();
    let limit = Duration::from_millis(500);
    let server = Running::start(&folder, "v1.2", |config| config.limits.arrival_timeout = limit).await;
    for resumes in [false, true] {
        let (mut here, mut silent, ..) = one_here_one_silent(&server).await;
        let game_id = here.matched().await.game.unwrap().game_id;
        here.arrives().await;
        // Without reading, so that no ping is answered.
        let (game, command_id) = (game_id.clone(), "d".into());
        silent
            .send(if resumes {
                Command::Resume(Resume {
                    game_id: game,
                    last_sequence: 0,
                })
            } else {
                Command::OfferDraw(OfferDraw {
                    game_id: game,
                    command_id,
                })
            })
            .await;
        // Nothing is to happen when the time is over, so there is nothing to wait for.
        tokio::time::sleep(2 * limit).await;
        let command_id = "r".into();
        let resigned = here.ask(Command::Resign(Resign { game_id, command_id })).await;
        assert!(
            matches!(resigned, Event::Ack(_)),
            "resumes {resumes}: {resigned:?}"
        );
        assert_eq!(end_of_game(&mut here).await.1, Reason::Resignation);
    }
    server.stop().await;
    assert_sound(&folder);
}

#[tokio::test]
async fn a_flag_that_has_fallen_comes_before_what_arrives_after_it() {
    let folder = folder();
    let now_ms = Arc::new(AtomicI64::new(starvault_server::TimeSource::system().now_ms()));
    let read = now_ms.clone();
    let server = Running::start(&folder, "v1.2", |config| {
        config.time = starvault_server::TimeSource::new(move || read.load(Ordering::SeqCst));
    })
    .await;
    let mut table = server.two_in_a_game().await;
    // The timer of the game has slept through this; White's time is over.
    now_ms.fetch_add(600_000, Ordering::SeqCst);
    let resign = Command::Resign(Resign {
        game_id: table.game_id.clone(),
        command_id: "r".into(),
    });
    assert_eq!(table.black.refused(resign).await, Code::GameOver);
    assert_eq!(end_of_game(&mut table.white).await, (Color::Black, Reason::Flag));
    server.stop().await;
    assert_sound(&folder);
}

#[tokio::test]
async fn who_comes_back_to_an_empty_board_is_told_so() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |config| {
        config.limits.disconnect_grace = Duration::from_secs(600);
    })
    .await;
    let Table {
        game_id,
        white,
        mut black,
        white_in,
        black_in,
    } = server.two_in_a_game().await;
    drop(white);
    black.presence(false).await;
    drop(black);
    let mut white = server.connect(&white_in, Codec::Json).await;
    white.resume(&game_id, 1).await;
    let grace_ms = white.presence(false).await.grace_ms;
    assert!((1..=600_000).contains(&grace_ms), "{grace_ms}");
    let mut black = server.connect(&black_in, Codec::Proto).await;
    black.resume(&game_id, 1).await;
    white.presence(true).await;
    server.stop().await;
}

#[tokio::test]
async fn whoever_has_never_been_there_aborts_the_game_and_does_not_lose_it() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |config| {
        config.limits.disconnect_grace = Duration::from_millis(10);
        config.limits.arrival_timeout = Duration::from_secs(1);
    })
    .await;
    let (mut here, silent, ..) = one_here_one_silent(&server).await;
    here.matched().await;
    here.arrives().await;
    // The connection ends before anything was read: not an absence, an arrival that is still due.
    drop(silent);
    assert_eq!(
        end_of_game(&mut here).await,
        (Color::Unspecified, Reason::Aborted)
    );
    server.stop().await;
    assert_sound(&folder);
}

#[tokio::test]
async fn a_newer_connection_before_the_arrival_takes_the_seat_over() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let (mut here, mut silent, _, bo) = one_here_one_silent(&server).await;
    let game_id = here.matched().await.game.unwrap().game_id;
    let mut back = server.connect(&bo, Codec::Json).await;
    assert_eq!(back.matched().await.game.unwrap().game_id, game_id);
    assert_eq!(silent.closed().await, 4002);
    server.stop().await;
}

#[tokio::test]
async fn a_sequence_from_the_future_is_refused_with_the_true_one() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let mut table = server.two_in_a_game().await;
    table.play(1, "e2e4").await;
    let resume = Command::Resume(Resume {
        game_id: table.game_id.clone(),
        last_sequence: 3,
    });
    let Event::Error(error) = table.white.ask(resume).await else {
        panic!("refused")
    };
    assert_eq!((error.code(), error.current_sequence), (Code::SequenceGap, 2));
    // The seat is as it was.
    table.play(2, "e7e5").await;
    server.stop().await;
}

/// Knights that go out and home again, and pawns that move in between, so that nothing repeats too often.
fn long_game() -> Vec<String> {
    let mut moves = Vec::new();
    for (from, to) in [((2, 3), (7, 6)), ((3, 4), (6, 5))] {
        for file in "abcdef".chars() {
            moves.push(format!("{file}{}{file}{}", from.0, from.1));
            moves.push(format!("{file}{}{file}{}", to.0, to.1));
            moves.extend(["g1h3", "g8h6", "h3g1", "h6g8"].map(String::from));
        }
    }
    moves
}

#[tokio::test]
async fn who_was_away_for_long_hears_everything_and_a_restart_cuts_no_game() {
    let folder = folder();
    let generous = |config: &mut starvault_server::Config| {
        config.limits.commands_per_second = 10_000;
        config.limits.commands_burst = 10_000;
    };
    let mut server = Running::start(&folder, "v1.2", generous).await;
    let mut table = server.two_in_a_game().await;
    let mut sequence = 1;
    for (n, uci) in long_game().into_iter().enumerate() {
        table.play(sequence, &uci).await;
        sequence += 1;
        if n % 30 == 20 {
            // The process goes down in the middle of the game and another one goes on.
            server.shutdown.cancel();
            assert_eq!(table.white.closed().await, 1012);
            assert_eq!(table.black.closed().await, 1012);
            server.stop().await;
            server = Running::start(&folder, "v1.2", generous).await;
            for (player, who) in [
                (&mut table.white, &table.white_in),
                (&mut table.black, &table.black_in),
            ] {
                *player = server.connect(who, Codec::Proto).await;
                assert_eq!(player.welcome.active_game_id, table.game_id);
                let resumed = player.resume(&table.game_id, sequence).await;
                assert!(resumed.missed.is_empty());
            }
        }
    }
    assert!(sequence > 60 + 1, "more than is kept in memory");
    let resumed = table.white.resume(&table.game_id, 0).await;
    let heard: Vec<u32> = resumed.missed.iter().map(|event| event.sequence).collect();
    assert_eq!(heard, (1..=sequence).collect::<Vec<_>>());
    let some = table.black.resume(&table.game_id, sequence - 2).await;
    assert_eq!(some.missed.len(), 2);
    server.stop().await;
    assert_sound(&folder);
}

#[tokio::test]
async fn the_way_to_the_server_is_measured_and_not_charged() {
    let folder = folder();
    // A clock of the test's own: a move takes what the test says.
    let today_ms = starvault_server::TimeSource::system().now_ms();
    let now_ms = Arc::new(AtomicI64::new(today_ms));
    let read = now_ms.clone();
    let server = Running::start(&folder, "v1.2", |config| {
        config.time = starvault_server::TimeSource::new(move || read.load(Ordering::SeqCst));
    })
    .await;
    let mut table = server.two_in_a_game().await;
    // White's line gets slow: the pong of the next measurement comes late.
    let resume = table.resume(1);
    table.white.send(resume).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    table.white.arrives().await;
    now_ms.fetch_add(1_000, Ordering::SeqCst);
    let command = table.a_move(1, "e2e4");
    assert!(matches!(table.white.ask(command).await, Event::Ack(_)));
    let told = table.black.game_event(2).await;
    let Some(Kind::MoveMade(made)) = told.kind else {
        panic!("a move")
    };
    // Smoothed: one part in eight of some 300 ms, and what the first measurement was.
    assert!((30..=500).contains(&made.lag_ms), "{} ms", made.lag_ms);
    let clock_ms = told.game.unwrap().white.unwrap().clock_ms;
    assert_eq!(clock_ms, 180_000 - 1_000 + i64::from(made.lag_ms) + 2_000);
    server.stop().await;
    assert_sound(&folder);
}

#[tokio::test]
async fn what_a_client_says_about_its_lag_counts_for_nothing() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |config| {
        config.limits.lag_compensation_max = Duration::ZERO;
    })
    .await;
    let mut table = server.two_in_a_game().await;
    let resume = table.resume(1);
    table.white.send(resume).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    table.white.arrives().await;
    let command = table.a_move(1, "e2e4");
    table.white.ask(command).await;
    let Some(Kind::MoveMade(made)) = table.black.game_event(2).await.kind else {
        panic!("a move")
    };
    assert_eq!(made.lag_ms, 0, "switched off");
    server.stop().await;
}

#[tokio::test]
async fn two_live_sockets_of_one_player_are_one_seat() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let mut table = server.two_in_a_game().await;
    let mut second = server.connect(&table.white_in, Codec::Json).await;
    // Connected, and not yet at the board: the first one plays.
    assert_eq!(second.refused(table.a_move(1, "d2d4")).await, Code::NotInGame);
    table.play(1, "e2e4").await;
    second.resume(&table.game_id, 2).await;
    let closed = async {
        while let Some(Ok(message)) = table.white.socket.next().await {
            if message.as_close().is_some() {
                return;
            }
        }
    };
    soon("the former socket is closed", closed).await;
    table.white = second;
    table.play(2, "e7e5").await;
    table.play(3, "g1f3").await;
    server.stop().await;
    assert_sound(&folder);
}
