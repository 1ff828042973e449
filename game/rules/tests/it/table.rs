//! A board to play at.

use starvault_rules::{
    Clock, Color, Command, Event, Game, GameId, Moment, PlayerId, Rejection, ReplayError, Seat, Setup, Step,
};

pub const START_MS: i64 = 1_700_000_000_000;

pub fn setup() -> Setup {
    let seat = |id: &str, name: &str, rating| Seat {
        player_id: PlayerId::new(id).unwrap(),
        name: name.into(),
        rating,
    };
    Setup {
        game_id: GameId::new("g1").unwrap(),
        white: seat("p-white", "白方", 1500),
        black: seat("p-black", "Black", 1520),
        clock: Clock {
            initial_ms: 10_000,
            increment_ms: 1_000,
        },
        started_at_ms: START_MS,
    }
}

/// A game with all its events, played as a server plays it: decide, then apply.
#[derive(Clone)]
pub struct Table {
    pub game: Game,
    pub events: Vec<Event>,
    pub now_ms: i64,
    /// The round trip to both players.
    pub lag_ms: u32,
}

impl Table {
    pub fn new() -> Table {
        let (game, started) = Game::new(setup()).unwrap();
        Table {
            game,
            events: vec![started],
            now_ms: START_MS,
            lag_ms: 0,
        }
    }

    /// A table after these moves, each made within one millisecond.
    pub fn after(moves: &str) -> Table {
        let mut table = Table::new();
        for uci in moves.split_whitespace() {
            table
                .play(uci)
                .unwrap_or_else(|rejection| panic!("{uci}: {rejection}"));
        }
        table
    }

    pub fn play(&mut self, uci: &str) -> Result<Vec<Event>, Rejection> {
        let command = Command::Move {
            uci: uci.into(),
            expected_sequence: self.game.sequence(),
        };
        self.now_ms += 1;
        self.give(self.game.to_move(), &command)
    }

    /// Gives a command now.
    pub fn give(&mut self, by: Color, command: &Command) -> Result<Vec<Event>, Rejection> {
        let moment = Moment::with_lag(self.now_ms, self.lag_ms);
        let Step { events, game: after } = self.game.advance(by, command, moment)?;
        for event in &events {
            self.game.apply(event).unwrap();
            self.events.push(event.clone());
        }
        assert_eq!(
            format!("{after:?}"),
            format!("{:?}", self.game),
            "decided and applied differ"
        );
        self.game.check_invariants().unwrap();
        self.game.state().check().unwrap();
        Ok(events)
    }

    pub fn replayed(&self) -> Result<Game, ReplayError> {
        Game::from_events(&self.events)
    }
}
