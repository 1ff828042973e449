//! Two releases over one store: a game changes hands, and whoever had it can write no more.

use std::time::Duration;

use starvault_wire::{
    Codec,
    v1::{JoinLobby, Ping, Relocated, client_frame::Command, error::Code, server_frame::Event},
};

use crate::support::{Player, Running, assert_sound, folder, hold};

async fn relocated(player: &mut Player) -> Relocated {
    let told = player
        .until(|frame| match frame.event {
            Some(Event::Relocated(relocated)) => Some(relocated),
            _ => None,
        })
        .await;
    assert_eq!(player.closed().await, 4001);
    told
}

#[tokio::test]
async fn a_move_at_the_former_owner_is_never_written_and_leads_to_the_new_one() {
    let folder = folder();
    // No probing: the fence alone must do.
    let never = |config: &mut starvault_server::Config| {
        config.limits.ownership_probe_every = Duration::from_secs(3600);
    };
    let stable = Running::start(&folder, "v1.2", never).await;
    let canary = Running::start(&folder, "v1.3", never).await;
    let mut table = stable.two_in_a_game().await;
    table.play(1, "e2e4").await;

    let mut white = canary.connect(&table.white_in, Codec::Json).await;
    assert_eq!(white.welcome.release, "v1.3");
    assert_eq!(white.resume(&table.game_id, 2).await.game.unwrap().sequence, 2);
    // Black still plays at v1.2, which does not know yet.
    let reply = table.a_move(2, "e7e5");
    table.black.send(reply.clone()).await;
    let told = relocated(&mut table.black).await;
    assert_eq!(
        (told.game_id.as_str(), told.release.as_str()),
        (table.game_id.as_str(), "v1.3")
    );

    let mut black = canary.connect(&table.black_in, Codec::Proto).await;
    let resumed = black.resume(&table.game_id, 2).await;
    assert!(resumed.missed.is_empty(), "the refused move was not written");
    let Event::Ack(ack) = black.ask(reply).await else {
        panic!("acknowledged by the new owner")
    };
    assert_eq!((ack.sequence, ack.repeated), (3, false));
    assert_eq!(white.game_event(3).await.sequence, 3);
    (table.white, table.black) = (white, black);
    table.play(3, "g1f3").await;
    for server in [stable, canary] {
        server.stop().await;
    }
    assert_sound(&folder);
}

#[tokio::test]
async fn a_player_who_only_waits_is_told_as_well() {
    let folder = folder();
    let often = |config: &mut starvault_server::Config| {
        config.limits.ownership_probe_every = Duration::from_millis(20);
    };
    let stable = Running::start(&folder, "v1.2", often).await;
    let canary = Running::start(&folder, "v1.3", often).await;
    let mut table = stable.two_in_a_game().await;
    // White goes to the other release; it is White's turn, so Black has nothing to send.
    let white = canary.connect(&table.white_in, Codec::Json).await;
    drop(std::mem::replace(&mut table.white, white));
    table.white.resume(&table.game_id, 1).await;
    assert_eq!(relocated(&mut table.black).await.release, "v1.3");
    table.black = canary.connect(&table.black_in, Codec::Proto).await;
    table.black.resume(&table.game_id, 1).await;
    table.play(1, "e2e4").await;

    // And back again, as after a rollback.
    for who in [&table.white_in, &table.black_in] {
        let mut player = stable.connect(who, Codec::Json).await;
        let resumed = player.resume(&table.game_id, 0).await;
        assert_eq!(resumed.missed.len(), 2);
        *(if resumed.you_play == 1 {
            &mut table.white
        } else {
            &mut table.black
        }) = player;
    }
    table.play(2, "e7e5").await;
    for server in [stable, canary] {
        server.stop().await;
    }
    assert_sound(&folder);
}

#[tokio::test]
async fn releases_never_meet_in_one_game() {
    let folder = folder();
    let stable = Running::start(&folder, "v1.2", |_| {}).await;
    let canary = Running::start(&folder, "v1.3", |_| {}).await;
    let lonely = stable.sign_in("Ada").await;
    let mut ada = stable.connect(&lonely, Codec::Json).await;
    let join = Command::JoinLobby(JoinLobby {
        region: String::new(),
    });
    assert!(matches!(ada.ask(join).await, Event::Queued(_)));
    // Two players of the other release find each other and not Ada, who was first.
    canary.two_in_a_game().await;
    assert_eq!(stable.profile(&lonely).await.active_game_id, "");
    for server in [stable, canary] {
        server.stop().await;
    }
}

#[tokio::test]
async fn a_process_opens_so_many_games_and_no_more() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let (one, two) = (server.two_in_a_game().await, server.two_in_a_game().await);
    let small = Running::start(&folder, "v1.3", |config| config.limits.rooms_max = 1).await;
    let mut white = small.connect(&one.white_in, Codec::Json).await;
    white.resume(&one.game_id, 1).await;
    let mut refused = small.connect(&two.white_in, Codec::Json).await;
    assert_eq!(refused.refused(two.resume(1)).await, Code::Unavailable);
    // The game that has a place is open to its other player.
    let mut black = small.connect(&one.black_in, Codec::Json).await;
    black.resume(&one.game_id, 1).await;
    // And the refused one goes on where it was.
    let mut two = two;
    two.play(1, "e2e4").await;
    for server in [small, server] {
        server.stop().await;
    }
    assert_sound(&folder);
}

#[tokio::test]
async fn who_asks_while_the_game_turns_out_to_be_elsewhere_is_told_where() {
    let folder = folder();
    let never = |config: &mut starvault_server::Config| {
        config.limits.ownership_probe_every = Duration::from_secs(3600);
    };
    let stable = Running::start(&folder, "v1.2", never).await;
    let canary = Running::start(&folder, "v1.3", never).await;
    let mut table = stable.two_in_a_game().await;
    let mut second = stable.connect(&table.white_in, Codec::Json).await;
    let mut white = canary.connect(&table.white_in, Codec::Json).await;
    white.resume(&table.game_id, 1).await;
    // While the former owner waits for the store, somebody else comes.
    let held = hold(&folder);
    let command = table.a_move(1, "e2e4");
    table.white.send(command).await;
    let resume = table.resume(1);
    second.send(resume).await;
    for player in [&mut table.white, &mut second] {
        player.ask(Command::Ping(Ping {})).await;
    }
    drop(held);
    for player in [&mut table.white, &mut table.black, &mut second] {
        assert_eq!(relocated(player).await.release, "v1.3");
    }
    for server in [stable, canary] {
        server.stop().await;
    }
    assert_sound(&folder);
}
