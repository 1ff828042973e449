//! Tickets: the queue alone beside its baselines, then through real sockets.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use starvault_wire::v1::{self, client_frame::Command, server_frame::Event};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::client::{self, Socket};
use crate::process::Program;
use crate::report::{Limit, Report, quantile, sorted};
use crate::{Options, engine, process};

/// Tickets per second while latency is measured.
const TICKETS_PER_SECOND: f64 = 500.0;
/// Later than this and the generator measures itself.
const LAG_P99_MS_MAX: f64 = 5.0;
const ATTEMPTS: u64 = 3;
/// Until everybody must have been matched.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn run(options: &Options) -> anyhow::Result<Report> {
    let mut report = Report::default();
    eprintln!("the queue alone …");
    engine::run(&mut report, options.seed);
    let runtime = crate::runtime()?;
    runtime.block_on(async {
        let server = process::server(&options.server, None)?;
        let mut players = Players::gather(server.address, options.players).await?;
        let (steady, steady_cpu) = players.undisturbed(&server, options.seed).await?;
        report.add(
            "system_latency_p50_ms_10k",
            quantile(&steady.latencies_ms, 0.5),
            "ms",
            Limit::None,
        );
        report.add(
            "system_latency_p99_ms_10k",
            quantile(&steady.latencies_ms, 0.99),
            "ms",
            Limit::AtMost(5.0),
        );
        report.add(
            "generator_lag_p99_ms",
            quantile(&steady.lags_ms, 0.99),
            "ms",
            Limit::None,
        );
        report.add(
            "cpu_ms_per_ticket",
            steady_cpu.as_secs_f64() * 1000.0 / steady.tickets as f64,
            "ms",
            Limit::AtMost(0.15),
        );
        players.end_games().await?;
        let cpu = server.cpu()?;
        let burst = players.burst().await?;
        let burst_cpu = server.cpu()?.saturating_sub(cpu);
        report.add(
            "burst_10k_matched",
            burst.matched as f64,
            "tickets",
            Limit::AtLeast(players.len() as f64),
        );
        report.add(
            "burst_10k_seconds",
            burst.took.as_secs_f64(),
            "s",
            Limit::AtMost(1.5),
        );
        report.add(
            "burst_999_permille_seconds",
            burst.most_took.as_secs_f64(),
            "s",
            Limit::None,
        );
        report.add(
            "burst_cpu_ms_per_ticket",
            burst_cpu.as_secs_f64() * 1000.0 / players.len() as f64,
            "ms",
            Limit::None,
        );
        drop(players);
        drop(server);

        eprintln!("through the gateway …");
        let server = process::server(&options.server, None)?;
        let gateway = process::gateway(&options.gateway, server.address)?;
        let through_gateway = options.players.min(process::tunnels_max()?);
        if through_gateway < options.players {
            report.note(format!(
                "through the gateway there were {through_gateway} players: this system gives a process no \
                 more open files (ulimit -Hn)"
            ));
        }
        let mut players = Players::gather(gateway.address, through_gateway).await?;
        let (steady, gateway_cpu) = players.undisturbed(&gateway, options.seed).await?;
        report.add(
            "gateway_system_latency_p99_ms_10k",
            quantile(&steady.latencies_ms, 0.99),
            "ms",
            Limit::AtMost(8.0),
        );
        report.add(
            "gateway_cpu_ms_per_ticket",
            gateway_cpu.as_secs_f64() * 1000.0 / steady.tickets as f64,
            "ms",
            Limit::None,
        );
        anyhow::Ok(())
    })?;
    report.note(
        "system latency: from the later of a pair's two requests leaving the client to both having been told",
    );
    report.note("every ticket is made durable as half of a game before anybody is told");
    Ok(report)
}

/// What a player's task is asked.
enum Ask {
    Join,
    /// Give the running game up, and say so when its end has come.
    Resign,
}

/// What a player's task tells.
enum Told {
    Joined {
        player: usize,
        at: Instant,
    },
    Matched {
        game: String,
        player: usize,
        at: Instant,
    },
    Ended,
}

struct Players {
    asks: Vec<mpsc::UnboundedSender<Ask>>,
    told: mpsc::UnboundedReceiver<Told>,
    tasks: JoinSet<anyhow::Result<()>>,
    /// Who is in a game, by game.
    playing: HashMap<String, usize>,
}

struct Steady {
    latencies_ms: Vec<f64>,
    lags_ms: Vec<f64>,
    tickets: usize,
}

struct Burst {
    matched: usize,
    took: Duration,
    /// Until all but one in a thousand were.
    most_took: Duration,
}

impl Players {
    async fn gather(address: SocketAddr, count: usize) -> anyhow::Result<Self> {
        eprintln!("{count} players sign in and connect …");
        let tokens = client::sign_in(address, count).await?;
        let sockets = client::connect_all(address, &tokens).await?;
        let (tell, told) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        let mut asks = Vec::new();
        for (player, socket) in sockets.into_iter().enumerate() {
            let (ask, asked) = mpsc::unbounded_channel();
            asks.push(ask);
            tasks.spawn(play(player, socket, asked, tell.clone()));
        }
        // What signing in and connecting has set in motion comes to rest.
        tokio::time::sleep(Duration::from_secs(2)).await;
        Ok(Self {
            asks,
            told,
            tasks,
            playing: HashMap::new(),
        })
    }

    fn len(&self) -> usize {
        self.asks.len()
    }

    async fn next(&mut self) -> anyhow::Result<Told> {
        tokio::select! {
            told = self.told.recv() => told.context("no player is left"),
            ended = self.tasks.join_next() => match ended {
                Some(Ok(Err(error))) => Err(error.context("a player")),
                _ => bail!("a player stopped"),
            },
            () = tokio::time::sleep(PATIENCE) => bail!("nothing happened for {PATIENCE:?}"),
        }
    }

    /// A steady phase whose generator was in time, and the CPU time that `program` took for it. One
    /// that was late measures the machine and not the program: it is void and made again.
    async fn undisturbed(&mut self, program: &Program, seed: u64) -> anyhow::Result<(Steady, Duration)> {
        for attempt in 1.. {
            let cpu = program.cpu()?;
            let steady = self.steady(seed.wrapping_add(attempt)).await?;
            let cpu = program.cpu()?.saturating_sub(cpu);
            let lag_ms = quantile(&steady.lags_ms, 0.99);
            if lag_ms <= LAG_P99_MS_MAX {
                return Ok((steady, cpu));
            }
            if attempt == ATTEMPTS {
                bail!(
                    "the generator was {lag_ms:.1} ms late (P99) in each of {ATTEMPTS} attempts: the machine is too busy to measure on"
                );
            }
            eprintln!("  void: the generator was {lag_ms:.1} ms late (P99); once more");
            self.end_games().await?;
        }
        bail!("no attempt was made")
    }

    /// Everybody asks once, at random moments that do not depend on the answers.
    async fn steady(&mut self, seed: u64) -> anyhow::Result<Steady> {
        let mut random = StdRng::seed_from_u64(seed);
        eprintln!("{TICKETS_PER_SECOND} tickets a second …");
        let tickets = self.len() / 2 * 2;
        let mut due = Instant::now();
        let mut next = 0;
        let mut joined = vec![None; tickets];
        let mut lags_ms = Vec::new();
        let mut first: HashMap<String, (usize, Instant)> = HashMap::new();
        let mut latencies_ms = Vec::new();
        while latencies_ms.len() < tickets / 2 {
            let told = tokio::select! {
                told = self.next() => told?,
                () = tokio::time::sleep_until(due.into()), if next < tickets => {
                    lags_ms.push(due.elapsed().as_secs_f64() * 1000.0);
                    let _ = self.asks[next].send(Ask::Join);
                    next += 1;
                    due += Duration::from_secs_f64(-random.random::<f64>().max(1e-12).ln() / TICKETS_PER_SECOND);
                    continue;
                }
            };
            match told {
                Told::Joined { player, at } => joined[player] = Some(at),
                Told::Matched { game, player, at } => match first.remove(&game) {
                    None => {
                        self.playing.insert(game.clone(), player);
                        first.insert(game, (player, at));
                    }
                    Some((other, before)) => {
                        let fits = joined[player]
                            .max(joined[other])
                            .context("matched before it asked")?;
                        latencies_ms.push((at.max(before) - fits).as_secs_f64() * 1000.0);
                    }
                },
                Told::Ended => {}
            }
        }
        Ok(Steady {
            latencies_ms: sorted(latencies_ms),
            lags_ms: sorted(lags_ms),
            tickets,
        })
    }

    /// One player of each game gives up; both hear the end.
    async fn end_games(&mut self) -> anyhow::Result<()> {
        let games: Vec<usize> = self.playing.drain().map(|(_, player)| player).collect();
        let mut ends = games.len() * 2;
        for player in games {
            let _ = self.asks[player].send(Ask::Resign);
        }
        while ends > 0 {
            if let Told::Ended = self.next().await? {
                ends -= 1;
            }
        }
        Ok(())
    }

    /// Everybody asks at once.
    async fn burst(&mut self) -> anyhow::Result<Burst> {
        let began = Instant::now();
        for ask in &self.asks {
            let _ = ask.send(Ask::Join);
        }
        let mut matched = 0;
        let (mut last, mut most) = (began, began);
        let mut players: HashMap<String, u32> = HashMap::new();
        while matched < self.len() / 2 * 2 {
            if let Told::Matched { game, at, .. } = self.next().await? {
                let seats = players.entry(game).or_default();
                *seats += 1;
                if *seats > 2 {
                    bail!("three players are in one game");
                }
                matched += 1;
                last = last.max(at);
                if matched * 1000 <= self.len() * 999 {
                    most = last;
                }
            }
        }
        Ok(Burst {
            matched,
            took: last - began,
            most_took: most - began,
        })
    }
}

async fn play(
    player: usize,
    mut socket: Socket,
    mut asked: mpsc::UnboundedReceiver<Ask>,
    tell: mpsc::UnboundedSender<Told>,
) -> anyhow::Result<()> {
    let mut game = String::new();
    loop {
        tokio::select! {
            ask = asked.recv() => match ask {
                None => return Ok(()),
                Some(Ask::Join) => {
                    let at = Instant::now();
                    socket.send(client::join()).await?;
                    let _ = tell.send(Told::Joined { player, at });
                }
                Some(Ask::Resign) => {
                    let game_id = std::mem::take(&mut game);
                    let resign = v1::Resign { game_id, command_id: "resign".into() };
                    socket.send(Command::Resign(resign)).await?;
                }
            },
            event = socket.next() => match event? {
                Event::Matched(matched) => {
                    let at = Instant::now();
                    game = matched.game.context("a match without a game")?.game_id;
                    let _ = tell.send(Told::Matched { game: game.clone(), player, at });
                }
                Event::GameEvent(event) if matches!(event.kind, Some(v1::game_event::Kind::Ended(_))) => {
                    let _ = tell.send(Told::Ended);
                }
                Event::Error(error) => bail!("player {player} was refused: {error:?}"),
                _ => {}
            },
        }
    }
}
