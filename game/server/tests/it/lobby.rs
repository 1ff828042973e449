//! Waiting for an opponent.

use starvault_wire::{
    Codec,
    v1::{JoinLobby, LeaveLobby, client_frame::Command, error::Code, server_frame::Event},
};

use crate::support::{Running, folder};

const JOIN: Command = Command::JoinLobby(JoinLobby {
    region: String::new(),
});

#[tokio::test]
async fn one_ticket_per_player_and_the_newest_connection_holds_it() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let (ada, bo) = (server.sign_in("Ada").await, server.sign_in("Bo").await);
    let mut old = server.connect(&ada, Codec::Json).await;
    assert!(matches!(old.ask(JOIN).await, Event::Queued(_)));
    assert_eq!(old.refused(JOIN).await, Code::AlreadyQueued);

    let mut new = server.connect(&ada, Codec::Json).await;
    assert!(matches!(new.ask(JOIN).await, Event::Queued(_)));
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
