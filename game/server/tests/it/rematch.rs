//! Another game of the same two, and what it does to a wait in the lobby.

use std::time::Duration;

use starvault_wire::{
    Codec,
    v1::{
        AnswerRematch, Color, JoinLobby, LeftLobby, OfferRematch, Resign, client_frame::Command, error::Code,
        server_frame::Event,
    },
};

use crate::support::{Player, Running, Table, assert_sound, folder};

const JOIN: Command = Command::JoinLobby(JoinLobby {
    region: String::new(),
});

fn offer(game_id: &str) -> Command {
    Command::OfferRematch(OfferRematch {
        game_id: game_id.into(),
    })
}

fn answer(game_id: &str, accept: bool) -> Command {
    Command::AnswerRematch(AnswerRematch {
        game_id: game_id.into(),
        accept,
    })
}

async fn resigned(server: &Running) -> Table {
    let mut table = server.two_in_a_game().await;
    let resign = Command::Resign(Resign {
        game_id: table.game_id.clone(),
        command_id: "r".into(),
    });
    assert!(matches!(table.black.ask(resign).await, Event::Ack(_)));
    table.white.game_event(2).await;
    table.black.game_event(2).await;
    table
}

async fn rematch_offered(player: &mut Player) -> String {
    player
        .until(|frame| match frame.event {
            Some(Event::RematchOffered(offered)) => Some(offered.game_id),
            _ => None,
        })
        .await
}

async fn rematch_declined(player: &mut Player) -> String {
    player
        .until(|frame| match frame.event {
            Some(Event::RematchDeclined(declined)) => Some(declined.game_id),
            _ => None,
        })
        .await
}

#[tokio::test]
async fn a_rematch_is_another_game_with_the_colours_swapped() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let mut table = server.two_in_a_game().await;
    let game_id = table.game_id.clone();
    assert_eq!(
        table.white.refused(offer(&game_id)).await,
        Code::NoRematch,
        "it goes on"
    );
    let resign = Command::Resign(Resign {
        game_id: game_id.clone(),
        command_id: "r".into(),
    });
    table.black.ask(resign).await;
    table.white.game_event(2).await;
    assert_eq!(
        table.white.refused(answer(&game_id, true)).await,
        Code::NoRematch,
        "none is offered"
    );

    for _ in 0..2 {
        let Event::Ack(ack) = table.white.ask(offer(&game_id)).await else {
            panic!("the offer stands")
        };
        assert_eq!((ack.game_id.as_str(), ack.sequence), (game_id.as_str(), 2));
    }
    assert_eq!(rematch_offered(&mut table.black).await, game_id);
    let Event::Matched(now_white) = table.black.ask(answer(&game_id, true)).await else {
        panic!("accepted")
    };
    let now_black = table.white.matched().await;
    assert_eq!(
        (now_white.you_play(), now_black.you_play()),
        (Color::White, Color::Black)
    );
    let (one, two) = (now_white.game.unwrap(), now_black.game.unwrap());
    assert_eq!(one.game_id, two.game_id);
    assert_ne!(one.game_id, game_id);
    // Rated anew, and seen with the level of now.
    let black = one.black.unwrap();
    assert_eq!((black.rating, black.level), (1662, 2));
    assert_eq!((one.white.unwrap().rating, two.white.unwrap().level), (1338, 1));

    let Table { white, black, .. } = table;
    let mut again = Table {
        game_id: one.game_id,
        white: black,
        black: white,
        white_in: table.black_in,
        black_in: table.white_in,
    };
    again.play(1, "d2d4").await;
    assert_eq!(
        again.white.refused(offer(&game_id)).await,
        Code::NoRematch,
        "never two"
    );
    server.stop().await;
    assert_sound(&folder);
}

#[tokio::test]
async fn two_who_offer_at_once_get_one_game() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let mut table = resigned(&server).await;
    let game_id = table.game_id.clone();
    table.white.send(offer(&game_id)).await;
    table.black.send(offer(&game_id)).await;
    let (one, two) = (table.white.matched().await, table.black.matched().await);
    let one = one.game.unwrap().game_id;
    assert_eq!(one, two.game.unwrap().game_id);
    for player in [&mut table.white, &mut table.black] {
        assert_eq!(player.refused(offer(&game_id)).await, Code::NoRematch);
    }
    for who in [&table.white_in, &table.black_in] {
        assert_eq!(server.profile(who).await.active_game_id, one);
    }
    server.stop().await;
    assert_sound(&folder);
}

#[tokio::test]
async fn a_rematch_is_declined_or_falls_with_its_players() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    // Declined.
    let mut table = resigned(&server).await;
    let game_id = table.game_id.clone();
    table.white.ask(offer(&game_id)).await;
    rematch_offered(&mut table.black).await;
    let declined = table.black.ask(answer(&game_id, false)).await;
    assert!(matches!(declined, Event::RematchDeclined(_)));
    assert_eq!(rematch_declined(&mut table.white).await, game_id);
    assert_eq!(table.black.refused(offer(&game_id)).await, Code::NoRematch);
    // Somebody else's game.
    let mut stranger = resigned(&server).await;
    assert_eq!(stranger.white.refused(offer(&game_id)).await, Code::NotInGame);
    // The opponent goes.
    let game_id = stranger.game_id.clone();
    stranger.white.ask(offer(&game_id)).await;
    drop(stranger.black);
    assert_eq!(rematch_declined(&mut stranger.white).await, game_id);
    assert_eq!(stranger.white.refused(offer(&game_id)).await, Code::NoRematch);
    // In another game already.
    let mut table = resigned(&server).await;
    let game_id = table.game_id.clone();
    table.white.ask(offer(&game_id)).await;
    let cy = server.sign_in("Cy").await;
    let mut third = server.connect(&cy, Codec::Json).await;
    third.send(JOIN).await;
    table.white.send(JOIN).await;
    let other = third.matched().await.game.unwrap().game_id;
    assert_eq!(table.black.refused(answer(&game_id, true)).await, Code::NoRematch);
    assert_eq!(server.profile(&table.white_in).await.active_game_id, other);
    assert_eq!(server.profile(&table.black_in).await.active_game_id, "");
    server.stop().await;
    assert_sound(&folder);
}

#[tokio::test]
async fn an_ended_game_is_forgotten_and_with_it_the_offer() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |config| {
        config.limits.ended_game_kept = Duration::from_millis(100);
    })
    .await;
    let mut table = resigned(&server).await;
    let game_id = table.game_id.clone();
    // In time or not: it is over for both in the end.
    table.white.send(offer(&game_id)).await;
    let told = table
        .white
        .until(|frame| match frame.event {
            Some(Event::RematchDeclined(_)) => Some(true),
            Some(Event::Error(error)) => Some(error.code() == Code::NoRematch),
            _ => None,
        })
        .await;
    assert!(told);
    assert_eq!(table.black.refused(answer(&game_id, true)).await, Code::NoRematch);
    server.stop().await;
}

/// Waits for the next game of these two, which `accepted` has accepted; answers its id.
async fn rematched(table: &mut Table) -> String {
    let game_id = table.game_id.clone();
    table.black.ask(offer(&game_id)).await;
    let Event::Matched(matched) = table.white.ask(answer(&game_id, true)).await else {
        panic!("accepted")
    };
    let next = matched.game.unwrap().game_id;
    assert_eq!(table.black.matched().await.game.unwrap().game_id, next);
    next
}

#[tokio::test]
async fn a_rematch_ends_the_wait_in_the_lobby() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |config| {
        config.regions = "eu,asia".parse().unwrap();
    })
    .await;
    let mut table = resigned(&server).await;
    // In two regions they do not meet by themselves.
    for (player, region) in [(&mut table.white, "eu"), (&mut table.black, "asia")] {
        let region = region.into();
        let join = Command::JoinLobby(JoinLobby { region });
        assert!(matches!(player.ask(join).await, Event::Queued(_)));
    }
    server.lobby_says("both wait", |lobby| lobby.waiting() == 2).await;
    let next = rematched(&mut table).await;
    server
        .lobby_says("both tickets end", |lobby| lobby.overtaken() == 2)
        .await;
    assert_eq!((server.lobby.waiting(), server.lobby.suspended()), (0, 0));
    // Those who come next meet each other, and nobody is sent a detour.
    let (cy, di) = (server.sign_in("Cy").await, server.sign_in("Di").await);
    let mut third = server.connect(&cy, Codec::Json).await;
    third.ask(JOIN).await;
    let mut fourth = server.connect(&di, Codec::Json).await;
    fourth.ask(JOIN).await;
    let other = third.matched().await.game.unwrap();
    assert_eq!(fourth.matched().await.game.unwrap().game_id, other.game_id);
    assert_eq!((server.lobby.matched(), server.lobby.put_back()), (2, 0));
    // The rematch is not disturbed by any of it.
    for (player, who) in [
        (&mut table.white, &table.white_in),
        (&mut table.black, &table.black_in),
    ] {
        assert_eq!(server.profile(who).await.active_game_id, next);
        assert_eq!(player.refused(JOIN).await, Code::AlreadyPlaying);
    }
    server.stop().await;
    assert_sound(&folder);
}

#[tokio::test]
async fn a_wait_over_another_connection_ends_and_that_connection_is_told() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let mut table = resigned(&server).await;
    let mut second = server.connect(&table.white_in, Codec::Json).await;
    assert!(matches!(second.ask(JOIN).await, Event::Queued(_)));
    rematched(&mut table).await;
    let told = second.next().await;
    assert_eq!(
        (told.request_id, told.event),
        (0, Some(Event::LeftLobby(LeftLobby {})))
    );
    assert_eq!(server.lobby.overtaken(), 1);
    server.stop().await;
}
