//! Random play by owners that come, go, repeat themselves and mistake their place, against a small
//! model of what must be true.

use std::collections::HashMap;

use starvault_rules::{Color, Command};
use starvault_store::{Answer, AppendOutcome, Epoch, check};

use crate::room::{Room, game_id, owner, place};

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n
    }
}

/// What was answered to a command for the first time.
struct First {
    by: Color,
    command: Command,
    answer: Answer,
}

async fn run(seed: u64) {
    let place = place();
    let journals = [place.open(), place.open()];
    let mut random = Random(seed);
    let mut rooms = vec![Room::begin(&journals[0], "g1", owner("v0")).await];
    let mut holder = 0;
    let mut epoch = Epoch(1);
    let mut sequence = 1;
    let mut firsts: HashMap<String, First> = HashMap::new();
    for step in 0..60 {
        if random.below(10) == 0 {
            let journal = &journals[random.below(2)];
            rooms.push(Room::acquire(journal, &game_id("g1"), owner(&format!("v{step}"))).await);
            holder = rooms.len() - 1;
            assert_eq!(rooms[holder].epoch, Epoch(epoch.0 + 1), "seed {seed} step {step}");
            assert_eq!(rooms[holder].game.sequence(), sequence, "seed {seed} step {step}");
            epoch = rooms[holder].epoch;
        }
        let at = if random.below(4) == 0 {
            random.below(rooms.len())
        } else {
            holder
        };
        let room = &mut rooms[at];
        let fenced = AppendOutcome::Fenced {
            owner: owner("x"),
            epoch,
        };
        let is_fenced = |outcome: &AppendOutcome| matches!((outcome, &fenced), (AppendOutcome::Fenced { epoch: a, .. }, AppendOutcome::Fenced { epoch: b, .. }) if a == b);
        if !firsts.is_empty() && random.below(3) == 0 {
            // Somebody asks again, or uses an id again.
            let mut ids: Vec<_> = firsts.keys().cloned().collect();
            ids.sort();
            let id = &ids[random.below(ids.len())];
            let First { by, command, answer } = &firsts[id];
            let changed = random.below(3) == 0;
            let command = if changed {
                Command::AnswerDraw { accept: true }
            } else {
                command.clone()
            };
            let outcome = room.give(*by, id, &command).await;
            if at != holder {
                assert!(is_fenced(&outcome), "seed {seed} step {step}: {outcome:?}");
            } else if changed {
                assert_eq!(outcome, AppendOutcome::Conflict, "seed {seed} step {step}");
            } else {
                assert_eq!(
                    outcome,
                    AppendOutcome::Repeated {
                        answer: answer.clone()
                    },
                    "seed {seed} step {step}"
                );
            }
            continue;
        }
        let legal = room.game.legal_moves_uci();
        let by = if random.below(8) == 0 {
            room.game.to_move().other()
        } else {
            room.game.to_move()
        };
        let command = match random.below(12) {
            0 => Command::OfferDraw,
            1 => Command::AnswerDraw { accept: false },
            _ if legal.is_empty() => Command::Resign,
            _ => room.mv(&legal[random.below(legal.len())]),
        };
        let decided = room.game.decide(by, &command, room.now_ms());
        let id = format!("s{step}");
        let outcome = room.give(by, &id, &command).await;
        if at != holder {
            assert!(is_fenced(&outcome), "seed {seed} step {step}: {outcome:?}");
            continue;
        }
        let answer = match decided {
            Ok(events) => {
                sequence += events.len() as u32;
                Answer::Accepted { sequence }
            }
            Err(rejection) => {
                let (code, message) = (rejection.code().to_owned(), rejection.to_string());
                Answer::Rejected {
                    code,
                    message,
                    sequence,
                }
            }
        };
        assert_eq!(
            outcome,
            AppendOutcome::Committed { sequence },
            "seed {seed} step {step}"
        );
        firsts.insert(id, First { by, command, answer });
    }
    let last = Room::acquire(&journals[0], &game_id("g1"), owner("end")).await;
    assert_eq!(last.game.state(), rooms[holder].game.state());
    for journal in &journals {
        journal.close().await;
    }
    let report = check(&place.path, None).unwrap();
    assert!(report.is_clean(), "seed {seed}: {report:?}");
    assert_eq!(report.events, u64::from(sequence));
}

#[tokio::test]
async fn owners_that_come_and_go_leave_one_history() {
    for seed in 1..=12 {
        run(seed).await;
    }
}
