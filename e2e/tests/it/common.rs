//! What every whole-system test needs: our binaries as processes that never outlive the test, and
//! a bounded wait for a condition. Knows nothing of games or launches.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long anything may take on a busy machine before a test calls it broken.
pub const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The workspace's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("e2e lies in the workspace")
        .to_owned()
}

/// The executable `name` of this workspace, from the build that this test belongs to.
pub fn binary(name: &str, package: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let profile = test
        .parent()
        .and_then(Path::parent)
        .expect("tests lie in <target>/<profile>/deps");
    let path = profile.join(name);
    assert!(
        path.is_file(),
        "{} is missing: run `cargo build -p {package}` first",
        path.display()
    );
    path
}

/// The first of `names` on the PATH; fails with what to install.
pub fn tool(names: &[&str], apt_package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    names
        .iter()
        .flat_map(|name| std::env::split_paths(&path).map(move |directory| directory.join(name)))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| panic!("{} is not installed: apt-get install -y {apt_package}", names[0]))
}

/// Exit code and output of `tminus`.
pub fn tminus(arguments: &[&str], file: &Path) -> (i32, String) {
    let output = Command::new(binary("tminus", "tminus-control"))
        .args(arguments)
        .arg(file)
        .output()
        .expect("tminus starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code().expect("an exit code"), said)
}

/// All text of a PDF, read by Poppler.
pub fn text_of_pdf(file: &Path) -> String {
    let output = Command::new(tool(&["pdftotext"], "poppler-utils"))
        .arg(file)
        .arg("-")
        .output()
        .expect("pdftotext starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Looks until `ready` answers, at most [`PATIENCE`]; then fails with `what` and what `explain` says.
pub async fn eventually<T>(
    what: &str,
    mut ready: impl AsyncFnMut() -> Option<T>,
    explain: impl AsyncFnOnce() -> String,
) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = ready().await {
            return found;
        }
        if started.elapsed() > PATIENCE {
            panic!("waited {PATIENCE:?} for {what}: {}", explain().await);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// A child process that is killed, and waited for, when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    // Closing it asks our own servers to stop (`--exit-on-stdin-close`).
    stdin: Option<ChildStdin>,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with its output in the file `log`.
    pub fn start(command: &mut Command, log: PathBuf) -> Process {
        let output = File::create(&log).expect("a log file");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(output.try_clone().expect("a second handle"))
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", command.get_program().display()));
        let stdin = child.stdin.take();
        Process { child, stdin, log }
    }

    /// Everything it has printed so far.
    pub fn output(&self) -> String {
        let mut text = String::new();
        if let Ok(mut file) = File::open(&self.log) {
            // A test that fails shows what could be read.
            let _ = file.read_to_string(&mut text);
        }
        text
    }

    /// Whether it has ended by itself.
    pub fn ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends it at once, as a power cut would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits a moment for an end that was asked for in another way.
    pub fn ends_within(&mut self, time: Duration) -> bool {
        self.stdin = None;
        let started = Instant::now();
        while started.elapsed() < time {
            if self.ended() {
                return true;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        false
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A gateway on a free port.
#[derive(Debug)]
pub struct Gateway {
    _process: Process,
    /// Base URL for players.
    pub url: String,
    /// Base URL of the admin API.
    pub admin: String,
}

impl Gateway {
    /// `routes` is its configuration without the listeners; its files lie in `folder`.
    pub async fn start(folder: &Path, routes: &str) -> Gateway {
        let configuration = folder.join("gateway.yaml");
        let text = format!("listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\n{routes}");
        fs::write(&configuration, text).expect("the configuration is written");
        let ready_file = folder.join("gateway-ready.json");
        let mut process = Process::start(
            Command::new(binary("tminus-gateway", "tminus-gateway"))
                .arg("run")
                .arg(&configuration)
                .arg("--ready-file")
                .arg(&ready_file)
                .arg("--exit-on-stdin-close"),
            folder.join("gateway.log"),
        );
        let ready: serde_json::Value = eventually(
            "the gateway to serve",
            async || {
                assert!(!process.ended(), "the gateway ended: {}", process.output());
                serde_json::from_str(&fs::read_to_string(&ready_file).ok()?).ok()
            },
            async || String::new(),
        )
        .await;
        let address = |name: &str| format!("http://{}", ready[name].as_str().expect("an address"));
        Gateway {
            url: address("listen"),
            admin: address("admin"),
            _process: process,
        }
    }
}

/// A game server on a free port, with a store of its own.
#[derive(Debug)]
pub struct Starvault {
    process: Process,
    directory: TempDir,
    options: &'static [&'static str],
    /// `127.0.0.1:PORT`
    pub address: String,
}

impl Starvault {
    pub async fn start(release: &str) -> Starvault {
        Self::start_with(release, &[]).await
    }

    /// Another release on the store and signing key of this one.
    pub async fn start_beside(&self, release: &str) -> Starvault {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let state = self.directory.path();
        let (process, address) =
            serve_beside(directory.path(), state, "127.0.0.1:0", release, self.options).await;
        Starvault {
            process,
            directory,
            options: self.options,
            address,
        }
    }

    /// Waits until the process has gone down in order.
    pub fn drain(&mut self) {
        assert!(
            self.process.ends_within(PATIENCE),
            "a server that was told to stop goes on:\n{}",
            self.process.output()
        );
    }

    /// Where its games are.
    pub fn store(&self) -> String {
        format!(
            "sqlite:{}",
            self.directory.path().join("starvault.sqlite").display()
        )
    }

    /// `options` are more words for `starvault serve`.
    pub async fn start_with(release: &str, options: &'static [&'static str]) -> Starvault {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (process, address) = serve_beside(
            directory.path(),
            directory.path(),
            "127.0.0.1:0",
            release,
            options,
        )
        .await;
        Starvault {
            process,
            directory,
            options,
            address,
        }
    }

    /// Kills the process without a word and starts another one on the same port and store.
    pub async fn kill_and_restart(&mut self, release: &str) {
        self.process.kill();
        self.start_again(release).await;
    }

    /// Lets the process go down in order and starts another one on the same port and store.
    pub async fn drain_and_restart(&mut self, release: &str) {
        self.drain();
        self.start_again(release).await;
    }

    async fn start_again(&mut self, release: &str) {
        (self.process, self.address) = serve_beside(
            self.directory.path(),
            self.directory.path(),
            &self.address,
            release,
            self.options,
        )
        .await;
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

/// Starts a server whose ready file and log lie in `directory`, with the store and key of `state`.
async fn serve_beside(
    directory: &Path,
    state: &Path,
    listen: &str,
    release: &str,
    options: &[&str],
) -> (Process, String) {
    let ready_file = directory.join("ready.json");
    let _ = fs::remove_file(&ready_file);
    let mut process = Process::start(
        Command::new(binary("starvault", "starvault-server"))
            .args([
                "serve",
                "--exit-on-stdin-close",
                "--listen",
                listen,
                "--release",
                release,
            ])
            .arg("--store")
            .arg(format!("sqlite:{}", state.join("starvault.sqlite").display()))
            .arg("--signing-key")
            .arg(state.join("signing-key.pem"))
            .arg("--ready-file")
            .arg(&ready_file)
            .args(options),
        directory.join("starvault.log"),
    );
    let text = eventually(
        "starvault to serve",
        async || {
            if process.ended() {
                panic!("starvault ended before it served:\n{}", process.output());
            }
            fs::read_to_string(&ready_file).ok()
        },
        async || String::new(),
    )
    .await;
    let ready: serde_json::Value = serde_json::from_str(&text).expect("the ready file is JSON");
    let address = ready["address"]
        .as_str()
        .expect("the ready file names the address")
        .to_owned();
    (process, address)
}
