//! The `tminus-gateway` command: parses, builds, runs.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue};
use serde_json::json;
use tminus_gateway::config::{self, Config, ConfigError};
use tminus_gateway::explain::Asked;
use tminus_gateway::{server, transcoding};
use tminus_telemetry::TelemetryArgs;
use tokio_util::sync::CancellationToken;

/// A request makes and drops many small things: this takes less time for it than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A check failed.
const EXIT_FAILED: u8 = 1;
/// The command could not run.
const EXIT_COULD_NOT_RUN: u8 = 2;

/// Carries players to two releases of a backend: rules, weights, stickiness, draining.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway until SIGTERM or Ctrl-C.
    Run {
        /// The configuration file.
        config: PathBuf,
        /// Written once the gateway listens: {"listen","admin","pid"}.
        #[arg(long, value_name = "PATH")]
        ready_file: Option<PathBuf>,
        /// Also stop when standard input ends, as when the parent process dies.
        #[arg(long)]
        exit_on_stdin_close: bool,
        #[command(flatten)]
        telemetry: TelemetryArgs,
    },
    /// Check a configuration file and say what is wrong with it.
    Check {
        /// The configuration file.
        config: PathBuf,
        /// Answer as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Say which backend a request would get by a configuration file, and why.
    ///
    /// It is the decision at the start: weights set and backends drained since then are not in the file.
    #[command(after_help = "Example: tminus-gateway explain gateway.yaml /v1/play -H 'x-version: v1.3'")]
    Explain {
        /// The configuration file.
        config: PathBuf,
        /// Path and query of the request.
        #[arg(value_name = "PATH[?QUERY]")]
        target: PathAndQuery,
        /// A header of the request; can be given several times.
        #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
        headers: Vec<(HeaderName, HeaderValue)>,
        /// The address that the request comes from.
        #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
        from: IpAddr,
        /// Answer as JSON.
        #[arg(long)]
        json: bool,
    },
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let wrong = || "write it like 'x-version: v1.3'".to_owned();
    let (name, value) = text.split_once(':').ok_or_else(wrong)?;
    let name = name.trim().parse().map_err(|_| wrong())?;
    let value = value.trim().parse().map_err(|_| wrong())?;
    Ok((name, value))
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run {
            config,
            ready_file,
            exit_on_stdin_close,
            telemetry,
        } => run(&config, ready_file.as_deref(), exit_on_stdin_close, &telemetry),
        Command::Check { config, json } => check(&config, json),
        Command::Explain {
            config,
            target,
            headers,
            from,
            json,
        } => {
            let asked = Asked {
                headers: &headers.into_iter().collect(),
                query: target.query(),
                client: from,
            };
            explain(&config, asked, json)
        }
    };
    done.unwrap_or_else(|error| {
        eprintln!("tminus-gateway: {error:#}");
        ExitCode::from(EXIT_COULD_NOT_RUN)
    })
}

fn read(path: &Path) -> anyhow::Result<Result<Config, ConfigError>> {
    let yaml = fs::read_to_string(path)
        .with_context(|| format!("cannot read the configuration {}", path.display()))?;
    Ok(config::parse(&yaml, &path.display().to_string()))
}

fn check(path: &Path, as_json: bool) -> anyhow::Result<ExitCode> {
    let checked = read(path)?.and_then(|config| transcoding::load(&config).map(|_| config));
    match (&checked, as_json) {
        (Ok(_), true) => println!("{}", json!({ "ok": true })),
        (Ok(config), false) => {
            println!(
                "{}: fine, {} backends and {} rules",
                path.display(),
                config.backends.len(),
                config.routes.rules.len()
            );
        }
        (Err(error), true) => println!(
            "{}",
            json!({ "ok": false, "file": error.file, "line": error.line, "column": error.column, "what": error.what })
        ),
        (Err(error), false) => eprintln!("{error}"),
    }
    Ok(if checked.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_FAILED)
    })
}

fn explain(path: &Path, asked: Asked<'_>, as_json: bool) -> anyhow::Result<ExitCode> {
    let config = match read(path)? {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return Ok(ExitCode::from(EXIT_FAILED));
        }
    };
    let explained = tminus_gateway::explain::explain(&config, asked)?;
    if as_json {
        println!("{}", serde_json::to_string(&explained)?);
    } else {
        print!("{explained}");
    }
    Ok(ExitCode::SUCCESS)
}

fn run(
    path: &Path,
    ready_file: Option<&Path>,
    exit_on_stdin_close: bool,
    telemetry: &TelemetryArgs,
) -> anyhow::Result<ExitCode> {
    let config = read(path)??;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let telemetry = telemetry.install("tminus-gateway", env!("CARGO_PKG_VERSION"))?;
        let shutdown = CancellationToken::new();
        // Before the gateway is ready, so that no signal after the ready file is lost.
        let signalled = signals()?;
        let running = server::start(&config, shutdown.clone())?;
        tracing::info!(listen = %running.listen, admin = %running.admin, "serving");
        if let Some(path) = ready_file {
            write_ready_file(path, &running)?;
        }
        if exit_on_stdin_close {
            let shutdown = shutdown.clone();
            std::thread::spawn(move || {
                let mut sink = [0; 1024];
                // An error on standard input is an end of it, too.
                while matches!(io::stdin().read(&mut sink), Ok(read) if read > 0) {}
                shutdown.cancel();
            });
        }
        tokio::select! {
            () = signalled => shutdown.cancel(),
            () = shutdown.cancelled() => {}
        }
        tracing::info!("shutting down");
        running.stopped().await;
        telemetry.flush().await;
        Ok(ExitCode::SUCCESS)
    })
}

fn signals() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// By rename, so that a reader never sees half of it.
fn write_ready_file(path: &Path, running: &server::Running) -> anyhow::Result<()> {
    let content = json!({
        "listen": running.listen.to_string(),
        "admin": running.admin.to_string(),
        "pid": std::process::id(),
    });
    let mut name = path
        .file_name()
        .context("the ready file needs a name")?
        .to_owned();
    name.push(format!(".{}", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = fs::File::create(&temporary)
        .and_then(|mut file| file.write_all(content.to_string().as_bytes()))
        .and_then(|()| fs::rename(&temporary, path));
    written.with_context(|| format!("cannot write the ready file {}", path.display()))
}
