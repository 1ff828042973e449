//! The figures that a collector reads.

use starvault_wire::{
    Codec,
    v1::{AnswerRematch, JoinLobby, OfferRematch, Resign, client_frame::Command, server_frame::Event},
};

use crate::support::{Running, folder, request};

fn join(region: &str) -> Command {
    Command::JoinLobby(JoinLobby {
        region: region.into(),
    })
}

#[tokio::test]
async fn the_lobby_tells_who_waits_where() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |config| {
        config.regions = "eu,asia".parse().unwrap();
    })
    .await;
    let empty = server.figures().await;
    assert_eq!(empty["starvault_lobby_waiting{region=\"eu\"}"], 0.0);
    assert_eq!(empty["starvault_lobby_oldest_wait_seconds"], 0.0);
    assert!(
        empty
            .keys()
            .any(|name| name.starts_with("starvault_build_info{release=\"v1.2\","))
    );
    let mut players = Vec::new();
    for (name, region) in [("Ada", "asia"), ("Bo", "eu"), ("Cy", "eu")] {
        let who = server.sign_in(name).await;
        let mut player = server.connect(&who, Codec::Json).await;
        assert!(matches!(player.ask(join(region)).await, Event::Queued(_)));
        players.push(player);
    }
    players[1].matched().await;
    server
        .lobby_says("two of them play", |lobby| lobby.waiting() == 1)
        .await;
    let figures = server.figures().await;
    assert_eq!(figures["starvault_lobby_waiting{region=\"eu\"}"], 0.0);
    assert_eq!(figures["starvault_lobby_waiting{region=\"asia\"}"], 1.0);
    assert_eq!(figures["starvault_lobby_matched_total"], 1.0);
    assert_eq!(figures["starvault_sockets"], 3.0);
    assert!(figures["starvault_lobby_oldest_wait_seconds"] > 0.0);
    drop(players);
    server
        .lobby_says("the one who waited is away", |lobby| lobby.suspended() == 1)
        .await;
    let figures = server.figures().await;
    assert_eq!(figures["starvault_lobby_waiting{region=\"asia\"}"], 0.0);
    assert_eq!(figures["starvault_lobby_suspended"], 1.0);
    server.stop().await;
}

#[tokio::test]
async fn games_are_counted_while_they_go_on_rematches_too() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let counted = async || {
        let figures = server.figures().await;
        ["games_open", "games_running", "rematches_total"]
            .map(|name| figures[&format!("starvault_{name}")] as u64)
    };
    let mut table = server.two_in_a_game().await;
    assert_eq!(counted().await, [1, 1, 0]);
    let game_id = table.game_id.clone();
    let command_id = "r".into();
    let resign = Command::Resign(Resign { game_id, command_id });
    table.black.ask(resign).await;
    // Two questions later the game has certainly looked up.
    let game_id = table.game_id.clone();
    table
        .white
        .ask(Command::OfferRematch(OfferRematch { game_id }))
        .await;
    table.white.arrives().await;
    assert_eq!(counted().await, [1, 0, 0]);
    let game_id = table.game_id.clone();
    let accept = Command::AnswerRematch(AnswerRematch {
        game_id,
        accept: true,
    });
    assert!(matches!(table.black.ask(accept).await, Event::Matched(_)));
    assert_eq!(counted().await, [2, 1, 1], "the ended one is kept for a while");
    server.stop().await;
}

#[tokio::test]
async fn players_do_not_reach_the_figures() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let answer = request(server.address, http::Method::GET, "/metrics", &[], String::new()).await;
    assert_eq!(answer.status, http::StatusCode::NOT_FOUND);
    server.stop().await;
}
