//! docs/protocol.md replayed on a real server, in both subprotocols: what its clients say is sent, and what its server says
//! has to come. A member or an element beyond those that an example shows may only come where it says `…`.

use std::{collections::BTreeMap, sync::atomic::Ordering};

use futures_util::StreamExt as _;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use starvault_server::TOKEN_LIFETIME_S;
use starvault_wire::{
    Codec, Payload,
    v1::{ClientFrame, ServerFrame},
};
use tokio_websockets::Message;

use crate::{
    credentials::clock,
    page::{self, LEFT_OUT, Shown},
    support::{Player, Running, bearer, folder, request, soon},
};

/// The page's own names of games and players, by what they are called here.
#[derive(Default)]
struct Names(BTreeMap<String, String>);

impl Names {
    /// An example as it is sent here.
    fn meant(&self, shown: &Value) -> Value {
        match shown {
            Value::String(text) => self.0.get(text).unwrap_or(text).clone().into(),
            Value::Array(elements) => elements.iter().map(|one| self.meant(one)).collect(),
            Value::Object(members) => members
                .iter()
                .map(|(name, value)| (name.clone(), self.meant(value)))
                .collect(),
            other => other.clone(),
        }
    }

    /// Fails where `told` is not as it is shown; `at` is the way to it.
    fn assert_met(&mut self, at: &str, shown: &Value, told: &Value) {
        match (shown, told) {
            (Value::Object(shown), Value::Object(told)) => {
                for (name, value) in shown.iter().filter(|(name, _)| *name != LEFT_OUT) {
                    let other = told.get(name);
                    let other = other.unwrap_or_else(|| panic!("{at}: no {name} in {told:?}"));
                    self.assert_met(&format!("{at}.{name}"), value, other);
                }
                let more: Vec<&String> = told.keys().filter(|name| !shown.contains_key(*name)).collect();
                assert!(
                    more.is_empty() || shown.contains_key(LEFT_OUT),
                    "{at}: the page does not show {more:?}"
                );
            }
            (Value::Array(shown), Value::Array(told)) => {
                let listed: Vec<&Value> = shown.iter().filter(|one| *one != LEFT_OUT).collect();
                if listed.len() == shown.len() {
                    assert_eq!(listed.len(), told.len(), "{at}: {told:?}");
                    for (index, (one, other)) in listed.iter().zip(told).enumerate() {
                        self.assert_met(&format!("{at}[{index}]"), one, other);
                    }
                } else {
                    // Somewhere, in this order.
                    let mut rest = told.iter();
                    let all = listed.iter().all(|one| rest.any(|other| other == *one));
                    assert!(all, "{at}: {listed:?} in {told:?}");
                }
            }
            (Value::String(shown), Value::String(told)) => self.assert_text(at, shown, told),
            _ => assert_eq!(shown, told, "{at}"),
        }
    }

    fn assert_text(&mut self, at: &str, shown: &str, told: &str) {
        if let Some(start) = shown.strip_suffix(LEFT_OUT) {
            assert!(told.starts_with(start), "{at}: {told}");
        } else if at.ends_with(".gameId") || at.ends_with(".playerId") {
            let known = self.0.entry(shown.to_owned()).or_insert_with(|| told.to_owned());
            assert_eq!(known, told, "{at}: {shown} is two");
        } else if at.ends_with("Ms") {
            assert!(told.parse::<i64>().is_ok_and(|ms| ms > 0), "{at}: {told}");
        } else {
            assert_eq!(shown, told, "{at}");
        }
    }
}

/// One of the players of the page.
struct Actor {
    player: Player,
    asked: u32,
}

impl Actor {
    async fn say(&mut self, names: &Names, shown: &Value) {
        let frame = names.meant(shown);
        let message = match self.player.codec {
            Codec::Json => Message::text(frame.to_string()),
            Codec::Proto => {
                let read: ClientFrame = serde_json::from_value(frame).unwrap();
                match Codec::Proto.encode(&read).unwrap() {
                    Payload::Binary(bytes) => Message::binary(bytes),
                    Payload::Text(text) => panic!("no text: {text}"),
                }
            }
        };
        self.player.send_raw(message).await;
    }

    /// The next frame with this event, as JSON.
    async fn hear(&mut self, event: &str) -> Value {
        let hearing = async {
            loop {
                let message = self.player.socket.next().await.unwrap().unwrap();
                let frame: Value = match self.player.codec {
                    Codec::Json if message.is_text() => {
                        serde_json::from_str(message.as_text().unwrap()).unwrap()
                    }
                    Codec::Proto if message.is_binary() => {
                        let read: ServerFrame = Codec::Proto.decode_binary(message.as_payload()).unwrap();
                        serde_json::to_value(read).unwrap()
                    }
                    _ => continue,
                };
                if frame.get(event).is_some() {
                    return frame;
                }
            }
        };
        soon(event, hearing).await
    }

    async fn hear_shown(&mut self, names: &mut Names, shown: &Value) -> Value {
        let told = self.hear(event_of(shown)).await;
        names.assert_met("frame", shown, &told);
        told
    }

    /// Says what the page does not.
    async fn add(&mut self, names: &Names, command: Value) {
        self.asked += 1;
        let mut frame = command;
        frame["requestId"] = json!(1000 + self.asked);
        self.say(names, &frame).await;
    }

    /// A move after `sequence`, seen when it is made.
    async fn plays(&mut self, names: &Names, sequence: u32, uci: &str) {
        let made = json!({ "playMove": {
            "gameId": "g1", "commandId": format!("m-{sequence}"), "expectedSequence": sequence, "uci": uci,
        } });
        self.add(names, made).await;
        assert_eq!(self.hear("ack").await["ack"]["sequence"], sequence + 1, "{uci}");
    }
}

/// The name of what a frame carries.
fn event_of(shown: &Value) -> &str {
    let mut names = shown.as_object().unwrap().keys();
    names.find(|name| *name != "requestId").unwrap()
}

fn says<'b>(block: &'b [Shown], event: &str) -> &'b Value {
    let shown = block.iter().find(|shown| event_of(&shown.frame) == event);
    &shown.unwrap_or_else(|| panic!("the block has no {event}")).frame
}

async fn arrive(server: &Running, codec: Codec) -> (Actor, crate::support::SignedIn) {
    let signed_in = server.sign_in("Vega").await;
    let player = server.connect(&signed_in, codec).await;
    (Actor { player, asked: 0 }, signed_in)
}

async fn replay(codec: Codec) {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |config| config.regions = "eu".parse().unwrap()).await;
    let blocks = page::blocks();
    let [game, lobby, rematch, emotes] = blocks.as_slice() else {
        panic!("a block of frames is not replayed here: {}", blocks.len())
    };

    // A game's beginning: up to the match both players are the client, then the one who plays White is.
    let mut names = Names::default();
    let ((one, one_in), (two, two_in)) = (arrive(&server, codec).await, arrive(&server, codec).await);
    let mut seats = Vec::new();
    for (mut actor, signed_in) in [(one, one_in), (two, two_in)] {
        let mut own = Names::default();
        let welcome = json!({ "welcome": actor.player.welcome });
        own.assert_met("frame", says(game, "welcome"), &welcome);
        actor.say(&own, says(game, "joinLobby")).await;
        actor.hear_shown(&mut own, says(game, "queued")).await;
        seats.push((actor, signed_in));
    }
    let (mut white, mut black) = (None, None);
    for (mut actor, signed_in) in seats {
        let matched = actor.hear("matched").await;
        if matched["matched"]["youPlay"] == "WHITE" {
            names.assert_met("frame", says(game, "matched"), &matched);
            white = Some((actor, signed_in));
        } else {
            black = Some(actor);
        }
    }
    let ((mut white, white_in), mut black) = (white.unwrap(), black.unwrap());
    white.say(&names, says(game, "playMove")).await;
    white.hear_shown(&mut names, says(game, "ack")).await;
    white.hear_shown(&mut names, says(game, "gameEvent")).await;

    // On to where the player comes back.
    for (sequence, uci) in (2..).zip(["e7e5", "g1f3", "b8c6", "f1c4", "f8c5", "d2d3", "d7d6"]) {
        let mover = if sequence % 2 == 0 { &mut black } else { &mut white };
        mover.plays(&names, sequence, uci).await;
        let other = if sequence % 2 == 0 { &mut white } else { &mut black };
        while other.hear("gameEvent").await["gameEvent"]["sequence"] != sequence + 1 {}
    }
    drop(white);
    let mut white = Actor {
        player: server.connect(&white_in, codec).await,
        asked: 0,
    };
    let prose = page::in_prose();
    let resume = prose
        .iter()
        .find(|example| example.get("resume").is_some())
        .unwrap();
    white.say(&names, resume).await;
    let resumed = white.hear("resumed").await;
    let missed = resumed["resumed"]["missed"].as_array().unwrap();
    let sequences: Vec<&Value> = missed.iter().map(|event| &event["sequence"]).collect();
    assert_eq!(sequences, [8, 9], "every event after 7");

    white.say(&names, says(emotes, "sendEmote")).await;
    black.hear_shown(&mut names, says(emotes, "emoteReceived")).await;

    let resign = json!({ "resign": { "gameId": "g1", "commandId": "over" } });
    white.add(&names, resign).await;
    white.hear("ack").await;
    for actor in [&mut white, &mut black] {
        while actor.hear("gameEvent").await["gameEvent"].get("ended").is_none() {}
    }
    for shown in rematch {
        let to_a = shown.speaker == "client A" || shown.note.starts_with("to A");
        let actor = if to_a { &mut white } else { &mut black };
        if shown.speaker.starts_with("client") {
            actor.say(&names, &shown.frame).await;
        } else {
            actor.hear_shown(&mut names, &shown.frame).await;
        }
    }
    // `…, and without `requestId` to A`.
    let unasked = white.hear("matched").await;
    assert!(unasked.get("requestId").is_none(), "{unasked}");

    // Somebody who waits.
    let (mut waiting, _) = arrive(&server, codec).await;
    waiting.say(&names, says(lobby, "joinLobby")).await;
    waiting.hear_shown(&mut names, says(lobby, "queued")).await;
    server.stop().await;
}

#[tokio::test]
async fn every_frame_of_the_page_is_replayed_in_json() {
    replay(Codec::Json).await;
}

#[tokio::test]
async fn every_frame_of_the_page_is_replayed_in_protocol_buffers() {
    replay(Codec::Proto).await;
}

#[tokio::test]
async fn what_the_page_says_over_http_is_answered_as_it_shows() {
    let folder = folder();
    let (now, time) = clock(1_764_000_000_000);
    let server = Running::start(&folder, "v1.2", |config| config.time = time).await;
    let mut names = Names::default();
    let body = page::sign_in_body().to_string();
    let signed_in = request(server.address, Method::POST, "/v1/guests", &[], body).await;
    assert_eq!(signed_in.status, StatusCode::OK);
    let signed_in = signed_in.json();
    let authorization = bearer(signed_in["token"].as_str().unwrap());
    let mut replayed = 0;
    for example in page::in_prose() {
        if example.get("token").is_some() {
            names.assert_met("answer", &example, &signed_in);
        } else if example.get("itemId").is_some() {
            let headers = [("authorization", authorization.as_str())];
            let path = "/v1/players/me/equipment";
            let answer = request(server.address, Method::POST, path, &headers, example.to_string()).await;
            // Not owned yet.
            assert_eq!(
                (answer.status, &answer.json()["code"]),
                (StatusCode::BAD_REQUEST, &json!(9))
            );
        } else if example.get("code").is_some() {
            let refused = server.get("/v1/players/me", &[]).await.json();
            names.assert_met("answer", &example, &refused);
        } else if example.get("@type").is_some() {
            let late = now.fetch_add(2 * 1000 * TOKEN_LIFETIME_S, Ordering::SeqCst);
            let headers = [("authorization", authorization.as_str())];
            let refused = server.get("/v1/players/me", &headers).await.json();
            now.store(late, Ordering::SeqCst);
            names.assert_met("answer", &example, &refused["details"][0]);
        } else {
            // A frame: replayed above.
            assert!(example.get("requestId").is_some(), "{example}");
            continue;
        }
        replayed += 1;
    }
    assert_eq!(replayed, 4);
    server.stop().await;
}
