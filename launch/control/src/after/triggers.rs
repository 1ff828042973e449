//! The task that keeps the triggers: takes events in from records and inbox, and raises what is due.

use std::time::Duration;

use tminus_after::tickets::Clock;
use tminus_after::triggers::{Event, Keeper, KeeperError, Ledger, Raised, Rules, TriggerError};
use tokio_util::sync::CancellationToken;

use super::board::Board;
use super::config::AfterConfig;
use super::inbox::{Arrived, Inbox};
use super::sources::{Launch, Source};
use crate::error::{Kind, Result, from_part};

/// Below the state folder.
pub(super) const TRIGGERS_FILE: &str = "triggers.json";
pub(super) const LEDGER_FILE: &str = "retrospectives.json";
/// Places that trouble is told of.
const INBOX: &str = "inbox";
const TRIGGERS: &str = "triggers";

/// All that one turn needs.
#[derive(Debug)]
struct Turns {
    keeper: Keeper,
    ledger: Ledger,
    inbox: Inbox,
    sources: [(&'static str, Source); 2],
    owners: Vec<String>,
    sinks: Vec<String>,
}

/// The triggers before they run.
pub(super) struct Triggers {
    turns: Turns,
    clock: Clock,
    board: Board,
}

impl Triggers {
    /// # Errors
    /// A state file cannot be read, holds something else, or is in use.
    pub(super) fn open(config: &AfterConfig, launch: &Launch, clock: Clock, board: Board) -> Result<Self> {
        let kept = |e: &(dyn std::error::Error + 'static)| from_part(Kind::Environment, "the triggers", e);
        let keeper = Keeper::open(&config.file(TRIGGERS_FILE), Rules::default()).map_err(|e| kept(&e))?;
        let ledger = Ledger::open(&config.file(LEDGER_FILE)).map_err(|e| kept(&e))?;
        board.change(|seen| seen.retrospectives = ledger.raised().to_vec());
        let downloads = Source::downloads(
            &config.downloads,
            &launch.id,
            config.ops_package.clone(),
            config.ignore_downloads_by.clone(),
        );
        Ok(Self {
            turns: Turns {
                keeper,
                ledger,
                inbox: Inbox::new(&config.state),
                sources: [
                    ("record", Source::launch(&config.record, &launch.id)),
                    ("downloads", downloads),
                ],
                owners: config.owners.clone().unwrap_or_else(|| launch.owners.clone()),
                sinks: config.sinks.iter().map(|sink| sink.name().to_owned()).collect(),
            },
            clock,
            board,
        })
    }

    /// Turn after turn until `stop`. Files are read and synced away from the threads that serve.
    pub(super) async fn run(self, every: Duration, stop: CancellationToken) {
        let Self {
            mut turns,
            clock,
            board,
        } = self;
        loop {
            let (clock, told) = (clock.clone(), board.clone());
            let turn = tokio::task::spawn_blocking(move || {
                turns.turn(clock(), &told);
                turns
            });
            match turn.await {
                Ok(back) => turns = back,
                // Told by the panic itself; whoever waits for this task stops the rest.
                Err(panic) => std::panic::resume_unwind(Box::new(panic.to_string())),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(every) => {}
            }
        }
    }
}

impl Turns {
    fn turn(&mut self, now_ms: u64, board: &Board) {
        for (name, source) in &mut self.sources {
            let taken = source.look().and_then(|events| {
                self.keeper.observe(&events, now_ms).map_err(|error| {
                    source.again();
                    error.to_string()
                })
            });
            board.trouble(name, taken.err());
        }
        if self.take_letters(now_ms, board) {
            self.raise(now_ms, board);
        }
    }

    /// Whether everything that waited was looked at: what is due is not decided before the last word is in.
    fn take_letters(&mut self, now_ms: u64, board: &Board) -> bool {
        let arrived = match self.inbox.look() {
            Ok(arrived) => arrived,
            Err(error) => {
                board.trouble(INBOX, Some(format!("the inbox cannot be read: {error}")));
                return false;
            }
        };
        for it in &arrived {
            let events = it.events.as_deref().map_err(Clone::clone);
            match events.map(|events| self.keeper.observe(events, now_ms)) {
                Ok(Ok(_)) => {
                    // Left there, it is taken again, which changes nothing.
                    if let Err(error) = self.inbox.done(it) {
                        board.trouble(INBOX, Some(format!("{}: {error}", it.file.display())));
                        return false;
                    }
                }
                Ok(Err(KeeperError::Trigger(error @ TriggerError::Name { .. }))) => {
                    self.refuse(it, &error.to_string(), board);
                }
                Ok(Err(error)) => {
                    board.trouble(INBOX, Some(error.to_string()));
                    return false;
                }
                Err(why) => self.refuse(it, &why, board),
            }
        }
        if arrived.iter().all(|it| it.events.is_ok()) && !arrived.is_empty() {
            board.trouble(INBOX, None);
        }
        arrived.is_empty() || self.inbox.look().is_ok_and(|more| more.is_empty())
    }

    fn refuse(&self, it: &Arrived, why: &str, board: &Board) {
        let aside = self.inbox.refuse(it);
        let place = aside.unwrap_or_else(|_| it.file.clone());
        board.trouble(
            INBOX,
            Some(format!(
                "{} says nothing that can be kept: {why}",
                place.display()
            )),
        );
    }

    fn raise(&mut self, now_ms: u64, board: &Board) {
        let Self {
            keeper,
            ledger,
            owners,
            sinks,
            ..
        } = self;
        let raised = keeper.raise(now_ms, |decision| {
            ledger.add(Raised {
                decision: decision.clone(),
                raised_at_ms: now_ms,
                owners: owners.clone(),
                sinks: sinks.clone(),
            })
        });
        match raised {
            Ok(raised) => {
                board.trouble(TRIGGERS, None);
                for decision in &raised {
                    tracing::info!(
                        id = decision.id,
                        launch = decision.launch,
                        "a retrospective is due"
                    );
                }
            }
            Err(error) => board.trouble(TRIGGERS, Some(error.to_string())),
        }
        board.change(|seen| {
            if seen.retrospectives.len() != ledger.raised().len() {
                seen.retrospectives = ledger.raised().to_vec();
            }
        });
    }
}

/// How an event reads in one line.
pub fn words(event: &Event) -> String {
    match event {
        Event::Ticked { launch, zone } => format!("{zone} ticked, launch {launch}"),
        Event::EditedByHand {
            launch,
            version,
            at_ms,
        } => format!("{version} edited by hand, launch {launch}, {}", stamp(*at_ms)),
        Event::OperationDone { launch, file, at_ms } => {
            format!("{file} carried out, launch {launch}, {}", stamp(*at_ms))
        }
        Event::Downloaded {
            launch,
            file,
            who,
            at_ms,
        } => format!("{file} downloaded by {who}, launch {launch}, {}", stamp(*at_ms)),
    }
}

fn stamp(at_ms: u64) -> String {
    super::stamp(at_ms, None)
}
