//! A node goes, in order or not, or Redis does: what was acknowledged stays, and players go on.

use std::time::Duration;

use http::StatusCode;
use starvault_nodes::TicketLog;
use starvault_server::{Config, Timing};
use starvault_testing::RedisServer;
use starvault_wire::{
    Codec,
    v1::{Ping, Queued, client_frame::Command, server_frame::Event},
};
use tokio_util::sync::CancellationToken;

use crate::{
    nodes::{
        assert_whole, join, know_each_other, node, node_over_a_file, start, start_each, table, two_in_a_game,
    },
    support::{Player, Running, assert_sound, bearer, folder, hold, soon},
};

async fn queued(player: &mut Player) -> Queued {
    player
        .until(|frame| match frame.event {
            Some(Event::Queued(queued)) => Some(queued),
            _ => None,
        })
        .await
}

/// Waits until a ticket is where the next leader finds it.
async fn kept(redis: &RedisServer) {
    let (log, _) = TicketLog::new(&redis.url().parse().unwrap(), "v1.2", CancellationToken::new());
    let looking = async {
        while log.take_over().await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon("the ticket is kept", looking).await;
}

#[tokio::test]
async fn a_ticket_outlives_its_leader() {
    let (folder, redis) = (folder(), RedisServer::start());
    let (leader, threads) = Running::start_apart(&folder, "v1.2", node(&redis)).await;
    leader.figure_is("starvault_nodes_leader", 1.0).await;
    let second = Running::start(&folder, "v1.2", node(&redis)).await;
    let third = Running::start(&folder, "v1.2", node(&redis)).await;
    know_each_other(&[&leader, &second, &third]).await;
    // One whose node stays, and one whose node goes with the leader.
    let (ada, bo) = (second.sign_in("Ada").await, second.sign_in("Bo").await);
    let mut stays = second.connect(&ada, Codec::Json).await;
    let Event::Queued(before) = stays.ask(join()).await else {
        panic!("queued")
    };
    leader.kill(threads);
    // Unasked: the next leader says that the wait goes on.
    let after = queued(&mut stays).await;
    assert_eq!(after.since_ms, before.since_ms);
    let mut two = third.connect(&bo, Codec::Proto).await;
    two.send(join()).await;
    let (one_seat, two_seat) = (stays.matched().await, two.matched().await);
    let mut table = table((stays, ada, one_seat), (two, bo, two_seat));
    table.play(1, "e2e4").await;
    for node in [second, third] {
        node.stop().await;
    }
    assert_whole(&redis).await;
}

#[tokio::test]
async fn a_ticket_outlives_its_leader_and_its_node_in_one() {
    let (folder, redis) = (folder(), RedisServer::start());
    let (leader, threads) = Running::start_apart(&folder, "v1.2", node(&redis)).await;
    leader.figure_is("starvault_nodes_leader", 1.0).await;
    let second = Running::start(&folder, "v1.2", node(&redis)).await;
    know_each_other(&[&leader, &second]).await;
    let (ada, bo) = (second.sign_in("Ada").await, second.sign_in("Bo").await);
    let mut goes = leader.connect(&ada, Codec::Json).await;
    let Event::Queued(before) = goes.ask(join()).await else {
        panic!("queued")
    };
    kept(&redis).await;
    leader.kill(threads);
    drop(goes);
    second.figure_is("starvault_nodes_leader", 1.0).await;
    second
        .lobby_says("the ticket is there", |lobby| lobby.suspended() == 1)
        .await;
    let mut back = second.connect(&ada, Codec::Json).await;
    assert_eq!(queued(&mut back).await.since_ms, before.since_ms);
    let mut two = second.connect(&bo, Codec::Proto).await;
    two.send(join()).await;
    back.matched().await;
    two.matched().await;
    second.stop().await;
    assert_whole(&redis).await;
}

#[tokio::test]
async fn a_leader_that_stops_in_order_hands_the_lobby_over() {
    let (folder, redis) = (folder(), RedisServer::start());
    let mut nodes = start(&folder, &redis, 3).await;
    let ada = nodes[2].sign_in("Ada").await;
    let mut waits = nodes[2].connect(&ada, Codec::Json).await;
    let Event::Queued(before) = waits.ask(join()).await else {
        panic!("queued")
    };
    nodes.remove(0).stop().await;
    assert_eq!(queued(&mut waits).await.since_ms, before.since_ms);
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test]
async fn a_new_leader_leaves_those_who_play_alone() {
    let (folder, redis) = (folder(), RedisServer::start());
    let mut nodes = start(&folder, &redis, 3).await;
    // The game is at the node of one of its players, and the lobby at neither's.
    let mut table = two_in_a_game(&nodes[1], &nodes[2]).await;
    table.play(1, "e2e4").await;
    let cy = nodes[1].sign_in("Cy").await;
    let mut waits = nodes[1].connect(&cy, Codec::Json).await;
    assert!(matches!(waits.ask(join()).await, Event::Queued(_)));
    nodes.remove(0).stop().await;
    queued(&mut waits).await;
    for player in [&mut table.white, &mut table.black] {
        let request = player.send(Command::Ping(Ping {})).await;
        let until_then = player
            .until(|frame| match frame.event {
                Some(Event::LeftLobby(_) | Event::Error(_) | Event::Queued(_)) => Some(Err(frame)),
                _ => (frame.request_id == request).then_some(Ok(())),
            })
            .await;
        assert_eq!(until_then, Ok(()), "who plays has nothing to hear of the lobby");
    }
    table.play(2, "e7e5").await;
    for node in nodes {
        node.stop().await;
    }
    assert_whole(&redis).await;
}

#[tokio::test]
async fn a_game_outlives_its_node_wherever_its_players_come_back() {
    let (folder, redis) = (folder(), RedisServer::start());
    let nodes = start(&folder, &redis, 3).await;
    let (owner, threads) = Running::start_apart(&folder, "v1.2", node(&redis)).await;
    know_each_other(&[&nodes[0], &nodes[1], &nodes[2], &owner]).await;
    let mut table = two_in_a_game(&owner, &nodes[1]).await;
    owner.figure_is("starvault_games_running", 1.0).await;
    table.play(1, "e2e4").await;
    table.play(2, "e7e5").await;
    owner.kill(threads);
    // The player at another node is sent away, to resume.
    let far = if table.white.codec == Codec::Proto {
        &mut table.white
    } else {
        &mut table.black
    };
    assert_eq!(far.closed().await, 1012);
    table.white = nodes[0].connect(&table.white_in, Codec::Json).await;
    table.black = nodes[2].connect(&table.black_in, Codec::Proto).await;
    let white = table.white.resume_in_time(&table.game_id, 1).await;
    assert_eq!(white.missed.len(), 2, "no move is lost");
    table.black.resume_in_time(&table.game_id, 3).await;
    table.play(3, "g1f3").await;
    table.play(4, "b8c6").await;
    for node in nodes {
        node.stop().await;
    }
    assert_whole(&redis).await;
}

#[tokio::test]
async fn a_game_that_nobody_comes_back_to_goes_on_and_ends() {
    let (folder, redis) = (folder(), RedisServer::start());
    let short = {
        let node = node(&redis);
        move |config: &mut Config| {
            node(config);
            config.clock = starvault_server::parse_clock("5+0").unwrap();
        }
    };
    let leader = Running::start(&folder, "v1.2", short.clone()).await;
    let (owner, threads) = Running::start_apart(&folder, "v1.2", short).await;
    know_each_other(&[&leader, &owner]).await;
    let table = two_in_a_game(&owner, &owner).await;
    owner.figure_is("starvault_games_running", 1.0).await;
    owner.kill(threads);
    drop((table.white, table.black));
    let ended = async {
        while !leader.profile(&table.white_in).await.active_game_id.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("the flag falls at another node", ended).await;
    leader.stop().await;
    assert_whole(&redis).await;
}

#[tokio::test]
async fn players_of_several_nodes_go_on_after_redis_was_away() {
    let (folder, redis) = (folder(), RedisServer::start());
    let nodes = start_each(&folder, 2, node_over_a_file(&redis)).await;
    go_on_after_redis_was_away(nodes, &redis, true).await;
    assert_sound(&folder);
}

#[tokio::test]
async fn players_go_on_after_the_redis_with_their_games_was_away() {
    let (folder, redis) = (folder(), RedisServer::start());
    let nodes = start(&folder, &redis, 2).await;
    go_on_after_redis_was_away(nodes, &redis, false).await;
    assert_whole(&redis).await;
}

async fn go_on_after_redis_was_away(nodes: Vec<Running>, redis: &RedisServer, over_a_file: bool) {
    let mut apart = two_in_a_game(&nodes[0], &nodes[1]).await;
    apart.play(1, "e2e4").await;
    let mut together = two_in_a_game(&nodes[1], &nodes[1]).await;
    together.play(1, "e2e4").await;
    redis.kill();
    if over_a_file {
        // A game of one node needs no other.
        together.play(2, "e7e5").await;
    }
    // The player whose game is at the other node is sent away, to resume.
    let far = if apart.white.codec == Codec::Proto {
        &mut apart.white
    } else {
        &mut apart.black
    };
    assert_eq!(far.closed().await, 1012);
    redis.go_on();
    for node in &nodes {
        // 503 until its connection is back: clients try again.
        let back = async {
            let authorization = bearer(&apart.white_in.token);
            let headers = [("authorization", authorization.as_str())];
            while node.get("/v1/players/me", &headers).await.status != StatusCode::OK {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        soon("the store answers again", back).await;
    }
    apart.white = nodes[1].connect(&apart.white_in, Codec::Json).await;
    apart.black = nodes[0].connect(&apart.black_in, Codec::Proto).await;
    assert_eq!(
        apart.white.resume_in_time(&apart.game_id, 1).await.missed.len(),
        1
    );
    apart.black.resume_in_time(&apart.game_id, 1).await;
    apart.play(2, "e7e5").await;
    if !over_a_file {
        together.play(2, "e7e5").await;
    }
    together.play(3, "g1f3").await;
    // And the lobby makes matches again.
    let mut next = two_in_a_game(&nodes[1], &nodes[0]).await;
    next.play(1, "d2d4").await;
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test]
async fn a_game_whose_node_goes_before_it_can_open_it_begins_at_the_leader() {
    let (folder, redis) = (folder(), RedisServer::start());
    let nodes = start_each(&folder, 2, node_over_a_file(&redis)).await;
    let (owner, threads) = Running::start_apart(&folder, "v1.2", node_over_a_file(&redis)).await;
    know_each_other(&[&nodes[0], &nodes[1], &owner]).await;
    let (ada, bo) = (owner.sign_in("Ada").await, nodes[1].sign_in("Bo").await);
    let mut goes = owner.connect(&ada, Codec::Json).await;
    assert!(matches!(goes.ask(join()).await, Event::Queued(_)));
    // The store takes nothing until the node is gone that the match was made for.
    let held = hold(&folder);
    let mut two = nodes[1].connect(&bo, Codec::Proto).await;
    two.send(join()).await;
    let matched = |lobby: &starvault_server::LobbyMetrics| lobby.waiting() + lobby.suspended() == 0;
    nodes[0].lobby_says("both have left the queue", matched).await;
    owner.kill(threads);
    drop((goes, held));
    let seat_two = two.matched().await;
    // Who has not been told of it yet is told on any other connection.
    let mut back = nodes[1].connect(&ada, Codec::Json).await;
    let seat_one = back.matched().await;
    let mut table = table((back, ada, seat_one), (two, bo, seat_two));
    table.play(1, "e2e4").await;
    nodes[0].figure_is("starvault_games_running", 1.0).await;
    for node in nodes {
        node.stop().await;
    }
    assert_sound(&folder);
}

#[tokio::test]
async fn a_leader_that_loses_its_lease_steps_down_and_its_players_wait_on() {
    let (folder, redis) = (folder(), RedisServer::start());
    // The first one asks often: it hears of the next leader before that one itself does.
    let every = |millis| {
        let node = node(&redis);
        move |config: &mut Config| {
            node(config);
            config.nodes_timing = Timing {
                time_to_live: Duration::from_secs(3),
                every: Duration::from_millis(millis),
            };
        }
    };
    let first = Running::start(&folder, "v1.2", every(50)).await;
    let nodes = [first, Running::start(&folder, "v1.2", every(1000)).await];
    know_each_other(&[&nodes[0], &nodes[1]]).await;
    let (ada, bo) = (nodes[0].sign_in("Ada").await, nodes[1].sign_in("Bo").await);
    let mut one = nodes[0].connect(&ada, Codec::Json).await;
    let Event::Queued(before) = one.ask(join()).await else {
        panic!("queued")
    };
    // As if the leader had been stopped for so long that another node has taken the lease.
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let lease: String = query(&mut connection, &["GET", "sv:lead:v1.2"]).await;
    let members: Vec<String> = query(&mut connection, &["SMEMBERS", "sv:owners:v1.2"]).await;
    let other = members.iter().find(|member| !lease.starts_with(*member)).unwrap();
    let lease = format!("{other} 99");
    let _: String = query(&mut connection, &["SET", "sv:lead:v1.2", &lease, "PX", "3000"]).await;
    assert_eq!(queued(&mut one).await.since_ms, before.since_ms);
    nodes[0].figure_is("starvault_nodes_leader", 0.0).await;
    nodes[1].figure_is("starvault_nodes_leader", 1.0).await;
    let mut two = nodes[0].connect(&bo, Codec::Proto).await;
    two.send(join()).await;
    one.matched().await;
    two.matched().await;
    assert_eq!((nodes[0].lobby.matched(), nodes[1].lobby.matched()), (0, 1));
    for node in nodes {
        node.stop().await;
    }
    assert_whole(&redis).await;
}

async fn query<T: redis::FromRedisValue>(
    connection: &mut redis::aio::MultiplexedConnection,
    words: &[&str],
) -> T {
    let (command, arguments) = words.split_first().unwrap();
    let mut command = redis::cmd(command);
    for argument in arguments {
        command.arg(*argument);
    }
    command.query_async(connection).await.unwrap()
}
