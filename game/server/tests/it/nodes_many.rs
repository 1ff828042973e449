//! Three real processes over one Redis, 300 games among them, and one of the three is killed while moves are under way.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    process::Command as Program,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::future::join_all;
use starvault_testing::RedisServer;
use starvault_wire::{
    Codec,
    v1::{
        self, Color, PlayMove, Resume, client_frame::Command, error::Code, game_event::Kind, outcome::Reason,
        server_frame::Event,
    },
};
use tokio::sync::{Notify, watch};

use crate::{
    nodes::join,
    process::{BINARY, Node, guest, know_each_other},
    support::{Player, SignedIn, bearer, folder, request, soon},
};

const GAMES: usize = 300;
/// White gives three checks.
const MOVES: [&str; 9] = [
    "e2e4", "e7e5", "f1c4", "b8c6", "c4f7", "e8f7", "d1h5", "g7g6", "h5g6",
];
/// All games get so far before anything is killed, and wait.
const OPENING: usize = 4;
/// Then so many moves are played, and the node is killed between two of them.
const MOVES_BEFORE_THE_KILL: usize = 200;

/// What all players know of the course of the test.
struct Course {
    /// The nodes that live.
    nodes: watch::Sender<Vec<SocketAddr>>,
    /// Whether games may go on behind the opening.
    on: watch::Sender<bool>,
    acknowledged: AtomicUsize,
    more: Notify,
}

impl Course {
    fn count(&self) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        self.more.notify_one();
    }

    async fn reaches(&self, acknowledged: usize) {
        while self.acknowledged.load(Ordering::Relaxed) < acknowledged {
            self.more.notified().await;
        }
    }
}

/// One player's side of one game.
struct Side {
    who: SignedIn,
    game_id: String,
    plays: Color,
    /// Each event in turn: its sequence is its place, counted from 1.
    events: Vec<v1::GameEvent>,
    /// Of what the server acknowledged: the command and its sequence.
    acknowledged: BTreeMap<String, u32>,
    reconnects: usize,
}

impl Side {
    fn take(&mut self, event: v1::GameEvent) {
        let next = self.events.len() as u32 + 1;
        assert!(event.sequence <= next, "event {next} is missing: {event:?}");
        if event.sequence == next {
            self.events.push(event);
        }
    }

    fn outcome(&self) -> Option<v1::Outcome> {
        match &self.events.last()?.kind {
            Some(Kind::Ended(ended)) => ended.outcome,
            _ => None,
        }
    }

    /// The move that is this player's to make, and its number.
    fn to_play(&self) -> Option<(usize, Command)> {
        let n = self.events.len().checked_sub(1)?;
        let turn = if n.is_multiple_of(2) {
            Color::White
        } else {
            Color::Black
        };
        let uci = MOVES.get(n).filter(|_| self.plays == turn)?;
        let command = Command::PlayMove(PlayMove {
            game_id: self.game_id.clone(),
            command_id: format!("move-{n}"),
            expected_sequence: self.events.len() as u32,
            uci: (*uci).to_owned(),
        });
        Some((n, command))
    }
}

/// Plays one side to its end, over as many connections as it takes.
async fn play(course: &Course, n: usize, who: SignedIn) -> Side {
    let mut nodes = course.nodes.subscribe();
    let mut on = course.on.subscribe();
    let codec = if n.is_multiple_of(2) {
        Codec::Json
    } else {
        Codec::Proto
    };
    let at = |nodes: &[SocketAddr], n: usize| nodes[n % nodes.len()];
    let first = at(&nodes.borrow(), n);
    let mut player = Player::connect(first, &who, codec, None).await;
    player.send(join()).await;
    let matched = player.matched().await;
    let mut side = Side {
        who,
        game_id: matched.game.as_ref().unwrap().game_id.clone(),
        plays: matched.you_play(),
        events: Vec::new(),
        acknowledged: BTreeMap::new(),
        reconnects: 0,
    };
    // From the first event on; nothing is played before the game is there.
    player.send(resume(&side)).await;
    let (mut there, mut sent) = (false, None);
    while side.outcome().is_none() {
        if let Some((n, command)) = side.to_play()
            && there
            && sent != Some(n)
            && (n < OPENING || *on.borrow())
        {
            sent = Some(n);
            // A socket that is gone is found out below.
            let _ = player.try_send(command).await;
        }
        let frame = tokio::select! {
            frame = player.try_next() => frame,
            changed = on.changed(), if !*on.borrow() => {
                changed.unwrap();
                continue;
            }
        };
        let Some(frame) = frame else {
            // At the next of those that live, whichever has the game.
            side.reconnects += 1;
            let address = at(&nodes.borrow_and_update(), n + side.reconnects);
            player = Player::connect(address, &side.who, codec, None).await;
            player.send(resume(&side)).await;
            there = false;
            continue;
        };
        match frame.event {
            // Until the answer to `resume`, which holds what came before, an event may run ahead of it.
            Some(Event::GameEvent(event)) if there => side.take(event),
            Some(Event::Resumed(resumed)) => {
                resumed.missed.into_iter().for_each(|event| side.take(event));
                (there, sent) = (true, None);
            }
            Some(Event::Ack(ack)) => {
                side.acknowledged.insert(ack.command_id, ack.sequence);
                course.count();
            }
            Some(Event::Error(error)) => match error.code() {
                Code::Unavailable | Code::NotInGame if side.reconnects > 0 => {
                    there = false;
                    player.send(resume(&side)).await;
                }
                // The move is there already, and this side has yet to hear so.
                Code::SequenceGap | Code::NotYourTurn if side.reconnects > 0 => {}
                _ => panic!("refused: {} {error:?}", frame.request_id),
            },
            _ => {}
        }
    }
    side
}

fn resume(side: &Side) -> Command {
    Command::Resume(Resume {
        game_id: side.game_id.clone(),
        last_sequence: side.events.len() as u32,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hundred_games_outlive_one_of_three_nodes() {
    let (folder, redis) = (folder(), RedisServer::start());
    let mut nodes = Vec::new();
    for name in ["a", "b", "c"] {
        nodes.push(Node::start(folder.path(), name, &["--store", &redis.url()]).await);
    }
    know_each_other(&nodes).await;
    let addresses: Vec<SocketAddr> = nodes.iter().map(|node| node.address).collect();
    let course = Arc::new(Course {
        nodes: watch::Sender::new(addresses.clone()),
        on: watch::Sender::new(false),
        acknowledged: AtomicUsize::new(0),
        more: Notify::new(),
    });
    let mut players = Vec::new();
    for n in 0..2 * GAMES {
        let who = guest(addresses[n % addresses.len()]).await;
        let course = course.clone();
        players.push(tokio::spawn(async move { play(&course, n, who).await }));
    }
    soon("the openings are played", course.reaches(OPENING * GAMES)).await;
    course.on.send_replace(true);
    let before = OPENING * GAMES + MOVES_BEFORE_THE_KILL;
    soon("games go on", course.reaches(before)).await;
    // The first one: it leads too.
    course.nodes.send_replace(addresses[1..].to_vec());
    let at = std::time::Instant::now();
    nodes.remove(0).kill();
    let mut sides = Vec::new();
    for side in soon("all games end", join_all(players)).await {
        sides.push(side.unwrap());
    }
    let reconnects = sides.iter().filter(|side| side.reconnects > 0).count();
    eprintln!(
        "all {GAMES} games had ended {} ms after the kill; {reconnects} players had to connect again",
        at.elapsed().as_millis()
    );
    assert!(
        reconnects >= GAMES / 2,
        "the node had no part in it: {reconnects}"
    );

    let mut games: BTreeMap<&str, Vec<&Side>> = BTreeMap::new();
    for side in &sides {
        games.entry(&side.game_id).or_default().push(side);
    }
    assert_eq!(games.len(), GAMES);
    let mut acknowledged = String::new();
    for (game_id, sides) in &games {
        let [one, other] = sides[..] else {
            panic!("{game_id} has {} sides", sides.len())
        };
        let outcome = one.outcome().unwrap();
        assert_eq!(
            (outcome.winner(), outcome.reason()),
            (Color::White, Reason::ThreeChecks)
        );
        let story = |side: &Side| -> Vec<_> {
            let events = side.events.iter();
            events.map(|event| (event.at_ms, event.kind.clone())).collect()
        };
        assert_eq!(story(one), story(other));
        assert_eq!(one.events.len(), MOVES.len() + 2);
        for side in [one, other] {
            for (command_id, sequence) in &side.acknowledged {
                let line = serde_json::json!({
                    "game_id": game_id,
                    "command_id": command_id,
                    "sequence": sequence,
                    "player_id": side.who.player_id,
                });
                acknowledged.push_str(&format!("{line}\n"));
            }
        }
    }
    // Each player may play again, and has been paid.
    for side in &sides {
        let headers = [("authorization", bearer(&side.who.token))];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        let paid = async {
            loop {
                let answer = request(
                    addresses[1],
                    http::Method::GET,
                    "/v1/players/me",
                    &headers,
                    String::new(),
                )
                .await;
                let profile: v1::Profile = serde_json::from_slice(&answer.body).unwrap();
                if profile.active_game_id.is_empty() && profile.games_played == 1 {
                    return;
                }
                assert!(profile.games_played <= 1, "paid twice: {profile:?}");
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        soon("the game is over for both", paid).await;
    }
    for node in nodes {
        node.stop().await;
    }
    let list = folder.path().join("acknowledged.jsonl");
    std::fs::write(&list, acknowledged).unwrap();
    let check = Program::new(BINARY)
        .args([
            "journal",
            "check",
            "--json",
            "--store",
            &redis.url(),
            "--acknowledged",
        ])
        .arg(&list)
        .output()
        .unwrap();
    let report: serde_json::Value = serde_json::from_slice(&check.stdout).unwrap();
    assert_eq!(check.status.code(), Some(0), "{report}");
    assert_eq!(
        (
            &report["games"],
            &report["events"],
            &report["lost"],
            &report["twice"]
        ),
        (
            &GAMES.into(),
            &(GAMES * (MOVES.len() + 2)).into(),
            &0.into(),
            &0.into()
        ),
        "{report}"
    );
}
