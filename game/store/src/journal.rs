//! What a journal does, whatever keeps it.

use std::{fmt, future::Future};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use starvault_rules::{
    CommandId, EquipError, Equipment, Event, Game, GameId, GameState, PlayerId, Progress, Setup,
};

use crate::StoreError;

/// How often a game has changed hands: 1 for the process that created it. A fencing token: only
/// the holder of the highest epoch can write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// A process that runs games.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// The release label, e.g. `v1.3`; clients find the owner by it.
    pub release: String,
    /// Tells processes of one release apart, and a process from its predecessor.
    pub instance: String,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.release, self.instance)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPlayer {
    pub player_id: PlayerId,
    pub display_name: String,
    pub rating: i32,
    pub created_at_ms: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    pub player_id: PlayerId,
    pub display_name: String,
    #[serde(flatten)]
    pub progress: Progress,
    /// What the player wears.
    pub equipped: Equipment,
    /// 1 for a new player, one more with every change of name, progress or equipment.
    pub version: i64,
    /// The running game that this player is in.
    pub active_game_id: Option<GameId>,
}

impl Profile {
    /// Of somebody who has not played yet.
    pub(crate) fn new(player: NewPlayer) -> Profile {
        let NewPlayer {
            player_id,
            display_name,
            rating,
            created_at_ms: _,
        } = player;
        Profile {
            player_id,
            display_name,
            progress: Progress::new(rating),
            equipped: Equipment::default(),
            version: 1,
            active_game_id: None,
        }
    }

    /// Puts an item on or takes it off; whether that changes anything. The version is the engine's to raise.
    pub(crate) fn equip(&mut self, item_id: &str, equip: bool) -> Result<bool, EquipError> {
        if equip {
            self.equipped.put_on(item_id, self.progress.level())
        } else {
            self.equipped.take_off(item_id)
        }
    }
}

/// What became of a wish to put an item on or to take it off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EquipOutcome {
    /// The profile after it; unchanged where nothing had to change.
    Done(Box<Profile>),
    /// Nothing was written.
    Refused(EquipError),
    /// There is no such player.
    Unknown,
}

#[derive(Clone, Debug)]
pub struct NewGame {
    /// How the players look is taken from their profiles.
    pub setup: Setup,
    pub owner: Owner,
}

#[derive(Clone, Debug)]
pub enum CreateOutcome {
    Created(Box<Created>),
    /// A player can be in one running game at a time; nothing was created.
    AlreadyPlaying {
        player_id: PlayerId,
        game_id: GameId,
    },
}

/// A game that has begun, and is durable.
#[derive(Clone, Debug)]
pub struct Created {
    pub epoch: Epoch,
    /// The game after its first event.
    pub game: Game,
    /// That event.
    pub started: Event,
}

/// Which command this is, and what it says. `player_id` and `command_id` name it within its game.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandKey {
    pub player_id: PlayerId,
    pub command_id: CommandId,
    /// SHA-256 of the command's content: see [`payload_hash`].
    pub payload_hash: [u8; 32],
}

/// The hash of a command's content, by its JSON form.
pub fn payload_hash(command: &starvault_rules::Command) -> [u8; 32] {
    let json = serde_json::to_vec(command).expect("a command has text keys only and serialises into memory");
    Sha256::digest(json).into()
}

/// What the rules said to a command.
#[derive(Clone, Debug)]
pub enum Decision {
    Accepted {
        /// At least one, with sequences that follow `expected_sequence` one by one.
        events: Vec<Event>,
        /// The game after them. A last event `Ended` ends the game for both players: their
        /// profiles change in the same transaction, unless it was aborted and counts for nobody.
        state: GameState,
    },
    /// Kept too, so that a repeated command hears the same.
    Rejected {
        /// Stable name, see `Rejection::code`.
        code: String,
        /// For people.
        message: String,
    },
}

/// One command's result, to be made durable.
#[derive(Clone, Debug)]
pub struct Append {
    pub game_id: GameId,
    /// Who writes. Another owner or epoch than the stored one is fenced off.
    pub owner: Owner,
    pub epoch: Epoch,
    /// The game's sequence as the owner knows it, before `decision`.
    pub expected_sequence: u32,
    /// `None` for what the server does on its own (flag, abandonment, abort).
    pub command: Option<CommandKey>,
    pub decision: Decision,
    /// When it was decided.
    pub at_ms: i64,
}

/// The answer to a command, as kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// `sequence`: the game's after the command.
    Accepted { sequence: u32 },
    /// `sequence`: the game's when the command was refused.
    Rejected {
        code: String,
        message: String,
        sequence: u32,
    },
}

/// What became of an [`Append`]. Looked at in this order: fenced, repeated or conflict, gap, committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendOutcome {
    /// Durable. `sequence`: the game's now (unchanged by a rejection).
    Committed { sequence: u32 },
    /// The same command had been answered before: this is that answer, and nothing was written.
    Repeated { answer: Answer },
    /// The command id had been used for another content; nothing was written.
    Conflict,
    /// The game is at another sequence than the owner believes; nothing was written.
    Gap { current: u32 },
    /// The game belongs to another owner by now; nothing was written and nothing ever will be.
    Fenced { owner: Owner, epoch: Epoch },
}

/// A game that changed hands.
#[derive(Clone, Debug)]
pub struct Acquired {
    pub epoch: Epoch,
    /// All events, oldest first.
    pub events: Vec<Event>,
    /// The game after them, checked against the stored state.
    pub game: Game,
    /// Who had it before.
    pub previous: Owner,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ownership {
    pub owner: Owner,
    pub epoch: Epoch,
    /// Who plays in it, White first.
    pub players: [PlayerId; 2],
    /// Whether the game still goes on.
    pub running: bool,
}

/// The store of games and profiles. Whatever is answered with success is durable.
///
/// A handle is cheap to clone and to share. A future that is dropped before it is ready leaves
/// open whether its operation took place, as a crash does.
pub trait Journal: Clone + Send + Sync + 'static {
    /// Makes a player. An id that exists is [`StoreError::PlayerExists`].
    fn create_player(&self, player: NewPlayer) -> impl Future<Output = Result<Profile, StoreError>> + Send;

    fn get_profile(
        &self,
        player_id: &PlayerId,
    ) -> impl Future<Output = Result<Option<Profile>, StoreError>> + Send;

    /// Puts an item on or takes it off, if the player owns it.
    fn equip(
        &self,
        player_id: &PlayerId,
        item_id: &str,
        equip: bool,
        at_ms: i64,
    ) -> impl Future<Output = Result<EquipOutcome, StoreError>> + Send;

    /// Begins a game in epoch 1, owned by `game.owner`, and puts both players into it.
    fn create_game(&self, game: NewGame) -> impl Future<Output = Result<CreateOutcome, StoreError>> + Send;

    fn append(&self, append: Append) -> impl Future<Output = Result<AppendOutcome, StoreError>> + Send;

    /// Makes `owner` the owner in a new epoch, whoever had the game; from then on the former owner
    /// is fenced off. An ended game can be acquired too, to answer repeated commands. `None`: no such game.
    fn acquire(
        &self,
        game_id: &GameId,
        owner: Owner,
    ) -> impl Future<Output = Result<Option<Acquired>, StoreError>> + Send;

    /// The events of a game after `sequence`, oldest first; none for a game that does not exist.
    fn events_after(
        &self,
        game_id: &GameId,
        sequence: u32,
    ) -> impl Future<Output = Result<Vec<Event>, StoreError>> + Send;

    fn owner_of(
        &self,
        game_id: &GameId,
    ) -> impl Future<Output = Result<Option<Ownership>, StoreError>> + Send;

    /// The running game that the player is in.
    fn active_game_of(
        &self,
        player_id: &PlayerId,
    ) -> impl Future<Output = Result<Option<GameId>, StoreError>> + Send;

    /// The running games that `owner` has, in order of their ids.
    fn running_games_of(&self, owner: &Owner)
    -> impl Future<Output = Result<Vec<GameId>, StoreError>> + Send;
}
