//! A Redis server that can be killed as a machine is, and started again on what it had on disk.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, SocketAddr},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tempfile::TempDir;

use crate::free_port;

/// When what was written reaches the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fsync {
    /// Before it is answered.
    #[default]
    Always,
    /// Within a second after.
    EverySecond,
}

#[derive(Clone, Debug, Default)]
pub struct RedisOptions {
    pub fsync: Fsync,
    /// More of its command line, such as `--maxmemory 10mb`, one word each.
    pub more: Vec<String>,
}

/// Runs until it is dropped.
#[derive(Debug)]
pub struct RedisServer {
    folder: TempDir,
    port: u16,
    options: RedisOptions,
    child: Mutex<Option<Child>>,
}

/// Taken by somebody else between our asking for a free port and the server's binding it.
const TRIES: usize = 5;

impl RedisServer {
    /// With an append-only file that is synced before anything is answered.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(RedisOptions::default())
    }

    /// # Panics
    /// It does not start; the message has what it said.
    #[must_use]
    pub fn start_with(options: RedisOptions) -> Self {
        let mut said = String::new();
        for _ in 0..TRIES {
            let server = Self {
                folder: tempfile::tempdir().expect("a folder for Redis"),
                port: free_port(),
                options: options.clone(),
                child: Mutex::new(None),
            };
            match server.spawn() {
                Ok(()) => return server,
                Err(why) => said = why,
            }
        }
        panic!("Redis does not start: {said}");
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Where its files are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// As a power failure of its machine would, short of the disk.
    pub fn kill(&self) {
        if let Some(mut child) = self.child().take() {
            child.kill().expect("this process may end its child");
            child.wait().expect("this process may wait for its child");
        }
    }

    /// Starts it again, on the files that are there.
    ///
    /// # Panics
    /// It does not start.
    pub fn go_on(&self) {
        let mut said = String::new();
        for _ in 0..TRIES {
            match self.spawn() {
                Ok(()) => return,
                Err(why) => said = why,
            }
        }
        panic!("Redis does not go on: {said}");
    }

    /// Killed, and its files are gone with it.
    pub fn lose_everything(&self) {
        self.kill();
        let files = fs::read_dir(self.folder()).expect("the folder of Redis");
        for file in files.flatten() {
            let path = file.path();
            let gone = if path.is_dir() {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            };
            gone.expect("files of this test");
        }
    }

    /// Ready once it answers.
    fn spawn(&self) -> Result<(), String> {
        let (program, name) = program();
        let fsync = match self.options.fsync {
            Fsync::Always => "always",
            Fsync::EverySecond => "everysec",
        };
        let mut child = Command::new(program)
            .arg0(name)
            .args(["--bind", "127.0.0.1"])
            .arg("--port")
            .arg(self.port.to_string())
            .arg("--dir")
            .arg(self.folder())
            .args(["--appendonly", "yes", "--appendfsync", fsync, "--save", ""])
            .args(&self.options.more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        let Some(output) = child.stdout.take() else {
            return Err("it has no output".to_owned());
        };
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let mut said = Vec::new();
        let ready = lines.by_ref().any(|line| {
            let ready = line.contains("Ready to accept connections");
            said.push(line);
            ready
        });
        if !ready {
            let _ = child.kill();
            let _ = child.wait();
            return Err(said.join("\n"));
        }
        // Nobody may make it wait for a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        *self.child() = Some(child);
        Ok(())
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The server and the name that it is called by. Debian has one program under several names: the tools'
/// package holds it without the service that the server's package would start.
fn program() -> (PathBuf, &'static str) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).chain(["/usr/bin".into()]).collect();
    ["redis-server", "redis-check-rdb"]
        .into_iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|path| path.exists())
        .map(|path| (path, "redis-server"))
        .unwrap_or_else(|| {
            panic!("redis-server is missing; install the package redis-tools (`cargo xtask setup` does)")
        })
}
