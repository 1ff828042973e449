//! A MariaDB server in a folder of its own, on a free port of the loopback; gone when it is dropped.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;

pub const USER: &str = "bench";
pub const DATABASE: &str = "bench";

#[derive(Debug)]
pub struct MariaDb {
    child: Child,
    port: u16,
    _folder: TempDir,
}

/// A program of a Debian package, which may lie outside of a user's path.
pub fn program(name: &str, package: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|path| path.exists())
        .with_context(|| format!("{name} is missing: sudo apt-get install {package}"))
}

/// Its output; an error with what it said if it fails.
pub fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot start {:?}", command.get_program()))?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ensure!(
        output.status.success(),
        "{:?} failed: {} {}",
        command.get_program(),
        said(&output.stdout),
        said(&output.stderr)
    );
    Ok(said(&output.stdout))
}

impl MariaDb {
    /// With an empty database.
    pub fn start() -> anyhow::Result<MariaDb> {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name).display().to_string();
        // MariaDB refuses to run as root unless told so.
        let root = output(Command::new("id").arg("-u"))?.trim() == "0";
        let user = root.then_some("--user=root");
        let mut install = Command::new(program("mariadb-install-db", "mariadb-server-core")?);
        install
            // In a shared one, two installations at once take each other's temporary tables away.
            .env("TMPDIR", folder.path())
            .args([
                "--no-defaults",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
            ])
            .arg(format!("--datadir={}", path("data")))
            .args(user);
        output(&mut install)?;
        fs::write(
            path("users.sql"),
            format!(
                "CREATE DATABASE IF NOT EXISTS {DATABASE};\nCREATE USER IF NOT EXISTS {USER}@'127.0.0.1';\nGRANT ALL ON *.* TO {USER}@'127.0.0.1';\n"
            ),
        )?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut child = Command::new(program("mariadbd", "mariadb-server-core")?)
            .arg("--no-defaults")
            .env("TMPDIR", folder.path())
            .arg(format!("--datadir={}", path("data")))
            .arg(format!("--socket={}", path("socket")))
            .arg(format!("--pid-file={}", path("pid")))
            .arg(format!("--init-file={}", path("users.sql")))
            .arg(format!("--port={port}"))
            .args([
                "--skip-networking=0",
                "--bind-address=127.0.0.1",
                "--skip-name-resolve",
            ])
            // Everything fits into memory: what is measured is comparing, not this machine's disk.
            .args([
                "--innodb-buffer-pool-size=1500M",
                "--innodb-log-file-size=256M",
                "--performance-schema=OFF",
            ])
            .args(user)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stderr.take().context("no stderr")?)
            .lines()
            .map_while(Result::ok);
        if !lines.any(|line| line.contains("ready for connections")) {
            let _ = child.kill();
            let _ = child.wait();
            bail!("mariadbd ended at its start");
        }
        std::thread::spawn(move || lines.for_each(drop));
        Ok(MariaDb {
            child,
            port,
            _folder: folder,
        })
    }

    pub fn url(&self) -> String {
        format!(
            "mysql://{USER}@127.0.0.1:{}/{DATABASE}?ssl-mode=DISABLED",
            self.port
        )
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn run(&self, sql: &str) -> anyhow::Result<String> {
        let mut client = Command::new(program("mariadb", "mariadb-client-core")?);
        client
            .arg("--no-defaults")
            .args(["--host=127.0.0.1", "--batch", "--skip-column-names"])
            .arg(format!("--port={}", self.port))
            .arg(format!("--user={USER}"))
            .arg(format!("--execute={sql}"))
            .arg(DATABASE);
        output(&mut client)
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
