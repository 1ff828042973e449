//! Results of commands on their way into Redis. What waits goes together: one function call, in a cluster one for
//! each shard, and Redis syncs once for it. Few calls are under way at a time, so that the more there is to do,
//! the more share a call.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use redis::{Cmd, FromRedisValue, Value};
use starvault_rules::{Color, EventKind, Outcome};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

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

/// So few results are not worth being shared out over two calls.
const SHARE_MIN: usize = 16;

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
    let under_way = Arc::new(UnderWay::default());
    // Whoever holds a sender still has somebody to answer.
    let (busy, mut idle) = mpsc::channel::<()>(1);
    let mut batch = Vec::new();
    loop {
        // First the right to call, then what waits by then.
        let Ok(permit) = calls.clone().acquire_owned().await else {
            return;
        };
        if mailbox.recv_many(&mut batch, 1).await == 0 {
            break;
        }
        // While Redis has something to do, there is time to gather as much: then the next call is ready when
        // it has done that, and the disk is synced for many at once.
        loop {
            let results = under_way.results.load(Ordering::Relaxed);
            let waiting = batch.len() + mailbox.len();
            if waiting >= results || waiting >= options.batch_max {
                break;
            }
            let room = options.batch_max - batch.len();
            tokio::select! {
                () = under_way.less.notified() => {}
                more = mailbox.recv_many(&mut batch, room) => if more == 0 { break },
            }
        }
        let results = under_way.results.load(Ordering::Relaxed);
        let share = (results + batch.len() + mailbox.len())
            .div_ceil(2)
            .max(SHARE_MIN)
            .min(options.batch_max);
        while batch.len() < share
            && let Ok(waiting) = mailbox.try_recv()
        {
            batch.push(waiting);
        }
        // A cluster takes calls whose keys lie in one slot; one Redis takes everything at once.
        let mut groups: BTreeMap<Option<Shard>, Vec<Waiting>> = BTreeMap::new();
        for waiting in batch.drain(..) {
            let shard = link.is_cluster().then(|| Shard::of(&waiting.append.game_id));
            groups.entry(shard).or_default().push(waiting);
        }
        let permit = Arc::new(permit);
        for waiting in groups.into_values() {
            let call = Call::new(under_way.clone(), waiting.len(), permit.clone());
            tokio::spawn(commit(link.clone(), options, waiting, call, busy.clone()));
        }
    }
    drop(busy);
    idle.recv().await;
}

/// Results that Redis has been given and not answered.
#[derive(Debug, Default)]
struct UnderWay {
    results: AtomicUsize,
    less: Notify,
}

/// A call that is under way.
#[derive(Debug)]
struct Call {
    under_way: Arc<UnderWay>,
    results: usize,
    _permit: Arc<OwnedSemaphorePermit>,
}

impl Call {
    fn new(under_way: Arc<UnderWay>, results: usize, permit: Arc<OwnedSemaphorePermit>) -> Call {
        under_way.results.fetch_add(results, Ordering::Relaxed);
        Call {
            under_way,
            results,
            _permit: permit,
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.under_way.results.fetch_sub(self.results, Ordering::Relaxed);
        self.under_way.less.notify_one();
    }
}

async fn commit(
    link: Link,
    options: RedisOptions,
    waiting: Vec<Waiting>,
    call: Call,
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
    let cmd = command(&prepared);
    let found: Result<Vec<Found>, Fault> = link.ask(&cmd).await;
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

/// What goes into the call for one result; see `append` in functions.lua.
struct Prepared {
    keys: Vec<String>,
    arguments: Vec<Vec<u8>>,
}

impl Prepared {
    fn of(append: &Append) -> Result<Prepared, Fault> {
        let (player, command, mut answer) = match &append.command {
            Some(key) => (
                key.player_id.as_str(),
                key.command_id.as_str(),
                key.payload_hash.to_vec(),
            ),
            None => ("", "", Vec::new()),
        };
        let GameKeys {
            shard,
            head,
            events,
            refusals,
        } = GameKeys::of(&append.game_id);
        let mut keys = vec![head, events];
        let (mut kind, mut state_digest, mut entries, mut end) = ("n", String::new(), Vec::new(), Vec::new());
        let mut sequence = append.expected_sequence;
        match &append.decision {
            // What no owner can have decided is looked up only: the rule says what is wrong with it.
            _ if rule::check_decision(append).is_err() => {}
            Decision::Accepted { events, state } => {
                (kind, state_digest) = ("a", ends::state_digest(state)?);
                sequence = state.sequence;
                answer.extend(entry::of_acceptance(sequence));
                for event in events {
                    entries.push(to_json(event)?);
                }
                if let Some(event) = events.last()
                    && let EventKind::Ended { winner, reason } = &event.kind
                {
                    kind = "e";
                    let outcome = Outcome {
                        winner: *winner,
                        reason: *reason,
                    };
                    let at_ms = event.at_ms;
                    end = vec![
                        to_json(&ends::End { outcome, at_ms })?,
                        append.game_id.to_string(),
                    ];
                    keys.extend([shard.ends(), shard.running()]);
                }
            }
            Decision::Rejected { code, message } => {
                kind = "r";
                answer.extend(entry::of_refusal(code, message, sequence)?);
                keys.push(refusals);
            }
        }
        let mut arguments: Vec<Vec<u8>> = vec![
            kind.into(),
            entry::of_owner(&append.owner)?.into(),
            append.epoch.0.to_string().into(),
            append.expected_sequence.to_string().into(),
            player.into(),
            command.into(),
            answer,
            sequence.to_string().into(),
            state_digest.into(),
            entries.len().to_string().into(),
        ];
        arguments.extend(entries.into_iter().chain(end).map(String::into_bytes));
        Ok(Prepared { keys, arguments })
    }
}

fn command(prepared: &[(Append, Prepared, Reply)]) -> Cmd {
    let keys = || prepared.iter().flat_map(|(_, prepared, _)| &prepared.keys);
    let mut cmd = redis::cmd("FCALL");
    cmd.arg("sv1_append").arg(keys().count());
    for key in keys() {
        cmd.arg(key);
    }
    cmd.arg(REFUSALS_PER_GAME_MAX);
    for argument in prepared.iter().flat_map(|(_, prepared, _)| &prepared.arguments) {
        cmd.arg(argument);
    }
    cmd
}

/// What the function says of one result.
#[derive(Debug)]
enum Found {
    /// It wrote; for which seat, and the entry of a game that has ended.
    Wrote(String),
    /// It wrote nothing, since this lies there.
    There(Vec<Vec<u8>>),
}

impl FromRedisValue for Found {
    fn from_redis_value(value: Value) -> Result<Found, redis::ParsingError> {
        match value {
            Value::Array(_) => Vec::from_redis_value(value).map(Found::There),
            other => String::from_redis_value(other).map(Found::Wrote),
        }
    }
}

/// What became of a result, by what the call wrote or found; and the place in the stream of a game that has ended.
fn judge(append: &Append, found: &Found) -> Result<(AppendOutcome, Option<String>), Fault> {
    match found {
        Found::Wrote(what) => wrote(append, what),
        Found::There(found) => Ok((refused(append, found)?, None)),
    }
}

/// The function has compared all that the rule compares before it wrote.
fn wrote(append: &Append, what: &str) -> Result<(AppendOutcome, Option<String>), Fault> {
    let damaged = || {
        let game_id = &append.game_id;
        Fault::Corrupt(format!(
            "what was written for game {game_id} is not what was asked"
        ))
    };
    let (seat, stream_entry) = what.split_at_checked(1).ok_or_else(damaged)?;
    if matches!(seat, "w" | "b") != append.command.is_some() {
        return Err(damaged());
    }
    let sequence = match &append.decision {
        Decision::Accepted { events, .. } => events.last().ok_or_else(damaged)?.sequence,
        Decision::Rejected { .. } => append.expected_sequence,
    };
    let stream_entry = (!stream_entry.is_empty()).then(|| stream_entry.to_owned());
    Ok((AppendOutcome::Committed { sequence }, stream_entry))
}

/// The rule says why nothing was written.
fn refused(append: &Append, found: &[Vec<u8>]) -> Result<AppendOutcome, Fault> {
    let damaged = |what: &str| Fault::Corrupt(format!("game {}: {what}", append.game_id));
    let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).map_err(|_| damaged("it is not text"));
    let [seat, owner, epoch, sequence, white, black, ended, kept] = found else {
        return Err(match found {
            [damage, what] if damage == b"damaged" => damaged(&String::from_utf8_lossy(what)),
            _ => Fault::Store(StoreError::UnknownGame {
                game_id: append.game_id.clone(),
            }),
        });
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
    match ruling {
        Ruling::Settled(outcome) => Ok(outcome),
        // The rule and the function disagree: one of them is not of this release.
        Ruling::Write { .. } => Err(damaged("nothing was written where the rule says so")),
    }
}
