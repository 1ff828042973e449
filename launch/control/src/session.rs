//! One launch in one folder, from an open record to its result: what `rehearse` and `launch` share.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tminus_plan::{ArtifactDigest, Fact, LaunchState, Plan, Subject};
use tminus_record::{Record, SigningKey};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::board::{Phase, SharedBoard};
use crate::cli::DashboardArgs;
use crate::console::Console;
use crate::dashboard::{self, SignOffRequest};
use crate::engine::book::{Book, file_sha256};
use crate::engine::{Engine, Issuer};
use crate::error::{CliError, Kind, Result, from_part};
use crate::gates::GateRunner;
use crate::keys;
use crate::layout::{Layout, write_whole};
use crate::wall::{SystemWall, Wall};

/// Sign-offs that wait while the record is busy.
const SIGN_OFFS_QUEUED_MAX: usize = 16;
/// The longest plan: it goes on record whole, in one entry.
const PLAN_BYTES_MAX: usize = 40_000;

/// A plan as it lies on disk or in the program.
#[derive(Debug, Clone)]
pub struct PlanText {
    pub yaml: String,
    pub file: String,
    pub plan: Plan,
}

/// This program, for gates that run it: what a plan calls `${tminus}`.
pub fn own_program() -> String {
    std::env::current_exe().map_or_else(|_| "tminus".to_owned(), |path| path.display().to_string())
}

/// Reads and parses a plan file.
///
/// # Errors
/// It cannot be read, or what it says cannot be meant: with file, line and what was expected.
pub fn read_plan(path: &Path) -> Result<PlanText> {
    let yaml = std::fs::read_to_string(path).map_err(|e| CliError::file("read the plan", path, &e))?;
    parse_plan(yaml, path.display().to_string())
}

/// [`read_plan`] for a text that is there already.
///
/// # Errors
/// As [`read_plan`].
pub fn parse_plan(yaml: String, file: String) -> Result<PlanText> {
    if yaml.len() > PLAN_BYTES_MAX {
        return Err(CliError::new(
            Kind::Plan,
            format!(
                "{file}: the plan has {} bytes; at most {PLAN_BYTES_MAX} fit the record",
                yaml.len()
            ),
        )
        .hint("shorten its texts"));
    }
    let plan = Plan::parse(&yaml, &file).map_err(|e| {
        CliError::new(Kind::Plan, e.to_string()).hint(format!("mend it, then: tminus plan check {file}"))
    })?;
    Ok(PlanText { yaml, file, plan })
}

/// What stands in the folder of a launch.
#[derive(Debug)]
pub enum Found {
    /// Nothing has begun.
    Fresh(Book),
    /// A launch that has begun and not ended, and the caller wants to go on.
    Unfinished(Book),
    /// A launch that has ended, and the caller wants its result.
    Ended(Book),
}

/// What to do with a launch that is there already.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    pub resume: bool,
    pub rehearsal: bool,
}

/// Opens the record in a folder, or makes one.
///
/// # Errors
/// An unfinished launch without `--resume`, a finished real launch, a launch of the other sort,
/// a record that is damaged or that another process writes.
pub fn open(layout: &Layout, wish: Wish, console: &Console) -> Result<Found> {
    if layout.has_record() {
        let book = open_book(layout)?;
        if !book.is_empty() {
            let state = book.state()?;
            let (here, other) = if state.rehearsal {
                ("rehearsal", "tminus rehearse")
            } else {
                ("launch", "tminus launch")
            };
            if state.rehearsal != wish.rehearsal {
                return Err(
                    CliError::usage(format!("{} holds a {here}", layout.out.display()))
                        .hint(format!("go on with `{other}`, or give another --out")),
                );
            }
            return match (book.has_ended(), wish.resume) {
                (true, true) => Ok(Found::Ended(book)),
                (false, true) => Ok(Found::Unfinished(book)),
                (false, false) => Err(CliError::usage(format!(
                    "{} holds a {here} that has not ended ({} entries on record)",
                    layout.out.display(),
                    book.size()
                ))
                .hint("add --resume to go on with it, or give another --out")),
                (true, false) if wish.rehearsal => {
                    // The lock is the folder's own: let go of it before the folder moves.
                    drop(book);
                    let aside = layout.move_aside(&state.launch_id)?;
                    console.line(&format!(
                        "the rehearsal before this one is now in {}",
                        aside.display()
                    ));
                    fresh(layout)
                }
                (true, false) => Err(CliError::usage(format!(
                    "{} holds a launch that has ended; a launch is never overwritten or moved",
                    layout.out.display()
                ))
                .hint("give another --out, or look at it with `tminus verify`")),
            };
        }
        layout.create()?;
        return Ok(Found::Fresh(book));
    }
    if wish.resume {
        console.line(&format!(
            "nothing to resume in {}: starting",
            layout.out.display()
        ));
    }
    fresh(layout)
}

fn fresh(layout: &Layout) -> Result<Found> {
    layout.create()?;
    let key = keys::load_or_create(&layout.launch_key())?;
    let origin = format!("tminus/{}", launch_id(SystemWall.now_ms(), &layout.out));
    let record = Record::create(&layout.record(), &origin, &key).map_err(|e| record_error(&e))?;
    Ok(Found::Fresh(Book::open(Box::new(record), key)?))
}

/// The record of a launch that is there, with its key.
///
/// # Errors
/// The key or the record cannot be opened.
pub fn open_book(layout: &Layout) -> Result<Book> {
    let key = keys::load(&layout.launch_key())?;
    let record = Record::open(&layout.record(), &key).map_err(|e| record_error(&e))?;
    Book::open(Box::new(record), key)
}

pub fn record_error(error: &tminus_record::RecordError) -> CliError {
    let it = from_part(Kind::Record, "the launch record", error);
    match error {
        tminus_record::RecordError::Locked { .. } => {
            it.hint("another tminus runs in this folder: wait for it, or give another --out")
        }
        _ => it,
    }
}

/// `20261122-101500-3f9a`: when it began and four digits that tell launches of one second apart.
fn launch_id(now_ms: u64, out: &Path) -> String {
    let stamp = jiff::Timestamp::from_millisecond(i64::try_from(now_ms).unwrap_or(0))
        .map(|t| t.strftime("%Y%m%d-%H%M%S").to_string())
        .unwrap_or_default();
    let mut digest = Sha256::new();
    digest.update(now_ms.to_be_bytes());
    digest.update(std::process::id().to_be_bytes());
    digest.update(out.as_os_str().as_encoded_bytes());
    format!("{stamp}-{}", &hex::encode(digest.finalize())[..4])
}

/// The digests of a plan's artifacts, and a variable `artifact.<name>.sha256` for each of them.
///
/// # Errors
/// An artifact's path has an unknown variable, or the file cannot be read.
pub fn artifacts(plan: &Plan, variables: &mut BTreeMap<String, String>) -> Result<Vec<ArtifactDigest>> {
    let mut digests = Vec::new();
    for artifact in &plan.artifacts {
        let path = plan.resolve_artifact(artifact, variables).map_err(|e| {
            CliError::new(Kind::Plan, e.to_string()).hint("give the variable a value with --var NAME=VALUE")
        })?;
        let path = PathBuf::from(path);
        let sha256 = file_sha256(&path).map_err(|e| {
            CliError::file(&format!("read the artifact `{}`", artifact.name), &path, &e)
                .hint(format!("the plan names it in line {}", artifact.line))
        })?;
        digests.push(ArtifactDigest {
            name: artifact.name.clone(),
            sha256,
        });
    }
    for digest in &digests {
        variables.insert(format!("artifact.{}.sha256", digest.name), digest.sha256.clone());
    }
    Ok(digests)
}

/// What a launch begins with.
#[derive(Debug)]
pub struct Beginning<'a> {
    pub plan: &'a PlanText,
    pub rehearsal: bool,
    pub clock_scale: f64,
    pub artifacts: Vec<ArtifactDigest>,
    /// Role to its public key in base64.
    pub role_keys: BTreeMap<String, String>,
}

/// Puts the start of a launch on record: plan, artifacts' digests, role keys.
///
/// # Errors
/// The record cannot be written.
pub fn begin(book: &mut Book, layout: &Layout, what: Beginning<'_>) -> Result<()> {
    book.set_subject(
        what.artifacts
            .iter()
            .map(|a| Subject::sha256(&a.name, &a.sha256))
            .collect(),
    );
    let now = SystemWall.now_ms();
    let launch_id = launch_id(now, &layout.out);
    // What would keep the link from being made is said now, not in two days.
    crate::feedback_link::url(layout, &what.plan.plan, &launch_id, now)?;
    book.append(Fact::LaunchStarted {
        launch_id,
        at_ms: now,
        plan_sha256: hex::encode(Sha256::digest(what.plan.yaml.as_bytes())),
        plan_yaml: what.plan.yaml.clone(),
        plan_file: what.plan.file.clone(),
        plan_commit: plan_commit(what.plan),
        rehearsal: what.rehearsal,
        clock_scale: what.clock_scale,
        artifacts: what.artifacts,
        role_keys: what.role_keys,
    })?;
    Ok(())
}

/// The commit that is checked out, if it holds this very text of the plan. A plan outside a repository, one that was
/// changed since, or a machine without `git` has none.
fn plan_commit(plan: &PlanText) -> Option<String> {
    let path = Path::new(&plan.file);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let git = |arguments: &[&str]| {
        let mut command = std::process::Command::new("git");
        command
            .arg("-C")
            .arg(folder.unwrap_or(Path::new(".")))
            .args(arguments)
            .stdin(std::process::Stdio::null());
        let output = command.output().ok().filter(|output| output.status.success())?;
        Some(output.stdout)
    };
    let name = path.file_name()?.to_str()?;
    let commit = String::from_utf8(git(&["rev-parse", "HEAD"])?).ok()?;
    let commit = commit.trim();
    let held = git(&["show", &format!("{commit}:./{name}")])?;
    let is_commit = commit.len() >= 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    (held == plan.yaml.as_bytes() && is_commit).then(|| commit.to_owned())
}

/// That plan and artifacts are those that the launch began with.
///
/// # Errors
/// One of them was changed since.
pub fn check_unchanged(book: &Book, given: &PlanText, artifacts: &[ArtifactDigest]) -> Result<()> {
    let state = book.state()?;
    let given_sha256 = hex::encode(Sha256::digest(given.yaml.as_bytes()));
    if given_sha256 != state.plan_sha256 {
        return Err(CliError::usage(format!(
            "{} is not the plan that this launch began with",
            given.file
        ))
        .hint("a launch ends with the plan it began with: give that one, or start anew in another --out"));
    }
    match artifacts
        .iter()
        .zip(&state.artifacts)
        .find(|(now, then)| now != then)
    {
        None => Ok(()),
        Some((now, _)) => Err(CliError::usage(format!(
            "the artifact `{}` is not the one that this launch began with",
            now.name
        ))
        .hint("evidence of one build proves nothing of another: start anew in another --out")),
    }
}

/// Where `tminus sign-off` finds a running launch.
#[derive(Debug, Serialize, Deserialize)]
pub struct Control {
    pub pid: u32,
    /// `http://127.0.0.1:1234/`
    pub url: String,
}

/// A launch that is ready to run.
#[derive(Debug)]
pub struct Session {
    pub layout: Layout,
    pub board: SharedBoard,
    pub console: Console,
    pub stop: CancellationToken,
    pub sign_offs: mpsc::Receiver<SignOffRequest>,
}

impl Session {
    /// Opens the dashboard and says where.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn start(layout: Layout, console: Console, args: &DashboardArgs) -> Result<Self> {
        let board = SharedBoard::new();
        let stop = CancellationToken::new();
        let (sender, sign_offs) = mpsc::channel(SIGN_OFFS_QUEUED_MAX);
        if !args.no_dashboard {
            let dashboard = dashboard::serve(args.dashboard, board.clone(), sender, stop.clone()).await?;
            let control = Control {
                pid: std::process::id(),
                url: dashboard.url(),
            };
            let text = serde_json::to_string(&control).unwrap_or_default();
            write_whole(&layout.control(), text.as_bytes())?;
            console.line(&format!("dashboard  {}", dashboard.url()));
        }
        Ok(Self {
            layout,
            board,
            console,
            stop,
            sign_offs,
        })
    }

    /// Runs the launch to its end, unless `trouble` comes first.
    ///
    /// # Errors
    /// The trouble, a signal, or what the engine could not do.
    pub async fn run(
        self,
        book: Book,
        runner: Arc<dyn GateRunner>,
        issuer: Arc<dyn Issuer>,
        variables: BTreeMap<String, String>,
        own_signers: BTreeMap<String, SigningKey>,
        trouble: impl Future<Output = CliError>,
    ) -> Result<(LaunchState, Book)> {
        let stop = self.stop.clone();
        let board = self.board.clone();
        let control = self.layout.control();
        let console = self.console.clone();
        let engine_stop = stop.child_token();
        let mut engine = Engine {
            book,
            runner,
            issuer,
            wall: Arc::new(SystemWall),
            board: self.board,
            console: self.console,
            variables,
            own_signers,
            sign_offs: self.sign_offs,
            stop: engine_stop.clone(),
        };
        let ended = run_unless(&mut engine, &engine_stop, trouble, &console).await;
        console.done();
        if let Err(error) = &ended {
            board.change(|board| {
                board.phase = Phase::Failed;
                board.trouble = Some(error.to_string());
                board.running = None;
            });
        }
        // Whoever watches sees the end before the page goes.
        tokio::time::sleep(std::time::Duration::from_millis(400)).await;
        stop.cancel();
        let _ = std::fs::remove_file(control);
        let state = ended?;
        Ok((state, engine.book))
    }
}

async fn run_unless(
    engine: &mut Engine,
    stop: &CancellationToken,
    trouble: impl Future<Output = CliError>,
    console: &Console,
) -> Result<LaunchState> {
    let run = engine.run();
    tokio::pin!(run);
    tokio::select! {
        ended = &mut run => ended,
        error = trouble => {
            stop.cancel();
            let _ = run.await;
            Err(error.hint("nothing of the gate that ran is on record; go on with --resume"))
        }
        name = signalled() => {
            console.line(&format!("{name}: stopping"));
            stop.cancel();
            let _ = run.await;
            Err(CliError::new(Kind::Stopped, format!("stopped by {name} before the launch ended"))
                .hint("what is on record is kept: go on with --resume"))
        }
    }
}

/// Resolves when the process is asked to stop; answers how.
pub(crate) async fn signalled() -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut stream) => {
                stream.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminated => "SIGTERM",
        Ok(()) = tokio::signal::ctrl_c() => "Ctrl-C",
    }
}
