//! The journal of one machine: moves made durable by many at once, and one at a time beside what the
//! disk alone takes. And the journal of many machines, beside four round trips for each event.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use starvault_rules::{Clock, Color, Command, CommandId, Game, GameId, PlayerId, Seat, Setup};
use starvault_store::{
    Append, AppendOutcome, CommandKey, CreateOutcome, Decision, Epoch, Journal, NewGame, NewPlayer, Owner,
    RedisJournal, RedisOptions, SqliteJournal, SqliteOptions, check, check_redis, payload_hash,
};
use starvault_testing::RedisServer;
use tokio::task::JoinSet;

use crate::article::Article;
use crate::report::{Limit, Report, quantile, sorted};

const PRODUCERS: usize = 64;
const WARM_UP: Duration = Duration::from_secs(1);
const MEASURED: Duration = Duration::from_secs(10);
/// Commits, and syncs of the disk, that are measured one at a time.
const ALONE: usize = 1_000;
/// What a sync of the disk alone has written before it: as much as a commit writes (bytes).
const PAGE_BYTES: usize = 4096;
const PAGES: u64 = 256;
const CLOCK: Clock = Clock {
    initial_ms: 600_000,
    increment_ms: 0,
};

pub fn run(seed: u64) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let folder = tempfile::tempdir_in(".")?;
    let path = folder.path().join("journal.sqlite");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    eprintln!("{PRODUCERS} producers …");
    let journal = SqliteJournal::open(&path, SqliteOptions::default())?;
    let all = runtime.block_on(many(&journal, seed))?;
    report.add(
        "embedded_events_per_s",
        all.len() as f64 / MEASURED.as_secs_f64(),
        "events/s",
        Limit::AtLeast(15_000.0),
    );
    report.add("embedded_p50_ms", quantile(&all, 0.5), "ms", Limit::None);
    report.add("embedded_p99_ms", quantile(&all, 0.99), "ms", Limit::AtMost(20.0));
    let stats = journal.stats();
    report.add(
        "embedded_events_per_commit",
        stats.writes as f64 / stats.transactions.max(1) as f64,
        "events",
        Limit::None,
    );

    eprintln!("one at a time …");
    let at_once = SqliteOptions {
        commit_every_ms: 0,
        ..SqliteOptions::default()
    };
    let alone_path = folder.path().join("alone.sqlite");
    let alone = SqliteJournal::open(&alone_path, at_once)?;
    // Turn about, so that both meet the same moods of the disk.
    let (mut commits, mut syncs) = (Vec::new(), Vec::new());
    let mut disk = Disk::prepare(&folder.path().join("disk"))?;
    runtime.block_on(async {
        let mut producer = Producer::begin(&alone, 0, seed).await?;
        for _ in 0..ALONE {
            commits.push(producer.play().await?);
            syncs.push(disk.sync()?);
        }
        anyhow::Ok(())
    })?;
    let (commit, sync) = (quantile(&sorted(commits), 0.5), quantile(&sorted(syncs), 0.5));
    report.add("commit_alone_p50_ms", commit, "ms", Limit::None);
    report.add("disk_sync_p50_ms", sync, "ms", Limit::None);
    report.add(
        "commit_beyond_disk_sync_p50_ms",
        commit - sync,
        "ms",
        Limit::AtMost(2.0),
    );
    runtime.block_on(async {
        journal.close().await;
        alone.close().await;
    });
    let found = check(&path, None)?;
    if !found.is_clean() {
        bail!("the journal of this run is not sound: {:?}", found.findings);
    }
    report.note(format!("{} games replayed after it: sound", found.games));
    runtime.block_on(in_redis(seed, &mut report))?;
    report.note("an event: a move, decided by the rules, durable before it is answered");
    Ok(report)
}

/// A real Redis that syncs before it answers: the article's way, and ours.
async fn in_redis(seed: u64, report: &mut Report) -> anyhow::Result<()> {
    eprintln!("{PRODUCERS} producers, Redis, four round trips an event …");
    // A server for each: what one has in memory and on disk is not the other's to rewrite.
    let theirs = {
        let server = RedisServer::start();
        many(&Article::open(&server.url()).await?, seed).await?
    };
    let server = RedisServer::start();
    let url = server.url().parse()?;
    let journal = RedisJournal::open(&url, "bench", RedisOptions::default()).await?;
    eprintln!("{PRODUCERS} producers, Redis, a function for each batch …");
    let ours = many(&journal, seed).await?;
    let per_second = |took: &[f64]| took.len() as f64 / MEASURED.as_secs_f64();
    report.add(
        "article_events_per_s",
        per_second(&theirs),
        "events/s",
        Limit::None,
    );
    report.add("article_p99_ms", quantile(&theirs, 0.99), "ms", Limit::None);
    report.add("redis_events_per_s", per_second(&ours), "events/s", Limit::None);
    report.add("redis_p50_ms", quantile(&ours, 0.5), "ms", Limit::None);
    report.add("redis_p99_ms", quantile(&ours, 0.99), "ms", Limit::None);
    report.add(
        "ratio_vs_article",
        per_second(&ours) / per_second(&theirs).max(f64::MIN_POSITIVE),
        "",
        Limit::AtLeast(5.0),
    );
    journal.close().await;
    let found = check_redis(&url, None).await?;
    if !found.is_clean() {
        bail!("the journal of this run is not sound: {:?}", found.findings);
    }
    report.note(format!("{} games in Redis replayed after it: sound", found.games));
    report.note("the article's way: XREADGROUP, SET NX, a script that compares the version and updates, XACK; a connection for each producer; appendfsync always for both");
    Ok(())
}

/// Milliseconds from a decision to its being durable.
async fn many<J: Journal>(journal: &J, seed: u64) -> anyhow::Result<Vec<f64>> {
    let (measuring, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let mut producers = JoinSet::new();
    for n in 0..PRODUCERS {
        let mut producer = Producer::begin(journal, n, seed).await?;
        let (measuring, over) = (measuring.clone(), over.clone());
        producers.spawn(async move {
            let mut took_ms = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let took = producer.play().await?;
                if measuring.load(Ordering::Relaxed) {
                    took_ms.push(took);
                }
            }
            anyhow::Ok(took_ms)
        });
    }
    tokio::time::sleep(WARM_UP).await;
    measuring.store(true, Ordering::Relaxed);
    tokio::time::sleep(MEASURED).await;
    over.store(true, Ordering::Relaxed);
    let mut all = Vec::new();
    while let Some(took_ms) = producers.join_next().await {
        all.extend(took_ms??);
    }
    Ok(sorted(all))
}

/// One owner that plays one game after the other, at random.
struct Producer<J> {
    journal: J,
    owner: Owner,
    random: StdRng,
    players: [PlayerId; 2],
    games: u32,
    epoch: Epoch,
    game: Game,
    commands: u32,
}

impl<J: Journal> Producer<J> {
    async fn begin(journal: &J, n: usize, seed: u64) -> anyhow::Result<Self> {
        let players = [PlayerId::new(format!("w-{n}"))?, PlayerId::new(format!("b-{n}"))?];
        for player_id in &players {
            let player = NewPlayer {
                player_id: player_id.clone(),
                display_name: player_id.to_string(),
                rating: 1500,
                created_at_ms: 0,
            };
            journal.create_player(player).await?;
        }
        let owner = Owner {
            release: "bench".into(),
            instance: "bench-1".into(),
        };
        let (epoch, game) = new_game(journal, &owner, &players, 0).await?;
        Ok(Self {
            journal: journal.clone(),
            owner,
            random: StdRng::seed_from_u64(seed.wrapping_add(n as u64)),
            players,
            games: 1,
            epoch,
            game,
            commands: 0,
        })
    }

    /// One move; how long it took to be durable, in milliseconds.
    async fn play(&mut self) -> anyhow::Result<f64> {
        if self.game.outcome().is_some() {
            let (journal, owner, players) = (&self.journal, &self.owner, &self.players);
            (self.epoch, self.game) = new_game(journal, owner, players, self.games).await?;
            self.games += 1;
        }
        let legal = self.game.legal_moves();
        let by = self.game.to_move();
        let command = Command::Move {
            uci: legal[self.random.random_range(0..legal.len())]
                .as_str()
                .to_owned(),
            expected_sequence: self.game.sequence(),
        };
        let now_ms = self.game.last_event_at_ms() + 1;
        let step = self.game.advance(by, &command, now_ms)?;
        self.commands += 1;
        let append = Append {
            game_id: self.game.id().clone(),
            owner: self.owner.clone(),
            epoch: self.epoch,
            expected_sequence: self.game.sequence(),
            command: Some(CommandKey {
                player_id: self.players[usize::from(by == Color::Black)].clone(),
                command_id: CommandId::new(format!("c{}", self.commands))?,
                payload_hash: payload_hash(&command),
            }),
            decision: Decision::Accepted {
                events: step.events.clone(),
                state: step.game.state(),
            },
            at_ms: now_ms,
        };
        let began = Instant::now();
        let outcome = self.journal.append(append).await?;
        let took = began.elapsed();
        if !matches!(outcome, AppendOutcome::Committed { .. }) {
            bail!("a move was not committed: {outcome:?}");
        }
        self.game = step.game;
        Ok(took.as_secs_f64() * 1000.0)
    }
}

async fn new_game(
    journal: &impl Journal,
    owner: &Owner,
    players: &[PlayerId; 2],
    n: u32,
) -> anyhow::Result<(Epoch, Game)> {
    let seat = |player_id: &PlayerId| Seat {
        player_id: player_id.clone(),
        name: player_id.to_string(),
        rating: 1500,
    };
    let setup = Setup {
        game_id: GameId::new(format!("{}-{n}", players[0]))?,
        white: seat(&players[0]),
        black: seat(&players[1]),
        clock: CLOCK,
        started_at_ms: 0,
    };
    let new = NewGame {
        setup,
        owner: owner.clone(),
    };
    match journal.create_game(new).await? {
        CreateOutcome::Created(created) => Ok((created.epoch, created.game)),
        CreateOutcome::AlreadyPlaying { player_id, .. } => bail!("{player_id} is in a game already"),
    }
}

/// A file that is written over, a page at a time.
struct Disk {
    file: File,
    next: u64,
}

impl Disk {
    fn prepare(path: &Path) -> anyhow::Result<Self> {
        let mut file = File::create_new(path).context("cannot make a file beside the journal")?;
        for _ in 0..PAGES {
            file.write_all(&[1; PAGE_BYTES])?;
        }
        file.sync_all()?;
        Ok(Self { file, next: 0 })
    }

    /// Milliseconds of a page's way to the disk.
    fn sync(&mut self) -> anyhow::Result<f64> {
        self.next = (self.next + 1) % PAGES;
        let began = Instant::now();
        self.file.seek(SeekFrom::Start(self.next * PAGE_BYTES as u64))?;
        self.file.write_all(&[2; PAGE_BYTES])?;
        self.file.sync_data()?;
        Ok(began.elapsed().as_secs_f64() * 1000.0)
    }
}
