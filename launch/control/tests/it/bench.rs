//! What the tests share: a plan, a clock that jumps, gates that answer at once, a log that stops.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use sha2::Digest as _;
use tminus_control::board::SharedBoard;
use tminus_control::console::Console;
use tminus_control::dashboard::SignOffRequest;
use tminus_control::engine::book::{Book, Log, Snapshot};
use tminus_control::engine::{Engine, Issued, Issuer};
use tminus_control::error::{CliError, Kind, Result};
use tminus_control::gates::{CouldNotRun, GateRunner, Hands, Job, Measured};
use tminus_control::keys;
use tminus_control::session::{self, Beginning, PlanText};
use tminus_control::wall::Wall;
use tminus_plan::RolloutVerdict;
use tminus_record::{Hash, Record, RecordError, SigningKey};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Longer than any child takes to begin.
const LOCKED_MAX: Duration = Duration::from_secs(10);

/// Two items with gates and sign-offs, one with a gate of a kind to come.
pub const PLAN: &str = r#"
name: Bench
version: v2
items:
  - id: first
    number: 1
    title: { zh: 一, en: First }
    window: { from_h: 0, to_h: 12 }
    owner: qa
    criterion: { zh: 好, en: good }
    gates:
      - { id: a, kind: command, argv: ["a"] }
      - { id: b, kind: command, argv: ["b"], expect: [lost == 0] }
    sign_offs: [qa, sre]
  - id: later
    number: 2
    title: { zh: 二, en: Later }
    window: { from_h: 24, to_h: 48 }
    owner: sre
    criterion: { zh: 好, en: good }
    gates:
      - { id: c, kind: command, argv: ["c"] }
    sign_offs: [sre]
  - id: open
    number: 3
    title: { zh: 三, en: Open }
    window: { from_h: 0, to_h: 12 }
    owner: qa
    criterion: { zh: 好, en: good }
    gates:
      - { id: drill, kind: drill }
"#;

pub fn plan(yaml: &str) -> PlanText {
    session::parse_plan(yaml.to_owned(), "bench.yaml".to_owned()).unwrap()
}

/// A clock that stands until somebody waits for it.
#[derive(Debug)]
pub struct JumpingWall(AtomicU64);

impl JumpingWall {
    pub fn at(now_ms: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(now_ms)))
    }
}

impl Wall for JumpingWall {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    fn sleep_until(&self, at_ms: u64) -> BoxFuture<'static, ()> {
        self.0.fetch_max(at_ms, Ordering::SeqCst);
        Box::pin(std::future::ready(()))
    }
}

/// Gates that answer at once what their id is made to answer; counts how often each ran.
#[derive(Debug, Default)]
pub struct Scripted {
    pub ran: Mutex<BTreeMap<String, u32>>,
    /// Gate id to measurements other than `exit_code` 0.
    pub numbers: BTreeMap<String, Vec<(&'static str, f64)>>,
    pub could_not: BTreeMap<String, String>,
    /// Gates that put a step on record first.
    pub steps: Vec<String>,
    /// Gates that never end.
    pub hang: Vec<String>,
}

impl GateRunner for Scripted {
    fn run<'a>(
        &'a self,
        job: &'a Job,
        hands: &'a Hands,
    ) -> BoxFuture<'a, std::result::Result<Measured, CouldNotRun>> {
        Box::pin(async move {
            *self.ran.lock().unwrap().entry(job.gate.id.clone()).or_default() += 1;
            if self.hang.contains(&job.gate.id) {
                hands.stop.cancelled().await;
                return Err(CouldNotRun::new("stopped"));
            }
            if self.steps.contains(&job.gate.id) {
                hands
                    .record_step(30, "not worse".to_owned(), RolloutVerdict::NotWorse)
                    .await?;
            }
            if let Some(why) = self.could_not.get(&job.gate.id) {
                return Err(CouldNotRun::new(why.clone()).hint("mend it"));
            }
            let mut measured = Measured {
                target: "bench".into(),
                ..Measured::default()
            };
            measured.measure("exit_code", 0.0, "1");
            measured.measure("lost", 0.0, "1");
            for (name, value) in self.numbers.get(&job.gate.id).into_iter().flatten() {
                measured.measure(name, *value, "1");
            }
            Ok(measured)
        })
    }
}

/// Writes the digest of the entries in place of a PDF.
#[derive(Debug)]
pub struct DigestIssuer {
    pub file: PathBuf,
    pub issued: AtomicUsize,
}

impl Issuer for DigestIssuer {
    fn issue(&self, record: &Snapshot) -> Result<Issued> {
        self.issued.fetch_add(1, Ordering::SeqCst);
        let mut digest = sha2::Sha256::new();
        for entry in &record.entries {
            digest.update(entry);
        }
        let text = hex::encode(digest.finalize());
        std::fs::write(&self.file, &text).unwrap();
        Ok(Issued {
            file_name: "checklist.pdf".into(),
            sha256: hex::encode(sha2::Sha256::digest(text.as_bytes())),
            bytes: text.len() as u64,
        })
    }
}

/// A record that stops before or after its nth append from now, as a killed process does.
#[derive(Debug)]
pub struct StopsAt {
    pub record: Record,
    pub left: usize,
    pub after: bool,
}

impl Log for StopsAt {
    fn append(&mut self, entry: Vec<u8>) -> Result<u64> {
        let killed = || CliError::new(Kind::Stopped, "killed here");
        if self.left == 0 && !self.after {
            return Err(killed());
        }
        let index = Log::append(&mut self.record, entry)?;
        if self.left == 0 {
            return Err(killed());
        }
        self.left -= 1;
        Ok(index)
    }

    fn entries(&self) -> &[Vec<u8>] {
        self.record.entries()
    }

    fn leaves(&self) -> &[Hash] {
        self.record.leaves()
    }

    fn checkpoint(&self) -> &str {
        self.record.checkpoint()
    }
}

pub fn key(n: u8) -> SigningKey {
    SigningKey::from_seed([n; 32])
}

/// The keys of the roles of [`PLAN`].
pub fn signers() -> BTreeMap<String, SigningKey> {
    BTreeMap::from([("qa".to_owned(), key(10)), ("sre".to_owned(), key(11))])
}

/// A record in `folder` with the start of a launch in it.
pub fn begin(folder: &Path, plan: &PlanText, rehearsal: bool) {
    let record = Record::create(&folder.join("record"), "bench/1", &key(1)).unwrap();
    let mut book = Book::open(Box::new(record), key(1)).unwrap();
    let role_keys = signers()
        .into_iter()
        .map(|(role, key)| (role, key.verifying_key().to_base64()))
        .collect();
    let layout = tminus_control::layout::Layout::new(folder);
    let what = Beginning {
        plan,
        rehearsal,
        clock_scale: 900.0,
        artifacts: Vec::new(),
        role_keys,
    };
    session::begin(&mut book, &layout, what).unwrap();
}

/// Opens the record in a folder. A child that another test starts holds its lock, too, until it has become its own program.
pub fn open_record(folder: &Path) -> Record {
    let began = Instant::now();
    loop {
        match Record::open(&folder.join("record"), &key(1)) {
            Err(RecordError::Locked { .. }) if began.elapsed() < LOCKED_MAX => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

pub fn open(folder: &Path) -> Book {
    let record = open_record(folder);
    Book::open(Box::new(record), key(1)).unwrap()
}

pub struct Running {
    pub engine: Engine,
    pub sign_offs: mpsc::Sender<SignOffRequest>,
    pub stop: CancellationToken,
}

pub fn engine(
    folder: &Path,
    book: Book,
    runner: Arc<impl GateRunner + 'static>,
    own_signers: bool,
) -> Running {
    let (sign_offs, receiver) = mpsc::channel(4);
    let stop = CancellationToken::new();
    let now = book.state().unwrap().last_at_ms;
    let engine = Engine {
        book,
        runner,
        issuer: Arc::new(DigestIssuer {
            file: folder.join("checklist.pdf"),
            issued: AtomicUsize::new(0),
        }),
        wall: JumpingWall::at(now),
        board: SharedBoard::new(),
        console: Console::silent(),
        variables: BTreeMap::new(),
        own_signers: if own_signers { signers() } else { BTreeMap::new() },
        sign_offs: receiver,
        stop: stop.clone(),
    };
    Running {
        engine,
        sign_offs,
        stop,
    }
}

/// Key files for tests of the binary.
pub fn key_pair(folder: &Path, role: &str) -> (PathBuf, PathBuf) {
    let file = folder.join(format!("{role}.pem"));
    let (public, _) = keys::generate(&file).unwrap();
    (file, public)
}
