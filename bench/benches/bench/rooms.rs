//! Connections and games: memory of a connection, CPU of a move and of an emote, round trips, what
//! one core holds.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use starvault_wire::v1::{self, client_frame::Command, server_frame::Event};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Options;
use crate::client::{self, Socket};
use crate::process::{self, Program};
use crate::relay;
use crate::report::{Limit, Report, quantile, sorted};

/// Games of the measured phase, and how long it lasts.
const GAMES: usize = 500;
const MEASURED: Duration = Duration::from_secs(15);
/// Games after which the ramp on one core stops looking.
const RAMP_GAMES_MAX: usize = 9_000;
const RAMP_STEP: Duration = Duration::from_secs(8);
const RAMP_P99_MS: f64 = 50.0;

/// How a run is made.
#[derive(Debug, Clone, Args)]
pub struct RoomsOptions {
    #[command(flatten)]
    pub all: Options,
    /// Measure these parts only.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Part::Idle, Part::Moves, Part::Relay, Part::OneCore])]
    only: Vec<Part>,
}

/// A part of the run, with servers of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Idle,
    Moves,
    Relay,
    OneCore,
}

pub fn run(RoomsOptions { all: options, only }: &RoomsOptions) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let runtime = crate::runtime()?;
    runtime.block_on(async {
        if only.contains(&Part::Idle) {
            idle(options, &mut report).await?;
        }
        if only.contains(&Part::Moves) {
            moves(options, &mut report).await?;
        }
        if only.contains(&Part::Relay) {
            relay::run(&options.server, options.seed, &mut report).await?;
        }
        if only.contains(&Part::OneCore) {
            one_core(options, &mut report).await?;
        }
        anyhow::Ok(())
    })?;
    report.note("a move's round trip: from sending it to its acknowledgement, after it is durable");
    report.note("one core: the server pinned to a core of its own, one move a second and game");
    Ok(report)
}

/// What a connection that does nothing holds.
async fn idle(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    eprintln!("{} idle connections …", options.players);
    let server = process::server(&options.server, None)?;
    let tokens = client::sign_in(server.address, options.players).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = server.resident()?;
    let sockets = client::connect_all(server.address, &tokens).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let grown = server.resident()?.saturating_sub(before);
    report.add(
        "kib_per_connection",
        grown as f64 / 1024.0 / sockets.len() as f64,
        "KiB",
        Limit::AtMost(12.0),
    );
    Ok(())
}

async fn moves(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    eprintln!("{GAMES} games …");
    let server = process::server(&options.server, None)?;
    let mut games = Games::begin(&server, GAMES, options.seed).await?;
    let measured = games.measure(&server, MEASURED).await?;
    report.add(
        "cpu_us_per_move",
        measured.cpu_us_per_move(),
        "µs",
        Limit::AtMost(45.0),
    );
    report.add(
        "move_rtt_p50_ms",
        quantile(&measured.rtts_ms, 0.5),
        "ms",
        Limit::None,
    );
    report.add(
        "move_rtt_p99_ms",
        quantile(&measured.rtts_ms, 0.99),
        "ms",
        Limit::None,
    );
    report.add("moves_per_s", measured.per_second(), "moves/s", Limit::None);
    games.stop().await
}

/// More and more games on one core, until a move's P99 is too long.
async fn one_core(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    eprintln!("one core …");
    let server = process::server(&options.server, Some(0))?;
    let mut games = Games::begin(&server, 0, options.seed).await?;
    let (mut held_games, mut held_rate, mut held_cpu_us) = (0, 0.0, 0.0);
    let mut count = GAMES;
    while count <= RAMP_GAMES_MAX {
        games.more(&server, count - games.count).await?;
        let measured = games.measure(&server, RAMP_STEP).await?;
        let p99 = quantile(&measured.rtts_ms, 0.99);
        eprintln!(
            "  {count} games: {:.0} moves/s, P99 {p99:.1} ms, {:.0} µs a move",
            measured.per_second(),
            measured.cpu_us_per_move()
        );
        if p99 > RAMP_P99_MS {
            break;
        }
        (held_games, held_rate) = (count, measured.per_second());
        held_cpu_us = measured.cpu_us_per_move();
        count += count / 2;
    }
    report.add("one_core_games", held_games as f64, "games", Limit::None);
    report.add("one_core_moves_per_s", held_rate, "moves/s", Limit::None);
    report.add("one_core_cpu_us_per_move", held_cpu_us, "µs", Limit::None);
    games.stop().await
}

struct Games {
    count: usize,
    rtts: mpsc::UnboundedReceiver<f64>,
    tell: mpsc::UnboundedSender<f64>,
    players: JoinSet<anyhow::Result<()>>,
    stop: CancellationToken,
    seed: u64,
}

struct Measured {
    rtts_ms: Vec<f64>,
    took: Duration,
    cpu: Duration,
}

impl Measured {
    fn cpu_us_per_move(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.rtts_ms.len().max(1) as f64
    }

    fn per_second(&self) -> f64 {
        self.rtts_ms.len() as f64 / self.took.as_secs_f64()
    }
}

impl Games {
    async fn begin(server: &Program, count: usize, seed: u64) -> anyhow::Result<Self> {
        let (tell, rtts) = mpsc::unbounded_channel();
        let mut games = Self {
            count: 0,
            rtts,
            tell,
            players: JoinSet::new(),
            stop: CancellationToken::new(),
            seed,
        };
        games.more(server, count).await?;
        Ok(games)
    }

    async fn more(&mut self, server: &Program, count: usize) -> anyhow::Result<()> {
        let tokens = client::sign_in(server.address, 2 * count).await?;
        for socket in client::connect_all(server.address, &tokens).await? {
            let random = StdRng::seed_from_u64(self.seed.wrapping_add(self.players.len() as u64));
            self.players
                .spawn(play(socket, random, self.tell.clone(), self.stop.clone()));
        }
        self.count += count;
        // Until everybody plays.
        tokio::time::sleep(Duration::from_secs(3)).await;
        Ok(())
    }

    async fn measure(&mut self, server: &Program, how_long: Duration) -> anyhow::Result<Measured> {
        while self.rtts.try_recv().is_ok() {}
        let (began, cpu) = (Instant::now(), server.cpu()?);
        let mut rtts_ms = Vec::new();
        let end = tokio::time::sleep(how_long);
        tokio::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => break,
                rtt = self.rtts.recv() => rtts_ms.extend(rtt),
                ended = self.players.join_next() => match ended {
                    Some(Ok(Err(error))) => return Err(error),
                    _ => bail!("a player stopped"),
                },
            }
        }
        Ok(Measured {
            rtts_ms: sorted(rtts_ms),
            took: began.elapsed(),
            cpu: server.cpu()?.saturating_sub(cpu),
        })
    }

    async fn stop(mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        while let Some(ended) = self.players.join_next().await {
            ended??;
        }
        Ok(())
    }
}

/// Plays legal moves at random, about one every two seconds, game after game.
async fn play(
    mut socket: Socket,
    mut random: StdRng,
    tell: mpsc::UnboundedSender<f64>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    socket.send(client::join()).await?;
    let mut color = v1::Color::Unspecified as i32;
    let mut next: Option<(Instant, v1::PlayMove)> = None;
    let mut sent: Option<(String, Instant)> = None;
    let mut moves = 0_u32;
    loop {
        let due = next.as_ref().map_or_else(Instant::now, |(due, _)| *due);
        let event = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep_until(due.into()), if next.is_some() => {
                if let Some((_, play)) = next.take() {
                    sent = Some((play.command_id.clone(), Instant::now()));
                    socket.send(Command::PlayMove(play)).await?;
                }
                continue;
            }
            event = socket.next() => event?,
        };
        let view = match event {
            Event::Matched(matched) => {
                color = matched.you_play;
                matched.game
            }
            Event::Ack(ack) => {
                if let Some((_, at)) = sent.take_if(|(id, _)| *id == ack.command_id) {
                    let _ = tell.send(at.elapsed().as_secs_f64() * 1000.0);
                }
                continue;
            }
            Event::GameEvent(event) => {
                if matches!(event.kind, Some(v1::game_event::Kind::Ended(_))) {
                    next = None;
                    socket.send(client::join()).await?;
                    continue;
                }
                event.game
            }
            Event::Error(error) => bail!("refused: {error:?}"),
            _ => continue,
        };
        let view = view.context("an event without its game")?;
        if view.to_move == color && view.outcome.is_none() && !view.legal_moves.is_empty() {
            moves += 1;
            let uci = view.legal_moves[random.random_range(0..view.legal_moves.len())].clone();
            let think = Duration::from_secs_f64(random.random_range(0.5..1.5));
            let play = v1::PlayMove {
                game_id: view.game_id,
                command_id: format!("m{moves}"),
                expected_sequence: view.sequence,
                uci,
            };
            next = Some((Instant::now() + think, play));
        }
    }
}
