//! A Prometheus that scrapes what a test serves, every second.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use crate::{free_port, unpacked::program, unpacked_folder::PROMETHEUS};

/// It tells nobody when it is ready.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);
const READY_LOOKS_MAX: u32 = 1_200;

/// Runs until it is dropped.
#[derive(Debug)]
pub struct PrometheusServer {
    folder: TempDir,
    port: u16,
    child: Child,
}

impl PrometheusServer {
    /// Scrapes `/metrics` of these `host:port`s. It answers at once, and takes some seconds until it scrapes first.
    ///
    /// # Panics
    /// It does not start; the message has what it said.
    #[must_use]
    pub fn start(targets: &[String]) -> Self {
        let folder = tempfile::tempdir().expect("a folder for Prometheus");
        let port = free_port();
        let config = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\nscrape_configs:\n  - job_name: test\n    \
             static_configs: [{{ targets: {targets:?} }}]\n"
        );
        fs::write(folder.path().join("prometheus.yml"), config).expect("a configuration is written");
        let log = fs::File::create(folder.path().join("log")).expect("a log");
        let child = Command::new(program(&PROMETHEUS))
            .arg("--config.file=prometheus.yml")
            .arg("--storage.tsdb.path=data")
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("Prometheus starts");
        let mut server = Self { folder, port, child };
        for _ in 0..READY_LOOKS_MAX {
            if server.is_ready() {
                return server;
            }
            let ended = server
                .child
                .try_wait()
                .expect("this process may ask for its child");
            assert!(ended.is_none(), "Prometheus has ended: {}", server.log());
            std::thread::sleep(BETWEEN_LOOKS);
        }
        panic!("Prometheus is not ready: {}", server.log());
    }

    fn is_ready(&self) -> bool {
        let ask = || {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
            stream.write_all(b"GET /-/ready HTTP/1.0\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok::<_, std::io::Error>(answer.starts_with("HTTP/1.0 200"))
        };
        ask().unwrap_or(false)
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What it has said, for the message of a failure.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// As a failure of its machine would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for PrometheusServer {
    fn drop(&mut self) {
        self.kill();
    }
}
