//! A real MariaDB server on a free loopback port, in a folder of its own; gone when it is dropped.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use sqlx::{AssertSqlSafe, ConnectOptions as _, MySqlConnection, mysql::MySqlConnectOptions};
use tempfile::TempDir;

/// A user without the right to write on a read-only server.
pub const USER: &str = "star";
pub const PASSWORD: &str = "s3cret";

#[derive(Debug)]
pub struct MariaDb {
    folder: TempDir,
    port: u16,
    more: Vec<String>,
    child: Mutex<Option<Child>>,
}

/// A program that Debian keeps out of a user's path.
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/bin".into()]);
    folders
        .map(|folder| folder.join(name))
        .find(|path| path.exists())
        .unwrap_or_else(|| {
            panic!("{name} is missing; install the packages mariadb-server-core and mariadb-client-core (`cargo xtask setup` does)")
        })
}

fn succeeded(output: &Output) {
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// MariaDB refuses to run as root unless told so.
fn as_this_user() -> Option<&'static str> {
    let output = Command::new("id").arg("-u").output().expect("id");
    (output.stdout.trim_ascii() == b"0").then_some("--user=root")
}

impl MariaDb {
    pub fn start() -> MariaDb {
        MariaDb::start_with(|_| Vec::new())
    }

    /// With more on its command line; told its folder.
    pub fn start_with(more: impl FnOnce(&Path) -> Vec<String>) -> MariaDb {
        let folder = tempfile::tempdir().unwrap();
        let mut install = Command::new(program("mariadb-install-db"));
        install
            // In a shared one, two installations at once take each other's temporary tables away.
            .env("TMPDIR", folder.path())
            .arg("--no-defaults")
            .arg(format!("--datadir={}", folder.path().join("data").display()))
            .args(["--auth-root-authentication-method=normal", "--skip-test-db"])
            .args(as_this_user());
        succeeded(&install.output().unwrap());
        let users = format!(
            "CREATE USER IF NOT EXISTS admin@'127.0.0.1';
             GRANT ALL ON *.* TO admin@'127.0.0.1';
             CREATE USER IF NOT EXISTS {USER}@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';
             GRANT ALL ON `snap_%`.* TO {USER}@'127.0.0.1';\n"
        );
        // The server reads one statement per line.
        let users = users.replace("\n             ", " ").replace("; ", ";\n");
        fs::write(folder.path().join("users.sql"), users).unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let server = MariaDb {
            more: more(folder.path()),
            folder,
            port,
            child: Mutex::new(None),
        };
        server.go_on();
        server
    }

    /// Starts it, on the files that are there.
    pub fn go_on(&self) {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let mut child = Command::new(program("mariadbd"))
            .arg("--no-defaults")
            .env("TMPDIR", self.folder.path())
            .arg(format!("--datadir={}", path("data")))
            .arg(format!("--socket={}", path("socket")))
            .arg(format!("--pid-file={}", path("pid")))
            .arg(format!("--init-file={}", path("users.sql")))
            .arg(format!("--port={}", self.port))
            .args([
                "--skip-networking=0",
                "--bind-address=127.0.0.1",
                "--skip-name-resolve",
            ])
            .args(["--innodb-buffer-pool-size=64M", "--performance-schema=OFF"])
            .args(as_this_user())
            .args(&self.more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let mut said = Vec::new();
        let ready = lines.by_ref().any(|line| {
            let ready = line.contains("ready for connections");
            said.push(line);
            ready
        });
        if !ready {
            let _ = child.kill();
            panic!("MariaDB does not start: {}", said.join("\n"));
        }
        // Nobody may make it wait for a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        *self.child() = Some(child);
    }

    /// As a power failure of its machine would, short of the disk.
    pub fn kill(&self) {
        if let Some(mut child) = self.child().take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn child(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new, empty database; its URL.
    pub async fn database(&self, name: &str) -> String {
        let name = format!("snap_{name}");
        self.run(&format!("CREATE DATABASE {name}")).await;
        self.url(&name)
    }

    pub fn url(&self, database: &str) -> String {
        format!("mysql://{USER}:{PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }

    pub async fn run(&self, sql: &str) {
        let mut connection = self.connect("mysql").await;
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut connection)
            .await
            .unwrap();
    }

    /// With every right.
    pub async fn connect(&self, database: &str) -> MySqlConnection {
        let options = MySqlConnectOptions::new()
            .host("127.0.0.1")
            .port(self.port)
            .username("admin")
            .database(database)
            .ssl_mode(sqlx::mysql::MySqlSslMode::Preferred);
        options.connect().await.unwrap()
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Two servers that tests share as long as one of them runs; each test has databases of its own.
pub fn shared() -> Arc<[MariaDb; 2]> {
    static SHARED: Mutex<Weak<[MariaDb; 2]>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(servers) = shared.upgrade() {
        return servers;
    }
    let servers = Arc::new([MariaDb::start(), MariaDb::start()]);
    *shared = Arc::downgrade(&servers);
    servers
}
