//! A whole lobby that loses its connections and comes back at once, again and again.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use starvault_wire::{
    Codec,
    v1::{JoinLobby, client_frame::Command, error::Code, server_frame::Event},
};

use crate::support::{Player, Running, SignedIn, assert_sound, folder, store};

const PLAYERS: usize = 120;
const RECONNECTS: usize = 4;

/// Joins, is cut off at a moment that depends on `n`, and comes back until a game is there; takes it
/// up and answers its id.
async fn weather(server: &Running, who: &SignedIn, n: usize) -> String {
    for turn in 0..RECONNECTS {
        let mut player = connect(server, who, n).await;
        join(&mut player).await;
        // Some hear nothing more, some hear one frame (Queued, Matched or a refusal) first.
        if !(n + turn).is_multiple_of(3) {
            player.next().await;
        }
    }
    let mut player = connect(server, who, n).await;
    if !player.welcome.active_game_id.is_empty() {
        let game_id = player.welcome.active_game_id.clone();
        player.resume(&game_id, 0).await;
        return game_id;
    }
    join(&mut player).await;
    let mut asked = 1;
    loop {
        match player.next().await.event {
            Some(Event::Matched(matched)) => return matched.game.unwrap().game_id,
            Some(Event::Error(error)) if error.code() == Code::AlreadyPlaying => {
                // The game began while this connection was being opened.
                let game_id = server.profile(who).await.active_game_id;
                if !game_id.is_empty() {
                    player.resume(&game_id, 0).await;
                    return game_id;
                }
                asked += 1;
                assert!(
                    asked < 1_000,
                    "{} is told of a game that never comes",
                    who.player_id
                );
                join(&mut player).await;
            }
            // The wait goes on, or a second JoinLobby was refused because the first one counts.
            Some(_) => {}
            None => panic!("an empty frame"),
        }
    }
}

async fn connect(server: &Running, who: &SignedIn, n: usize) -> Player {
    let codec = if n.is_multiple_of(2) {
        Codec::Json
    } else {
        Codec::Proto
    };
    server.connect(who, codec).await
}

async fn join(player: &mut Player) {
    let region = String::new();
    player.send(Command::JoinLobby(JoinLobby { region })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lobby_that_reconnects_all_at_once_gets_one_game_each_and_never_two() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |config| {
        // Nobody who is only slow is given up.
        config.limits.arrival_timeout = crate::support::PATIENCE;
        config.limits.disconnect_grace = crate::support::PATIENCE;
    })
    .await;
    let names: Vec<String> = (0..PLAYERS).map(|n| format!("P{n}")).collect();
    let signed_in = join_all(names.iter().map(|name| server.sign_in(name))).await;
    let played = signed_in
        .iter()
        .enumerate()
        .map(|(n, who)| weather(&server, who, n));
    let games = join_all(played).await;

    let mut players_of: BTreeMap<&str, usize> = BTreeMap::new();
    for game_id in &games {
        *players_of.entry(game_id).or_default() += 1;
    }
    assert!(players_of.values().all(|players| *players == 2), "{players_of:?}");
    assert_eq!(players_of.len(), PLAYERS / 2);
    for (who, game_id) in signed_in.iter().zip(&games) {
        assert_eq!(server.profile(who).await.active_game_id, *game_id);
    }
    assert_eq!(server.lobby.matched() as usize, PLAYERS / 2);
    server
        .lobby_says("nobody waits any more", |lobby| lobby.waiting() == 0)
        .await;
    server.stop().await;
    // What players were told and what the store holds is the same.
    let report = starvault_store::check(&store(folder.path()), None).unwrap();
    assert_eq!(usize::try_from(report.games).unwrap(), PLAYERS / 2);
    assert_sound(&folder);
}
