//! The least that a relay can do with this runtime on this system: read what one socket has, write it
//! to another. No frames, no names, no limits. What the server takes beyond it is its own doing.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::process;

/// As long as an emote's frame on the wire (bytes).
const MESSAGE_BYTES: usize = 48;

#[derive(Debug, Clone, Args)]
pub struct BareOptions {
    /// Told where it listens.
    #[arg(long)]
    ready_file: PathBuf,
    /// Given by cargo; means nothing here.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Serves until standard input closes: the connections that come first and second hear each other, and
/// so on. One worker thread, as the server has on two cores.
pub fn serve(options: &BareOptions) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        std::fs::write(&options.ready_file, format!("{{\"address\":\"{address}\"}}"))?;
        tokio::spawn(accept(listener));
        let mut input = [0];
        while tokio::io::stdin().read(&mut input).await? > 0 {}
        Ok(())
    })
}

async fn accept(listener: TcpListener) -> std::io::Result<()> {
    loop {
        let mut pair = Vec::with_capacity(2);
        while pair.len() < 2 {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            pair.push(Arc::new(stream));
        }
        for (from, to) in [(0, 1), (1, 0)] {
            tokio::spawn(pass_on(pair[from].clone(), pair[to].clone()));
        }
    }
}

async fn pass_on(from: Arc<TcpStream>, to: Arc<TcpStream>) -> std::io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        from.readable().await?;
        match from.try_read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(bytes) => {
                // A socket takes so little at once.
                to.try_write(&buffer[..bytes])?;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// CPU time of a message through it, in microseconds, at the rate of the emotes.
pub async fn measure(
    pairs: usize,
    per_second: f64,
    warm_up: Duration,
    measured: Duration,
    seed: u64,
) -> anyhow::Result<f64> {
    let own = std::env::current_exe().context("this program has no path")?;
    let program = process::own(&own, "bare-relay")?;
    let arrived = Arc::new(AtomicU64::new(0));
    let mut players = JoinSet::new();
    for n in 0..2 * pairs {
        let stream = TcpStream::connect(program.address).await?;
        stream.set_nodelay(true)?;
        let random = StdRng::seed_from_u64(seed.wrapping_add(n as u64));
        players.spawn(talk(stream, per_second, random, arrived.clone()));
    }
    tokio::time::sleep(warm_up).await;
    let (began, cpu, before) = (Instant::now(), program.cpu()?, arrived.load(Ordering::Relaxed));
    tokio::time::sleep(measured).await;
    let cpu = program.cpu()?.saturating_sub(cpu);
    let messages = arrived.load(Ordering::Relaxed) - before;
    let expected = 2.0 * pairs as f64 * per_second * began.elapsed().as_secs_f64();
    if (messages as f64) < 0.95 * expected {
        bail!("of {expected:.0} messages {messages} arrived: this run says nothing");
    }
    Ok(cpu.as_secs_f64() * 1e6 / messages as f64)
}

async fn talk(
    mut stream: TcpStream,
    per_second: f64,
    mut random: StdRng,
    arrived: Arc<AtomicU64>,
) -> anyhow::Result<()> {
    let period = Duration::from_secs_f64(1.0 / per_second);
    let first = tokio::time::Instant::now() + period.mul_f64(random.random());
    let mut due = tokio::time::interval_at(first, period);
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut heard, mut buffer) = (0, [0; 4096]);
    loop {
        tokio::select! {
            _ = due.tick() => stream.write_all(&[7; MESSAGE_BYTES]).await?,
            bytes = stream.read(&mut buffer) => {
                heard += bytes?;
                arrived.fetch_add((heard / MESSAGE_BYTES) as u64, Ordering::Relaxed);
                heard %= MESSAGE_BYTES;
            }
        }
    }
}
