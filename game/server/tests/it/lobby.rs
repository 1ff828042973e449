//! Waiting for an opponent.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use starvault_server::{Config, TimeSource};
use starvault_wire::{
    Codec,
    v1::{
        AnswerDraw, Color, JoinLobby, LeaveLobby, OfferDraw, Ping, Queued, Resign, client_frame::Command,
        error::Code, server_frame::Event,
    },
};

use crate::support::{Player, Running, SignedIn, folder, hold};

const JOIN: Command = Command::JoinLobby(JoinLobby {
    region: String::new(),
});

fn join(region: &str) -> Command {
    Command::JoinLobby(JoinLobby {
        region: region.into(),
    })
}

async fn queued(player: &mut Player, command: Command) -> Queued {
    match player.ask(command).await {
        Event::Queued(queued) => queued,
        event => panic!("this player should wait: {event:?}"),
    }
}

/// What a new connection hears unasked when its player's ticket is alive.
async fn still_queued(player: &mut Player) -> Queued {
    let frame = player.next().await;
    assert_eq!(frame.request_id, 0);
    match frame.event {
        Some(Event::Queued(queued)) => queued,
        event => panic!("this player should still wait: {event:?}"),
    }
}

/// Which of these was seated in the game that `player` hears of next.
async fn opponent_of(player: &mut Player, who: &SignedIn) -> String {
    let game = player.matched().await.game.unwrap();
    let seats = [game.white.unwrap().player_id, game.black.unwrap().player_id];
    let [other] = seats
        .iter()
        .filter(|id| **id != who.player_id)
        .collect::<Vec<_>>()[..]
    else {
        panic!("{seats:?}")
    };
    other.clone()
}

/// Nobody is forgotten while a test looks elsewhere.
fn patient(config: &mut Config) {
    config.limits.ticket_grace = Duration::from_secs(600);
}

#[tokio::test]
async fn one_ticket_per_player_and_the_newest_connection_holds_it() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let (ada, bo) = (server.sign_in("Ada").await, server.sign_in("Bo").await);
    let mut old = server.connect(&ada, Codec::Json).await;
    assert!(matches!(old.ask(JOIN).await, Event::Queued(_)));
    assert_eq!(old.refused(JOIN).await, Code::AlreadyQueued);

    let mut new = server.connect(&ada, Codec::Json).await;
    still_queued(&mut new).await;
    assert!(matches!(new.ask(JOIN).await, Event::Queued(_)));
    assert_eq!(new.refused(JOIN).await, Code::AlreadyQueued);
    assert!(matches!(old.next().await.event, Some(Event::LeftLobby(_))));
    // The end of the old connection does not take the newer ticket away.
    drop(old);
    let mut opponent = server.connect(&bo, Codec::Proto).await;
    assert!(matches!(opponent.ask(JOIN).await, Event::Queued(_)));
    let game = new.matched().await.game.unwrap();
    assert_eq!(opponent.matched().await.game.unwrap().game_id, game.game_id);
    assert_eq!(new.refused(JOIN).await, Code::AlreadyPlaying);
    server.stop().await;
}

#[tokio::test]
async fn whoever_leaves_is_not_matched() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let mut players = Vec::new();
    for name in ["Ada", "Bo", "Cy"] {
        let who = server.sign_in(name).await;
        let mut player = server.connect(&who, Codec::Json).await;
        assert!(matches!(player.ask(JOIN).await, Event::Queued(_)));
        if name == "Ada" {
            let left = player.ask(Command::LeaveLobby(LeaveLobby {})).await;
            assert!(matches!(left, Event::LeftLobby(_)));
        }
        players.push((player, who));
    }
    let game = players[1].0.matched().await.game.unwrap();
    server
        .lobby_says("no ticket is left", |lobby| lobby.waiting() == 0)
        .await;
    assert_eq!(server.lobby.put_back(), 0, "nobody was matched with who has left");
    let mut seated = [game.white.unwrap().player_id, game.black.unwrap().player_id];
    let mut expected = [players[1].1.player_id.clone(), players[2].1.player_id.clone()];
    seated.sort();
    expected.sort();
    assert_eq!(seated, expected);
    assert!(
        matches!(players[0].0.ask(JOIN).await, Event::Queued(_)),
        "Ada is free"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_ticket_outlives_its_connection_and_keeps_its_place() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", patient).await;
    let (ada, bo) = (server.sign_in("Ada").await, server.sign_in("Bo").await);
    let mut player = server.connect(&ada, Codec::Json).await;
    let before = queued(&mut player, JOIN).await;
    assert_eq!(
        (before.region.as_str(), before.rating),
        ("local", player.welcome.rating)
    );
    assert!(before.window_initial > 0 && before.wait_ms_max > 0 && before.since_ms > 0);
    drop(player);
    server
        .lobby_says("the ticket is suspended", |lobby| lobby.suspended() == 1)
        .await;
    assert_eq!(server.lobby.waiting(), 0);

    let mut back = server.connect(&ada, Codec::Proto).await;
    assert_eq!(still_queued(&mut back).await, before);
    assert_eq!(
        queued(&mut back, JOIN).await,
        before,
        "joining again changes nothing"
    );
    let mut opponent = server.connect(&bo, Codec::Json).await;
    queued(&mut opponent, JOIN).await;
    assert_eq!(opponent_of(&mut back, &ada).await, bo.player_id);
    assert_eq!((server.lobby.reattached(), server.lobby.expired()), (1, 0));
    server.stop().await;
}

#[tokio::test]
async fn whoever_is_cut_off_is_not_matched_until_back() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", patient).await;
    let mut signed_in = Vec::new();
    for name in ["Ada", "Bo", "Cy", "Di"] {
        signed_in.push(server.sign_in(name).await);
    }
    let [ada, bo, cy, di] = &signed_in[..] else {
        panic!("four")
    };
    let mut player = server.connect(ada, Codec::Json).await;
    let before = queued(&mut player, JOIN).await;
    drop(player);
    server
        .lobby_says("the ticket is suspended", |lobby| lobby.suspended() == 1)
        .await;
    // Ada has waited longest, and the next two meet each other.
    let mut one = server.connect(bo, Codec::Json).await;
    queued(&mut one, JOIN).await;
    let mut two = server.connect(cy, Codec::Json).await;
    queued(&mut two, JOIN).await;
    assert_eq!(opponent_of(&mut one, bo).await, cy.player_id);
    let mut back = server.connect(ada, Codec::Json).await;
    assert_eq!(still_queued(&mut back).await, before);
    let mut three = server.connect(di, Codec::Json).await;
    queued(&mut three, JOIN).await;
    assert_eq!(opponent_of(&mut back, ada).await, di.player_id);
    server.stop().await;
}

#[tokio::test]
async fn a_ticket_whose_player_stays_away_is_dropped() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |config| {
        config.limits.ticket_grace = Duration::from_millis(50);
    })
    .await;
    let ada = server.sign_in("Ada").await;
    let mut player = server.connect(&ada, Codec::Json).await;
    queued(&mut player, JOIN).await;
    drop(player);
    server
        .lobby_says("the ticket is dropped", |lobby| lobby.expired() == 1)
        .await;
    let mut back = server.connect(&ada, Codec::Json).await;
    // The first thing that this connection hears is the answer to its own question.
    let request = back.send(JOIN).await;
    assert_eq!(back.next().await.request_id, request);
    assert_eq!(server.lobby.reattached(), 0);
    server.stop().await;
}

#[tokio::test]
async fn players_of_different_regions_never_meet_and_wait_in_one_region_only() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |config| {
        config.regions = "eu,asia".parse().unwrap();
        // Even the bound on waiting joins no regions.
        config.matching.wait_ms_max = 100;
        config.matching.avoid_ms = 0;
    })
    .await;
    let (ada, bo, cy) = (
        server.sign_in("Ada").await,
        server.sign_in("Bo").await,
        server.sign_in("Cy").await,
    );
    let mut one = server.connect(&ada, Codec::Json).await;
    assert_eq!(one.welcome.regions, ["eu", "asia"]);
    assert_eq!(
        queued(&mut one, JOIN).await.region,
        "eu",
        "the first one is the default"
    );
    assert_eq!(one.refused(join("asia")).await, Code::AlreadyQueued);
    let mut two = server.connect(&bo, Codec::Json).await;
    for unknown in ["mars", "EU", "eu ", &"x".repeat(3_000)] {
        assert_eq!(two.refused(join(unknown)).await, Code::InvalidArgument);
    }
    assert_eq!(queued(&mut two, join("asia")).await.region, "asia");
    let mut three = server.connect(&cy, Codec::Json).await;
    // Nor over another connection, which does not take the place over either.
    let mut second = server.connect(&ada, Codec::Proto).await;
    still_queued(&mut second).await;
    assert_eq!(second.refused(join("asia")).await, Code::AlreadyQueued);
    assert_eq!(queued(&mut three, join("asia")).await.region, "asia");
    assert_eq!(opponent_of(&mut two, &bo).await, cy.player_id);
    assert_eq!((server.lobby.matched(), server.lobby.waiting()), (1, 1));
    server.stop().await;
}

#[tokio::test]
async fn whoever_has_been_found_an_opponent_neither_leaves_nor_joins_again() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let (ada, bo) = (server.sign_in("Ada").await, server.sign_in("Bo").await);
    let mut one = server.connect(&ada, Codec::Json).await;
    let mut two = server.connect(&bo, Codec::Proto).await;
    let held = hold(&folder);
    queued(&mut one, JOIN).await;
    queued(&mut two, JOIN).await;
    for player in [&mut one, &mut two] {
        assert_eq!(player.refused(JOIN).await, Code::AlreadyPlaying);
        let leave = Command::LeaveLobby(LeaveLobby {});
        assert_eq!(player.refused(leave).await, Code::AlreadyPlaying);
    }
    drop(held);
    assert_eq!(opponent_of(&mut one, &ada).await, bo.player_id);
    assert_eq!(opponent_of(&mut two, &bo).await, ada.player_id);
    assert_eq!((server.lobby.matched(), server.lobby.waiting()), (1, 0));
    server.stop().await;
}

#[tokio::test]
async fn a_match_is_told_over_the_connection_that_came_while_the_game_began() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let (ada, bo) = (server.sign_in("Ada").await, server.sign_in("Bo").await);
    let mut old = server.connect(&ada, Codec::Json).await;
    let mut two = server.connect(&bo, Codec::Proto).await;
    let held = hold(&folder);
    queued(&mut old, JOIN).await;
    queued(&mut two, JOIN).await;
    let mut new = server.connect(&ada, Codec::Json).await;
    server
        .lobby_says("the newer connection is known", |lobby| lobby.redelivered() == 1)
        .await;
    drop(held);
    assert_eq!(opponent_of(&mut new, &ada).await, bo.player_id);
    two.matched().await;
    let request = old.send(Command::Ping(Ping {})).await;
    assert_eq!(
        old.next().await.request_id,
        request,
        "nothing was said to the old one"
    );
    server.stop().await;
}

#[tokio::test]
async fn whoever_plays_elsewhere_already_leaves_the_other_one_in_place() {
    let folder = folder();
    // Two releases over one store, each with a lobby of its own.
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let ahead_ms = Arc::new(AtomicI64::new(0));
    let ahead = ahead_ms.clone();
    let other = Running::start(&folder, "v1.3", |config| {
        let system = TimeSource::system();
        config.time = TimeSource::new(move || system.now_ms() + ahead.load(Ordering::SeqCst));
    })
    .await;
    let (ada, bo, cy, di) = (
        server.sign_in("Ada").await,
        server.sign_in("Bo").await,
        server.sign_in("Cy").await,
        server.sign_in("Di").await,
    );
    let mut here = server.connect(&ada, Codec::Json).await;
    queued(&mut here, JOIN).await;
    let mut there = other.connect(&ada, Codec::Json).await;
    queued(&mut there, JOIN).await;
    let mut two = server.connect(&bo, Codec::Json).await;
    queued(&mut two, JOIN).await;
    assert_eq!(opponent_of(&mut here, &ada).await, bo.player_id);

    let mut three = other.connect(&cy, Codec::Json).await;
    let held = hold(&folder);
    let waits = queued(&mut three, JOIN).await;
    // The store takes its time to find out.
    ahead_ms.fetch_add(3_000, Ordering::SeqCst);
    drop(held);
    assert!(matches!(there.next().await.event, Some(Event::LeftLobby(_))));
    assert_eq!(there.error().await, Code::AlreadyPlaying);
    other
        .lobby_says("the other one waits again", |lobby| {
            (lobby.put_back(), lobby.waiting()) == (1, 1)
        })
        .await;
    // With the wait that it had, as its next connection hears.
    drop(three);
    let mut three = other.connect(&cy, Codec::Proto).await;
    assert_eq!(still_queued(&mut three).await, waits);
    let mut four = other.connect(&di, Codec::Json).await;
    queued(&mut four, JOIN).await;
    assert_eq!(opponent_of(&mut three, &cy).await, di.player_id);
    other.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn who_plays_white_is_drawn() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let mut of_the_older = Vec::new();
    for _ in 0..16 {
        let (ada, bo) = (server.sign_in("Ada").await, server.sign_in("Bo").await);
        let mut older = server.connect(&ada, Codec::Proto).await;
        queued(&mut older, JOIN).await;
        let mut younger = server.connect(&bo, Codec::Proto).await;
        queued(&mut younger, JOIN).await;
        let (one, two) = (
            older.matched().await.you_play(),
            younger.matched().await.you_play(),
        );
        assert_ne!(one, two);
        of_the_older.push(one);
    }
    for color in [Color::White, Color::Black] {
        assert!(of_the_older.contains(&color), "never {color:?}: {of_the_older:?}");
    }
    server.stop().await;
}

/// The two meet; answers the id of their game.
async fn meet(one: &mut Player, two: &mut Player) -> String {
    queued(one, JOIN).await;
    queued(two, JOIN).await;
    let game_id = one.matched().await.game.unwrap().game_id;
    assert_eq!(two.matched().await.game.unwrap().game_id, game_id);
    game_id
}

/// The two meet, and the first one gives up at once.
async fn loses_to(loser: &mut Player, winner: &mut Player) {
    let game_id = meet(loser, winner).await;
    let command_id = "resign".into();
    let resigned = loser.ask(Command::Resign(Resign { game_id, command_id })).await;
    assert!(matches!(resigned, Event::Ack(_)), "{resigned:?}");
    winner.game_event(2).await;
}

/// The two meet, and agree on a draw: their ratings stay as they were.
async fn draws_with(one: &mut Player, two: &mut Player) {
    let game_id = meet(one, two).await;
    let offer = Command::OfferDraw(OfferDraw {
        game_id: game_id.clone(),
        command_id: "offer".into(),
    });
    assert!(matches!(one.ask(offer).await, Event::Ack(_)));
    let accept = Command::AnswerDraw(AnswerDraw {
        game_id,
        command_id: "accept".into(),
        accept: true,
    });
    assert!(matches!(two.ask(accept).await, Event::Ack(_)));
    one.game_event(3).await;
}

#[tokio::test]
async fn nobody_meets_the_last_opponent_again_while_somebody_else_waits() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |config| {
        config.matching.wait_ms_max = 600_000;
        config.matching.window_initial = 100;
        config.matching.window_growth_per_second = 0;
        config.matching.avoid_ms = 600_000;
    })
    .await;
    let mut players = Vec::new();
    let mut who = Vec::new();
    for name in ["Ada", "Bo", "Cy", "Di", "Ed"] {
        let signed_in = server.sign_in(name).await;
        players.push(server.connect(&signed_in, Codec::Json).await);
        who.push(signed_in);
    }
    let [ada, bo, cy, di, ed] = &mut players[..] else {
        panic!("five")
    };
    // Somebody waits whose rating is out of reach for the others.
    loses_to(cy, di).await;
    queued(cy, JOIN).await;
    draws_with(ada, bo).await;
    queued(ada, JOIN).await;
    queued(bo, JOIN).await;
    server
        .lobby_says("all three wait", |lobby| lobby.waiting() == 3)
        .await;
    queued(ed, JOIN).await;
    assert_eq!(opponent_of(ada, &who[0]).await, who[4].player_id);
    server.stop().await;
}

#[tokio::test]
async fn the_last_opponent_is_better_than_nobody() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |config| {
        config.matching.wait_ms_max = 600_000;
        config.matching.window_growth_per_second = 0;
        config.matching.avoid_ms = 600_000;
    })
    .await;
    let (ada, bo) = (server.sign_in("Ada").await, server.sign_in("Bo").await);
    let mut one = server.connect(&ada, Codec::Json).await;
    let mut two = server.connect(&bo, Codec::Json).await;
    loses_to(&mut one, &mut two).await;
    queued(&mut one, JOIN).await;
    queued(&mut two, JOIN).await;
    assert_eq!(opponent_of(&mut one, &ada).await, bo.player_id);
    server.stop().await;
}

#[tokio::test]
async fn a_policy_outside_its_safe_range_is_refused_at_the_start() {
    let folder = folder();
    let path = folder.path();
    let mut config = Config::new(
        path.join("s.sqlite"),
        "v1.2".parse().unwrap(),
        path.join("key.pem"),
    );
    config.matching.wait_ms_max = 0;
    let listener = starvault_server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let refused = starvault_server::Server::build(config, listener)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("wait_ms_max is 0"), "{refused}");
}
