//! Gates: each kind runs against live systems and answers what it measured.
//!
//! A gate never judges itself: the verdict is taken from its evidence by `tminus_plan::judge`.
//! A gate that cannot know answers [`CouldNotRun`], and its item is not ticked.

pub mod canary;
pub mod command;
pub mod deadlines;
pub mod http;
pub mod journal;
pub mod live;
mod load;
pub mod metrics;
mod prepared;
pub mod router;
pub mod sessions;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tminus_plan::{Gate, GateKind, Measurement, RolloutVerdict};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::board::SharedBoard;
use crate::wall::Wall;

/// One run of one gate.
#[derive(Debug, Clone)]
pub struct Job {
    pub item: String,
    /// As the plan has it.
    pub gate: Gate,
    /// What to run: with every variable replaced.
    pub kind: GateKind,
    pub attempt: u32,
    pub started_at_ms: u64,
    /// The plan's; UTC when it names none.
    pub timezone: Option<String>,
}

/// What a gate that ran to its end has to say; becomes `tminus_plan::Evidence`.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    pub target: String,
    pub command: Vec<String>,
    pub inputs: BTreeMap<String, String>,
    pub measurements: BTreeMap<String, Measurement>,
    pub notes: Vec<String>,
    pub series: BTreeMap<String, Vec<(f64, f64)>>,
}

impl Measured {
    pub fn measure(&mut self, name: &str, value: f64, unit: &str) {
        self.measurements
            .insert(name.to_owned(), Measurement::new(value, unit));
    }

    pub fn input(&mut self, name: &str, value: impl std::fmt::Display) {
        self.inputs.insert(name.to_owned(), value.to_string());
    }
}

/// Why a gate has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CouldNotRun {
    pub why: String,
    pub hint: Option<String>,
}

impl CouldNotRun {
    pub fn new(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            hint: None,
        }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// A change of a canary's weight, on its way to the record.
#[derive(Debug)]
pub struct StepNote {
    pub weight_percent: u32,
    pub reason: String,
    pub verdict: RolloutVerdict,
    /// Answered once the step is durable.
    pub recorded: oneshot::Sender<()>,
}

/// Approvals of a canary's steps, as the gate that waits for them has them.
#[derive(Debug, Clone)]
pub struct Approvals {
    given: watch::Receiver<BTreeSet<String>>,
    awaited: watch::Sender<Option<String>>,
}

/// The other end, of whoever takes approvals.
#[derive(Debug)]
pub struct Approver {
    pub give: watch::Sender<BTreeSet<String>>,
    /// The approval that the gate waits for now.
    pub awaited: watch::Receiver<Option<String>>,
}

impl Approvals {
    pub fn channel() -> (Self, Approver) {
        let (give, given) = watch::channel(BTreeSet::new());
        let (awaited, asked) = watch::channel(None);
        let approver = Approver { give, awaited: asked };
        (Self { given, awaited }, approver)
    }

    pub fn given(&self) -> BTreeSet<String> {
        self.given.borrow().clone()
    }

    /// Resolves when one more has been given; never when nobody is left to give any.
    pub async fn changed(&mut self) {
        if self.given.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Says what is waited for; the other end is woken when it changes.
    pub fn wait_for(&self, approval: Option<&str>) {
        self.awaited.send_if_modified(|now| {
            let differs = now.as_deref() != approval;
            if differs {
                *now = approval.map(str::to_owned);
            }
            differs
        });
    }
}

/// What a gate may use while it runs.
#[derive(Debug, Clone)]
pub struct Hands {
    pub stop: CancellationToken,
    pub board: SharedBoard,
    pub steps: mpsc::Sender<StepNote>,
    pub approvals: Approvals,
    pub wall: Arc<dyn Wall>,
}

impl Hands {
    /// Shows how far the gate is; `fraction` from 0 to 1 if it is known.
    pub fn progress(&self, fraction: Option<f64>, text: impl Into<String>) {
        let text = text.into();
        self.board.change(|board| {
            if let Some(running) = &mut board.running {
                running.fraction = fraction.map(|f| f.clamp(0.0, 1.0));
                running.text = text;
            }
        });
    }

    /// Puts a weight change on record and waits until it is durable.
    ///
    /// # Errors
    /// The record's owner has gone.
    pub async fn record_step(
        &self,
        weight_percent: u32,
        reason: String,
        verdict: RolloutVerdict,
    ) -> Result<(), CouldNotRun> {
        let (recorded, done) = oneshot::channel();
        let note = StepNote {
            weight_percent,
            reason,
            verdict,
            recorded,
        };
        let gone = || CouldNotRun::new("the launch ended while the canary was running");
        self.steps.send(note).await.map_err(|_| gone())?;
        done.await.map_err(|_| gone())
    }
}

/// Runs gates. The engine knows no more of them than this.
pub trait GateRunner: Send + Sync {
    fn run<'a>(&'a self, job: &'a Job, hands: &'a Hands) -> BoxFuture<'a, Result<Measured, CouldNotRun>>;
}

/// Waits for something unless the launch is stopped first.
///
/// # Errors
/// The launch was stopped.
pub async fn unless_stopped<T>(
    stop: &CancellationToken,
    work: impl Future<Output = T>,
) -> Result<T, CouldNotRun> {
    tokio::select! {
        () = stop.cancelled() => Err(CouldNotRun::new("the launch was stopped while the gate ran")),
        done = work => Ok(done),
    }
}

/// A text that fits the record: at most `bytes` bytes, cut at a character.
pub fn shorten(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let mut end = bytes;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}
