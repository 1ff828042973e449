//! A running nginx: its program called, its master and workers told apart.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use crate::error::io_words;
use crate::gates::{CouldNotRun, shorten};

/// One call of the program.
const CALL_MAX: Duration = Duration::from_secs(20);
/// A configuration with all that it includes.
const OUTPUT_BYTES_MAX: u64 = 16 << 20;
/// Words of a failure that are shown.
const WORDS_BYTES_MAX: usize = 1_500;
/// A reload must be in force after so long.
const RELOAD_MAX: Duration = Duration::from_secs(15);
/// There is no event to wait for: nginx tells nobody when a worker stops listening.
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);
const SHUTTING_DOWN: &str = "is shutting down";

/// What a program wrote.
pub struct Said {
    pub success: bool,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    /// Its complaint.
    pub fn words(&self) -> String {
        let words = self.stderr.trim();
        shorten(
            if words.is_empty() {
                "it says nothing"
            } else {
                words
            },
            WORDS_BYTES_MAX,
        )
    }
}

/// Runs nginx once, to its end.
pub async fn call(program: &[String], arguments: &[&str]) -> Result<Said, CouldNotRun> {
    let shown = || format!("{} {}", program.join(" "), arguments.join(" "));
    let (name, before) = program
        .split_first()
        .ok_or_else(|| CouldNotRun::new("the plan's `program` is empty"))?;
    let mut child = Command::new(name)
        .args(before)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| {
            CouldNotRun::new(format!("`{name}` cannot be started: {}", io_words(&e)))
                .hint("install nginx, or give its full path as `program` of the plan's `nginx`")
        })?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let ended = tokio::time::timeout(CALL_MAX, async {
        let (stdout, stderr, status) = tokio::join!(text_of(stdout), text_of(stderr), child.wait());
        Ok::<_, std::io::Error>((status?, stdout?, stderr?))
    });
    match ended.await {
        Ok(Ok((status, stdout, stderr))) => Ok(Said {
            success: status.success(),
            stdout,
            stderr,
        }),
        Ok(Err(e)) => Err(CouldNotRun::new(format!(
            "`{}` failed: {}",
            shown(),
            io_words(&e)
        ))),
        Err(_) => Err(CouldNotRun::new(format!(
            "`{}` did not end within {} s",
            shown(),
            CALL_MAX.as_secs()
        ))),
    }
}

async fn text_of(from: Option<impl AsyncRead + Unpin>) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        from.take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes).await?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The master, and its workers when it was last looked at.
#[derive(Debug)]
pub struct Master {
    pid: u32,
    workers: BTreeSet<u32>,
}

impl Master {
    /// Finds the master by its pid file.
    ///
    /// # Errors
    /// None is running.
    pub fn find(pid_file: &str) -> Result<Self, CouldNotRun> {
        let not_running = |why: String| {
            CouldNotRun::new(format!("nginx is not running: {why}"))
                .hint("start it, or say where its process id stands with `pid` of the plan's `nginx`")
        };
        let text = std::fs::read_to_string(pid_file)
            .map_err(|e| not_running(format!("{pid_file}: {}", io_words(&e))))?;
        let pid = text
            .trim()
            .parse()
            .map_err(|_| not_running(format!("{pid_file} holds no process id")))?;
        let title = title(pid);
        if !title.contains("nginx") {
            return Err(not_running(format!(
                "{pid_file} names process {pid}, which is none of it"
            )));
        }
        if !title.contains("master") {
            return Err(CouldNotRun::new(format!(
                "process {pid} of {pid_file} is no master of nginx, so that it cannot take a configuration in while it runs"
            ))
            .hint("set `master_process on;`"));
        }
        Ok(Self {
            pid,
            workers: children(pid),
        })
    }

    /// Waits until new workers are there and none of the former ones takes a connection any more.
    ///
    /// # Errors
    /// The master kept its workers.
    pub async fn reloaded(&self) -> Result<(), CouldNotRun> {
        let until = Instant::now() + RELOAD_MAX;
        loop {
            let now = children(self.pid);
            let fresh = now.difference(&self.workers).any(|pid| is_worker(*pid));
            let stale = now.intersection(&self.workers).any(|pid| is_worker(*pid));
            if fresh && !stale {
                return Ok(());
            }
            if Instant::now() > until {
                let what = if fresh {
                    "former workers go on taking connections"
                } else {
                    "it goes on with its former configuration"
                };
                return Err(CouldNotRun::new(format!(
                    "nginx was told to reload, and {} s later {what}",
                    RELOAD_MAX.as_secs()
                ))
                .hint("its error log says why"));
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    /// Waits until the workers of former configurations are gone, at most so long; answers how many are not.
    pub async fn former_gone(&self, at_most: Duration) -> usize {
        let until = Instant::now() + at_most;
        loop {
            let left = children(self.pid)
                .into_iter()
                .filter(|pid| title(*pid).contains(SHUTTING_DOWN))
                .count();
            if left == 0 || Instant::now() > until {
                return left;
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }
}

/// A worker that takes connections; nginx says it of itself in its title.
fn is_worker(pid: u32) -> bool {
    let title = title(pid);
    title.contains("worker process") && !title.contains(SHUTTING_DOWN)
}

/// The command line as the process shows it; empty when it has gone.
fn title(pid: u32) -> String {
    std::fs::read(format!("/proc/{pid}/cmdline"))
        .map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "))
        .unwrap_or_default()
}

fn children(of: u32) -> BTreeSet<u32> {
    let Ok(entries) = std::fs::read_dir(Path::new("/proc")) else {
        return BTreeSet::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| parent(*pid) == Some(of))
        .collect()
}

/// The field after the state, which follows the name in parentheses (proc(5)).
fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}
