//! What a player becomes by playing, over HTTP and in games.

use http::{Method, StatusCode};
use starvault_wire::v1::{self, OfferRematch, Resign, client_frame::Command};

use crate::support::{Answer, Running, SignedIn, assert_sound, bearer, folder, request};

async fn equip(server: &Running, who: &SignedIn, body: &str) -> Answer {
    let token = bearer(&who.token);
    let headers = [("authorization", token.as_str())];
    request(
        server.address,
        Method::POST,
        "/v1/players/me/equipment",
        &headers,
        body.into(),
    )
    .await
}

#[tokio::test]
async fn a_game_brings_rating_experience_a_level_and_items_that_the_opponent_sees() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let mut table = server.two_in_a_game().await;
    let new = server.profile(&table.white_in).await;
    assert_eq!((new.rating, new.rating_deviation, new.level), (1500, 350, 1));
    assert_eq!(
        (new.xp, new.xp_next_level, new.stage.as_str()),
        (0, 100, "first-light")
    );
    assert_eq!(new.items, ["board-dusk", "pieces-classic"]);
    assert!(new.equipped.is_empty());

    let resign = Command::Resign(Resign {
        game_id: table.game_id.clone(),
        command_id: "r".into(),
    });
    table.black.ask(resign).await;
    table.white.game_event(2).await;
    let winner = server.profile(&table.white_in).await;
    assert_eq!(
        (winner.rating, winner.rating_deviation, winner.level),
        (1662, 290, 2)
    );
    assert_eq!((winner.xp, winner.xp_next_level), (100, 300));
    assert_eq!(winner.items, ["board-dusk", "pieces-classic", "crest-spark"]);
    let loser = server.profile(&table.black_in).await;
    assert_eq!(
        (loser.rating, loser.rating_deviation, loser.level, loser.xp),
        (1338, 290, 1, 40)
    );

    for (item, expect) in [
        ("crest-spark", vec!["crest-spark"]),
        ("board-dusk", vec!["board-dusk", "crest-spark"]),
    ] {
        let answer = equip(
            &server,
            &table.white_in,
            &format!(r#"{{"itemId":"{item}","equip":true}}"#),
        )
        .await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let profile: v1::Profile = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(profile.equipped, expect);
    }
    assert_eq!(server.profile(&table.white_in).await.version, 4);

    let game_id = table.game_id.clone();
    table
        .white
        .ask(Command::OfferRematch(OfferRematch {
            game_id: game_id.clone(),
        }))
        .await;
    table
        .black
        .ask(Command::OfferRematch(OfferRematch { game_id }))
        .await;
    let game = table.white.matched().await.game.unwrap();
    let dressed = game.black.unwrap();
    assert_eq!(
        (dressed.level, dressed.equipped),
        (2, vec!["board-dusk".to_owned(), "crest-spark".to_owned()])
    );
    let plain = game.white.unwrap();
    assert_eq!((plain.level, plain.equipped.len()), (1, 0));
    server.stop().await;
    assert_sound(&folder);
}

#[tokio::test]
async fn only_what_is_owned_is_worn() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let ada = server.sign_in("Ada").await;
    let cases = [
        (
            r#"{"itemId":"board-nebula","equip":true}"#,
            StatusCode::BAD_REQUEST,
            9,
            "level 3",
        ),
        (
            r#"{"itemId":"crown","equip":true}"#,
            StatusCode::NOT_FOUND,
            5,
            "no item",
        ),
        (r#"{"itemId":"crown"}"#, StatusCode::NOT_FOUND, 5, "no item"),
        ("", StatusCode::NOT_FOUND, 5, "no item"),
        (r#"{"itemId":7}"#, StatusCode::BAD_REQUEST, 3, "EquipItemRequest"),
        ("{", StatusCode::BAD_REQUEST, 3, "EquipItemRequest"),
    ];
    for (body, status, code, says) in cases {
        let answer = equip(&server, &ada, body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        assert_eq!(answer.json()["code"], code, "{body}");
        assert!(
            answer.json()["message"].as_str().unwrap().contains(says),
            "{}",
            answer.text()
        );
    }
    let stranger = SignedIn {
        token: "nonsense".into(),
        player_id: String::new(),
    };
    let answer = equip(&server, &stranger, r#"{"itemId":"board-dusk","equip":true}"#).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    // Taking off what is not worn is no mistake.
    let answer = equip(&server, &ada, r#"{"itemId":"board-nebula"}"#).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(server.profile(&ada).await.version, 1, "nothing has changed");
    server.stop().await;
}

#[tokio::test]
async fn the_same_call_over_grpc() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let ada = server.sign_in("Ada").await;
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", server.address))
        .unwrap()
        .connect()
        .await
        .unwrap();
    let mut client = v1::player_service_client::PlayerServiceClient::new(channel);
    let call = |item: &str| {
        let mut request = tonic::Request::new(v1::EquipItemRequest {
            item_id: item.into(),
            equip: true,
        });
        let token = bearer(&ada.token).parse().unwrap();
        request.metadata_mut().insert("authorization", token);
        request
    };
    let profile = client.equip_item(call("board-dusk")).await.unwrap().into_inner();
    assert_eq!(profile.equipped, ["board-dusk"]);
    let refused = client.equip_item(call("board-eclipse")).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    assert!(matches!(
        client
            .equip_item(v1::EquipItemRequest::default())
            .await
            .unwrap_err()
            .code(),
        tonic::Code::Unauthenticated
    ));
    server.stop().await;
}
