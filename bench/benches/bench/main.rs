//! Measures and prints; judges against the figures that the project promises, and says which one
//! is missed. Started by `cargo xtask bench`, which builds the programs that are measured.
//!
//! The clients of a run live in this one process, on one thread, so that a two-core machine leaves
//! the other core to the server. The server's CPU time and memory are read from `/proc`.

mod article;
mod bare;
mod checklist;
mod client;
mod engine;
mod gateway;
mod ids;
mod journal;
mod mariadb;
mod matchmaking;
mod process;
mod relay;
mod report;
mod rooms;
mod sightings;
mod snapshots;
mod transcode;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// That of the programs whose parts are measured in this process.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(
    name = "cargo xtask bench",
    about = "Measure speed: ours beside a baseline, in one run"
)]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Decisions of the queue beside a global mutex and 16 shards; tickets through real sockets.
    Matchmaking(Options),
    /// Ids and seeds: what the server does beside one lock and beside an atomic counter.
    Ids(Options),
    /// The journal of one machine: durable moves per second, and one alone beside the disk's own sync.
    Journal(Options),
    /// Memory of a connection, CPU of a move and of an emote, round trips, what one core holds.
    Rooms(rooms::RoomsOptions),
    /// Profiles that change all the time: how soon each change is in both copies, beside one row per transaction.
    Snapshots(snapshots::SnapshotsOptions),
    /// Two databases of a million rows, 39 of them different: `starvault data verify` beside pt-table-sync.
    Verify(verify::VerifyOptions),
    /// CPU of one call over HTTP/JSON through the transcoder, beside gRPC and beside a handler written by hand.
    Transcode(Options),
    /// The gateway beside nginx and haproxy: requests of HTTP/1.1, calls of gRPC, frames of WebSockets.
    Gateway(gateway::GatewayOptions),
    /// A checklist of 40 items: typeset beside Chromium's print of its HTML edition, sealed, verified, downloaded.
    Checklist(checklist::ChecklistOptions),
    /// One document in a process of its own. Started by `checklist`, as the next two.
    #[command(hide = true)]
    ChecklistOnce(checklist::OnceOptions),
    /// Seals by a key in a token.
    #[command(hide = true)]
    ChecklistSeals(checklist::SealsOptions),
    /// The portal that is downloaded from.
    #[command(hide = true)]
    ChecklistPortal(checklist::PortalOptions),
    /// The baseline of `rooms`: passes bytes on, nothing else. Started by it.
    #[command(hide = true)]
    BareRelay(bare::BareOptions),
}

/// How a run is made.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// The server to measure.
    #[arg(long, value_name = "PROGRAM")]
    server: PathBuf,
    /// The gateway to measure through.
    #[arg(long, value_name = "PROGRAM")]
    gateway: PathBuf,
    /// Connected players.
    #[arg(long, default_value_t = 10_000)]
    players: usize,
    /// Decides arrivals, moves and thinking times.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Given by cargo; means nothing here.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<bool> {
    let (report, json) = match cli.what {
        What::Matchmaking(options) => (matchmaking::run(&options)?, options.json),
        What::Ids(options) => (ids::run(options.seed), options.json),
        What::Journal(options) => (journal::run(options.seed)?, options.json),
        What::Rooms(options) => (rooms::run(&options)?, options.all.json),
        What::Snapshots(options) => (snapshots::run(&options)?, options.all.json),
        What::Verify(options) => (verify::run(&options)?, options.all.json),
        What::Transcode(options) => (transcode::run()?, options.json),
        What::Gateway(options) => (gateway::run(&options)?, options.json),
        What::Checklist(options) => (checklist::run(&options)?, options.json),
        What::ChecklistOnce(options) => return checklist::once(&options).map(|()| true),
        What::ChecklistSeals(options) => return checklist::seals(&options).map(|()| true),
        What::ChecklistPortal(options) => return checklist::serve(&options).map(|()| true),
        What::BareRelay(options) => return bare::serve(&options).map(|()| true),
    };
    if json {
        println!("{}", report.to_json());
    } else {
        print!("{}", report.to_table());
    }
    Ok(report.holds())
}

/// One thread for all clients: see the module.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}
