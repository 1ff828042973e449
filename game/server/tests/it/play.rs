//! Whole games.

use std::time::Duration;

use starvault_rules::Clock;
use starvault_wire::v1::{
    AnswerDraw, Color, JoinLobby, OfferDraw, Resign, client_frame::Command, error::Code, game_event::Kind,
    outcome::Reason, server_frame::Event,
};

use crate::support::{Running, assert_sound, folder};

/// White gives three checks: b5+, xc6+ and xf7+.
const THREE_CHECKS: [&str; 9] = [
    "e2e4", "d7d6", "f1b5", "c7c6", "b5c6", "b8c6", "d1h5", "g8f6", "h5f7",
];

#[tokio::test]
async fn a_game_to_the_third_check_and_then_another_one() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let mut table = server.two_in_a_game().await;
    assert_eq!(
        server.profile(&table.white_in).await.active_game_id,
        table.game_id
    );

    let mut black_hp = Vec::new();
    for (sequence, uci) in (1..).zip(THREE_CHECKS) {
        let view = table.play(sequence, uci).await;
        assert_eq!((view.sequence, view.last_move.as_str()), (sequence + 1, uci));
        assert_eq!(view.white.unwrap().hp, 3);
        black_hp.push(view.black.unwrap().hp);
    }
    assert_eq!(black_hp, [3, 3, 2, 2, 1, 1, 1, 1, 0]);
    for player in [&mut table.white, &mut table.black] {
        let ended = player.game_event(11).await;
        let Some(Kind::Ended(ended_as)) = ended.kind else {
            panic!("the game ends with the third check")
        };
        let outcome = ended_as.outcome.unwrap();
        assert_eq!(
            (outcome.winner(), outcome.reason()),
            (Color::White, Reason::ThreeChecks)
        );
        let view = ended.game.unwrap();
        assert!(view.legal_moves.is_empty() && view.outcome.is_some());
    }
    let (winner, loser) = (
        server.profile(&table.white_in).await,
        server.profile(&table.black_in).await,
    );
    assert_eq!(
        (winner.rating, winner.wins, winner.games_played, winner.version),
        (1662, 1, 1, 2)
    );
    assert_eq!((loser.rating, loser.losses, loser.games_played), (1338, 1, 1));
    assert_eq!(winner.active_game_id, "");

    // The game is over for every command, and the sockets are free for another one.
    let late = table.a_move(11, "a7a6");
    assert_eq!(table.black.refused(late).await, Code::GameOver);
    let first_game = table.game_id.clone();
    for player in [&mut table.white, &mut table.black] {
        assert!(matches!(
            player
                .ask(Command::JoinLobby(JoinLobby {
                    region: String::new()
                }))
                .await,
            Event::Queued(_)
        ));
    }
    let second = table.white.matched().await.game.unwrap();
    assert_ne!(second.game_id, first_game);
    let ratings = [second.white.unwrap().rating, second.black.unwrap().rating];
    assert_eq!(ratings.iter().sum::<i32>(), 3000);
    assert!(ratings.contains(&1662));
    server.stop().await;
    assert_sound(&folder);
}

#[tokio::test]
async fn a_draw_is_offered_declined_offered_and_agreed() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let mut table = server.two_in_a_game().await;
    let game_id = table.game_id.clone();
    let offer = |id: &str| {
        Command::OfferDraw(OfferDraw {
            game_id: game_id.clone(),
            command_id: id.into(),
        })
    };
    let answer = |id: &str, accept| {
        Command::AnswerDraw(AnswerDraw {
            game_id: game_id.clone(),
            command_id: id.into(),
            accept,
        })
    };
    assert_eq!(table.black.refused(answer("a", true)).await, Code::NoDrawOffer);
    assert!(matches!(table.white.ask(offer("b")).await, Event::Ack(_)));
    let offered = table.black.game_event(2).await;
    assert_eq!(offered.game.unwrap().draw_offered_by(), Color::White);
    assert!(matches!(table.black.ask(answer("c", false)).await, Event::Ack(_)));
    assert!(matches!(
        table.white.game_event(3).await.kind,
        Some(Kind::DrawDeclined(_))
    ));
    assert_eq!(
        table.white.refused(offer("d")).await,
        Code::InvalidArgument,
        "one offer until the next move"
    );
    assert!(matches!(table.black.ask(offer("e")).await, Event::Ack(_)));
    assert!(matches!(table.white.ask(answer("f", true)).await, Event::Ack(_)));
    let Some(Kind::Ended(ended)) = table.black.game_event(5).await.kind else {
        panic!("agreed")
    };
    assert_eq!(ended.outcome.unwrap().reason(), Reason::Agreement);
    assert_eq!(server.profile(&table.black_in).await.draws, 1);
    server.stop().await;
    assert_sound(&folder);
}

#[tokio::test]
async fn whoever_resigns_has_lost() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let mut table = server.two_in_a_game().await;
    let resign = Resign {
        game_id: table.game_id.clone(),
        command_id: "r".into(),
    };
    assert!(matches!(
        table.black.ask(Command::Resign(resign)).await,
        Event::Ack(_)
    ));
    let Some(Kind::Ended(ended)) = table.white.game_event(2).await.kind else {
        panic!("it ends")
    };
    let outcome = ended.outcome.unwrap();
    assert_eq!(
        (outcome.winner(), outcome.reason()),
        (Color::White, Reason::Resignation)
    );
    server.stop().await;
}

#[tokio::test]
async fn a_clock_that_runs_out_loses() {
    let folder = folder();
    let clock = Clock {
        initial_ms: 300,
        increment_ms: 0,
    };
    let server = Running::start(&folder, "v1.2", |config| config.clock = clock).await;
    let mut table = server.two_in_a_game().await;
    for player in [&mut table.white, &mut table.black] {
        let ended = player.game_event(2).await;
        let Some(Kind::Ended(ended_as)) = ended.kind else {
            panic!("the flag falls")
        };
        let outcome = ended_as.outcome.unwrap();
        assert_eq!((outcome.winner(), outcome.reason()), (Color::Black, Reason::Flag));
        assert_eq!(ended.game.unwrap().white.unwrap().clock_ms, 0);
    }
    server.stop().await;
    assert_sound(&folder);
}

#[tokio::test]
async fn whoever_stays_away_forfeits_the_game() {
    let folder = folder();
    let grace = Duration::from_millis(200);
    let server = Running::start(&folder, "v1.2", |config| config.limits.disconnect_grace = grace).await;
    let mut table = server.two_in_a_game().await;
    drop(table.white);
    let presence = table.black.presence(false).await;
    assert!((0..=200).contains(&presence.grace_ms));
    let Some(Kind::Ended(ended)) = table.black.game_event(2).await.kind else {
        panic!("it is forfeited")
    };
    let outcome = ended.outcome.unwrap();
    assert_eq!(
        (outcome.winner(), outcome.reason()),
        (Color::Black, Reason::Abandoned)
    );
    server.stop().await;
    assert_sound(&folder);
}
