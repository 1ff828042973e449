//! Where the set in force comes from: files that are read again and again, or nothing.
//!
//! The one module that reads files. A definition is taken whole or not at all: as long as what lies there cannot be
//! used, the last good one stays in force and [`State::failing`] says why. Whole contents are compared, never times or
//! sizes, so that no replacement, link or clock can hide a change; a definition is small.
#![expect(clippy::disallowed_types, reason = "the one module that reads files")]

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use crate::{FlagSet, Layer, Override, Problem, limits::BYTES_MAX};

/// What to read, and how often.
#[derive(Clone)]
pub struct FileOptions {
    /// flagd's JSON. `None`: there are only the overrides.
    pub file: Option<PathBuf>,
    /// Its definitions in `NAME.ENVIRONMENT.json` beside `NAME.json` take the place of those with the same name. That file
    /// has to be there.
    pub environment: Option<String>,
    pub overrides: Vec<Override>,
    pub poll_every: Duration,
    /// Reads the time in milliseconds since 1970-01-01 UTC.
    pub now_ms: Arc<dyn Fn() -> i64 + Send + Sync>,
}

impl fmt::Debug for FileOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileOptions")
            .field("file", &self.file)
            .field("environment", &self.environment)
            .field("overrides", &self.overrides)
            .field("poll_every", &self.poll_every)
            .finish_non_exhaustive()
    }
}

impl FileOptions {
    /// Longest name of an environment.
    const ENVIRONMENT_BYTES_MAX: usize = 64;

    /// Whether an environment can be called this: 1 to 64 of `A-Z a-z 0-9 _ -`, since it becomes part of a file's name.
    #[must_use]
    pub fn is_environment(name: &str) -> bool {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        (1..=Self::ENVIRONMENT_BYTES_MAX).contains(&name.len()) && name.bytes().all(fits)
    }

    /// The files, later ones over earlier ones.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let Some(file) = &self.file else {
            return Vec::new();
        };
        let overlay = self.environment.as_ref().map(|environment| {
            let extension = file.extension().unwrap_or_default().to_string_lossy();
            file.with_extension(if extension.is_empty() {
                environment.clone()
            } else {
                format!("{environment}.{extension}")
            })
        });
        [Some(file.clone()), overlay].into_iter().flatten().collect()
    }
}

/// One file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadFile {
    pub path: PathBuf,
    pub bytes: usize,
    pub sha256: String,
}

/// Why what lies there is not in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    /// Milliseconds since 1970-01-01 UTC.
    pub since_ms: i64,
    pub problems: Vec<Problem>,
}

/// What is in force, where it came from, and how it goes.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// `None`: there has been no good definition yet.
    pub set: Option<Arc<FlagSet>>,
    /// SHA-256 of the files one after the other, as `cat FILES | sha256sum` has it; empty without files.
    pub version: String,
    pub files: Vec<ReadFile>,
    pub environment: Option<String>,
    pub overrides: BTreeMap<String, Value>,
    /// When this version came into force.
    pub loaded_at_ms: i64,
    /// Versions that came into force after the first one.
    pub reloads: u64,
    /// Contents that could not be used.
    pub failures: u64,
    pub failing: Option<Failing>,
}

/// The set in force, for whoever asks. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Flags {
    state: watch::Receiver<Arc<State>>,
}

impl Flags {
    /// Reads the files now, and whenever the returned future runs, until it is dropped. It never fails: look at
    /// [`State::set`] whether there is something in force.
    pub async fn open(options: FileOptions) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let mut source = Source {
            options: Arc::new(options),
            seen: None,
        };
        let mut state = State {
            environment: source.options.environment.clone(),
            overrides: source
                .options
                .overrides
                .iter()
                .map(|given| (given.key.clone(), given.value.clone()))
                .collect(),
            ..State::default()
        };
        if let Some(news) = source.look().await {
            state = source.next(&state, news);
        }
        let (sender, receiver) = watch::channel(Arc::new(state));
        (Self { state: receiver }, source.run(sender))
    }

    /// A set that stays as it is.
    #[must_use]
    pub fn fixed(set: FlagSet) -> Self {
        let state = State {
            set: Some(Arc::new(set)),
            ..State::default()
        };
        // The value stays readable when nobody can change it any more.
        Self {
            state: watch::channel(Arc::new(state)).1,
        }
    }

    #[must_use]
    pub fn state(&self) -> Arc<State> {
        self.state.borrow().clone()
    }

    /// Waits until the state is another than when this was last awaited. Never ends once nobody can change it.
    pub async fn changed(&mut self) -> Arc<State> {
        if self.state.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.state.borrow_and_update().clone()
    }

    /// Waits for a state of which this is true. Never ends once nobody can change it.
    pub async fn until(&mut self, mut holds: impl FnMut(&State) -> bool) -> Arc<State> {
        if let Ok(state) = self.state.wait_for(|state| holds(state)).await {
            return state.clone();
        }
        std::future::pending().await
    }
}

/// Contents of the files, or why one cannot be read.
type Contents = Result<Vec<Vec<u8>>, (PathBuf, String)>;

struct Source {
    options: Arc<FileOptions>,
    /// What was last found, good or bad: nobody needs to hear of it again.
    seen: Option<Contents>,
}

impl Source {
    async fn run(mut self, sender: watch::Sender<Arc<State>>) {
        if self.options.file.is_none() {
            // Nothing can change; the sender stays, so that whoever waits goes on waiting.
            sender.closed().await;
            return;
        }
        let mut ticks = tokio::time::interval(self.options.poll_every.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Some(news) = self.look().await {
                let state = sender.borrow().clone();
                sender.send_replace(Arc::new(self.next(&state, news)));
            }
        }
    }

    /// What lies there, if it is not what lay there the last time.
    async fn look(&mut self) -> Option<Contents> {
        let options = self.options.clone();
        let contents = tokio::task::spawn_blocking(move || read_all(&options.files()))
            .await
            .ok()?;
        if self.seen.as_ref() == Some(&contents) {
            return None;
        }
        self.seen = Some(contents.clone());
        Some(contents)
    }

    /// The state after these contents were found.
    fn next(&self, state: &State, contents: Contents) -> State {
        let now_ms = (self.options.now_ms)();
        let files = self.options.files();
        match compile(&self.options, &files, &contents) {
            Ok(set) => {
                let contents = contents.unwrap_or_default();
                let version = version(&contents);
                // Back to what is in force, after something that was not good.
                let same = state.set.is_some() && version == state.version;
                if !same {
                    tracing::info!(%version, flags = set.iter().count(), "flags are in force");
                }
                State {
                    set: if same {
                        state.set.clone()
                    } else {
                        Some(Arc::new(set))
                    },
                    files: files
                        .into_iter()
                        .zip(&contents)
                        .map(|(path, bytes)| ReadFile {
                            path,
                            bytes: bytes.len(),
                            sha256: hex::encode(Sha256::digest(bytes)),
                        })
                        .collect(),
                    version,
                    loaded_at_ms: if same { state.loaded_at_ms } else { now_ms },
                    reloads: state.reloads + u64::from(!same && state.set.is_some()),
                    failing: None,
                    ..state.clone()
                }
            }
            Err(problems) => {
                let first = problems.first().map(ToString::to_string).unwrap_or_default();
                let count = problems.len();
                tracing::error!(
                    first,
                    count,
                    "flags cannot be used; the last good ones stay in force"
                );
                State {
                    failures: state.failures + 1,
                    failing: Some(Failing {
                        since_ms: state.failing.as_ref().map_or(now_ms, |failing| failing.since_ms),
                        problems,
                    }),
                    ..state.clone()
                }
            }
        }
    }
}

fn compile(options: &FileOptions, files: &[PathBuf], contents: &Contents) -> Result<FlagSet, Vec<Problem>> {
    let at_file = |path: &Path, message: String| Problem {
        file: path.display().to_string(),
        line: 0,
        column: 0,
        pointer: String::new(),
        message,
    };
    let contents = contents
        .as_ref()
        .map_err(|(path, why)| vec![at_file(path, format!("cannot be read: {why}"))])?;
    let names: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
    let mut layers = Vec::new();
    for (bytes, name) in contents.iter().zip(&names) {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let (line, column) = crate::problem::line_and_column(&before, before.len());
            vec![Problem {
                file: name.clone(),
                line,
                column,
                pointer: String::new(),
                message: "this is not UTF-8".to_owned(),
            }]
        })?;
        layers.push(Layer { name, text });
    }
    let set = FlagSet::parse_layers(&layers)?;
    set.with_overrides(&options.overrides).map_err(|error| {
        let file = files.first().map_or(Path::new(""), PathBuf::as_path);
        vec![at_file(file, error.to_string())]
    })
}

fn version(contents: &[Vec<u8>]) -> String {
    if contents.is_empty() {
        return String::new();
    }
    let mut digest = Sha256::new();
    for bytes in contents {
        digest.update(bytes);
    }
    hex::encode(digest.finalize())
}

fn read_all(paths: &[PathBuf]) -> Contents {
    paths
        .iter()
        .map(|path| read(path).map_err(|error| (path.clone(), error.to_string())))
        .collect()
}

/// At most one byte more than a definition may have: enough to see that it is too long.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a pipe would wait for its writer.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}
