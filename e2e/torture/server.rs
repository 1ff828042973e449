//! Programs that are killed and started again at the same addresses, over the same files.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;

/// How long it may take to be ready: a debug build over a file whose log is played back.
const START_MAX: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A program that says where it listens in a ready file and ends with its standard input.
#[derive(Debug)]
pub struct Daemon {
    program: PathBuf,
    /// Its log and ready file lie here.
    folder: PathBuf,
    arguments: Vec<String>,
    /// What it wrote when it was ready.
    pub ready: Value,
    child: Child,
}

impl Daemon {
    /// Starts it and waits until it is ready.
    pub fn start(program: &Path, folder: &Path, arguments: Vec<String>) -> anyhow::Result<Self> {
        let (child, ready) = spawn(program, folder, &arguments)?;
        Ok(Self {
            program: program.to_owned(),
            folder: folder.to_owned(),
            arguments,
            ready,
            child,
        })
    }

    /// An address of its ready file.
    pub fn address(&self, key: &str) -> anyhow::Result<SocketAddr> {
        let address = self.ready[key].as_str();
        let address = address.with_context(|| format!("the ready file has no {key:?}: {}", self.ready))?;
        Ok(address.parse()?)
    }

    /// SIGKILL: nothing is finished, nothing is flushed.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let name = self.program.display();
        if let Some(status) = self.child.try_wait()? {
            bail!("{name} had ended by itself: {status}");
        }
        self.child.kill().with_context(|| format!("cannot kill {name}"))?;
        self.child.wait()?;
        Ok(())
    }

    /// A new process after [`Daemon::kill`].
    pub fn restart(&mut self) -> anyhow::Result<()> {
        (self.child, self.ready) = spawn(&self.program, &self.folder, &self.arguments)?;
        Ok(())
    }

    /// Ends it in order.
    pub fn stop(mut self) -> anyhow::Result<()> {
        drop(self.child.stdin.take());
        let name = self.program.display();
        let began = Instant::now();
        while began.elapsed() < START_MAX {
            if let Some(status) = self.child.try_wait()? {
                if status.success() {
                    return Ok(());
                }
                bail!("{name} ended badly: {status}");
            }
            std::thread::sleep(LOOK_EVERY);
        }
        bail!("{name} did not end within {START_MAX:?}")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(program: &Path, folder: &Path, arguments: &[String]) -> anyhow::Result<(Child, Value)> {
    let ready = folder.join("ready.json");
    // One of the process before: not this one's.
    if ready.exists() {
        fs::remove_file(&ready)?;
    }
    let log = fs::File::options()
        .create(true)
        .append(true)
        .open(folder.join("log"))?;
    let mut child = Command::new(program)
        .args(arguments)
        .arg("--exit-on-stdin-close")
        .arg("--ready-file")
        .arg(&ready)
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log)
        .env("RUST_LOG", "warn")
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let began = Instant::now();
    loop {
        // It appears whole: it is renamed into its place.
        if let Ok(text) = fs::read_to_string(&ready) {
            return Ok((child, serde_json::from_str(&text).context("the ready file")?));
        }
        if let Some(status) = child.try_wait()? {
            let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
            bail!("{} ended at its start: {status}\n{log}", program.display());
        }
        if began.elapsed() > START_MAX {
            let _ = child.kill();
            bail!("{} was not ready after {START_MAX:?}", program.display());
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// A `starvault` that comes back at the address that it had.
#[derive(Debug)]
pub struct Server {
    daemon: Daemon,
    pub address: SocketAddr,
}

impl Server {
    /// Starts it on a free port. Its folder holds its signing key, unless the arguments name another.
    pub fn start(program: &Path, folder: &Path, arguments: Vec<String>) -> anyhow::Result<Self> {
        let key = folder.join("key.pem").display().to_string();
        Self::start_release(program, folder, "v1", &key, arguments)
    }

    /// One of several releases: they serve the same players, and so have one key.
    pub fn start_release(
        program: &Path,
        folder: &Path,
        release: &str,
        signing_key: &str,
        arguments: Vec<String>,
    ) -> anyhow::Result<Self> {
        let mut all = [
            "serve",
            "--release",
            release,
            "--signing-key",
            signing_key,
            "--listen",
        ]
        .map(String::from)
        .to_vec();
        let at = all.len();
        all.push("127.0.0.1:0".to_owned());
        all.extend(arguments);
        let mut daemon = Daemon::start(program, folder, all)?;
        let address = daemon.address("address")?;
        daemon.arguments[at] = address.to_string();
        Ok(Self { daemon, address })
    }

    /// A new process, after `between`.
    pub fn kill_and_restart(&mut self, between: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
        self.daemon.kill()?;
        between()?;
        self.daemon.restart()
    }

    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.daemon.kill()
    }

    pub fn stop(self) -> anyhow::Result<()> {
        self.daemon.stop()
    }
}
