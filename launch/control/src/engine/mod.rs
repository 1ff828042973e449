//! The engine: runs a launch to its end, one due action after the other.
//!
//! What is due comes from `tminus_plan::next_actions` over the folded record, so a start and a
//! resume are the same walk. The engine owns the book: gates, sign-offs and the checklist reach the
//! record only through it. It never judges.

pub mod book;
pub mod picture;
pub mod sign_offs;
mod tell;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tminus_plan::{Action, Evidence, Fact, LaunchState, Verdict, next_actions, thin_series, to_statement};
use tminus_record::SigningKey;
use tminus_record::dsse::MAX_PAYLOAD_BYTES;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::book::{Book, Snapshot};
use self::sign_offs::{Purpose, Signing};
use crate::board::{ChecklistCard, Phase, RunningGate, SharedBoard};
use crate::console::Console;
use crate::dashboard::SignOffRequest;
use crate::error::{CliError, Kind, Result};
use crate::gates::{Approvals, CouldNotRun, GateRunner, Hands, Job, Measured, StepNote, shorten};
use crate::wall::Wall;

/// How long a gate may take to put things back (a canary's weight) after the launch was stopped.
const STOP_MAX: Duration = Duration::from_secs(25);
/// Steps that wait for the record while it syncs.
const STEPS_QUEUED_MAX: usize = 16;
/// The longest "could not run" that goes on record, in bytes.
const WHY_BYTES_MAX: usize = 4_000;

/// A checklist that lies on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    pub file_name: String,
    pub sha256: String,
    pub bytes: u64,
}

/// Typesets the checklist from the record's entries and puts it in its place.
pub trait Issuer: Send + Sync {
    /// The same entries give the same bytes.
    ///
    /// # Errors
    /// It cannot be typeset or written.
    fn issue(&self, record: &Snapshot) -> Result<Issued>;

    /// The link by which those who were there say how it went, for a launch that ends now; none when its plan asks nobody.
    ///
    /// # Errors
    /// It cannot be made.
    fn feedback_url(&self, _state: &LaunchState, _at_ms: u64) -> Result<Option<String>> {
        Ok(None)
    }
}

/// What the engine works with.
pub struct Engine {
    pub book: Book,
    pub runner: Arc<dyn GateRunner>,
    pub issuer: Arc<dyn Issuer>,
    pub wall: Arc<dyn Wall>,
    pub board: SharedBoard,
    pub console: Console,
    /// `${name}` in the plan's gates.
    pub variables: BTreeMap<String, String>,
    /// Keys that a rehearsal signs with by itself.
    pub own_signers: BTreeMap<String, SigningKey>,
    pub sign_offs: mpsc::Receiver<SignOffRequest>,
    pub stop: CancellationToken,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("book", &self.book)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Runs until nothing is due any more; answers the final state.
    ///
    /// # Errors
    /// The record or the checklist cannot be written, or the launch was stopped.
    pub async fn run(&mut self) -> Result<LaunchState> {
        self.board.change(|board| board.phase = Phase::Running);
        loop {
            let state = self.book.state()?;
            self.paint(&state);
            if self.stop.is_cancelled() {
                return Err(stopped());
            }
            if self.sign_for_rehearsal(&state)? {
                continue;
            }
            let actions = next_actions(&state, self.wall.now_ms());
            let Some(first) = actions.first() else {
                self.board.change(|board| {
                    board.phase = Phase::Finished;
                    board.ended_at_ms = Some(state.last_at_ms);
                });
                return Ok(state);
            };
            match first {
                Action::RunGate { item, gate, attempt } => {
                    let (item, gate, attempt) = (item.clone(), gate.clone(), *attempt);
                    self.run_gate(&state, &item, &gate, attempt).await?;
                }
                Action::Finish => self.finish(&state)?,
                Action::IssueChecklist => self.issue_checklist().await?,
                Action::AwaitSignOff { .. } | Action::WaitUntil(_) => self.wait(&state, &actions).await?,
            }
        }
    }

    fn paint(&self, state: &LaunchState) {
        let now = self.wall.now_ms();
        self.board
            .change(|board| picture::paint(board, &self.book, state, now));
    }

    fn say(&self, state: &LaunchState, text: &str) {
        let stamp = state.clock.stamp(self.wall.now_ms());
        self.board.change(|board| board.say(&format!("{stamp}  {text}")));
        self.console.line(&format!(
            "{}  {text}",
            self.console.paint(crate::console::Paint::Dim, &stamp)
        ));
    }

    /// A rehearsal signs by itself, one role at a time. Answers whether it has.
    fn sign_for_rehearsal(&mut self, state: &LaunchState) -> Result<bool> {
        if !state.rehearsal || state.finished.is_some() {
            return Ok(false);
        }
        let due = sign_offs::due(state, self.wall.now_ms());
        let Some((item, role)) = due
            .into_iter()
            .find(|(_, role)| self.own_signers.contains_key(role))
        else {
            return Ok(false);
        };
        self.sign_itself(&item, &role, Purpose::Item)?;
        self.say(state, &format!("{item}  signed by {role} (generated key)"));
        Ok(true)
    }

    /// One signature with a rehearsal's own key.
    fn sign_itself(&mut self, item: &str, role: &str, purpose: Purpose<'_>) -> Result<()> {
        let what = Signing {
            item,
            purpose,
            role,
            statement: sign_offs::REHEARSAL_STATEMENT,
            at_ms: self.wall.now_ms(),
            record_root_hex: self.book.root_hex(),
            record_size: self.book.size(),
        };
        let envelope = sign_offs::envelope(what, self.book.subject(), &self.own_signers[role])?;
        sign_offs::accept(&mut self.book, &envelope.to_bytes())?
            .map(|_| ())
            .map_err(|why| {
                CliError::new(
                    Kind::Record,
                    format!("the rehearsal cannot sign `{item}` as {role}: {why}"),
                )
                .hint("the keys in the keys folder are not those that the rehearsal began with; start anew")
            })
    }

    /// A canary's step waits for a person: a rehearsal approves by itself, a launch says what to do.
    fn approval_awaited(&mut self, state: &LaunchState, job: &Job, approval: &str) -> Result<()> {
        let place = format!("{} / {}", job.item, job.gate.id);
        let roles = state
            .plan
            .item(&job.item)
            .map_or(&[][..], |item| item.sign_offs.as_slice());
        let own = roles.iter().find(|role| self.own_signers.contains_key(*role));
        if let Some(role) = own.filter(|_| state.rehearsal) {
            let gate = &job.gate.id;
            self.sign_itself(&job.item, role, Purpose::Step { gate, approval })?;
            self.say(
                state,
                &format!("{place}  `{approval}` approved by {role} (generated key)"),
            );
        } else {
            self.say(
                state,
                &format!(
                    "{place}  waits for the approval `{approval}` by {}: tminus approve --approval {approval} …",
                    roles.join(" or ")
                ),
            );
        }
        Ok(())
    }

    async fn wait(&mut self, state: &LaunchState, actions: &[Action]) -> Result<()> {
        let until = actions.iter().find_map(|action| match action {
            Action::WaitUntil(at) => Some(*at),
            _ => None,
        });
        let roles: Vec<String> = actions
            .iter()
            .filter_map(|action| match action {
                Action::AwaitSignOff { item, role } => Some(format!("{role} for {item}")),
                _ => None,
            })
            .collect();
        self.console.now(&tell::waiting(state, until, &roles));
        let wall = Arc::clone(&self.wall);
        let sleep = async {
            match until {
                Some(at) => wall.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.stop.cancelled() => Err(stopped()),
            () = sleep => Ok(()),
            Some(request) = self.sign_offs.recv() => take_sign_off(&mut self.book, request, &self.board, &self.console),
        }
    }

    async fn run_gate(&mut self, state: &LaunchState, item: &str, gate_id: &str, attempt: u32) -> Result<()> {
        let kind = state
            .plan
            .resolve_gate(item, gate_id, state.rehearsal, &self.variables)
            .map_err(|e| {
                CliError::new(Kind::Plan, e.to_string())
                    .hint("give the variable a value with --var NAME=VALUE")
            })?;
        let planned = state.plan.gate(item, gate_id).cloned().ok_or_else(|| {
            CliError::new(
                Kind::Plan,
                format!("the plan has no gate `{gate_id}` in item `{item}`"),
            )
        })?;
        let started_at_ms = self.wall.now_ms();
        self.book.append(Fact::GateStarted {
            item: item.to_owned(),
            gate: gate_id.to_owned(),
            attempt,
            at_ms: started_at_ms,
        })?;
        let job = Job {
            item: item.to_owned(),
            gate: planned,
            kind,
            attempt,
            started_at_ms,
            timezone: state.plan.timezone.clone(),
        };
        self.board.change(|board| {
            board.running = Some(RunningGate {
                item: job.item.clone(),
                gate: job.gate.id.clone(),
                kind: job.kind.name().to_owned(),
                attempt,
                started_at_ms,
                fraction: None,
                text: String::new(),
            });
        });
        let open = self.book.state()?;
        self.paint(&open);
        let again = if attempt > 1 {
            format!(" (attempt {attempt})")
        } else {
            String::new()
        };
        self.say(state, &format!("{item} / {gate_id}  starts{again}"));

        let outcome = self.supervise(state, &job).await?;
        self.board.change(|board| board.running = None);
        let now = self.wall.now_ms();
        match outcome {
            // The attempt stays open: a resume runs the gate again.
            None => return Err(stopped()),
            Some(Ok(measured)) => {
                let evidence = fit(evidence(&job, measured, now), self.book.subject());
                self.book.append(Fact::Evidence(evidence))?;
            }
            Some(Err(could_not)) => {
                let why = match &could_not.hint {
                    Some(hint) => format!("{} (hint: {hint})", could_not.why),
                    None => could_not.why.clone(),
                };
                self.book.append(Fact::GateCouldNotRun {
                    item: item.to_owned(),
                    gate: gate_id.to_owned(),
                    attempt,
                    at_ms: now,
                    why: shorten(&why, WHY_BYTES_MAX),
                })?;
            }
        }
        let after = self.book.state()?;
        self.paint(&after);
        for line in tell::gate_ended(&after, item, gate_id, &self.console) {
            self.say(&after, &line);
        }
        Ok(())
    }

    /// Runs the gate and, meanwhile, takes its steps and sign-offs into the record. None when stopped.
    async fn supervise(
        &mut self,
        state: &LaunchState,
        job: &Job,
    ) -> Result<Option<std::result::Result<Measured, CouldNotRun>>> {
        let (steps, mut notes) = mpsc::channel::<StepNote>(STEPS_QUEUED_MAX);
        let (approvals, mut approver) = Approvals::channel();
        let hands = Hands {
            // A child: a gate may end its own work early without ending the launch.
            stop: self.stop.child_token(),
            board: self.board.clone(),
            steps,
            approvals,
            wall: Arc::clone(&self.wall),
        };
        let runner = Arc::clone(&self.runner);
        let mut work = runner.run(job, &hands);
        let mut told = tokio::time::interval(Duration::from_millis(500));
        let mut gave_up: Option<tokio::time::Instant> = None;
        loop {
            let deadline =
                gave_up.unwrap_or_else(|| tokio::time::Instant::now() + Duration::from_secs(3_600));
            tokio::select! {
                outcome = &mut work => {
                    return Ok(if self.stop.is_cancelled() && outcome.is_err() { None } else { Some(outcome) });
                }
                Some(note) = notes.recv() => {
                    self.book.append(Fact::RolloutStep {
                        item: job.item.clone(),
                        gate: job.gate.id.clone(),
                        at_ms: self.wall.now_ms(),
                        weight_percent: note.weight_percent,
                        reason: shorten(&note.reason, WHY_BYTES_MAX),
                        verdict: note.verdict,
                    })?;
                    let _ = note.recorded.send(());
                    self.say(state, &format!("{} / {}  canary at {} %: {}", job.item, job.gate.id, note.weight_percent, note.reason));
                    let after = self.book.state()?;
                    self.paint(&after);
                }
                Some(request) = self.sign_offs.recv() => {
                    take_sign_off(&mut self.book, request, &self.board, &self.console)?;
                    let after = self.book.state()?;
                    self.paint(&after);
                    approver.give.send_replace(approved(&after, job));
                }
                Ok(()) = approver.awaited.changed() => {
                    let awaited = approver.awaited.borrow_and_update().clone();
                    if let Some(approval) = awaited {
                        self.approval_awaited(state, job, &approval)?;
                        approver.give.send_replace(approved(&self.book.state()?, job));
                    }
                }
                () = self.stop.cancelled(), if gave_up.is_none() => {
                    gave_up = Some(tokio::time::Instant::now() + STOP_MAX);
                }
                () = tokio::time::sleep_until(deadline), if gave_up.is_some() => return Ok(None),
                _ = told.tick() => self.console.now(&tell::running(state, &self.board, self.wall.now_ms())),
            }
        }
    }

    fn finish(&mut self, state: &LaunchState) -> Result<()> {
        let totals = state.totals();
        let at_ms = self.wall.now_ms();
        // A launch that went well does not fail on this.
        let feedback_url = self.issuer.feedback_url(state, at_ms).unwrap_or_else(|error| {
            self.say(state, &format!("no link for feedback: {error}"));
            None
        });
        self.book.append(Fact::LaunchFinished {
            at_ms,
            ticked: totals.ticked,
            crossed: totals.crossed,
            not_checked: totals.not_checked,
            feedback_url,
        })?;
        Ok(())
    }

    /// Also the way on after a crash between the file and its entry: the same bytes are written again.
    async fn issue_checklist(&mut self) -> Result<()> {
        self.console.now("typesetting the checklist");
        let issuer = Arc::clone(&self.issuer);
        let snapshot = self.book.snapshot();
        let issued = tokio::task::spawn_blocking(move || issuer.issue(&snapshot))
            .await
            .map_err(|e| {
                CliError::new(
                    Kind::Checklist,
                    format!("the checklist could not be typeset: {e}"),
                )
            })??;
        self.book.append(Fact::ChecklistIssued {
            at_ms: self.wall.now_ms(),
            file_name: issued.file_name.clone(),
            sha256: issued.sha256.clone(),
            bytes: issued.bytes,
        })?;
        self.board.change(|board| {
            board.checklist = Some(ChecklistCard {
                file: issued.file_name,
                sha256: issued.sha256,
                bytes: issued.bytes,
            });
        });
        Ok(())
    }
}

/// The approvals that the running attempt of a gate has been given.
fn approved(state: &LaunchState, job: &Job) -> BTreeSet<String> {
    let given = state.gate(&job.item, &job.gate.id).map(|gate| &gate.approvals);
    given
        .into_iter()
        .flatten()
        .map(|given| given.approval.clone())
        .collect()
}

fn take_sign_off(
    book: &mut Book,
    request: SignOffRequest,
    board: &SharedBoard,
    console: &Console,
) -> Result<()> {
    let answer = sign_offs::accept(book, &request.envelope)?;
    if let Ok(accepted) = &answer {
        let line = match &accepted.approval {
            None => format!(
                "{}  signed by {} (entry {})",
                accepted.item, accepted.role, accepted.entry
            ),
            Some(approval) => format!(
                "{}  `{approval}` approved by {} (entry {})",
                accepted.item, accepted.role, accepted.entry
            ),
        };
        board.change(|board| board.say(&line));
        console.line(&line);
    }
    // A signer that has gone away has its signature on record all the same.
    let _ = request.answer.send(answer);
    Ok(())
}

fn stopped() -> CliError {
    CliError::new(Kind::Stopped, "the launch was stopped before its end")
        .hint("what is on record is kept: go on with --resume")
}

fn evidence(job: &Job, measured: Measured, ended_at_ms: u64) -> Evidence {
    let mut notes = measured.notes;
    let mut measurements = measured.measurements;
    measurements.retain(|name, m| {
        let finite = m.value.is_finite();
        if !finite {
            notes.push(format!("`{name}` was {} and is left out", m.value));
        }
        finite
    });
    let mut series = measured.series;
    for points in series.values_mut() {
        points.retain(|(t, v)| t.is_finite() && v.is_finite());
        *points = thin_series(points);
    }
    Evidence {
        item: job.item.clone(),
        gate: job.gate.id.clone(),
        kind: job.kind.name().to_owned(),
        attempt: job.attempt,
        started_at_ms: job.started_at_ms,
        ended_at_ms,
        target: measured.target,
        command: measured.command,
        inputs: measured.inputs,
        measurements,
        notes,
        series,
    }
}

/// Makes an evidence fit one entry of the record: first the curves get coarser, then notes go.
/// Measurements are never touched.
fn fit(mut evidence: Evidence, subject: &[tminus_plan::Subject]) -> Evidence {
    for note in &mut evidence.notes {
        *note = shorten(note, 1_000);
    }
    loop {
        let bytes = to_statement(&Fact::Evidence(evidence.clone()), subject).map_or(0, |s| s.len());
        if bytes <= MAX_PAYLOAD_BYTES {
            return evidence;
        }
        let longest = evidence.series.values().map(Vec::len).max().unwrap_or(0);
        if longest > 20 {
            for points in evidence.series.values_mut() {
                *points = halve(points);
            }
        } else if !evidence.series.is_empty() {
            evidence.series.clear();
        } else if evidence.notes.len() > 1 {
            evidence.notes.truncate(evidence.notes.len() / 2);
            evidence
                .notes
                .push("more notes did not fit the record".to_owned());
            if evidence.notes.len() <= 2 {
                evidence.notes.truncate(1);
            }
        } else {
            return evidence;
        }
    }
}

/// Every second point, always the last.
fn halve(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let last = points.len().saturating_sub(1);
    points
        .iter()
        .enumerate()
        .filter(|(i, _)| i % 2 == 0 || *i == last)
        .map(|(_, p)| *p)
        .collect()
}

/// How many gates could not run, for the exit code: kinds that this release cannot run do not count.
pub fn could_not_run(state: &LaunchState) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for (planned, item) in state.items_with_plan() {
        for (gate, gate_state) in planned.gates.iter().zip(&item.gates) {
            if let Verdict::NotChecked { why } = &gate_state.verdict
                && !gate.kind.is_to_come()
            {
                found.push((item.id.clone(), gate.id.clone(), why.clone()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use tminus_plan::GateKind;

    use super::*;

    fn long_evidence(points: usize, notes: usize) -> Evidence {
        let curve: Vec<(f64, f64)> = (0..points)
            .map(|i| (i as f64 * 0.123_456_789, i as f64 * 7.654_321))
            .collect();
        Evidence {
            item: "i".into(),
            gate: "g".into(),
            kind: "load".into(),
            attempt: 1,
            started_at_ms: 1,
            ended_at_ms: 2,
            target: String::new(),
            command: Vec::new(),
            inputs: BTreeMap::new(),
            measurements: BTreeMap::from([("p99_ms".into(), tminus_plan::Measurement::new(1.0, "ms"))]),
            notes: (0..notes).map(|i| format!("{i} {}", "x".repeat(5_000))).collect(),
            series: (0..8).map(|i| (format!("s{i}"), curve.clone())).collect(),
        }
    }

    #[test]
    fn an_evidence_is_made_to_fit_an_entry_and_keeps_its_measurements() {
        for (points, notes) in [(600, 3), (10, 200), (0, 0)] {
            let fitted = fit(long_evidence(points, notes), &[]);
            let bytes = to_statement(&Fact::Evidence(fitted.clone()), &[]).unwrap().len();
            assert!(
                bytes <= MAX_PAYLOAD_BYTES,
                "{points} points, {notes} notes: {bytes}"
            );
            assert_eq!(fitted.measurements["p99_ms"].value, 1.0);
        }
    }

    #[test]
    fn a_number_that_is_none_is_left_out_and_noted() {
        let job = Job {
            item: "i".into(),
            gate: tminus_plan::Gate {
                id: "g".into(),
                kind: GateKind::ToCome { kind: "drill".into() },
                rehearsal: None,
                expect: Vec::new(),
                line: 1,
            },
            kind: GateKind::ToCome { kind: "drill".into() },
            attempt: 1,
            started_at_ms: 0,
            timezone: None,
        };
        let mut measured = Measured::default();
        measured.measure("ratio", f64::NAN, "1");
        measured.measure("count", 2.0, "1");
        let evidence = evidence(&job, measured, 5);
        assert!(!evidence.measurements.contains_key("ratio"));
        assert!(evidence.notes[0].contains("ratio"));
        assert_eq!(evidence.measurements["count"].value, 2.0);
    }
}
