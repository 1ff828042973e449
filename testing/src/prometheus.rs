//! A Prometheus that scrapes what a test serves, every second.

use std::{
    fs,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::{free_port, unpacked::program, unpacked_folder::PROMETHEUS};

/// Runs until it is dropped.
#[derive(Debug)]
pub struct PrometheusServer {
    folder: TempDir,
    port: u16,
    child: Child,
}

impl PrometheusServer {
    /// Scrapes `/metrics` of these `host:port`s. It takes some seconds until it does so first.
    ///
    /// # Panics
    /// It cannot be started.
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
        Self { folder, port, child }
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
