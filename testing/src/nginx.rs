//! An nginx with a configuration of the test, in a folder of its own, ended when it is dropped.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use crate::{free_port, unpacked::program, unpacked_folder::NGINX};

/// Runs until it is dropped.
#[derive(Debug)]
pub struct NginxServer {
    folder: TempDir,
    port: u16,
}

impl NginxServer {
    /// With this configuration; nothing runs yet.
    #[must_use]
    pub fn new(http: &str) -> Self {
        let server = Self {
            folder: tempfile::tempdir().expect("a folder for nginx"),
            port: free_port(),
        };
        server.configure(http);
        server
    }

    /// Writes the configuration; `http` is the inside of its `http` block, in which `PORT` and `FOLDER` stand for
    /// what they are. An nginx that runs is not told.
    pub fn configure(&self, http: &str) {
        let folder = self.folder().display().to_string();
        let http = http
            .replace("PORT", &self.port.to_string())
            .replace("FOLDER", &folder);
        let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|name| format!("    {name}_temp_path {folder}/{name};\n"))
            .collect();
        let config = format!(
            "daemon on;\nworker_processes 2;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log notice;\n\
             events {{ worker_connections 256; }}\nhttp {{\n    access_log off;\n{paths}{http}\n}}\n"
        );
        fs::write(self.config(), config).expect("a configuration is written");
    }

    /// Starts it and returns once it takes connections.
    ///
    /// # Panics
    /// It does not start; the message has what it said.
    pub fn start(&self) {
        // It goes to the background once its sockets are bound.
        let said = self.call(&["-c", &self.config().display().to_string()]);
        assert!(said.is_ok(), "nginx does not start: {said:?}");
    }

    /// The words of its program that come before others: its prefix and where it complains before it has read its configuration.
    #[must_use]
    pub fn program(&self) -> Vec<String> {
        vec![
            program(&NGINX).display().to_string(),
            "-p".to_owned(),
            self.folder().display().to_string(),
            "-e".to_owned(),
            self.folder().join("error.log").display().to_string(),
        ]
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.folder().join("nginx.conf")
    }

    /// Ends it and waits until it has.
    pub fn stop(&self) {
        let Ok(pid) = fs::read_to_string(self.folder().join("nginx.pid")) else {
            return;
        };
        // Its own program would read the configuration first, which may be broken.
        let _ = Command::new("kill").args(["-TERM", pid.trim()]).status();
        let process = format!("/proc/{}", pid.trim());
        for _ in 0..500 {
            if !Path::new(&process).exists() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    fn call(&self, arguments: &[&str]) -> Result<(), String> {
        let words = self.program();
        let output = Command::new(&words[0])
            .args(&words[1..])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // A pipe would stay open in the master.
            .stderr(fs::File::create(self.folder().join("said")).map_err(|e| e.to_string())?)
            .status()
            .map_err(|e| e.to_string())?;
        if output.success() {
            return Ok(());
        }
        Err(fs::read_to_string(self.folder().join("said")).unwrap_or_default())
    }
}

impl Drop for NginxServer {
    fn drop(&mut self) {
        self.stop();
    }
}
