//! A server that is killed and started again at the same address, over the same store.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// How long it may take to be ready: a debug build over a file whose log is played back.
const START_MAX: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(5);

#[derive(Debug)]
pub struct Server {
    program: PathBuf,
    folder: PathBuf,
    arguments: Vec<String>,
    pub address: SocketAddr,
    child: Child,
}

impl Server {
    /// Starts it on a free port.
    pub fn start(program: &Path, folder: &Path, arguments: Vec<String>) -> anyhow::Result<Self> {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (child, address) = spawn(program, folder, &arguments, any)?;
        Ok(Self {
            program: program.to_owned(),
            folder: folder.to_owned(),
            arguments,
            address,
            child,
        })
    }

    /// SIGKILL: nothing is finished, nothing is flushed. Then a new process, after `between`.
    pub fn kill_and_restart(&mut self, between: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
        self.kill()?;
        between()?;
        let (child, _) = spawn(&self.program, &self.folder, &self.arguments, self.address)?;
        self.child = child;
        Ok(())
    }

    pub fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the server had ended by itself: {status}");
        }
        self.child.kill().context("cannot kill the server")?;
        self.child.wait()?;
        Ok(())
    }

    /// Ends it in order.
    pub fn stop(mut self) -> anyhow::Result<()> {
        drop(self.child.stdin.take());
        let began = Instant::now();
        while began.elapsed() < START_MAX {
            if let Some(status) = self.child.try_wait()? {
                if status.success() {
                    return Ok(());
                }
                bail!("the server ended badly: {status}");
            }
            std::thread::sleep(LOOK_EVERY);
        }
        bail!("the server did not end within {START_MAX:?}")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(
    program: &Path,
    folder: &Path,
    arguments: &[String],
    listen: SocketAddr,
) -> anyhow::Result<(Child, SocketAddr)> {
    let ready = folder.join("ready.json");
    // One of the process before: not this one's.
    if ready.exists() {
        fs::remove_file(&ready)?;
    }
    let log = fs::File::options()
        .create(true)
        .append(true)
        .open(folder.join("server.log"))?;
    let mut child = Command::new(program)
        .args(["serve", "--release", "v1", "--exit-on-stdin-close", "--listen"])
        .arg(listen.to_string())
        .args(arguments)
        .arg("--signing-key")
        .arg(folder.join("key.pem"))
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
        // It appears whole: the server renames it into its place.
        if let Ok(text) = fs::read_to_string(&ready) {
            let ready: serde_json::Value = serde_json::from_str(&text).context("the ready file")?;
            let address = ready["address"]
                .as_str()
                .context("the ready file names no address")?;
            return Ok((child, address.parse()?));
        }
        if let Some(status) = child.try_wait()? {
            let log = fs::read_to_string(folder.join("server.log")).unwrap_or_default();
            bail!("the server ended at its start: {status}\n{log}");
        }
        if began.elapsed() > START_MAX {
            let _ = child.kill();
            bail!("the server was not ready after {START_MAX:?}");
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
