//! `tminus-gateway` beside nginx and haproxy: small requests of HTTP/1.1, small calls of gRPC, small frames of WebSockets.
//!
//! Ours does all that it does in its usual configuration (rules, stickiness, request ids, deadlines, figures); the others
//! only split 70 to 30. Each has the same number of threads on cores of its own; clients and backends share one thread of
//! this process on another core. The load is closed: a fixed number of requests is under way at any moment, the same
//! for all three, and the P99 is of that. Rounds take turns, and a ratio is the median of the rounds' ratios.

mod backend;
mod clients;
mod proxies;
mod vigil;
mod wire;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, ValueEnum};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::report::{Limit, Report, quantile, sorted};
use clients::{GrpcClient, HttpClient, Tally, WebSocketClient};
use proxies::{Proxy, Setup};
use vigil::Vigil;

const HTTP_CONNECTIONS: usize = 32;
const GRPC_CONNECTIONS: usize = 16;
const GRPC_CALLS_PER_CONNECTION: usize = 4;
const WEBSOCKETS: usize = 512;
const WARM_UP: Duration = Duration::from_millis(400);

/// How a run is made.
#[derive(Debug, Clone, Args)]
pub struct GatewayOptions {
    /// The gateway to measure.
    #[arg(long, value_name = "PROGRAM")]
    gateway: PathBuf,
    /// Threads of each proxy, each on a core of its own.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// How often each proxy has its turn.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// How long a turn is measured, in milliseconds.
    #[arg(long, default_value_t = 1_200)]
    turn_ms: u64,
    /// One workload instead of all.
    #[arg(long, value_enum)]
    only: Option<Workload>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
    /// Given by cargo; means nothing here.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Workload {
    Http,
    Grpc,
    Websocket,
}

/// What a workload promises: at least, at most, at most.
#[derive(Debug, Clone, Copy)]
struct Promise {
    rps: f64,
    cpu: f64,
    p99: f64,
}

/// One turn of one proxy.
#[derive(Debug, Clone, Copy)]
struct Turn {
    per_s: f64,
    cpu_us: f64,
    p99_us: f64,
    /// Shares of one core.
    proxy_share: f64,
    load_share: f64,
}

pub fn run(options: &GatewayOptions) -> anyhow::Result<Report> {
    let cores = cores()?;
    ensure!(
        options.threads >= 1 && options.rounds >= 1,
        "at least one thread and one round"
    );
    ensure!(
        options.threads <= cores.len(),
        "{} threads on {} cores",
        options.threads,
        cores.len()
    );
    let (ours, rest) = cores.split_at(options.threads);
    let joined = |cores: &[String]| cores.join(",");
    // Before the runtime, so that all of its threads are bound.
    bind_to(&if rest.is_empty() {
        joined(ours)
    } else {
        joined(rest)
    })?;
    raise_files()?;
    crate::runtime()?.block_on(measure(options, joined(ours), rest.is_empty()))
}

async fn measure(options: &GatewayOptions, cores: String, shared: bool) -> anyhow::Result<Report> {
    let backends = [backend::start().await?, backend::start().await?];
    let setup = Setup {
        backends,
        threads: options.threads,
        cores,
    };
    let vigil = Vigil::begin(!shared);
    let proxies = [setup.gateway(&options.gateway)?, setup.nginx()?, setup.haproxy()?];
    let mut report = Report::default();
    for workload in [Workload::Http, Workload::Grpc, Workload::Websocket] {
        if options.only.is_some_and(|only| only != workload) {
            continue;
        }
        let mut rounds = Vec::with_capacity(options.rounds);
        for round in 0..options.rounds {
            let mut turns = [None; 3];
            for n in 0..3 {
                let at = (round + n) % 3;
                let turn = turn(
                    &proxies[at],
                    &vigil,
                    workload,
                    Duration::from_millis(options.turn_ms),
                )
                .await;
                turns[at] = Some(turn.with_context(|| format!("{}, {workload:?}", NAMES[at]))?);
            }
            rounds.extend(all(turns));
        }
        tell(&mut report, workload, &rounds);
    }
    report.note(format!(
        "{} rounds that take turns, {} ms each; {} thread(s) per proxy; the same number of requests under way for all: \
         {HTTP_CONNECTIONS} of HTTP/1.1, {} calls on {GRPC_CONNECTIONS} connections, {WEBSOCKETS} WebSockets",
        options.rounds,
        options.turn_ms,
        options.threads,
        GRPC_CONNECTIONS * GRPC_CALLS_PER_CONNECTION
    ));
    report.note("shares are of one core; a proxy near 1 with a load below 1 is what is measured");
    if shared {
        report.note("clients and backends had no core of their own: figures of several threads are rough");
    }
    Ok(report)
}

const NAMES: [&str; 3] = ["gateway", "nginx", "haproxy"];

fn all(turns: [Option<Turn>; 3]) -> Option<[Turn; 3]> {
    let [first, second, third] = turns;
    Some([first?, second?, third?])
}

async fn turn(proxy: &Proxy, vigil: &Vigil, workload: Workload, length: Duration) -> anyhow::Result<Turn> {
    let tally = Tally::default();
    let mut talks = JoinSet::new();
    let connect = async |address| TcpStream::connect(address).await.context("no connection");
    match workload {
        Workload::Http => {
            for session in 0..HTTP_CONNECTIONS {
                let (client, first) = HttpClient::new(session, tally.clone());
                talks.spawn(wire::talk(connect(proxy.http).await?, client, first));
            }
        }
        Workload::Grpc => {
            for session in 0..GRPC_CONNECTIONS {
                let (client, first) = GrpcClient::new(session, GRPC_CALLS_PER_CONNECTION, tally.clone())?;
                talks.spawn(wire::talk(connect(proxy.grpc).await?, client, first));
            }
        }
        Workload::Websocket => {
            for session in 0..WEBSOCKETS {
                let (client, first) = WebSocketClient::new(session, tally.clone());
                talks.spawn(wire::talk(connect(proxy.http).await?, client, first));
            }
        }
    }
    unbroken(&mut talks, WARM_UP).await?;
    tally.take();
    let (began, proxy_cpu, load_cpu) = (Instant::now(), proxy.cpu_s()?, vigil.busy_s());
    unbroken(&mut talks, length).await?;
    let took_s = began.elapsed().as_secs_f64();
    let (proxy_cpu, load_cpu) = (proxy.cpu_s()? - proxy_cpu, vigil.busy_s() - load_cpu);
    let answers = sorted(tally.take());
    ensure!(!answers.is_empty(), "nothing was answered");
    // A message there and a message back.
    let messages = if workload == Workload::Websocket { 2.0 } else { 1.0 };
    let count = answers.len() as f64 * messages;
    Ok(Turn {
        per_s: count / took_s,
        cpu_us: proxy_cpu * 1e6 / count,
        p99_us: quantile(&answers, 0.99),
        proxy_share: proxy_cpu / took_s,
        load_share: load_cpu / took_s,
    })
}

/// Waits, while no connection may end.
async fn unbroken(talks: &mut JoinSet<anyhow::Result<()>>, length: Duration) -> anyhow::Result<()> {
    match tokio::time::timeout(length, talks.join_next()).await {
        Err(_) => Ok(()),
        Ok(Some(ended)) => {
            ended??;
            bail!("the proxy closed a connection")
        }
        Ok(None) => bail!("there is no connection"),
    }
}

/// Keys of one workload: of the ratios beside each other proxy, then of each proxy's own figures.
struct Keys {
    ratios: [[&'static str; 3]; 2],
    own: [[&'static str; 5]; 3],
}

macro_rules! keys {
    ($prefix:literal) => {
        Keys {
            ratios: [
                [
                    concat!($prefix, "ratio_rps_vs_nginx"),
                    concat!($prefix, "ratio_cpu_vs_nginx"),
                    concat!($prefix, "ratio_p99_vs_nginx"),
                ],
                [
                    concat!($prefix, "ratio_rps_vs_haproxy"),
                    concat!($prefix, "ratio_cpu_vs_haproxy"),
                    concat!($prefix, "ratio_p99_vs_haproxy"),
                ],
            ],
            own: [
                keys!($prefix, "gateway"),
                keys!($prefix, "nginx"),
                keys!($prefix, "haproxy"),
            ],
        }
    };
    ($prefix:literal, $name:literal) => {
        [
            concat!($prefix, "rps_", $name),
            concat!($prefix, "cpu_us_", $name),
            concat!($prefix, "p99_us_", $name),
            concat!($prefix, "core_share_", $name),
            concat!($prefix, "load_core_share_", $name),
        ]
    };
}

fn tell(report: &mut Report, workload: Workload, rounds: &[[Turn; 3]]) {
    let (keys, nginx, haproxy) = match workload {
        Workload::Http => {
            let nginx = Promise {
                rps: 1.15,
                cpu: 0.85,
                p99: 0.95,
            };
            (keys!(""), Some(nginx), Some(1.1))
        }
        Workload::Grpc => {
            let nginx = Promise {
                rps: 1.0,
                cpu: 0.8,
                p99: 1.0,
            };
            (keys!("grpc_"), Some(nginx), None)
        }
        Workload::Websocket => (keys!("ws_"), None, None),
    };
    let at_least = |limit: Option<f64>| limit.map_or(Limit::None, Limit::AtLeast);
    let at_most = |limit: Option<f64>| limit.map_or(Limit::None, Limit::AtMost);
    let limits = [
        [
            at_least(nginx.map(|promise| promise.rps)),
            at_most(nginx.map(|promise| promise.cpu)),
            at_most(nginx.map(|promise| promise.p99)),
        ],
        [at_least(haproxy), Limit::None, Limit::None],
    ];
    let figures: [fn(&Turn) -> f64; 5] = [
        |turn| turn.per_s,
        |turn| turn.cpu_us,
        |turn| turn.p99_us,
        |turn| turn.proxy_share,
        |turn| turn.load_share,
    ];
    let median = |values: Vec<f64>| quantile(&sorted(values), 0.5);
    for (other, (keys, limits)) in keys.ratios.iter().zip(limits).enumerate() {
        for ((key, limit), figure) in keys.iter().zip(limits).zip(figures) {
            let ratios = rounds
                .iter()
                .map(|turns| figure(&turns[0]) / figure(&turns[1 + other]));
            report.add(key, median(ratios.collect()), "times", limit);
        }
    }
    let unit = if workload == Workload::Websocket {
        "messages/s"
    } else {
        "1/s"
    };
    for (at, keys) in keys.own.iter().enumerate() {
        for ((key, unit), figure) in keys.iter().zip([unit, "us", "us", "cores", "cores"]).zip(figures) {
            report.add(
                key,
                median(rounds.iter().map(|turns| figure(&turns[at])).collect()),
                unit,
                Limit::None,
            );
        }
    }
}

/// Cores that this process may use.
fn cores() -> anyhow::Result<Vec<String>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .context("/proc/self/status names no cores")?;
    let mut cores = Vec::new();
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        cores.extend((first.parse::<usize>()?..=last.parse()?).map(|core| core.to_string()));
    }
    Ok(cores)
}

fn bind_to(cores: &str) -> anyhow::Result<()> {
    let bound = Command::new("taskset")
        .args(["-cp", cores, &std::process::id().to_string()])
        .output();
    let bound = bound.context("cannot start taskset: install the Debian package util-linux")?;
    ensure!(
        bound.status.success(),
        "taskset: {}",
        String::from_utf8_lossy(&bound.stderr)
    );
    Ok(())
}

/// Clients and backends have both ends of their connections in this process.
fn raise_files() -> anyhow::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("cannot raise the limit of open files")
}
