//! The `tminus-gateway` command: parses, builds, runs.

mod commands;

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use serde_json::{Value, json};
use tminus_gateway::explain::{Question, Unanswered};
use tminus_gateway::reload::{self, ReloadError};
use tminus_gateway::server;
use tminus_gateway::state::Shared;
use tminus_gateway::weight::Weight;
use tminus_telemetry::TelemetryArgs;
use tokio_util::sync::CancellationToken;

use commands::{Admin, Refused};

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
    /// Run the gateway until SIGTERM or Ctrl-C. On SIGHUP it reads its configuration again.
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
    /// Read or set how a running gateway splits the players whom no rule speaks of.
    Weights {
        #[command(subcommand)]
        command: Weights,
    },
    /// Give a backend of a running gateway nothing new, and have its players come back to another one.
    ///
    /// Waits until its WebSockets are closed.
    #[command(after_help = "Example: tminus-gateway drain canary --over 10s")]
    Drain {
        /// The backend's name.
        backend: String,
        /// Close its WebSockets one after the other over this time, so that players do not come back all at once.
        #[arg(long, value_name = "TIME", default_value = "0s", value_parser = commands::duration)]
        over: Duration,
        #[command(flatten)]
        to: To,
    },
    /// Let a drained backend have players again.
    Undrain {
        /// The backend's name.
        backend: String,
        #[command(flatten)]
        to: To,
    },
    /// Have a running gateway read its configuration again. It takes all of it, or stays as it is.
    Reload {
        #[command(flatten)]
        to: To,
    },
    /// Say which backend a request would get, and why.
    ///
    /// By a configuration file it is the decision at the start; a running gateway (--admin) is asked for that of the
    /// moment, with the weights that were set and the backends that drain.
    #[command(after_help = "Examples:\n  \
        tminus-gateway explain --config gateway.yaml /v1/play -H 'x-version: v1.3'\n  \
        tminus-gateway explain --admin http://127.0.0.1:8081 https://play.example.com/v1/play --from 203.0.113.9")]
    Explain {
        /// Path and query of the request, or its whole URL.
        #[arg(value_name = "PATH[?QUERY]")]
        target: String,
        #[command(flatten)]
        by: By,
        /// The request's method.
        #[arg(short = 'X', long, default_value = "GET")]
        method: String,
        /// A header of the request; can be given several times.
        #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
        headers: Vec<(String, String)>,
        /// The address that the request comes from.
        #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
        from: IpAddr,
        /// Answer as JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
enum Weights {
    /// Tell the weights of the moment, in percent.
    Get {
        #[command(flatten)]
        to: To,
    },
    /// Set all weights at once; a backend that is left out gets 0.
    #[command(after_help = "Example: tminus-gateway weights set stable=99.5 canary=0.5")]
    Set {
        /// Percent for each backend; 100 in all.
        #[arg(required = true, value_name = "BACKEND=PERCENT", value_parser = commands::weight_of)]
        weights: Vec<(String, Weight)>,
        #[command(flatten)]
        to: To,
    },
}

/// A running gateway.
#[derive(Debug, Args)]
struct To {
    /// Its admin address.
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:8081",
        env = "TMINUS_GATEWAY_ADMIN"
    )]
    admin: Admin,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct By {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The admin address of a running gateway.
    #[arg(long, value_name = "URL")]
    admin: Option<Admin>,
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once(':')
        .ok_or_else(|| "write it like 'x-version: v1.3'".to_owned())?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
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
        Command::Weights {
            command: Weights::Get { to },
        } => tell(&to, to.admin.weights(), commands::weights_text),
        Command::Weights {
            command: Weights::Set { weights, to },
        } => {
            let weights = weights.into_iter().collect();
            tell(&to, to.admin.set_weights(&weights), commands::weights_text)
        }
        Command::Drain { backend, over, to } => tell(&to, to.admin.drain(&backend, over), |answer| {
            format!(
                "{backend} drains; WebSockets told to come back elsewhere: {}\n",
                answer["closed_websockets"]
            )
        }),
        Command::Undrain { backend, to } => tell(&to, to.admin.undrain(&backend), |_| {
            format!("{backend} has players again\n")
        }),
        Command::Reload { to } => tell(&to, to.admin.reload(), |answer| {
            format!(
                "the configuration was taken (generation {})\n",
                answer["generation"]
            )
        }),
        Command::Explain {
            target,
            by,
            method,
            headers,
            from,
            json,
        } => {
            let question = Question {
                method,
                target,
                headers,
                client: from,
            };
            explain(&by, &question, json)
        }
    };
    done.unwrap_or_else(|error| {
        eprintln!("tminus-gateway: {error:#}");
        let failed = error.is::<Refused>() || error.is::<Unanswered>();
        ExitCode::from(if failed { EXIT_FAILED } else { EXIT_COULD_NOT_RUN })
    })
}

fn check(path: &Path, as_json: bool) -> anyhow::Result<ExitCode> {
    let checked = match reload::read(path) {
        Ok((config, _)) => Ok(config),
        Err(ReloadError::Config(error)) => Err(error),
        Err(error) => return Err(error.into()),
    };
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

fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(future)
}

/// Prints what a running gateway answers.
fn tell(
    to: &To,
    asking: impl Future<Output = anyhow::Result<Value>>,
    text: impl FnOnce(&Value) -> String,
) -> anyhow::Result<ExitCode> {
    let answer = block_on(asking)?;
    if to.json {
        println!("{answer}");
    } else {
        print!("{}", text(&answer));
    }
    Ok(ExitCode::SUCCESS)
}

fn explain(by: &By, question: &Question, as_json: bool) -> anyhow::Result<ExitCode> {
    let explained = match (&by.config, &by.admin) {
        (Some(path), _) => match reload::read(path) {
            Ok((config, _)) => tminus_gateway::explain::explain(&config, question)?,
            Err(ReloadError::Config(error)) => {
                eprintln!("{error}");
                return Ok(ExitCode::from(EXIT_FAILED));
            }
            Err(error) => return Err(error.into()),
        },
        (None, Some(admin)) => block_on(admin.explain(question))?,
        (None, None) => unreachable!("the command line has one of the two"),
    };
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
    let (config, files) = reload::read(path)?;
    block_on(async {
        let telemetry = telemetry.install("tminus-gateway", env!("CARGO_PKG_VERSION"))?;
        let shutdown = CancellationToken::new();
        // Before the gateway is ready, so that no signal after the ready file is lost.
        let signalled = signals()?;
        let hangup = hangups()?;
        let running = server::start_with(&config, files, shutdown.clone())?;
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
        let reloading = hangup(Arc::clone(&running.shared));
        tokio::select! {
            () = signalled => shutdown.cancel(),
            () = shutdown.cancelled() => {}
            () = reloading => {}
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

/// Reads the configuration again at each SIGHUP.
fn hangups() -> io::Result<impl AsyncFnOnce(Arc<Shared>)> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move |shared: Arc<Shared>| {
        while hangup.recv().await.is_some() {
            // What it says is logged there.
            let _ = reload::reload(&shared);
        }
        std::future::pending::<()>().await;
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
