//! The fleet of a rehearsal: backend in two releases and the gateway before them, as child processes.
//!
//! Every child listens on a free port of loopback and says where in its ready file. They end when
//! this process does, however it does (see `process`).

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use futures_util::FutureExt as _;
use futures_util::future::select_all;
use serde::Deserialize;

use crate::cli::Fault;
use crate::error::{CliError, Result};
use crate::layout::Layout;
use crate::process::{Child, Start, sibling_program, start};

/// Releases of a rehearsal: what is in service, and what is to take over.
pub const STABLE_VERSION: &str = "v1.2";
pub const CANARY_VERSION: &str = "v1.3";

/// The programs that a rehearsal starts.
#[derive(Debug, Clone)]
pub struct Programs {
    pub starvault: PathBuf,
    pub gateway: PathBuf,
}

impl Programs {
    /// Looks for them beside this program.
    ///
    /// # Errors
    /// One is missing: named, with the command that builds it.
    pub fn beside_this_one() -> Result<Self> {
        let starvault = sibling_program("starvault", "starvault-server");
        let gateway = sibling_program("tminus-gateway", "tminus-gateway");
        match (starvault, gateway) {
            (Ok(starvault), Ok(gateway)) => Ok(Self { starvault, gateway }),
            // Both in one message, so that nobody builds twice.
            (Err(mut first), Err(second)) => {
                first.message = format!("{}; {}", first.message, second.message);
                first.hints = vec![
                    "build them beside `tminus`: cargo build -p starvault-server -p tminus-gateway"
                        .to_owned(),
                ];
                Err(first)
            }
            (Err(one), Ok(_)) | (Ok(_), Err(one)) => Err(one),
        }
    }
}

/// The running children.
#[derive(Debug)]
pub struct Fleet {
    stable: Child,
    canary: Child,
    gateway: Child,
    pub gateway_url: String,
    pub gateway_config: PathBuf,
    pub admin_url: String,
    pub stable_url: String,
    pub canary_url: String,
}

#[derive(Debug, Deserialize)]
struct BackendReady {
    address: String,
}

#[derive(Debug, Deserialize)]
struct GatewayReady {
    listen: String,
    admin: String,
}

/// Starts stable, canary and gateway; answers when all of them serve.
///
/// # Errors
/// A child does not come up: with its last log lines. The others are stopped.
pub async fn launch(
    programs: &Programs,
    layout: &Layout,
    players: u32,
    fault: Option<Fault>,
) -> Result<Fleet> {
    let stable = backend(programs, layout, "stable", STABLE_VERSION, players, None);
    let canary = backend(programs, layout, "canary", CANARY_VERSION, players, fault);
    let ((stable, stable_ready), (canary, canary_ready)) = tokio::try_join!(stable, canary)?;
    let stable_url = format!("http://{}", stable_ready.address);
    let canary_url = format!("http://{}", canary_ready.address);

    let config = layout.state().join("gateway.yaml");
    crate::layout::write_whole(&config, gateway_config(&stable_url, &canary_url).as_bytes())?;
    let ready_file = layout.state().join("gateway.ready.json");
    let what = Start {
        name: "gateway".to_owned(),
        program: &programs.gateway,
        arguments: vec![
            "run".to_owned(),
            text(&config),
            "--ready-file".to_owned(),
            text(&ready_file),
            "--exit-on-stdin-close".to_owned(),
        ],
        log: layout.logs().join("gateway.log"),
        ready_file,
    };
    let (gateway, ready) = start::<GatewayReady>(what).await?;
    Ok(Fleet {
        stable,
        canary,
        gateway,
        gateway_url: format!("http://{}", ready.listen),
        gateway_config: config,
        admin_url: format!("http://{}", ready.admin),
        stable_url,
        canary_url,
    })
}

async fn backend(
    programs: &Programs,
    layout: &Layout,
    role: &str,
    version: &str,
    players: u32,
    fault: Option<Fault>,
) -> Result<(Child, BackendReady)> {
    let ready_file = layout.state().join(format!("{role}.ready.json"));
    let mut arguments: Vec<String> = ["serve", "--listen", "127.0.0.1:0", "--store"]
        .map(str::to_owned)
        .to_vec();
    arguments.push(format!("sqlite:{}", layout.store().display()));
    arguments.extend(["--release".to_owned(), version.to_owned()]);
    arguments.extend([
        "--signing-key".to_owned(),
        text(&layout.state().join("signing-key.pem")),
    ]);
    arguments.extend(["--ready-file".to_owned(), text(&ready_file)]);
    arguments.push("--exit-on-stdin-close".to_owned());
    // Every player may hold a socket and a request; a rollback brings the other release's too.
    arguments.extend([
        "--max-connections".to_owned(),
        (players.saturating_mul(4) + 200).to_string(),
    ]);
    if let Some(fault) = fault {
        arguments.extend(["--inject".to_owned(), fault.name().to_owned()]);
    }
    start(Start {
        name: format!("backend {version} ({role})"),
        program: &programs.starvault,
        arguments,
        log: layout.logs().join(format!("starvault-{role}.log")),
        ready_file,
    })
    .await
}

/// The gateway's configuration: the canary at weight 0, a pin for each release, and the 70/30 rule.
fn gateway_config(stable_url: &str, canary_url: &str) -> String {
    let mut yaml = String::new();
    let _ = write!(
        yaml,
        "# Written by `tminus rehearse`.
listen: 127.0.0.1:0
admin: 127.0.0.1:0
sticky: [bearer-subject, \"header:x-session-id\", client-ip]
affinity_query: at
state_file: gateway.state.json
upstream_timeout_ms: 2000
# Shorter than a caller waits: a body that stands still is given up in time.
limits: {{ body_idle_timeout_ms: 4000 }}
backends:
  stable: {{ url: \"{stable_url}\", version: {STABLE_VERSION} }}
  canary: {{ url: \"{canary_url}\", version: {CANARY_VERSION} }}
rules:
  - {{ name: pin-{STABLE_VERSION}, header: {{ x-version: {STABLE_VERSION} }}, split: {{ stable: 100 }} }}
  - {{ name: pin-{CANARY_VERSION}, header: {{ x-version: {CANARY_VERSION} }}, split: {{ canary: 100 }} }}
  - {{ name: article-split, header: {{ x-version: split }}, split: {{ stable: 70, canary: 30 }} }}
default: {{ split: {{ stable: 100, canary: 0 }} }}
"
    );
    yaml
}

impl Fleet {
    /// Resolves when a child has ended by itself, with the error that says so.
    pub async fn one_died(&self) -> CliError {
        let (error, _, _) = select_all([
            self.stable.has_died().boxed(),
            self.canary.has_died().boxed(),
            self.gateway.has_died().boxed(),
        ])
        .await;
        error
    }

    /// Ends all children, the gateway first so that nobody is sent to a backend that is gone.
    pub async fn stop(self) {
        self.gateway.stop().await;
        tokio::join!(self.stable.stop(), self.canary.stop());
    }

    /// `name pid` of each child, for the log.
    pub fn pids(&self) -> String {
        [&self.stable, &self.canary, &self.gateway]
            .map(|c| format!("{} pid {}", c.name(), c.pid()))
            .join(", ")
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
