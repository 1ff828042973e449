//! The programs that are measured: started on free ports of the loopback, read from `/proc`, and
//! gone when the run is over, however it ends.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

/// Ends when it is dropped: the program goes down when its standard input closes.
#[derive(Debug)]
pub struct Program {
    child: Child,
    pub address: SocketAddr,
    _folder: Option<TempDir>,
}

const FILES_MAX: u32 = 65_536;
/// What a gateway opens beside tunnels: listeners, and idle connections to the server.
const FILES_BESIDE_TUNNELS: usize = 1_000;
/// How long a program may take to be ready.
const START_MAX: Duration = Duration::from_secs(20);

/// A server over a new, empty store. `core`: the only core that it may use.
pub fn server(program: &Path, core: Option<usize>) -> anyhow::Result<Program> {
    server_with(program, core, &[])
}

/// As [`server`], with more on its command line.
pub fn server_with(program: &Path, core: Option<usize>, more: &[&str]) -> anyhow::Result<Program> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    let mut command = with_many_files();
    if let Some(core) = core {
        command.args(["taskset", "-c", &core.to_string()]);
    }
    command.arg(program);
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--release", "bench"])
        .args(["--max-connections", "30000", "--exit-on-stdin-close"])
        .args(more)
        .arg("--store")
        .arg(format!("sqlite:{}", path("store.sqlite").display()))
        .arg("--signing-key")
        .arg(path("key.pem"))
        .arg("--ready-file")
        .arg(path("ready.json"));
    start(command, path("ready.json"), "address", Some(folder))
}

/// A gateway before one server.
pub fn gateway(program: &Path, upstream: SocketAddr) -> anyhow::Result<Program> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    let config = format!(
        "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nsticky: [bearer-subject]\nbackends:\n  stable: {{ url: \"http://{upstream}\", version: bench }}\ndefault: {{ split: {{ stable: 100 }} }}\nlimits: {{ max_connections: 30000, max_in_flight: 30000 }}\n"
    );
    fs::write(path("gateway.yaml"), config)?;
    let mut command = with_many_files();
    command
        .arg(program)
        .arg("run")
        .arg(path("gateway.yaml"))
        .args(["--exit-on-stdin-close", "--ready-file"])
        .arg(path("ready.json"));
    start(command, path("ready.json"), "listen", Some(folder))
}

/// This very program in another part of its own.
pub fn own(program: &Path, part: &str) -> anyhow::Result<Program> {
    own_with(program, part, |_| ())
}

/// As [`own`], with more on its command line.
pub fn own_with(program: &Path, part: &str, more: impl FnOnce(&mut Command)) -> anyhow::Result<Program> {
    let folder = tempfile::tempdir()?;
    let ready = folder.path().join("ready.json");
    let mut command = with_many_files();
    command.arg(program).arg(part).arg("--ready-file").arg(&ready);
    more(&mut command);
    start(command, ready, "address", Some(folder))
}

/// So many players can have a tunnel through one gateway here: a tunnel takes two file descriptors.
pub fn tunnels_max() -> anyhow::Result<usize> {
    let files = if may_raise_files() {
        FILES_MAX as usize
    } else {
        let limits = fs::read_to_string("/proc/self/limits")?;
        let line = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max open files"));
        let soft = line.and_then(|line| line.split_whitespace().next());
        soft.and_then(|soft| soft.parse().ok())
            .context("/proc/self/limits tells no limit of open files")?
    };
    Ok(files.saturating_sub(FILES_BESIDE_TUNNELS) / 2)
}

fn files_limit() -> String {
    format!("--nofile={FILES_MAX}:{FILES_MAX}")
}

fn may_raise_files() -> bool {
    Command::new("prlimit")
        .args([files_limit().as_str(), "true"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Ten thousand tunnels take more file descriptors than most systems give. What follows is a program
/// and its arguments. Without the right to raise the limit it starts all the same; see [`tunnels_max`].
fn with_many_files() -> Command {
    let (may, limit) = (may_raise_files(), files_limit());
    let mut command = Command::new(if may { "prlimit" } else { "env" });
    if may {
        command.arg(limit);
    }
    command
}

fn start(
    mut command: Command,
    ready: PathBuf,
    address_key: &str,
    folder: Option<TempDir>,
) -> anyhow::Result<Program> {
    let name = format!("{:?}", command.get_program());
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .env("RUST_LOG", "error")
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let began = Instant::now();
    loop {
        if let Ok(text) = fs::read_to_string(&ready) {
            let ready: serde_json::Value = serde_json::from_str(&text)?;
            let address = ready[address_key]
                .as_str()
                .context("the ready file names no address")?;
            return Ok(Program {
                child,
                address: address.parse()?,
                _folder: folder,
            });
        }
        if let Some(status) = child.try_wait()? {
            bail!("{name} ended at its start: {status}");
        }
        if began.elapsed() > START_MAX {
            let _ = child.kill();
            bail!("{name} was not ready after {START_MAX:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Program {
    /// CPU time of all its threads so far (proc(5), fields 14 and 15, ticks of 10 ms).
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields = stat.rsplit_once(')').context("no field 2")?.1;
        let ticks: u64 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<u64>().ok())
            .sum();
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .context("no VmRSS")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib * 1024)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Its standard input closes, which ends it in order; then it is made sure.
        drop(self.child.stdin.take());
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(15) {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
