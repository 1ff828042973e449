//! The engines side by side: the same random history, and every answer the same.

use std::fmt::Debug;

use proptest::{prelude::*, test_runner::TestCaseResult};
use starvault_rules::{Color, Command, CommandId, Game, GameId};
use starvault_store::{
    Append, AppendOutcome, CommandKey, CreateOutcome, Decision, Epoch, Journal, NewPlayer, OutboxRow, Owner,
    RedisJournal, RedisOptions, SqliteJournal, StoreError, payload_hash,
};
use starvault_testing::{Fsync, RedisOptions as ServerOptions, RedisServer};

use crate::room::{START_MS, accepted, game_id, new_game, owner, place, player_id, rejected};

const PLAYERS: usize = 4;
const OWNERS: [&str; 3] = ["v1", "v2", "v3"];

#[derive(Debug, Clone)]
enum Step {
    CreatePlayer(usize),
    Begin {
        white: usize,
        black: usize,
        owner: usize,
    },
    /// Somebody gives a command to a game by what the owner knows, or believes to know.
    Give {
        game: usize,
        by: Color,
        what: What,
        /// Counts back: an id that was used before, perhaps for something else.
        id: Option<usize>,
        owner: Option<usize>,
        lag: u32,
        epoch: i64,
    },
    /// As the server does by itself.
    Abort {
        game: usize,
    },
    Acquire {
        game: usize,
        owner: usize,
    },
    Equip {
        player: usize,
        item: usize,
        on: bool,
    },
    Look {
        game: usize,
        player: usize,
        sequence: u32,
    },
}

#[derive(Debug, Clone)]
enum What {
    Move(usize),
    Resign,
    OfferDraw,
    AnswerDraw(bool),
}

const ITEMS: [&str; 3] = ["board-dusk", "board-nebula", "nothing-such"];

fn step() -> impl Strategy<Value = Step> {
    let game = || 0..3_usize;
    let player = || 0..PLAYERS;
    let owner = || 0..OWNERS.len();
    let color = prop_oneof![Just(Color::White), Just(Color::Black)];
    let what = prop_oneof![
        10 => (0..40_usize).prop_map(What::Move),
        1 => Just(What::Resign),
        2 => Just(What::OfferDraw),
        2 => any::<bool>().prop_map(What::AnswerDraw),
    ];
    let give = (
        game(),
        color,
        what,
        proptest::option::weighted(0.2, 0..6_usize),
        proptest::option::weighted(0.1, owner()),
        prop_oneof![9 => Just(0_u32), 1 => 1..3_u32],
        prop_oneof![9 => Just(0_i64), 1 => -1..2_i64],
    )
        .prop_map(|(game, by, what, id, owner, lag, epoch)| Step::Give {
            game,
            by,
            what,
            id,
            owner,
            lag,
            epoch,
        });
    prop_oneof![
        1 => player().prop_map(Step::CreatePlayer),
        3 => (player(), player(), owner()).prop_map(|(white, black, owner)| Step::Begin { white, black, owner }),
        14 => give,
        1 => game().prop_map(|game| Step::Abort { game }),
        2 => (game(), owner()).prop_map(|(game, owner)| Step::Acquire { game, owner }),
        1 => (player(), 0..ITEMS.len(), any::<bool>()).prop_map(|(player, item, on)| Step::Equip { player, item, on }),
        2 => (game(), player(), 0..9_u32).prop_map(|(game, player, sequence)| Step::Look { game, player, sequence }),
    ]
}

/// A game as somebody who watches knows it.
struct Known {
    id: GameId,
    game: Game,
    owner: Owner,
    epoch: Epoch,
    used: Vec<(Color, String)>,
}

struct Both {
    sqlite: SqliteJournal,
    redis: RedisJournal,
    /// Before every name, so that many histories can lie in one Redis.
    prefix: String,
    games: Vec<Known>,
    begun: usize,
    now_ms: i64,
}

/// What is compared of an error: a Redis and a file fail in different words.
fn said<T: Debug>(result: Result<T, StoreError>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => error.to_string(),
    }
}

impl Both {
    fn player(&self, n: usize) -> String {
        format!("{}p{n}", self.prefix)
    }

    async fn take(&mut self, step: Step) -> TestCaseResult {
        self.now_ms += 1_000;
        match step {
            Step::CreatePlayer(n) => {
                let new = NewPlayer {
                    player_id: player_id(&self.player(n)),
                    display_name: format!("name of {n}"),
                    rating: 1500 + n as i32,
                    created_at_ms: self.now_ms,
                };
                let (a, b) = (
                    self.sqlite.create_player(new.clone()).await,
                    self.redis.create_player(new).await,
                );
                prop_assert_eq!(said(a), said(b));
            }
            Step::Begin {
                white,
                black,
                owner: by,
            } => {
                self.begun += 1;
                let id = format!("{}g{}", self.prefix, self.begun);
                let owner = owner(OWNERS[by]);
                let mut new = new_game(&id, &self.player(white), &self.player(black), owner.clone());
                new.setup.started_at_ms = self.now_ms;
                let a = self.sqlite.create_game(new.clone()).await;
                let b = self.redis.create_game(new).await;
                if let (Ok(CreateOutcome::Created(a)), Ok(CreateOutcome::Created(b))) = (&a, &b) {
                    prop_assert_eq!(
                        (a.epoch, &a.started, a.game.state()),
                        (b.epoch, &b.started, b.game.state())
                    );
                    let known = Known {
                        id: game_id(&id),
                        game: a.game.clone(),
                        owner,
                        epoch: a.epoch,
                        used: Vec::new(),
                    };
                    self.games.insert(0, known);
                    return Ok(());
                }
                prop_assert_eq!(said(a), said(b));
            }
            Step::Give {
                game,
                by,
                what,
                id,
                owner: other,
                lag,
                epoch,
            } => {
                let Some(known) = self.games.get_mut(game) else {
                    return Ok(());
                };
                let command = what.command(&known.game);
                let decided = known.game.decide(by, &command, self.now_ms);
                let mut after = known.game.clone();
                let decision = match &decided {
                    Ok(events) => {
                        for event in events {
                            after.apply(event).unwrap();
                        }
                        accepted(events.clone(), after.state())
                    }
                    Err(rejection) => rejected(rejection),
                };
                let used = id.and_then(|back| known.used.iter().rev().nth(back).cloned());
                let (by, id) = used.unwrap_or_else(|| (by, format!("c{}", self.now_ms)));
                known.used.push((by, id.clone()));
                let append = Append {
                    game_id: known.id.clone(),
                    owner: other.map_or_else(|| known.owner.clone(), |n| owner(OWNERS[n])),
                    epoch: Epoch(known.epoch.0.saturating_add_signed(epoch)),
                    expected_sequence: known.game.sequence().saturating_sub(lag),
                    command: Some(CommandKey {
                        player_id: known.game.setup().seat(by).player_id.clone(),
                        command_id: CommandId::new(id).unwrap(),
                        payload_hash: payload_hash(&command),
                    }),
                    decision,
                    at_ms: self.now_ms,
                };
                self.append(game, append, after).await?;
            }
            Step::Abort { game } => {
                let Some(known) = self.games.get(game) else {
                    return Ok(());
                };
                let Ok(events) = known.game.decide(Color::White, &Command::Abort, self.now_ms) else {
                    return Ok(());
                };
                let mut after = known.game.clone();
                for event in &events {
                    after.apply(event).unwrap();
                }
                let append = Append {
                    game_id: known.id.clone(),
                    owner: known.owner.clone(),
                    epoch: known.epoch,
                    expected_sequence: known.game.sequence(),
                    command: None,
                    decision: accepted(events, after.state()),
                    at_ms: self.now_ms,
                };
                self.append(game, append, after).await?;
            }
            Step::Acquire { game, owner: by } => {
                let owner = owner(OWNERS[by]);
                let Some(known) = self.games.get_mut(game) else {
                    let nobody = game_id(&format!("{}nobody", self.prefix));
                    let a = self.sqlite.acquire(&nobody, owner.clone()).await;
                    let b = self.redis.acquire(&nobody, owner).await;
                    prop_assert!(a.unwrap().is_none() && b.unwrap().is_none());
                    return Ok(());
                };
                let a = self
                    .sqlite
                    .acquire(&known.id, owner.clone())
                    .await
                    .unwrap()
                    .unwrap();
                let b = self
                    .redis
                    .acquire(&known.id, owner.clone())
                    .await
                    .unwrap()
                    .unwrap();
                prop_assert_eq!(
                    (a.epoch, &a.previous, &a.events),
                    (b.epoch, &b.previous, &b.events)
                );
                prop_assert_eq!(a.game.state(), b.game.state());
                (known.epoch, known.owner) = (a.epoch, owner);
            }
            Step::Equip { player, item, on } => {
                let id = player_id(&self.player(player));
                let a = self.sqlite.equip(&id, ITEMS[item], on, self.now_ms).await;
                let b = self.redis.equip(&id, ITEMS[item], on, self.now_ms).await;
                prop_assert_eq!(said(a), said(b));
            }
            Step::Look {
                game,
                player,
                sequence,
            } => {
                let id = match self.games.get(game) {
                    Some(known) => known.id.clone(),
                    None => game_id(&format!("{}nobody", self.prefix)),
                };
                prop_assert_eq!(
                    said(self.sqlite.events_after(&id, sequence).await),
                    said(self.redis.events_after(&id, sequence).await)
                );
                prop_assert_eq!(
                    said(self.sqlite.owner_of(&id).await),
                    said(self.redis.owner_of(&id).await)
                );
                let player = player_id(&self.player(player));
                prop_assert_eq!(
                    said(self.sqlite.active_game_of(&player).await),
                    said(self.redis.active_game_of(&player).await)
                );
            }
        }
        Ok(())
    }

    async fn append(&mut self, game: usize, append: Append, after: Game) -> TestCaseResult {
        let is_accepted = matches!(append.decision, Decision::Accepted { .. });
        let a = self.sqlite.append(append.clone()).await;
        let b = self.redis.append(append).await;
        if let (Ok(AppendOutcome::Committed { .. }), true) = (&a, is_accepted) {
            self.games[game].game = after;
        }
        prop_assert_eq!(said(a), said(b));
        Ok(())
    }

    async fn agree(&self) -> TestCaseResult {
        for n in 0..PLAYERS {
            let id = player_id(&self.player(n));
            let a = self.sqlite.get_profile(&id).await.unwrap();
            let b = self.redis.get_profile(&id).await.unwrap();
            prop_assert_eq!(a, b);
            let of = |row: Option<OutboxRow>| row.map(|row| (row.version, row.body, row.sha256, row.at_ms));
            let a = self.sqlite.outbox().of_player(id.as_str()).await.unwrap();
            let b = self.redis.outbox().of_player(id.as_str()).await.unwrap();
            prop_assert_eq!(of(a), of(b));
        }
        for name in OWNERS {
            let a = self.sqlite.running_games_of(&owner(name)).await.unwrap();
            let mut b = self.redis.running_games_of(&owner(name)).await.unwrap();
            // Others' histories lie there too.
            b.retain(|id| id.as_str().starts_with(&self.prefix));
            prop_assert_eq!(a, b);
        }
        Ok(())
    }
}

impl What {
    fn command(&self, game: &Game) -> Command {
        match self {
            What::Move(n) => {
                let legal = game.legal_moves_uci();
                let uci = legal.get(n % legal.len().max(1)).cloned();
                Command::Move {
                    uci: uci.unwrap_or_else(|| "e2e4".into()),
                    expected_sequence: game.sequence(),
                }
            }
            What::Resign => Command::Resign,
            What::OfferDraw => Command::OfferDraw,
            What::AnswerDraw(accept) => Command::AnswerDraw { accept: *accept },
        }
    }
}

#[test]
fn redis_answers_as_sqlite_does() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let server = RedisServer::start_with(ServerOptions {
        fsync: Fsync::EverySecond,
        ..ServerOptions::default()
    });
    let url = server.url().parse().unwrap();
    let redis = runtime
        .block_on(RedisJournal::open(&url, "alike", RedisOptions::default()))
        .unwrap();
    let cases = std::cell::Cell::new(0);
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(60)
    };
    proptest!(config, |(steps in proptest::collection::vec(step(), 1..80))| {
        cases.set(cases.get() + 1);
        let place = place();
        let mut both = Both {
            sqlite: place.open(),
            redis: redis.clone(),
            prefix: format!("h{}-", cases.get()),
            games: Vec::new(),
            begun: 0,
            now_ms: START_MS,
        };
        runtime.block_on(async {
            for n in 0..PLAYERS - 1 {
                both.take(Step::CreatePlayer(n)).await?;
            }
            for step in steps {
                both.take(step).await?;
            }
            both.agree().await
        })?;
    });
    runtime.block_on(redis.close());
}
