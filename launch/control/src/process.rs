//! Child processes: found beside this program, started with a log and a ready file, watched, stopped.
//!
//! A child holds our end of its standard input as its sign of life: when this process dies, however
//! it dies, the pipe closes and the child ends (`--exit-on-stdin-close`). Nothing in here knows what
//! the children do.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::process::Command;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::error::{CliError, Kind, Result};

/// How long a child may take until its ready file stands.
const READY_MAX: Duration = Duration::from_secs(20);
/// How long a child may take to end after its standard input closed.
const STOP_MAX: Duration = Duration::from_secs(8);
/// How many of a log's last lines an error shows.
const LOG_LINES_SHOWN: usize = 8;

/// The program `name`, beside the running executable.
///
/// # Errors
/// Names the missing file and the build command that makes it.
pub fn sibling_program(name: &str, package: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().map_err(|e| {
        CliError::new(
            Kind::Environment,
            format!("cannot tell where this program lies: {e}"),
        )
    })?;
    sibling_program_of(&own, name, package)
}

/// [`sibling_program`] for an executable given by the caller.
///
/// # Errors
/// As [`sibling_program`].
pub fn sibling_program_of(own: &Path, name: &str, package: &str) -> Result<PathBuf> {
    let folder = own.parent().unwrap_or(Path::new("."));
    let path = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    if path.is_file() {
        return Ok(path);
    }
    Err(CliError::new(
        Kind::Environment,
        format!("the program `{name}` is missing: looked for {}", path.display()),
    )
    .hint(format!("build it beside `tminus`: cargo build -p {package}")))
}

/// What to start.
#[derive(Debug)]
pub struct Start<'a> {
    /// How messages call it, e.g. `backend v1.3 (canary)`.
    pub name: String,
    pub program: &'a Path,
    pub arguments: Vec<String>,
    pub log: PathBuf,
    pub ready_file: PathBuf,
}

/// A running child and the watch on it.
#[derive(Debug)]
pub struct Child {
    name: String,
    pid: u32,
    log: PathBuf,
    ended: watch::Receiver<Option<ExitStatus>>,
    /// Dropped to close the child's standard input.
    stdin: Option<tokio::process::ChildStdin>,
    kill: Option<oneshot::Sender<()>>,
}

/// Starts a child and waits until its ready file stands; answers the file's content as `T`.
///
/// # Errors
/// The child cannot be started, ends before it is ready, or is not ready in time: with its last log lines.
pub async fn start<T: DeserializeOwned>(what: Start<'_>) -> Result<(Child, T)> {
    match std::fs::remove_file(&what.ready_file) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(CliError::file("remove", &what.ready_file, &e));
        }
        _ => {}
    }
    let log = File::options()
        .create(true)
        .append(true)
        .open(&what.log)
        .map_err(|e| CliError::file("write", &what.log, &e))?;
    let log_too = log
        .try_clone()
        .map_err(|e| CliError::file("write", &what.log, &e))?;
    let mut process = Command::new(what.program)
        .args(&what.arguments)
        .stdin(Stdio::piped())
        .stdout(log)
        .stderr(log_too)
        .kill_on_drop(true)
        // Ctrl-C reaches the whole terminal group: the children end when we tell them to.
        .process_group(0)
        .spawn()
        .map_err(|e| CliError::file("start", what.program, &e))?;
    let pid = process.id().unwrap_or(0);
    let stdin = process.stdin.take();
    let (ended_tx, ended) = watch::channel(None);
    let (kill, mut kill_rx) = oneshot::channel::<()>();
    tokio::spawn(async move {
        let status = tokio::select! {
            status = process.wait() => status,
            Ok(()) = &mut kill_rx => {
                let _ = process.start_kill();
                process.wait().await
            }
        };
        let _ = ended_tx.send(Some(status.unwrap_or_default()));
    });
    let child = Child {
        name: what.name,
        pid,
        log: what.log,
        ended,
        stdin,
        kill: Some(kill),
    };

    let until = Instant::now() + READY_MAX;
    loop {
        if let Ok(text) = std::fs::read_to_string(&what.ready_file) {
            return match serde_json::from_str(&text) {
                Ok(ready) => Ok((child, ready)),
                Err(e) => Err(CliError::new(
                    Kind::Process,
                    format!(
                        "{} wrote a ready file that cannot be read: {e}: {text}",
                        child.name
                    ),
                )),
            };
        }
        if let Some(status) = *child.ended.borrow() {
            return Err(child.died(status));
        }
        if Instant::now() >= until {
            return Err(child.with_log(format!(
                "{} was not ready within {} s",
                child.name,
                READY_MAX.as_secs()
            )));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl Child {
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Resolves when the child has ended, with the error that says so.
    pub async fn has_died(&self) -> CliError {
        let mut ended = self.ended.clone();
        let status = match ended.wait_for(Option::is_some).await {
            Ok(status) => (*status).unwrap_or_default(),
            Err(_) => ExitStatus::default(),
        };
        self.died(status)
    }

    fn died(&self, status: ExitStatus) -> CliError {
        self.with_log(format!(
            "{} (pid {}) ended by itself: {}",
            self.name,
            self.pid,
            status_words(status)
        ))
    }

    fn with_log(&self, message: String) -> CliError {
        let lines = last_lines(&self.log, LOG_LINES_SHOWN);
        let message = if lines.is_empty() {
            format!("{message}; its log is empty")
        } else {
            format!("{message}; its last words:\n    {}", lines.join("\n    "))
        };
        CliError::new(Kind::Process, message).hint(format!("the whole log: {}", self.log.display()))
    }

    /// Closes the child's standard input, waits for it, and ends it by force when it does not listen.
    pub async fn stop(mut self) {
        drop(self.stdin.take());
        let mut ended = self.ended.clone();
        if tokio::time::timeout(STOP_MAX, ended.wait_for(Option::is_some))
            .await
            .is_err()
        {
            tracing::warn!(child = %self.name, "did not end when asked to; ended by force");
            if let Some(kill) = self.kill.take() {
                let _ = kill.send(());
            }
            let _ = ended.wait_for(Option::is_some).await;
        }
    }
}

fn status_words(status: ExitStatus) -> String {
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt as _;
        if let Some(signal) = status.signal() {
            return format!("killed by signal {signal}");
        }
    }
    match status.code() {
        Some(code) => format!("exit code {code}"),
        None => "no exit code".to_owned(),
    }
}

/// The last `count` lines of a text file; empty when it cannot be read.
pub fn last_lines(path: &Path, count: usize) -> Vec<String> {
    let Ok(file) = File::open(path) else {
        return Vec::new();
    };
    let mut kept: VecDeque<String> = VecDeque::with_capacity(count + 1);
    for line in BufReader::new(file).lines().map_while(std::io::Result::ok) {
        if line.trim().is_empty() {
            continue;
        }
        kept.push_back(line.chars().take(400).collect());
        if kept.len() > count {
            kept.pop_front();
        }
    }
    kept.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_its_build_command() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("tminus");
        let said = sibling_program_of(&own, "starvault", "starvault-server")
            .unwrap_err()
            .to_string();
        assert!(
            said.contains(&folder.path().join("starvault").display().to_string()),
            "{said}"
        );
        assert!(said.contains("cargo build -p starvault-server"), "{said}");
    }

    #[tokio::test]
    async fn a_child_that_ends_before_it_is_ready_is_told_with_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let what = Start {
            name: "backend v1.2 (stable)".into(),
            program: Path::new("/bin/sh"),
            arguments: vec!["-c".into(), "echo database is locked; exit 7".into()],
            log: folder.path().join("log"),
            ready_file: folder.path().join("ready.json"),
        };
        let said = start::<serde_json::Value>(what).await.unwrap_err().to_string();
        assert!(said.contains("backend v1.2 (stable)"), "{said}");
        assert!(said.contains("exit code 7"), "{said}");
        assert!(said.contains("database is locked"), "{said}");
    }

    #[tokio::test]
    async fn a_child_that_dies_later_is_told_with_its_name_and_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let ready = folder.path().join("ready.json");
        let script = format!(
            "echo '{{}}' > {0}.new; mv {0}.new {0}; echo disk on fire; kill -9 $$",
            ready.display()
        );
        let what = Start {
            name: "gateway".into(),
            program: Path::new("/bin/sh"),
            arguments: vec!["-c".into(), script],
            log: folder.path().join("log"),
            ready_file: ready,
        };
        let said = match start::<serde_json::Value>(what).await {
            Ok((child, _)) => child.has_died().await.to_string(),
            // It may die before its ready file is seen.
            Err(error) => error.to_string(),
        };
        for part in ["gateway", "ended by itself", "killed by signal 9", "disk on fire"] {
            assert!(said.contains(part), "{said}");
        }
    }

    #[tokio::test]
    async fn a_child_ends_when_its_standard_input_closes() {
        let folder = tempfile::tempdir().unwrap();
        let ready = folder.path().join("ready.json");
        let what = Start {
            name: "child".into(),
            program: Path::new("/bin/sh"),
            arguments: vec![
                "-c".into(),
                format!(
                    "echo '{{\"pid\":1}}' > {0}.new; mv {0}.new {0}; cat; echo bye",
                    ready.display()
                ),
            ],
            log: folder.path().join("log"),
            ready_file: ready.clone(),
        };
        let (child, ready) = start::<serde_json::Value>(what).await.unwrap();
        assert_eq!(ready["pid"], 1);
        child.stop().await;
        assert_eq!(last_lines(&folder.path().join("log"), 3), ["bye"]);
    }
}
