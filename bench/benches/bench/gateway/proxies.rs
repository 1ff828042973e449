//! The three proxies: each started on free ports with a configuration of its own, bound to its cores, and gone at the end.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const FILES: &str = "--nofile=16384:16384";
const START_MAX: Duration = Duration::from_secs(10);
const STOP_MAX: Duration = Duration::from_secs(10);

/// A proxy that runs.
#[derive(Debug)]
pub struct Proxy {
    child: Child,
    /// HTTP/1.1 and WebSocket.
    pub http: SocketAddr,
    /// gRPC over HTTP/2 by prior knowledge.
    pub grpc: SocketAddr,
    _folder: TempDir,
}

/// What all three are told alike.
#[derive(Debug, Clone)]
pub struct Setup {
    /// They get 70 % and 30 %.
    pub backends: [SocketAddr; 2],
    pub threads: usize,
    /// As taskset takes them.
    pub cores: String,
}

impl Setup {
    /// Ours, in its usual configuration.
    pub fn gateway(&self, program: &Path) -> anyhow::Result<Proxy> {
        let [stable, canary] = self.backends;
        let config = format!(
            "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nsticky: [bearer-subject, \"header:x-session-id\"]\nbackends:\n  \
             stable: {{ url: \"http://{stable}\", version: v1.2 }}\n  canary: {{ url: \"http://{canary}\", version: v1.3 }}\n\
             default: {{ split: {{ stable: 70, canary: 30 }} }}\nworkers: {}\n",
            self.threads
        );
        let folder = folder_with("gateway.yaml", &config)?;
        let ready = folder.path().join("ready.json");
        let mut command = self.command(program);
        command.arg("run").arg(folder.path().join("gateway.yaml"));
        command
            .args(["--exit-on-stdin-close", "--ready-file"])
            .arg(&ready);
        let child = spawn(command)?;
        let mut proxy = Proxy {
            child,
            http: stable,
            grpc: stable,
            _folder: folder,
        };
        proxy.wait_until(|| fs::read_to_string(&ready).is_ok_and(|text| !text.is_empty()))?;
        let told: serde_json::Value = serde_json::from_str(&fs::read_to_string(&ready)?)?;
        let address = told["listen"]
            .as_str()
            .context("the ready file names no address")?
            .parse()?;
        (proxy.http, proxy.grpc) = (address, address);
        Ok(proxy)
    }

    pub fn nginx(&self) -> anyhow::Result<Proxy> {
        let program = program("nginx", "nginx-light")?;
        let [stable, canary] = self.backends;
        let (http, grpc) = (free()?, free()?);
        // Kept as long as it goes: a connection made anew is not what is measured.
        let upstream = format!(
            "server {stable} weight=70; server {canary} weight=30; keepalive 1024; keepalive_requests 1000000000;"
        );
        let config = format!(
            "daemon off;\nworker_processes {};\npid nginx.pid;\nerror_log stderr error;\nevents {{ worker_connections 8192; }}\n\
             http {{\n  access_log off;\n  tcp_nodelay on;\n  keepalive_requests 1000000000;\n  \
             client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n  \
             map $http_upgrade $passed_on {{ default upgrade; '' ''; }}\n  \
             upstream http {{ {upstream} }}\n  upstream grpc {{ {upstream} }}\n  \
             server {{\n    listen {http};\n    location / {{\n      proxy_pass http://http;\n      proxy_http_version 1.1;\n      \
             proxy_set_header Upgrade $http_upgrade;\n      proxy_set_header Connection $passed_on;\n    }}\n  }}\n  \
             server {{\n    listen {grpc} http2;\n    location / {{ grpc_pass grpc://grpc; }}\n  }}\n}}\n",
            self.threads
        );
        let folder = folder_with("nginx.conf", &config)?;
        let mut command = self.command(&program);
        command
            .arg("-p")
            .arg(folder.path())
            .args(["-e", "stderr", "-c", "nginx.conf"]);
        Self::started(spawn(command)?, http, grpc, folder)
    }

    pub fn haproxy(&self) -> anyhow::Result<Proxy> {
        let program = program("haproxy", "haproxy")?;
        let [stable, canary] = self.backends;
        let (http, grpc) = (free()?, free()?);
        let config = format!(
            "global\n  nbthread {}\n  maxconn 8000\ndefaults\n  mode http\n  http-reuse always\n  timeout connect 1s\n  \
             timeout client 75s\n  timeout server 60s\n  timeout tunnel 300s\n  balance roundrobin\n\
             listen http\n  bind {http}\n  server stable {stable} weight 70\n  server canary {canary} weight 30\n\
             listen grpc\n  bind {grpc} proto h2\n  server stable {stable} weight 70 proto h2\n  \
             server canary {canary} weight 30 proto h2\n",
            self.threads
        );
        let folder = folder_with("haproxy.cfg", &config)?;
        let mut command = self.command(&program);
        command.args(["-db", "-f"]).arg(folder.path().join("haproxy.cfg"));
        Self::started(spawn(command)?, http, grpc, folder)
    }

    /// Bound to the cores, with enough files, and told to end when this program dies.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("setpriv");
        command.args([
            "--pdeathsig",
            "TERM",
            "prlimit",
            FILES,
            "taskset",
            "-c",
            &self.cores,
        ]);
        command.arg(program);
        command
    }

    fn started(child: Child, http: SocketAddr, grpc: SocketAddr, folder: TempDir) -> anyhow::Result<Proxy> {
        let mut proxy = Proxy {
            child,
            http,
            grpc,
            _folder: folder,
        };
        proxy.wait_until(|| {
            [http, grpc]
                .iter()
                .all(|address| TcpStream::connect(address).is_ok())
        })?;
        Ok(proxy)
    }
}

impl Proxy {
    fn wait_until(&mut self, is_ready: impl Fn() -> bool) -> anyhow::Result<()> {
        let began = Instant::now();
        while !is_ready() {
            if let Some(status) = self.child.try_wait()? {
                bail!("a proxy ended at its start ({status}); its words stand above");
            }
            if began.elapsed() > START_MAX {
                bail!("a proxy was not ready after {START_MAX:?}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// CPU time of the process and of its children, in seconds (their threads' schedstat, proc(5)).
    pub fn cpu_s(&self) -> anyhow::Result<f64> {
        let own = self.child.id().to_string();
        let mut nanoseconds = 0;
        for entry in fs::read_dir("/proc")? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(pid) = name
                .to_str()
                .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
            else {
                continue;
            };
            // A process that has just ended is no child any more.
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let parent = stat
                .rsplit_once(')')
                .and_then(|(_, rest)| rest.split_whitespace().nth(1));
            if pid != own && parent != Some(own.as_str()) {
                continue;
            }
            for thread in fs::read_dir(entry.path().join("task"))? {
                let path = thread?.path().join("schedstat");
                let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
                let time = text.split_whitespace().next().context("schedstat is empty")?;
                nanoseconds += time.parse::<u64>()?;
            }
        }
        Ok(nanoseconds as f64 / 1e9)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // nginx's first process ends the others when it is told in this way, and not when it is killed.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        drop(self.child.stdin.take());
        let began = Instant::now();
        while began.elapsed() < STOP_MAX {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program(name: &str, package: &str) -> anyhow::Result<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .with_context(|| format!("{name} is not here: install the Debian package {package}"))
}

/// A port that nobody uses at the moment.
fn free() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn folder_with(name: &str, content: &str) -> anyhow::Result<TempDir> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join(name), content)?;
    Ok(folder)
}

fn spawn(mut command: Command) -> anyhow::Result<Child> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .env("RUST_LOG", "error")
        .spawn()
        .with_context(|| format!("cannot start {:?}", command.get_program()))
}
