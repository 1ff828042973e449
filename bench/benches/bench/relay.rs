//! What players say that needs no commit: emotes, from one connection through the server to another.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use starvault_wire::v1::{Color, Emote, SendEmote, client_frame::Command, server_frame::Event};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::bare;
use crate::client::{self, Socket};
use crate::process;
use crate::report::{Limit, Report, quantile, sorted};

const PAIRS: usize = 500;
/// Emotes that each player sends in a second.
const PER_SECOND: f64 = 10.0;
const WARM_UP: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(10);
/// More than anybody here sends: the limits on abuse are not what is measured.
const ALLOWANCES: [&str; 4] = ["--max-commands-per-second", "10000", "--max-emotes", "10000"];

/// Both directions of one game, by the colour that sends.
type Pair = [Arc<OneWay>; 2];

/// From one player to the other, in order: when each emote that has not arrived was sent.
#[derive(Debug, Default)]
struct OneWay(Mutex<VecDeque<Instant>>);

impl OneWay {
    fn sent(&self) {
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.push_back(Instant::now());
    }

    fn arrived(&self) -> Option<Duration> {
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.pop_front().map(|sent| sent.elapsed())
    }

    fn under_way(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

#[derive(Debug, Default)]
struct Tally {
    arrived: AtomicU64,
    took_ms: Mutex<Vec<f64>>,
}

/// A player who sits at a game.
struct Seated {
    socket: Socket,
    game_id: String,
    color: Color,
}

pub async fn run(program: &Path, seed: u64, report: &mut Report) -> anyhow::Result<()> {
    eprintln!("{PAIRS} pairs that talk …");
    let server = process::server_with(program, None, &ALLOWANCES)?;
    let tokens = client::sign_in(server.address, 2 * PAIRS).await?;
    let mut sitting = JoinSet::new();
    for socket in client::connect_all(server.address, &tokens).await? {
        sitting.spawn(sit_down(socket));
    }
    let mut seated = Vec::with_capacity(2 * PAIRS);
    while let Some(player) = sitting.join_next().await {
        seated.push(player??);
    }

    let tally = Arc::new(Tally::default());
    let stop = CancellationToken::new();
    let mut pairs: HashMap<String, Pair> = HashMap::new();
    let mut players = JoinSet::new();
    for (n, player) in seated.into_iter().enumerate() {
        let pair = pairs.entry(player.game_id.clone()).or_default().clone();
        let random = StdRng::seed_from_u64(seed.wrapping_add(n as u64));
        players.spawn(talk(player, pair, random, tally.clone(), stop.clone()));
    }
    tokio::time::sleep(WARM_UP).await;
    let lost = || -> usize { pairs.values().flatten().map(|way| way.under_way()).sum() };
    let (began, cpu, arrived) = (
        Instant::now(),
        server.cpu()?,
        tally.arrived.load(Ordering::Relaxed),
    );
    lock(&tally.took_ms).clear();
    tokio::time::sleep(MEASURED).await;
    let (took, cpu) = (began.elapsed(), server.cpu()?.saturating_sub(cpu));
    let arrived = tally.arrived.load(Ordering::Relaxed) - arrived;
    let took_ms = sorted(std::mem::take(&mut *lock(&tally.took_ms)));
    let waiting = lost();
    stop.cancel();
    while let Some(ended) = players.join_next().await {
        ended??;
    }

    let per_second = arrived as f64 / took.as_secs_f64();
    let expected = 2.0 * PAIRS as f64 * PER_SECOND;
    if per_second < 0.95 * expected || waiting as f64 > expected {
        bail!(
            "of {expected} emotes a second {per_second:.0} arrived, {waiting} did not: this run says nothing"
        );
    }
    let ours = cpu.as_secs_f64() * 1e6 / arrived.max(1) as f64;
    report.add("cpu_us_per_relay", ours, "µs", Limit::AtMost(12.0));
    drop(server);
    let bare = bare::measure(PAIRS, PER_SECOND, WARM_UP, MEASURED, seed).await?;
    report.add("cpu_us_per_bare_relay", bare, "µs", Limit::None);
    report.add("ratio_vs_bare_relay", ours / bare, "", Limit::None);
    report.add("relays_per_s", per_second, "emotes/s", Limit::None);
    report.add("relay_p99_ms", quantile(&took_ms, 0.99), "ms", Limit::None);
    report.note("a bare relay: bytes read from one socket and written to another, as fast as tokio can");
    report.note("a relayed message: an emote, read from one connection, checked, written to the other");
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn sit_down(mut socket: Socket) -> anyhow::Result<Seated> {
    socket.send(client::join()).await?;
    loop {
        match socket.next().await? {
            Event::Matched(matched) => {
                let color = matched.you_play();
                let game_id = matched.game.context("a match without its game")?.game_id;
                return Ok(Seated {
                    socket,
                    game_id,
                    color,
                });
            }
            Event::Error(error) => bail!("refused: {error:?}"),
            _ => {}
        }
    }
}

/// Says something at a steady rate, from a moment of its own on, and hears what the other one says.
async fn talk(
    player: Seated,
    pair: Pair,
    mut random: StdRng,
    tally: Arc<Tally>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let Seated {
        mut socket,
        game_id,
        color,
    } = player;
    let [white, black] = pair;
    let (ours, theirs) = if color == Color::White {
        (white, black)
    } else {
        (black, white)
    };
    let period = Duration::from_secs_f64(1.0 / PER_SECOND);
    let first = tokio::time::Instant::now() + period.mul_f64(random.random());
    let mut due = tokio::time::interval_at(first, period);
    // What was late is caught up with, so that a slow server is not asked for less.
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = due.tick() => {
                ours.sent();
                let emote = Emote::try_from(random.random_range(1..=6)).unwrap_or_default();
                let send = SendEmote { game_id: game_id.clone(), emote: emote.into() };
                socket.send(Command::SendEmote(send)).await?;
                continue;
            }
            event = socket.next() => event?,
        };
        match event {
            Event::EmoteReceived(_) => {
                let took = theirs.arrived().context("an emote that nobody sent")?;
                tally.arrived.fetch_add(1, Ordering::Relaxed);
                lock(&tally.took_ms).push(took.as_secs_f64() * 1000.0);
            }
            Event::Error(error) => bail!("refused: {error:?}"),
            _ => {}
        }
    }
}
