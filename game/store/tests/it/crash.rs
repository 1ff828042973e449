//! Processes that are killed while they write: what they had acknowledged is there, once.

use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command as Process, Stdio},
    sync::mpsc,
    thread,
};

use starvault_rules::{Color, Command, EventKind, GameId};
use starvault_store::{Answer, AppendOutcome, CreateOutcome, Journal, SqliteJournal, SqliteOptions, check};

use crate::room::{Room, add_player, new_game, owner, place};

const PATH: &str = "STARVAULT_TEST_JOURNAL";
const NAME: &str = "STARVAULT_TEST_NAME";
const PAIRS: usize = 6;

/// Plays games for ever and says on its standard output what is durable, as a server tells clients.
#[tokio::test]
#[ignore = "the process that the crash test starts and kills"]
async fn writer() {
    let path = std::env::var(PATH).expect("started by the crash test");
    let name = std::env::var(NAME).expect("started by the crash test");
    let journal = SqliteJournal::open(Path::new(&path), SqliteOptions::default()).unwrap();
    let mut playing = Vec::new();
    for pair in 0..PAIRS {
        playing.push(tokio::spawn(play_for_ever(journal.clone(), name.clone(), pair)));
    }
    for pair in playing {
        pair.await.unwrap();
    }
}

async fn play_for_ever(journal: SqliteJournal, name: String, pair: usize) {
    // A process has a name of its own, its players outlive it: the next one takes their games over.
    let seat = name.split('.').next().unwrap();
    let (white, black) = (format!("{seat}-w{pair}"), format!("{seat}-b{pair}"));
    let known = journal
        .get_profile(&crate::room::player_id(&white))
        .await
        .unwrap();
    if known.is_none() {
        add_player(&journal, &white).await;
    }
    if journal
        .get_profile(&crate::room::player_id(&black))
        .await
        .unwrap()
        .is_none()
    {
        add_player(&journal, &black).await;
    }
    let mut random = name.bytes().fold(pair as u64 + 1, |hash, byte| {
        hash.wrapping_mul(31) + u64::from(byte)
    });
    let mut left_over = journal
        .active_game_of(&crate::room::player_id(&white))
        .await
        .unwrap();
    for round in 0.. {
        let mut room = match left_over.take() {
            Some(game_id) => take_over(&journal, &game_id, &name).await,
            None => {
                let id = format!("{name}-{pair}-{round}");
                let new = new_game(&id, &white, &black, owner(&name));
                let CreateOutcome::Created(created) = journal.create_game(new).await.unwrap() else {
                    panic!("{white} or {black} is in a game that nobody knows")
                };
                Room {
                    journal: journal.clone(),
                    owner: owner(&name),
                    epoch: created.epoch,
                    game: created.game,
                }
            }
        };
        while room.game.outcome().is_none() {
            random = random
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            let legal = room.game.legal_moves_uci();
            let command = room.mv(&legal[(random >> 33) as usize % legal.len()]);
            let (by, id) = (room.game.to_move(), format!("c{}", room.game.sequence()));
            match room.give(by, &id, &command).await {
                AppendOutcome::Committed { sequence } => acknowledge(&room, by, &id, sequence),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Acquires the game of a killed process and asks again for its last move: it must be known.
async fn take_over(journal: &SqliteJournal, game_id: &GameId, name: &str) -> Room {
    let acquired = journal.acquire(game_id, owner(name)).await.unwrap().unwrap();
    let (epoch, game) = (acquired.epoch, acquired.game);
    let mut room = Room {
        journal: journal.clone(),
        owner: owner(name),
        epoch,
        game,
    };
    if let Some(last) = acquired.events.last()
        && let EventKind::MoveMade { by, uci, .. } = &last.kind
    {
        let before = last.sequence - 1;
        let again = Command::Move {
            uci: uci.clone(),
            expected_sequence: before,
        };
        let outcome = room.give(*by, &format!("c{before}"), &again).await;
        let answer = Answer::Accepted {
            sequence: last.sequence,
        };
        assert_eq!(outcome, AppendOutcome::Repeated { answer });
    }
    room
}

fn acknowledge(room: &Room, by: Color, command_id: &str, sequence: u32) {
    let line = serde_json::json!({
        "game_id": room.game.id(),
        "command_id": command_id,
        "sequence": sequence,
        "player_id": room.player(by),
    });
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// A writing process. Killed at the latest when the value goes.
struct Writer {
    child: Child,
    reader: Option<thread::JoinHandle<()>>,
}

impl Writer {
    /// Starts it, and a thread that sends on its acknowledgements until it is gone.
    fn start(path: &Path, name: &str, lines: mpsc::Sender<String>) -> Writer {
        let mut child = Process::new(std::env::current_exe().unwrap())
            .args(["crash::writer", "--exact", "--ignored", "--nocapture"])
            .env(PATH, path)
            .env(NAME, name)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let reader = thread::spawn(move || {
            let mut line = String::new();
            while out.read_line(&mut line).unwrap() > 0 {
                // A line that was cut off in the middle told nobody anything.
                if line.starts_with('{') && line.ends_with('\n') {
                    // Nobody listens any more when the test has failed.
                    let _ = lines.send(line.clone());
                }
                line.clear();
            }
        });
        Writer {
            child,
            reader: Some(reader),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // It may have ended by itself; that is found out elsewhere.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

#[test]
fn what_killed_processes_acknowledged_is_there_once() {
    let place = place();
    let log_path = place.folder.path().join("acknowledged.jsonl");
    let mut log = File::create(&log_path).unwrap();
    let mut total = 0;
    for round in 0..6 {
        let (sender, lines) = mpsc::channel();
        // Two processes share the file, as two releases do; each has players of its own.
        let writers =
            ["a", "b"].map(|seat| Writer::start(&place.path, &format!("{seat}.{round}"), sender.clone()));
        drop(sender);
        // Killed at another count each time, in the middle of whatever they do.
        let enough = 60 + round * 37;
        let mut acknowledged: Vec<String> = lines.iter().take(enough).collect();
        assert_eq!(
            acknowledged.len(),
            enough,
            "round {round}: the writers ended by themselves"
        );
        drop(writers);
        // What was said between the count and the kill counts too.
        acknowledged.extend(lines);
        total += acknowledged.len() as u64;
        log.write_all(acknowledged.concat().as_bytes()).unwrap();
        let report = check(&place.path, Some(&log_path)).unwrap();
        assert!(report.is_clean(), "round {round}: {report:#?}");
        assert_eq!(report.acknowledged, total);
        assert!(report.events >= total);
    }
}
