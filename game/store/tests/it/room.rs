//! A journal in a folder of its own, and a game played on it as a server plays: decide, append,
//! apply.

use std::path::PathBuf;

use starvault_rules::{
    Clock, Color, Command, CommandId, Event, Game, GameId, GameState, PlayerId, Rejection, Seat, Setup,
};
use starvault_store::{
    Append, AppendOutcome, CommandKey, CreateOutcome, Decision, Epoch, Journal, NewGame, NewPlayer, Owner,
    SqliteJournal, SqliteOptions, StoreError, payload_hash,
};

pub const START_MS: i64 = 1_700_000_000_000;

/// A folder that goes away with the value, and the path of a journal in it.
pub struct Place {
    pub folder: tempfile::TempDir,
    pub path: PathBuf,
}

pub fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.sqlite");
    Place { folder, path }
}

impl Place {
    pub fn open(&self) -> SqliteJournal {
        SqliteJournal::open(&self.path, SqliteOptions::default()).unwrap()
    }

    /// The file behind the journal's back.
    pub fn raw(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(&self.path).unwrap()
    }
}

pub fn owner(release: &str) -> Owner {
    Owner {
        release: release.into(),
        instance: format!("{release}-1"),
    }
}

pub fn player_id(text: &str) -> PlayerId {
    PlayerId::new(text).unwrap()
}

pub fn game_id(text: &str) -> GameId {
    GameId::new(text).unwrap()
}

pub async fn add_player(journal: &impl Journal, id: &str) {
    let player = NewPlayer {
        player_id: player_id(id),
        display_name: format!("name of {id}"),
        rating: 1500,
        created_at_ms: START_MS,
    };
    journal.create_player(player).await.unwrap();
}

pub fn new_game(id: &str, white: &str, black: &str, owner: Owner) -> NewGame {
    let seat = |id: &str| Seat {
        player_id: player_id(id),
        name: id.into(),
        rating: 1500,
    };
    let clock = Clock {
        initial_ms: 600_000,
        increment_ms: 0,
    };
    let setup = Setup {
        game_id: game_id(id),
        white: seat(white),
        black: seat(black),
        clock,
        started_at_ms: START_MS,
    };
    NewGame { setup, owner }
}

/// A game in the hands of one owner.
#[derive(Clone)]
pub struct Room<J = SqliteJournal> {
    pub journal: J,
    pub owner: Owner,
    pub epoch: Epoch,
    pub game: Game,
}

impl<J: Journal> Room<J> {
    /// Makes both players (`w-ID`, `b-ID`) and begins a game between them.
    pub async fn begin(journal: &J, id: &str, owner: Owner) -> Self {
        let (white, black) = (format!("w-{id}"), format!("b-{id}"));
        add_player(journal, &white).await;
        add_player(journal, &black).await;
        let new = new_game(id, &white, &black, owner.clone());
        match journal.create_game(new).await.unwrap() {
            CreateOutcome::Created(created) => Room {
                journal: journal.clone(),
                owner,
                epoch: created.epoch,
                game: created.game,
            },
            other => panic!("{other:?}"),
        }
    }

    pub async fn acquire(journal: &J, id: &GameId, owner: Owner) -> Self {
        let acquired = journal.acquire(id, owner.clone()).await.unwrap().unwrap();
        Room {
            journal: journal.clone(),
            owner,
            epoch: acquired.epoch,
            game: acquired.game,
        }
    }

    pub fn player(&self, color: Color) -> PlayerId {
        self.game.setup().seat(color).player_id.clone()
    }

    pub fn key(&self, by: Color, command_id: &str, command: &Command) -> CommandKey {
        CommandKey {
            player_id: self.player(by),
            command_id: CommandId::new(command_id).unwrap(),
            payload_hash: payload_hash(command),
        }
    }

    pub fn append_of(&self, command: Option<CommandKey>, decision: Decision) -> Append {
        Append {
            game_id: self.game.id().clone(),
            owner: self.owner.clone(),
            epoch: self.epoch,
            expected_sequence: self.game.sequence(),
            command,
            decision,
            at_ms: self.now_ms(),
        }
    }

    pub fn now_ms(&self) -> i64 {
        self.game.last_event_at_ms() + 1
    }

    /// What the rules say to `command` now.
    pub fn decide(&self, by: Color, command: &Command) -> (Decision, Game) {
        match self.game.decide(by, command, self.now_ms()) {
            Ok(events) => {
                let mut after = self.game.clone();
                for event in &events {
                    after.apply(event).unwrap();
                }
                (accepted(events, after.state()), after)
            }
            Err(rejection) => (rejected(&rejection), self.game.clone()),
        }
    }

    /// Gives a command as a player does; the game moves on when it is committed.
    pub async fn give(&mut self, by: Color, command_id: &str, command: &Command) -> AppendOutcome {
        self.attempt(by, command_id, command).await.unwrap()
    }

    /// The same, where the store may fail.
    pub async fn attempt(
        &mut self,
        by: Color,
        command_id: &str,
        command: &Command,
    ) -> Result<AppendOutcome, StoreError> {
        let (decision, after) = self.decide(by, command);
        let append = self.append_of(Some(self.key(by, command_id, command)), decision);
        let outcome = self.journal.append(append).await?;
        if matches!(outcome, AppendOutcome::Committed { .. }) {
            self.game = after;
        }
        Ok(outcome)
    }

    /// The command of the side to move.
    pub fn mv(&self, uci: &str) -> Command {
        Command::Move {
            uci: uci.into(),
            expected_sequence: self.game.sequence(),
        }
    }

    /// Plays these moves; their command ids are `c` and the sequence that they follow.
    pub async fn play(&mut self, moves: &str) {
        for uci in moves.split_whitespace() {
            let (by, command) = (self.game.to_move(), self.mv(uci));
            let id = format!("c{}", self.game.sequence());
            let outcome = self.give(by, &id, &command).await;
            assert_eq!(
                outcome,
                AppendOutcome::Committed {
                    sequence: self.game.sequence()
                },
                "{uci}"
            );
        }
    }
}

pub fn accepted(events: Vec<Event>, state: GameState) -> Decision {
    Decision::Accepted { events, state }
}

pub fn rejected(rejection: &Rejection) -> Decision {
    Decision::Rejected {
        code: rejection.code().into(),
        message: rejection.to_string(),
    }
}
