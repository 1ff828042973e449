//! Results of commands on their way into Redis. What waits goes together: one function call for each shard,
//! and Redis syncs once for all that it reads at once. Few calls are under way at a time, so that the
//! more there is to do, the more share a call.

use std::{collections::BTreeMap, sync::Arc};

use redis::Cmd;
use starvault_rules::{Color, EventKind, Outcome};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::{
    RedisOptions, ends, entry,
    fault::Fault,
    keys::{GameKeys, Shard},
    link::Link,
};
use crate::{
    Append, AppendOutcome, Decision, Epoch, StoreError,
    rule::{self, Ruling, Standing},
    snapshot::to_json,
};

/// Refusals kept for each game, the newest; as in every engine.
const REFUSALS_PER_GAME_MAX: u32 = crate::sqlite::append::REJECTIONS_PER_GAME_MAX;

const OPERATION: &str = "append to a game";

type Reply = oneshot::Sender<Result<AppendOutcome, StoreError>>;

#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) append: Append,
    pub(super) reply: Reply,
}

/// Runs until nobody can send any more, and everything that waited has its answer.
pub(super) async fn run(link: Link, options: RedisOptions, mut mailbox: mpsc::Receiver<Waiting>) {
    let calls = Arc::new(Semaphore::new(options.calls_max.max(1)));
    // Whoever holds a sender still has somebody to answer.
    let (busy, mut idle) = mpsc::channel::<()>(1);
    let mut batch = Vec::new();
    loop {
        // First the right to call, then what waits by then.
        let Ok(call) = calls.clone().acquire_owned().await else {
            return;
        };
        if mailbox.recv_many(&mut batch, options.batch_max.max(1)).await == 0 {
            break;
        }
        let mut by_shard: BTreeMap<Shard, Vec<Waiting>> = BTreeMap::new();
        for waiting in batch.drain(..) {
            by_shard
                .entry(Shard::of(&waiting.append.game_id))
                .or_default()
                .push(waiting);
        }
        let call = Arc::new(call);
        for (shard, waiting) in by_shard {
            let commit = commit(link.clone(), options, shard, waiting, call.clone(), busy.clone());
            tokio::spawn(commit);
        }
    }
    drop(busy);
    idle.recv().await;
}

async fn commit(
    link: Link,
    options: RedisOptions,
    shard: Shard,
    waiting: Vec<Waiting>,
    call: Arc<OwnedSemaphorePermit>,
    busy: mpsc::Sender<()>,
) {
    let mut prepared = Vec::with_capacity(waiting.len());
    for Waiting { append, reply } in waiting {
        match Prepared::of(&append) {
            Ok(ready) => prepared.push((append, ready, reply)),
            Err(fault) => drop(reply.send(Err(link.at(fault, OPERATION)))),
        }
    }
    if prepared.is_empty() {
        return;
    }
    let cmd = command(shard, &prepared);
    let found: Result<Vec<Vec<Vec<u8>>>, Fault> = link.ask(&cmd).await;
    drop(call);
    let found = match found {
        Ok(found) if found.len() == prepared.len() => found,
        other => {
            let fault = match other {
                Err(fault) => fault,
                Ok(_) => Fault::Corrupt("it answered another number of results than were asked".into()),
            };
            let error = link.at(fault, OPERATION);
            for (.., reply) in prepared {
                // Nobody waits for a command whose connection has ended.
                let _ = reply.send(Err(error.clone()));
            }
            return;
        }
    };
    for ((append, _, reply), found) in prepared.into_iter().zip(found) {
        match judge(&append, &found) {
            Ok((outcome, None)) => drop(reply.send(Ok(outcome))),
            Ok((outcome, Some(stream_entry))) => {
                let (link, busy) = (link.clone(), busy.clone());
                tokio::spawn(async move {
                    // Before the answer, so that who hears of the end finds both players free. It is
                    // durable either way: whoever reads the stream carries it out otherwise.
                    if let Err(fault) =
                        ends::apply(&link, &append.game_id, Some(&stream_entry), options).await
                    {
                        let error = link.at(fault, "tell a game's players of its end");
                        tracing::warn!(game = %append.game_id, %error, "the end of a game reaches its players later");
                    }
                    let _ = reply.send(Ok(outcome));
                    drop(busy);
                });
            }
            Err(fault) => drop(reply.send(Err(link.at(fault, OPERATION)))),
        }
    }
}

/// What goes into the call for one result.
struct Prepared {
    keys: GameKeys,
    /// See `append` in functions.lua.
    arguments: Vec<Vec<u8>>,
}

impl Prepared {
    fn of(append: &Append) -> Result<Prepared, Fault> {
        let (player, command, hash) = match &append.command {
            Some(key) => (
                key.player_id.as_str(),
                key.command_id.as_str(),
                &key.payload_hash[..],
            ),
            None => ("", "", &[][..]),
        };
        let (mut kind, mut text, mut ended, mut entries) = ("n", String::new(), String::new(), Vec::new());
        match &append.decision {
            // What no owner can have decided is looked up only: the rule says what is wrong with it.
            _ if rule::check_decision(append).is_err() => {}
            Decision::Accepted { events, state } => {
                (kind, text) = ("a", ends::state_digest(state)?);
                for event in events {
                    entries.push(to_json(event)?);
                }
                if let Some(event) = events.last()
                    && let EventKind::Ended { winner, reason } = &event.kind
                {
                    let outcome = Outcome {
                        winner: *winner,
                        reason: *reason,
                    };
                    ended = to_json(&ends::End {
                        outcome,
                        at_ms: event.at_ms,
                    })?;
                }
            }
            Decision::Rejected { code, message } => {
                (kind, text) = ("r", entry::of_refusal(code, message, append.expected_sequence)?);
            }
        }
        let mut arguments: Vec<Vec<u8>> = vec![
            append.game_id.as_str().into(),
            entry::of_owner(&append.owner)?.into(),
            append.epoch.0.to_string().into(),
            append.expected_sequence.to_string().into(),
            player.into(),
            command.into(),
            hash.into(),
            kind.into(),
            text.into(),
            ended.into(),
            REFUSALS_PER_GAME_MAX.to_string().into(),
            entries.len().to_string().into(),
        ];
        arguments.extend(entries.into_iter().map(String::into_bytes));
        Ok(Prepared {
            keys: GameKeys::of(&append.game_id),
            arguments,
        })
    }
}

fn command(shard: Shard, prepared: &[(Append, Prepared, Reply)]) -> Cmd {
    let mut cmd = redis::cmd("FCALL");
    cmd.arg("sv1_append").arg(2 + 4 * prepared.len());
    cmd.arg(shard.ends()).arg(shard.running());
    for (_, Prepared { keys, .. }, _) in prepared {
        cmd.arg(&keys.head)
            .arg(&keys.events)
            .arg(&keys.answers)
            .arg(&keys.refusals);
    }
    for (_, Prepared { arguments, .. }, _) in prepared {
        for argument in arguments {
            cmd.arg(argument);
        }
    }
    cmd
}

/// What became of a result, by what the call found and whether it wrote; and the place in the stream of a
/// game that has ended.
fn judge(append: &Append, found: &[Vec<u8>]) -> Result<(AppendOutcome, Option<String>), Fault> {
    let damaged = |what: &str| Fault::Corrupt(format!("the head of game {}: {what}", append.game_id));
    let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).map_err(|_| damaged("it is not text"));
    let [
        seat,
        owner,
        epoch,
        sequence,
        white,
        black,
        ended,
        kept,
        wrote,
        stream_entry,
    ] = found
    else {
        return Err(Fault::Store(StoreError::UnknownGame {
            game_id: append.game_id.clone(),
        }));
    };
    let number = |bytes: &Vec<u8>| {
        text(bytes)?
            .parse::<u64>()
            .map_err(|_| damaged("it is no number"))
    };
    let player = |bytes: &Vec<u8>| {
        starvault_rules::PlayerId::new(text(bytes)?).map_err(|error| damaged(&error.to_string()))
    };
    let owner = entry::owner(&text(owner)?)?;
    let players = [player(white)?, player(black)?];
    let standing = Standing {
        game_id: &append.game_id,
        owner: &owner,
        epoch: Epoch(number(epoch)?),
        sequence: u32::try_from(number(sequence)?).map_err(|_| damaged("its sequence"))?,
        running: ended == b"0",
        players: &players,
    };
    let seated = match &seat[..] {
        b"w" => Some(Color::White),
        b"b" => Some(Color::Black),
        _ => None,
    };
    let ruling = rule::rule::<Fault>(&standing, append, |seat, _| {
        if Some(seat) != seated {
            return Err(damaged("it has another seat for this player"));
        }
        if kept.is_empty() {
            Ok(None)
        } else {
            entry::kept(kept).map(Some)
        }
    })?;
    let wrote = wrote == b"1";
    match ruling {
        Ruling::Settled(outcome) if !wrote => Ok((outcome, None)),
        Ruling::Write { committed, .. } if wrote => {
            let stream_entry = text(stream_entry)?;
            Ok((committed, (!stream_entry.is_empty()).then_some(stream_entry)))
        }
        // The rule and the function disagree: one of them is not of this release.
        _ => Err(damaged("what was written is not what the rule says")),
    }
}
