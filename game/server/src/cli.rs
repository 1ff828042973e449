//! The command line: `starvault serve`, `journal check`, `migrate`, `data verify`, `dead-letters`, `openapi`,
//! `descriptors`.
//!
//! Exit codes: 0 it went well, 1 a check failed, 2 it could not run.

mod credentials;
mod data;
mod dead_letters;
mod recover;

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::SocketAddr,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::Duration,
};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};
use tokio_util::sync::CancellationToken;

use starvault_matchmaking::Settings;
use starvault_wire::v1;
use tminus_flags::{FileOptions, Override};
use tminus_openapi::Dialect;
use tminus_telemetry::TelemetryArgs;

use crate::{
    Config, CredentialsShown, Injection, Network, RedisUrl, Regions, Release, Server, SnapshotStores,
    StartError, bind, openapi_document, parse_clock,
};
use credentials::CredentialArgs;
use data::{DataCommand, TwoStores, UrlText};
use dead_letters::DeadLettersCommand;
use recover::RecoverArgs;

/// Starvault 星穹棋局: the backend of an online three-check chess.
#[derive(Debug, Parser)]
#[command(name = "starvault", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve players: HTTP/JSON, gRPC, WebSocket and the play page on one port.
    Serve(Box<ServeArgs>),
    /// Look into the store.
    #[command(subcommand)]
    Journal(JournalCommand),
    /// Make or update the tables of both snapshot stores. Can run at any time, beside a running release.
    Migrate(TwoStores),
    /// Look into the snapshot stores.
    #[command(subcommand)]
    Data(DataCommand),
    /// Fill an empty Redis from the copies in both snapshot stores, after the one before was lost.
    Recover(RecoverArgs),
    /// Ended games of a store in Redis whose players could not be told.
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// Print the OpenAPI document of the HTTP interface.
    Openapi(OpenapiArgs),
    /// Print the contract as an encoded google.protobuf.FileDescriptorSet, with its imports: what a gateway that
    /// transcodes wants to have.
    Descriptors,
}

#[derive(Debug, Subcommand)]
enum JournalCommand {
    /// Prove that every game in the store is whole; exits with 1 if not.
    Check(CheckArgs),
}

#[derive(Debug, Args)]
struct ServeArgs {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Serve figures for Prometheus at http://ADDRESS/metrics and the feature flags at /flags, an address of this machine alone such as
    /// 127.0.0.1:9100; port 0 takes a free one. Off unless asked for.
    #[arg(long, value_name = "ADDRESS", value_parser = loopback)]
    admin: Option<SocketAddr>,
    /// The store: sqlite:PATH, which several processes of one machine can share, or redis://[USER:PASSWORD@]HOST:PORT
    /// or redis-cluster://HOST:PORT,…, which several machines can. rediss:// and rediss-cluster:// are over TLS, with
    /// ?cacert=FILE and ?cert=FILE&key=FILE.
    #[arg(long, value_name = "STORE", env = "STARVAULT_STORE", hide_env_values = true)]
    store: UrlText,
    /// Copy players' profiles to this store: mysql://USER:PASSWORD@HOST:PORT/DATABASE, tidb://… or sqlite:PATH,
    /// made by `starvault migrate`. Off unless asked for; a store that is down holds nobody up.
    #[arg(
        long,
        value_name = "URL",
        requires = "secondary",
        env = "STARVAULT_PRIMARY",
        hide_env_values = true
    )]
    primary: Option<UrlText>,
    /// And to this one.
    #[arg(
        long,
        value_name = "URL",
        requires = "primary",
        env = "STARVAULT_SECONDARY",
        hide_env_values = true
    )]
    secondary: Option<UrlText>,
    /// Be one of several nodes of this release: they share players, games and the lobby over this Redis
    /// (redis://[USER:PASSWORD@]HOST:PORT) and one store. `none`: be the only process of this release. Unless
    /// given, it is the store's Redis if the store is redis://, else none.
    #[arg(long, value_name = "URL", env = "STARVAULT_NODES", hide_env_values = true)]
    nodes: Option<UrlText>,
    /// The label of this release, e.g. v1.3.
    #[arg(long)]
    release: Release,
    /// The Ed25519 key that signs tokens (PEM); made if missing. Releases that serve the same
    /// players share it.
    #[arg(long, value_name = "PATH")]
    signing_key: PathBuf,
    #[command(flatten)]
    credentials: CredentialArgs,
    /// Written once the server is ready: {"address","pid","release"}, and "admin" if that was asked for.
    #[arg(long, value_name = "PATH")]
    ready_file: Option<PathBuf>,
    /// Go down in order when standard input ends, as it does when the parent process dies.
    #[arg(long)]
    exit_on_stdin_close: bool,
    /// Faults on purpose, for rehearsals: errors, latency or stall, optionally @SHARE.
    #[arg(long, value_name = "FAULT[@SHARE]")]
    inject: Option<Injection>,
    /// Open connections at most, WebSockets included.
    #[arg(long, default_value_t = crate::Limits::default().connections_max)]
    max_connections: usize,
    /// Open connections of one address at most. The default stops nobody on a server of the default
    /// size: a rehearsal with 10,000 players, a school or a phone carrier can share one address.
    /// Lower it where players come from everywhere. IPv6 addresses count by /64.
    #[arg(long, value_name = "COUNT", default_value_t = crate::Limits::default().connections_per_address_max)]
    max_connections_per_address: usize,
    /// Guests that one address may sign in per minute. High for the same reason.
    #[arg(long, value_name = "COUNT", default_value_t = crate::Limits::default().sign_ins_per_minute)]
    max_sign_ins_per_minute: u32,
    /// Commands that one connection may send per second; twice as many may come at once.
    #[arg(long, value_name = "COUNT", default_value_t = crate::Limits::default().commands_per_second)]
    max_commands_per_second: u32,
    /// Emotes that one connection may send in five seconds.
    #[arg(long, value_name = "COUNT", default_value_t = crate::Limits::default().emotes_max)]
    max_emotes: u32,
    /// A gateway whose `x-forwarded-for` is believed: an address or a network such as 10.0.0.0/8.
    /// Can be given several times. Without it, everybody behind a gateway counts as one address.
    #[arg(long = "trusted-proxy", value_name = "NETWORK")]
    trusted_proxies: Vec<Network>,
    /// Where players can wait, comma-separated; the first is the default. Players of one region
    /// meet each other and nobody else.
    #[arg(long, value_name = "NAMES", default_value = "local")]
    regions: Regions,
    /// How far from their own rating opponents are accepted at first, in rating points.
    #[arg(long, value_name = "POINTS", default_value_t = Settings::default().window_initial)]
    match_window: u32,
    /// By how many rating points that grows with each second of waiting.
    #[arg(long, value_name = "POINTS", default_value_t = Settings::default().window_growth_per_second)]
    match_window_growth: u32,
    /// After this wait anybody is accepted, in milliseconds.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = Settings::default().wait_ms_max)]
    match_wait_max: u64,
    /// So long the opponent of the last game is avoided while somebody else waits, in milliseconds.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = Settings::default().avoid_ms)]
    match_avoid: u64,
    /// The same while nobody else waits, in milliseconds.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = Settings::default().avoid_alone_ms)]
    match_avoid_alone: u64,
    /// Feature flags in flagd's JSON, read again whenever the file changes; see docs/flags.md. A file that cannot be used stops
    /// the start; later the last good one stays in force.
    #[arg(long, value_name = "FILE")]
    flags: Option<PathBuf>,
    /// The environment, e.g. staging: FILE.staging.json beside FILE.json comes over it, and rules see it as `environment`.
    #[arg(long, value_name = "NAME", requires = "flags", value_parser = environment)]
    flags_env: Option<String>,
    /// A flag's value whatever the file says, e.g. feature.match.v2=true. Can be given several times.
    #[arg(long = "flag", value_name = "KEY=VALUE")]
    flag_overrides: Vec<Override>,
    /// How long a ticket keeps its place while its player has no connection, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    ticket_grace: u32,
    /// Thinking time in seconds, and what each move adds.
    #[arg(long, value_name = "SECONDS+INCREMENT", default_value = "180+2", value_parser = parse_clock)]
    clock: starvault_rules::Clock,
    /// How long a player may be away from a running game before it is forfeited, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    disconnect_grace: u32,
    /// How much of a player's measured round trip each move is not charged, in milliseconds: 500 at
    /// most. 0 while a release that knows no lag may still take over games from this store.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = starvault_rules::LAG_PER_MOVE_MAX_MS)]
    lag_compensation: u32,
    /// Threads that carry connections and games; the journal writes on one more. By default one less
    /// than there are cores, so that all of them have a core to themselves.
    #[arg(long, value_name = "COUNT")]
    threads: Option<NonZeroUsize>,
    #[command(flatten)]
    telemetry: TelemetryArgs,
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// The store: sqlite:PATH or redis://HOST:PORT.
    #[arg(long, value_name = "STORE", env = "STARVAULT_STORE", hide_env_values = true)]
    store: UrlText,
    /// What clients were told is durable: lines of {"game_id","command_id","sequence","player_id"}.
    #[arg(long, value_name = "FILE.jsonl")]
    acknowledged: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct OpenapiArgs {
    #[arg(long, value_enum, default_value_t = DocumentFormat::Json)]
    format: DocumentFormat,
    /// The version of the OpenAPI Specification.
    #[arg(long, value_name = "VERSION", default_value = "3.1", value_parser = ["3.0", "3.1"])]
    openapi: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DocumentFormat {
    Json,
    Yaml,
}

/// Runs what the command line asks for.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    let outcome = match cli.command {
        Command::Serve(arguments) => serve(*arguments).map(|()| ExitCode::SUCCESS),
        Command::Journal(JournalCommand::Check(arguments)) => check(&arguments),
        Command::Migrate(stores) => data::migrate(&stores),
        Command::Data(command) => data::data(&command),
        Command::Recover(arguments) => recover::run(&arguments),
        Command::DeadLetters(command) => dead_letters::run(&command),
        Command::Openapi(arguments) => openapi(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Descriptors => print(v1::FILE_DESCRIPTOR_SET).map(|()| ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("starvault: {error:#}");
        ExitCode::from(2)
    })
}

fn openapi(arguments: &OpenapiArgs) -> anyhow::Result<()> {
    let dialect = Dialect::from_name(&arguments.openapi).context("--openapi is 3.0 or 3.1")?;
    let document = openapi_document(dialect, &CredentialsShown::all())?;
    let text = match arguments.format {
        DocumentFormat::Json => tminus_openapi::to_json(&document)?,
        DocumentFormat::Yaml => tminus_openapi::to_yaml(&document)?,
    };
    print(text.as_bytes())
}

fn print(bytes: &[u8]) -> anyhow::Result<()> {
    io::stdout()
        .write_all(bytes)
        .context("cannot write to standard output")
}

/// One core less than there are, and one at least.
fn spare_cores() -> NonZeroUsize {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    NonZeroUsize::new(cores - 1).unwrap_or(NonZeroUsize::MIN)
}

fn serve(arguments: ServeArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(arguments.threads.unwrap_or_else(spare_cores).get())
        .enable_all()
        .build()?;
    let telemetry = {
        let _within = runtime.enter();
        arguments
            .telemetry
            .install("starvault", arguments.release.as_str())?
    };
    let snapshots = match (&arguments.primary, &arguments.secondary) {
        (Some(primary), Some(secondary)) => {
            let [primary, secondary] = data::two_stores(primary, secondary)?;
            Some(SnapshotStores { primary, secondary })
        }
        _ => None,
    };
    let credentials = arguments.credentials.read()?;
    let nodes = meeting_place(arguments.nodes.as_ref(), &arguments.store)?;
    runtime.block_on(async move {
        let shutdown = CancellationToken::new();
        let listen = |address| bind(address).map_err(|source| StartError::Listen { address, source });
        let listener = listen(arguments.listen)?;
        let admin = arguments.admin.map(listen).transpose()?;
        let release = arguments.release;
        let mut config = Config::new(arguments.store.store()?, release.clone(), arguments.signing_key);
        config.snapshots = snapshots;
        config.credentials = credentials;
        config.nodes = nodes;
        config.clock = arguments.clock;
        config.injection = arguments.inject;
        config.limits.connections_max = arguments.max_connections;
        config.limits.connections_per_address_max = arguments.max_connections_per_address;
        config.limits.sign_ins_per_minute = arguments.max_sign_ins_per_minute;
        config.limits.commands_per_second = arguments.max_commands_per_second;
        config.limits.commands_burst = arguments.max_commands_per_second.saturating_mul(2);
        config.limits.emotes_max = arguments.max_emotes;
        config.limits.ticket_grace = Duration::from_secs(arguments.ticket_grace.into());
        config.trusted_proxies = arguments.trusted_proxies;
        config.regions = arguments.regions;
        config.matching = Settings {
            window_initial: arguments.match_window,
            window_growth_per_second: arguments.match_window_growth,
            wait_ms_max: arguments.match_wait_max,
            avoid_ms: arguments.match_avoid,
            avoid_alone_ms: arguments.match_avoid_alone,
            ..config.matching
        };
        config.flags.file = arguments.flags;
        config.flags.environment = arguments.flags_env;
        config.flags.overrides = arguments.flag_overrides;
        config.limits.disconnect_grace = Duration::from_secs(arguments.disconnect_grace.into());
        config.limits.lag_compensation_max = Duration::from_millis(arguments.lag_compensation.into());
        let mut server = Server::build(config, listener).await?;
        let address = server.address()?;
        let mut ready = serde_json::json!({
            "address": address.to_string(), "pid": std::process::id(), "release": release.as_str(),
        });
        if let Some(admin) = admin {
            let address = admin.local_addr()?;
            tracing::info!(%address, "serving figures");
            ready["admin"] = address.to_string().into();
            server = server.with_admin(admin);
        }
        stop_on_signals(&shutdown)?;
        if arguments.exit_on_stdin_close {
            stop_on_stdin_close(shutdown.clone());
        }
        let serving = tokio::spawn(server.run(shutdown.clone()));
        if let Some(path) = &arguments.ready_file
            && let Err(error) = write_by_rename(path, &format!("{ready}\n"))
        {
            shutdown.cancel();
            let _ = serving.await;
            return Err(error).with_context(|| format!("cannot write the ready file {}", path.display()));
        }
        tracing::info!(%address, %release, "serving");
        let stopped = serving.await.context("the server stopped unexpectedly");
        telemetry.flush().await;
        stopped
    })
}

/// Where the nodes of this release meet. Whoever puts the store into a Redis means to run several: without being
/// told, they would each have a lobby and lose time over games that the others have.
fn meeting_place(nodes: Option<&UrlText>, store: &UrlText) -> anyhow::Result<Option<RedisUrl>> {
    let (name, text) = match nodes {
        Some(nodes) if nodes.as_str() == "none" => return Ok(None),
        Some(nodes) => ("--nodes", nodes.as_str()),
        None if store.as_str().starts_with("redis://") || store.as_str().starts_with("rediss://") => {
            ("--store", store.as_str())
        }
        None => return Ok(None),
    };
    match text.parse() {
        Ok(url) => Ok(Some(url)),
        Err(wrong) => anyhow::bail!("{name}: {wrong}"),
    }
}

fn environment(name: &str) -> Result<String, String> {
    if FileOptions::is_environment(name) {
        Ok(name.to_owned())
    } else {
        Err("an environment has 1 to 64 characters of A-Z a-z 0-9 _ -, e.g. staging".to_owned())
    }
}

/// The figures are for this machine: there is nobody's password to ask for.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_| "an address and a port, e.g. 127.0.0.1:9100")?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err(format!(
            "other machines can reach {address}; use a loopback address such as 127.0.0.1"
        ))
    }
}

fn stop_on_signals(shutdown: &CancellationToken) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let shutdown = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        shutdown.cancel();
    });
    Ok(())
}

/// On a thread of its own: a blocked read must not hold the runtime.
fn stop_on_stdin_close(shutdown: CancellationToken) {
    thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        let mut buffer = [0; 256];
        loop {
            match stdin.read(&mut buffer) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        shutdown.cancel();
    });
}

/// Whoever waits for the file never sees half of it.
fn write_by_rename(path: &Path, text: &str) -> io::Result<()> {
    let own = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = fs::File::create(&own)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&own, path)
}

fn check(arguments: &CheckArgs) -> anyhow::Result<ExitCode> {
    let store = arguments.store.store()?;
    let checking = starvault_store::check_store(&store, arguments.acknowledged.clone());
    let report = data::runtime()?.block_on(checking)?;
    let mut out = io::stdout().lock();
    if arguments.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        writeln!(
            out,
            "games {}, events {}, acknowledged {}",
            report.games, report.events, report.acknowledged
        )?;
        writeln!(
            out,
            "lost {}, twice {}, broken {}",
            report.lost, report.twice, report.broken
        )?;
        for finding in &report.findings {
            let game = finding
                .game_id
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_else(|| "-".into());
            writeln!(out, "{:?} {game}: {}", finding.kind, finding.what)?;
        }
    }
    Ok(if report.is_clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_served_to_this_machine_alone() {
        for address in ["127.0.0.1:0", "127.9.9.9:9100", "[::1]:9100"] {
            assert!(loopback(address).is_ok(), "{address}");
        }
        for address in [
            "0.0.0.0:9100",
            "[::]:0",
            "10.0.0.1:9100",
            "localhost:1",
            "127.0.0.1",
            "",
        ] {
            assert!(loopback(address).is_err(), "{address}");
        }
    }

    #[test]
    fn nodes_meet_where_their_store_is_unless_told_otherwise() {
        let text = |text: &str| text.parse::<UrlText>().unwrap();
        let meet = |nodes: Option<&str>, store: &str| {
            let place = meeting_place(nodes.map(text).as_ref(), &text(store)).unwrap();
            place.map(|url| url.to_string())
        };
        let other = Some("redis://10.0.0.2:6379");
        assert_eq!(meet(None, "sqlite:a"), None);
        assert_eq!(meet(None, "redis-cluster://a:1,b:1"), None);
        assert_eq!(
            meet(None, "redis://me:s@10.0.0.1:6379").unwrap(),
            "redis://10.0.0.1:6379"
        );
        assert_eq!(meet(Some("none"), "redis://10.0.0.1:6379"), None);
        for store in ["sqlite:a", "redis://10.0.0.1:6379", "redis-cluster://a:1"] {
            assert_eq!(meet(other, store).as_deref(), other);
        }
        let wrong = meeting_place(Some(&text("http://me:s3cret@x")), &text("sqlite:a")).unwrap_err();
        assert!(!wrong.to_string().contains("s3cret"), "{wrong}");
    }
}
