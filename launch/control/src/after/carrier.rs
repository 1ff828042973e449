//! The task of one sink: takes what was raised into its outbox, and carries it there.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tminus_after::tickets::{
    Chance, Clock, Courier, CourierError, Entry, OutboxError, Pace, State, Step, Ticket, TicketSink,
};
use tminus_after::triggers::Raised;
use tokio_util::sync::CancellationToken;

use super::board::Board;
use crate::error::{CliError, Kind, Result, from_part};
use crate::layout::write_whole;

/// Orders that are taken in one turn.
const ORDERS_MAX: usize = 100;

pub(super) fn outbox(state: &Path, sink: &str) -> PathBuf {
    state.join(format!("outbox-{sink}.json"))
}

fn orders(state: &Path) -> PathBuf {
    state.join("again")
}

/// Has a ticket that was given up tried again: an order in a file, for whoever carries.
///
/// # Errors
/// It cannot be written.
pub fn order_again(state: &Path, sink: &str, id: &str) -> Result<()> {
    let folder = orders(state);
    super::inbox::private_folder(&folder)?;
    write_whole(&folder.join(format!("{sink}.{id}")), b"")
}

pub(super) struct Carrier {
    name: &'static str,
    sink: Arc<dyn TicketSink>,
    state: PathBuf,
    clock: Clock,
    chance: Chance,
    board: Board,
    /// None after a file could not be written: read anew, it knows what was under way.
    courier: Option<Courier>,
}

impl Carrier {
    /// # Errors
    /// The outbox cannot be read, holds something else, or is in use.
    pub(super) fn open(
        name: &'static str,
        sink: Arc<dyn TicketSink>,
        state: &Path,
        clock: Clock,
        chance: Chance,
        board: Board,
    ) -> Result<Self> {
        let mut it = Self {
            name,
            sink,
            state: state.to_owned(),
            clock,
            chance,
            board,
            courier: None,
        };
        let courier = it
            .courier()
            .map_err(|e| from_part(Kind::Environment, &format!("the outbox of {name}"), &e))?;
        it.show(&courier);
        it.courier = Some(courier);
        Ok(it)
    }

    fn courier(&mut self) -> std::result::Result<Courier, CourierError> {
        match self.courier.take() {
            Some(courier) => Ok(courier),
            None => Courier::open(
                &outbox(&self.state, self.name),
                self.sink.clone(),
                Pace::default(),
                self.clock.clone(),
                self.chance.clone(),
            ),
        }
    }

    /// Turn after turn until `stop`, also in the middle of one: the outbox takes that as it takes a crash.
    pub(super) async fn run(mut self, every: Duration, stop: CancellationToken) {
        let place = format!("tickets.{}", self.name);
        let mut raised = self.board.watch();
        loop {
            raised.mark_unchanged();
            let turned = tokio::select! {
                turned = self.turn() => turned,
                () = stop.cancelled() => return,
            };
            match turned {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => self.board.trouble(&place, Some(error.to_string())),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                _ = raised.changed() => {}
                () = tokio::time::sleep(every) => {}
            }
        }
    }

    /// Whether there was something to do.
    async fn turn(&mut self) -> std::result::Result<bool, CourierError> {
        let mut courier = self.courier()?;
        let raised = self.board.read(|seen| seen.retrospectives.clone());
        for it in raised.iter().filter(|it| is_for(it, self.name)) {
            if courier.get(&it.decision.id).is_none() {
                courier.put(Ticket::retrospective(&it.decision, &it.owners))?;
            }
        }
        self.take_orders(&mut courier)?;
        self.show(&courier);
        let step = courier.step().await?;
        self.show(&courier);
        let place = format!("tickets.{}", self.name);
        match &step {
            Step::Idle { .. } => {}
            Step::Made { id, made } => {
                tracing::info!(sink = self.name, id, key = made.key, "a ticket is made");
                self.board.trouble(&place, None);
            }
            Step::Failed { id, failure } => {
                self.board
                    .trouble(&place, Some(format!("{failure} (tried again by itself)")));
                tracing::debug!(sink = self.name, id, %failure, "a ticket has to wait");
            }
            Step::GaveUp { id, failure } => self.board.trouble(
                &place,
                Some(format!(
                    "{failure}; given up: once that is mended, `tminus after tickets again {id}`"
                )),
            ),
        }
        self.courier = Some(courier);
        Ok(!matches!(step, Step::Idle { .. }))
    }

    fn take_orders(&self, courier: &mut Courier) -> std::result::Result<(), CourierError> {
        // None there, or not to be read: nothing to do now.
        let Ok(entries) = std::fs::read_dir(orders(&self.state)) else {
            return Ok(());
        };
        let mine = format!("{}.", self.name);
        for entry in entries.flatten().take(ORDERS_MAX) {
            let name = entry.file_name();
            let Some(id) = name.to_str().and_then(|name| name.strip_prefix(&mine)) else {
                continue;
            };
            if !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                continue;
            }
            match courier.again(id) {
                Ok(()) | Err(CourierError::Outbox(OutboxError::Unknown { .. })) => {
                    // Left there, it is tried once more, which harms nothing.
                    let _ = std::fs::remove_file(entry.path());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn show(&self, courier: &Courier) {
        let entries: Vec<Entry> = courier.entries().cloned().collect();
        self.board.change(|seen| {
            seen.tickets.insert(self.name.to_owned(), entries);
        });
    }
}

/// What was raised before there was any sink is for each that comes.
fn is_for(raised: &Raised, sink: &str) -> bool {
    raised.sinks.is_empty() || raised.sinks.iter().any(|known| known == sink)
}

/// What a state reads like in one line.
pub fn words(entry: &Entry, stamp: impl Fn(u64) -> String) -> String {
    let why = entry
        .trouble
        .as_deref()
        .map(|trouble| format!(" ({trouble})"))
        .unwrap_or_default();
    match &entry.state {
        State::Waiting { from_ms } => format!("waits, from {}{why}", stamp(*from_ms)),
        State::Sending { since_ms } => format!("on its way since {}", stamp(*since_ms)),
        State::Made(made) => match &made.url {
            Some(url) => format!("{} {url}", made.key),
            None => made.key.clone(),
        },
        State::GaveUp { at_ms } => format!("given up {}{why}", stamp(*at_ms)),
    }
}

/// The one ticket whose id begins so.
///
/// # Errors
/// None, or several.
pub fn by_prefix<'a>(raised: &'a [Raised], prefix: &str) -> Result<&'a Raised> {
    let mut found = raised
        .iter()
        .filter(|it| !prefix.is_empty() && it.decision.id.starts_with(prefix));
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(
            CliError::usage(format!("no retrospective's id begins with {prefix:?}"))
                .hint("`tminus after tickets list` shows them"),
        ),
        (Some(_), Some(_)) => Err(CliError::usage(format!(
            "several retrospectives' ids begin with {prefix:?}"
        ))
        .hint("give more of the id")),
    }
}
