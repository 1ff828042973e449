//! Several nodes of one release over one store: nobody can tell which of them has the lobby or a game.

use std::time::Duration;

use starvault_server::{Config, Timing};
use starvault_testing::RedisServer;
use starvault_wire::{
    Codec,
    v1::{
        self, AnswerRematch, Color, Emote, JoinLobby, LeaveLobby, OfferRematch, Resign, SendEmote,
        client_frame::Command, error::Code, game_event::Kind, server_frame::Event,
    },
};
use tempfile::TempDir;

use crate::support::{Player, Running, SignedIn, Table, folder, soon};

/// Short, so that a test notices within moments who is gone.
pub const TIMING: Timing = Timing {
    time_to_live: Duration::from_millis(900),
    every: Duration::from_millis(200),
};

/// What makes a server a node, with its store in the same Redis.
pub fn node(redis: &RedisServer) -> impl Fn(&mut Config) + Send + Clone + 'static {
    let (url, over_a_file) = (redis.url(), node_over_a_file(redis));
    move |config: &mut Config| {
        over_a_file(config);
        config.store = url.parse().unwrap();
    }
}

/// What makes a server a node beside others of its machine, which share a file.
pub fn node_over_a_file(redis: &RedisServer) -> impl Fn(&mut Config) + Send + Clone + 'static {
    let url = redis.url();
    move |config: &mut Config| {
        config.nodes = Some(url.parse().unwrap());
        config.nodes_timing = TIMING;
    }
}

/// Every game of the store in this Redis is whole.
pub async fn assert_whole(redis: &RedisServer) {
    let store = redis.url().parse().unwrap();
    let report = starvault_store::check_store(&store, None).await.unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
    assert!(report.games > 0 && report.events > 0);
}

pub fn join() -> Command {
    Command::JoinLobby(JoinLobby {
        region: String::new(),
    })
}

/// Several nodes that know each other, with their store in Redis; the first one leads.
pub async fn start(folder: &TempDir, redis: &RedisServer, count: usize) -> Vec<Running> {
    start_each(folder, count, node(redis)).await
}

pub async fn start_each(folder: &TempDir, count: usize, node: impl Fn(&mut Config) + Clone) -> Vec<Running> {
    let mut nodes = Vec::new();
    for _ in 0..count {
        nodes.push(Running::start(folder, "v1.2", node.clone()).await);
    }
    know_each_other(&nodes.iter().collect::<Vec<_>>()).await;
    nodes[0].figure_is("starvault_nodes_leader", 1.0).await;
    nodes
}

pub async fn know_each_other(nodes: &[&Running]) {
    for node in nodes {
        node.figure_is("starvault_nodes_alive", nodes.len() as f64).await;
        node.figure_is("starvault_nodes_linked", nodes.len() as f64 - 1.0)
            .await;
    }
}

impl Running {
    /// Waits until a figure has this value.
    pub async fn figure_is(&self, name: &str, value: f64) {
        let looking = async {
            while self.figures().await.get(name) != Some(&value) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        soon(&format!("{name} is {value}"), looking).await;
    }
}

/// A table of two players who have just been matched.
pub fn table(one: (Player, SignedIn, v1::Matched), two: (Player, SignedIn, v1::Matched)) -> Table {
    let game_id = one.2.game.unwrap().game_id;
    assert_eq!(two.2.game.unwrap().game_id, game_id);
    let (white, black) = if one.2.you_play == i32::from(Color::White) {
        ((one.0, one.1), (two.0, two.1))
    } else {
        ((two.0, two.1), (one.0, one.1))
    };
    Table {
        game_id,
        white: white.0,
        black: black.0,
        white_in: white.1,
        black_in: black.1,
    }
}

/// Two players at these nodes in a game of the first one's node.
pub async fn two_in_a_game(one: &Running, two: &Running) -> Table {
    let (ada, bo) = (one.sign_in("Ada").await, two.sign_in("Bo").await);
    let mut first = one.connect(&ada, Codec::Json).await;
    let mut second = two.connect(&bo, Codec::Proto).await;
    assert!(matches!(first.ask(join()).await, Event::Queued(_)));
    second.send(join()).await;
    let (seat_one, seat_two) = (first.matched().await, second.matched().await);
    table((first, ada, seat_one), (second, bo, seat_two))
}

async fn play_out(table: &mut Table) {
    let moves = ["e2e4", "e7e5", "f1c4", "b8c6", "c4f7"];
    for (at, uci) in moves.into_iter().enumerate() {
        table.play(1 + at as u32, uci).await;
    }
    let resign = Command::Resign(Resign {
        game_id: table.game_id.clone(),
        command_id: "resign".into(),
    });
    assert!(matches!(table.black.ask(resign).await, Event::Ack(_)));
    for player in [&mut table.white, &mut table.black] {
        assert!(matches!(player.game_event(7).await.kind, Some(Kind::Ended(_))));
    }
}

#[tokio::test]
async fn players_of_two_nodes_meet_and_play_wherever_the_lobby_is() {
    let (folder, redis) = (folder(), RedisServer::start());
    // The usual times: on a busy machine, too, no link may break.
    let patient = {
        let node = node(&redis);
        move |config: &mut Config| {
            node(config);
            config.nodes_timing = Timing::default();
        }
    };
    let nodes = start_each(&folder, 3, patient).await;
    // Both at nodes that do not lead; the game is at the older one's.
    let mut table = two_in_a_game(&nodes[1], &nodes[2]).await;
    nodes[1].figure_is("starvault_games_running", 1.0).await;
    assert_eq!(nodes[0].lobby.matched(), 1);
    play_out(&mut table).await;
    for (node, who) in [(&nodes[0], &table.white_in), (&nodes[2], &table.black_in)] {
        assert_eq!(node.profile(who).await.active_game_id, "");
    }
    // The leader's player and another one's, both ways round.
    for (one, two) in [(0, 1), (1, 0)] {
        let mut table = two_in_a_game(&nodes[one], &nodes[two]).await;
        nodes[one].figure_is("starvault_games_running", 1.0).await;
        play_out(&mut table).await;
    }
    let figures = nodes[1].figures().await;
    assert_eq!(figures["starvault_nodes_link_resets_total"], 0.0);
    assert!(figures["starvault_nodes_messages_total{direction=\"in\"}"] > 0.0);
    for node in nodes {
        node.stop().await;
    }
    assert_whole(&redis).await;
}

#[tokio::test]
async fn a_lost_connection_goes_on_at_any_node() {
    let (folder, redis) = (folder(), RedisServer::start());
    let nodes = start(&folder, &redis, 3).await;
    let mut table = two_in_a_game(&nodes[1], &nodes[1]).await;
    table.play(1, "e2e4").await;
    let again = nodes[2].connect(&table.black_in, Codec::Json).await;
    assert_eq!(again.welcome.active_game_id, table.game_id);
    drop(std::mem::replace(&mut table.black, again));
    table.white.presence(false).await;
    assert_eq!(table.black.resume(&table.game_id, 1).await.missed.len(), 1);
    table.white.presence(true).await;
    table.play(2, "e7e5").await;
    // A newer connection at a third node pushes that one out, at its own node.
    let newer = nodes[0].connect(&table.black_in, Codec::Proto).await;
    let mut older = std::mem::replace(&mut table.black, newer);
    table.black.resume(&table.game_id, 3).await;
    assert_eq!(older.closed().await, 4002);
    table.play(3, "g1f3").await;
    // And the game has stayed where it was all the time.
    nodes[1].figure_is("starvault_games_running", 1.0).await;
    // Nobody else may look on.
    let eve = nodes[2].sign_in("Eve").await;
    let mut eve = nodes[2].connect(&eve, Codec::Json).await;
    assert_eq!(eve.refused(table.resume(0)).await, Code::NotInGame);
    for node in nodes {
        node.stop().await;
    }
    assert_whole(&redis).await;
}

#[tokio::test]
async fn emotes_draws_and_a_rematch_pass_between_nodes() {
    let (folder, redis) = (folder(), RedisServer::start());
    let nodes = start(&folder, &redis, 3).await;
    let mut table = two_in_a_game(&nodes[1], &nodes[2]).await;
    table.play(1, "e2e4").await;
    for _ in 0..2 {
        let emote = Command::SendEmote(SendEmote {
            game_id: table.game_id.clone(),
            emote: Emote::GoodMove.into(),
        });
        table.black.send(emote).await;
        table
            .white
            .until(|frame| matches!(frame.event, Some(Event::EmoteReceived(_))).then_some(()))
            .await;
        std::mem::swap(&mut table.white, &mut table.black);
    }
    let resign = Command::Resign(Resign {
        game_id: table.game_id.clone(),
        command_id: "resign".into(),
    });
    assert!(matches!(table.black.ask(resign).await, Event::Ack(_)));
    table.white.game_event(3).await;
    let offer = Command::OfferRematch(OfferRematch {
        game_id: table.game_id.clone(),
    });
    assert!(matches!(table.white.ask(offer).await, Event::Ack(_)));
    table
        .black
        .until(|frame| matches!(frame.event, Some(Event::RematchOffered(_))).then_some(()))
        .await;
    let answer = Command::AnswerRematch(AnswerRematch {
        game_id: table.game_id.clone(),
        accept: true,
    });
    let Event::Matched(black) = table.black.ask(answer).await else {
        panic!("a rematch begins")
    };
    let white = table.white.matched().await;
    assert_ne!(black.you_play, white.you_play);
    let next = white.game.as_ref().unwrap().game_id.clone();
    assert_ne!(next, table.game_id);
    let Table {
        white: one,
        black: two,
        white_in,
        black_in,
        ..
    } = table;
    let mut table = self::table((one, white_in, white), (two, black_in, black));
    table.play(1, "d2d4").await;
    for node in nodes {
        node.stop().await;
    }
    assert_whole(&redis).await;
}

#[tokio::test]
async fn a_place_in_the_lobby_of_another_node_is_held_given_up_and_kept_over_a_reconnect() {
    let (folder, redis) = (folder(), RedisServer::start());
    let nodes = start(&folder, &redis, 3).await;
    let ada = nodes[1].sign_in("Ada").await;
    let mut first = nodes[1].connect(&ada, Codec::Json).await;
    let Event::Queued(queued) = first.ask(join()).await else {
        panic!("queued")
    };
    assert_eq!(first.refused(join()).await, Code::AlreadyQueued);
    drop(first);
    nodes[0]
        .lobby_says("the ticket is suspended", |lobby| lobby.suspended() == 1)
        .await;
    // Back at another node: the wait goes on by itself.
    let mut again = nodes[2].connect(&ada, Codec::Json).await;
    let still = again
        .until(|frame| match frame.event {
            Some(Event::Queued(queued)) => Some(queued),
            _ => None,
        })
        .await;
    assert_eq!(still.since_ms, queued.since_ms);
    assert!(matches!(
        again.ask(Command::LeaveLobby(LeaveLobby {})).await,
        Event::LeftLobby(_)
    ));
    nodes[0]
        .lobby_says("nobody waits", |lobby| lobby.waiting() + lobby.suspended() == 0)
        .await;
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test]
async fn a_player_of_another_node_who_was_told_waits_on_when_the_opponent_never_comes() {
    let (folder, redis) = (folder(), RedisServer::start());
    let hasty = {
        let node = node(&redis);
        move |config: &mut Config| {
            node(config);
            config.limits.arrival_timeout = Duration::from_secs(1);
        }
    };
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(Running::start(&folder, "v1.2", hasty.clone()).await);
    }
    know_each_other(&nodes.iter().collect::<Vec<_>>()).await;
    let (ada, bo) = (nodes[1].sign_in("Ada").await, nodes[2].sign_in("Bo").await);
    // Reads nothing from here on, so nothing that the server says ever arrives.
    let mut silent = nodes[1].connect(&ada, Codec::Json).await;
    assert!(matches!(silent.ask(join()).await, Event::Queued(_)));
    let mut told = nodes[2].connect(&bo, Codec::Proto).await;
    let Event::Queued(before) = told.ask(join()).await else {
        panic!("queued")
    };
    told.matched().await;
    // The game was at another node, and so is the lobby: both know that this one was told.
    let after = told
        .until(|frame| match frame.event {
            Some(Event::Queued(queued)) => Some(queued),
            _ => None,
        })
        .await;
    assert_eq!(after.since_ms, before.since_ms);
    nodes[0]
        .lobby_says("one waits", |lobby| lobby.waiting() == 1 && lobby.put_back() == 1)
        .await;
    drop(silent);
    for node in nodes {
        node.stop().await;
    }
    assert_whole(&redis).await;
}

#[tokio::test]
async fn releases_share_a_redis_and_never_meet() {
    let (folder, redis) = (folder(), RedisServer::start());
    let nodes = start(&folder, &redis, 2).await;
    let canary = Running::start(&folder, "v1.3", node(&redis)).await;
    canary.figure_is("starvault_nodes_leader", 1.0).await;
    assert_eq!(canary.figures().await["starvault_nodes_alive"], 1.0);
    let lonely = canary.sign_in("Ada").await;
    let mut ada = canary.connect(&lonely, Codec::Json).await;
    assert!(matches!(ada.ask(join()).await, Event::Queued(_)));
    let mut table = two_in_a_game(&nodes[0], &nodes[1]).await;
    assert_eq!(canary.profile(&lonely).await.active_game_id, "");
    // A game still moves to the other release with its player, who is told where it is.
    let mut white = canary.connect(&table.white_in, Codec::Json).await;
    white.resume(&table.game_id, 1).await;
    let told = table
        .black
        .until(|frame| match frame.event {
            Some(Event::Relocated(relocated)) => Some(relocated.release),
            _ => None,
        })
        .await;
    assert_eq!(told, "v1.3");
    assert_eq!(table.black.closed().await, 4001);
    for node in nodes.into_iter().chain([canary]) {
        node.stop().await;
    }
    assert_whole(&redis).await;
}
