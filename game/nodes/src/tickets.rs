//! Who waits for an opponent, kept in a Redis stream so that a new leader knows of tickets whose node
//! went down with the former one.
//!
//! Writing never waits and never fails a player: what the stream should hold of each player is noted, and
//! a task makes it so, newest wish last. A ticket that is not written in time is one that its player's
//! node announces anew.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use redis::{aio::MultiplexedConnection, streams::StreamRangeReply};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::RedisUrl;

/// Players whose tickets wait to be written; of more, new tickets are not kept.
const WISHES_MAX: usize = 200_000;
/// The stream is cut to about this many entries, whatever happens.
const ENTRIES_MAX: usize = 400_000;
const BATCH_MAX: usize = 256;
/// Entries that are read at a time.
const PAGE: usize = 1000;
const RETRY: Duration = Duration::from_millis(500);

/// Somebody who waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    pub player_id: String,
    pub display_name: String,
    pub rating: i32,
    pub region: String,
    /// In milliseconds since 1970-01-01 UTC.
    pub enqueued_at_ms: u64,
    /// Where the player was connected; for people who look.
    pub node: String,
}

/// Keeps tickets. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TicketLog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    url: RedisUrl,
    stream: String,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// What the stream should hold of a player; `None`: nothing.
    wishes: HashMap<String, Option<Ticket>>,
    /// The entries that it has.
    entries: HashMap<String, Vec<String>>,
    /// Whose entries are being written: what the stream will hold of them is not known yet.
    in_flight: HashSet<String>,
    /// Grows when all of it becomes somebody else's.
    term: u64,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TicketLog {
    /// The handle, and the task to run until `stop`.
    pub fn new(
        url: &RedisUrl,
        release: &str,
        stop: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let log = Self(Arc::new(Shared {
            url: url.clone(),
            stream: format!("sv:tickets:{release}"),
            state: Mutex::default(),
            changed: Notify::new(),
        }));
        let shared = log.0.clone();
        let task = async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = write_on(&shared) => {}
            }
        };
        (log, task)
    }

    /// The player waits with this ticket.
    pub fn keep(&self, ticket: Ticket) {
        let mut state = self.0.state();
        if state.wishes.len() >= WISHES_MAX && !state.wishes.contains_key(&ticket.player_id) {
            return;
        }
        state.wishes.insert(ticket.player_id.clone(), Some(ticket));
        drop(state);
        self.0.changed.notify_one();
    }

    /// The player waits no more.
    pub fn drop_of(&self, player_id: &str) {
        let mut state = self.0.state();
        let known = state.wishes.contains_key(player_id)
            || state.entries.contains_key(player_id)
            || state.in_flight.contains(player_id);
        if !known {
            return;
        }
        state.wishes.insert(player_id.to_owned(), None);
        drop(state);
        self.0.changed.notify_one();
    }

    /// Somebody else leads: nothing is written any more of what this node knew.
    pub fn hand_over(&self) {
        let mut state = self.0.state();
        *state = State {
            term: state.term + 1,
            ..State::default()
        };
    }

    /// Every ticket that the former leader left, the oldest of a player; from here on they are this
    /// node's to keep.
    ///
    /// # Errors
    /// Redis does not answer; says what it said.
    pub async fn take_over(&self) -> Result<Vec<Ticket>, String> {
        let shared = &self.0;
        let mut connection = shared.url.connect().await.map_err(|error| error.to_string())?;
        let (mut tickets, mut entries) = (HashMap::<String, Ticket>::new(), HashMap::new());
        let mut from = "-".to_owned();
        loop {
            let page: StreamRangeReply = redis::cmd("XRANGE")
                .arg(&shared.stream)
                .arg(&from)
                .arg("+")
                .arg("COUNT")
                .arg(PAGE)
                .query_async(&mut connection)
                .await
                .map_err(|error| error.to_string())?;
            let Some(last) = page.ids.last() else { break };
            from = format!("({}", last.id);
            let full = page.ids.len() == PAGE;
            for entry in page.ids {
                let text = |name: &str| entry.get::<String>(name).unwrap_or_default();
                let ticket = Ticket {
                    player_id: text("player"),
                    display_name: text("name"),
                    rating: entry.get("rating").unwrap_or_default(),
                    region: text("region"),
                    enqueued_at_ms: entry.get("enqueued_at_ms").unwrap_or_default(),
                    node: text("node"),
                };
                let of_player: &mut Vec<String> = entries.entry(ticket.player_id.clone()).or_default();
                of_player.push(entry.id);
                match tickets.entry(ticket.player_id.clone()) {
                    Entry::Vacant(vacant) => drop(vacant.insert(ticket)),
                    Entry::Occupied(mut former) if ticket.enqueued_at_ms < former.get().enqueued_at_ms => {
                        former.insert(ticket);
                    }
                    Entry::Occupied(_) => {}
                }
            }
            if !full || tickets.len() >= ENTRIES_MAX {
                break;
            }
        }
        let mut state = shared.state();
        state.entries = entries;
        drop(state);
        let mut tickets: Vec<Ticket> = tickets.into_values().collect();
        tickets.sort_by(|one, other| {
            (one.enqueued_at_ms, &one.player_id).cmp(&(other.enqueued_at_ms, &other.player_id))
        });
        Ok(tickets)
    }
}

/// One player's part of a batch.
struct Change {
    player_id: String,
    wish: Option<Ticket>,
    former: Vec<String>,
}

async fn write_on(shared: &Shared) {
    let mut connection = None;
    loop {
        let (term, batch) = next_batch(shared);
        if batch.is_empty() {
            shared.changed.notified().await;
            continue;
        }
        let written = write(&mut connection, shared, &batch).await;
        if let Err(error) = &written {
            tracing::warn!(%error, "tickets could not be written; trying again");
            connection = None;
        }
        let failed = written.is_err();
        settle(shared, term, batch, written.ok());
        if failed {
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// Takes in what the stream holds now. `ids`: the new entries; `None`: nothing is known to be written.
fn settle(shared: &Shared, term: u64, batch: Vec<Change>, ids: Option<Vec<Option<String>>>) {
    let mut state = shared.state();
    if state.term != term {
        return;
    }
    state.in_flight.clear();
    let Some(ids) = ids else {
        for change in batch {
            state.wishes.entry(change.player_id).or_insert(change.wish);
        }
        return;
    };
    for (change, id) in batch.into_iter().zip(ids) {
        match id {
            Some(id) => drop(state.entries.insert(change.player_id, vec![id])),
            None => drop(state.entries.remove(&change.player_id)),
        }
    }
}

fn next_batch(shared: &Shared) -> (u64, Vec<Change>) {
    let mut state = shared.state();
    let players: Vec<String> = state.wishes.keys().take(BATCH_MAX).cloned().collect();
    let changes = players.into_iter().filter_map(|player_id| {
        let wish = state.wishes.remove(&player_id)?;
        let former = state.entries.get(&player_id).cloned().unwrap_or_default();
        state.in_flight.insert(player_id.clone());
        Some(Change {
            player_id,
            wish,
            former,
        })
    });
    let batch = changes.collect();
    (state.term, batch)
}

/// The new entry of each player who waits.
async fn write(
    connection: &mut Option<MultiplexedConnection>,
    shared: &Shared,
    batch: &[Change],
) -> Result<Vec<Option<String>>, String> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(shared.url.connect().await.map_err(|error| error.to_string())?),
    };
    let Some(pipeline) = commands(&shared.stream, batch) else {
        return Ok(vec![None; batch.len()]);
    };
    let ids: Vec<String> = pipeline
        .query_async(connection)
        .await
        .map_err(|error| error.to_string())?;
    let mut ids = ids.into_iter();
    Ok(batch
        .iter()
        .map(|change| change.wish.as_ref().and_then(|_| ids.next()))
        .collect())
}

/// `None`: there is nothing to say, as of tickets that were given up before they were written.
fn commands(stream: &str, batch: &[Change]) -> Option<redis::Pipeline> {
    let mut pipeline = redis::pipe();
    // First the new ones: a crash in between leaves a ticket twice, never not at all.
    for ticket in batch.iter().filter_map(|change| change.wish.as_ref()) {
        pipeline
            .cmd("XADD")
            .arg(stream)
            .arg("MAXLEN")
            .arg("~")
            .arg(ENTRIES_MAX)
            .arg("*")
            .arg("player")
            .arg(&ticket.player_id)
            .arg("name")
            .arg(&ticket.display_name)
            .arg("rating")
            .arg(ticket.rating)
            .arg("region")
            .arg(&ticket.region)
            .arg("enqueued_at_ms")
            .arg(ticket.enqueued_at_ms)
            .arg("node")
            .arg(&ticket.node);
    }
    let former: Vec<&String> = batch.iter().flat_map(|change| &change.former).collect();
    if !former.is_empty() {
        pipeline.cmd("XDEL").arg(stream).arg(former).ignore();
    }
    (!pipeline.is_empty()).then_some(pipeline)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(wish: bool, former: &[&str]) -> Change {
        let ticket = Ticket {
            player_id: "p".into(),
            display_name: "Ada".into(),
            rating: 1500,
            region: "eu".into(),
            enqueued_at_ms: 1,
            node: "n".into(),
        };
        Change {
            player_id: "p".into(),
            wish: wish.then_some(ticket),
            former: former.iter().map(|id| (*id).to_owned()).collect(),
        }
    }

    #[test]
    fn what_was_given_up_before_it_was_written_says_nothing() {
        let count = |batch: &[Change]| commands("s", batch).map(|pipeline| pipeline.cmd_iter().count());
        assert_eq!(count(&[change(false, &[]), change(false, &[])]), None);
        assert_eq!(count(&[change(false, &[]), change(true, &[])]), Some(1));
        assert_eq!(
            count(&[change(true, &[]), change(false, &["1-1", "1-2"])]),
            Some(2)
        );
    }

    #[test]
    fn a_ticket_that_is_given_up_while_it_is_being_written_goes_again() {
        let url = "redis://127.0.0.1:1".parse().unwrap();
        let (log, _) = TicketLog::new(&url, "v1", CancellationToken::new());
        let ticket = change(true, &[]).wish.unwrap();
        log.keep(ticket);
        let (term, batch) = next_batch(&log.0);
        assert_eq!(batch.len(), 1);
        log.drop_of("p");
        settle(&log.0, term, batch, Some(vec![Some("1-1".into())]));
        let (term, batch) = next_batch(&log.0);
        assert!(matches!(&batch[..], [Change { wish: None, former, .. }] if *former == ["1-1"]));
        settle(&log.0, term, batch, Some(vec![None]));
        // Nobody knows of the player any more.
        log.drop_of("p");
        assert!(next_batch(&log.0).1.is_empty());
    }
}
