//! A node: the rooms of a process. As in the server, a room decides, has it made durable, takes it in and
//! acknowledges, one command at a time; whoever has no answer from the store loads the game anew.

use std::collections::{HashMap, VecDeque};

use starvault_rules::{Color, Command, CommandId, Game, Step};
use starvault_store::{Answer, Append, AppendOutcome, CommandKey, Decision, Epoch, Owner, payload_hash};

use crate::store::{Reply, Request};

/// What a player asks of a node.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    /// Where does the game stand?
    Look,
    Command {
        id: CommandId,
        command: Command,
    },
}

/// What a node tells a player.
#[derive(Clone, Debug)]
pub(crate) enum Tell {
    View(Box<Game>),
    Accepted {
        id: CommandId,
        sequence: u32,
        repeated: bool,
    },
    Rejected {
        id: CommandId,
        repeated: bool,
    },
    /// The game is elsewhere: at this node, if it is known.
    Elsewhere(Option<usize>),
}

#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) client: usize,
    pub(crate) game: usize,
    pub(crate) color: Color,
    pub(crate) ask: Ask,
}

/// What a node wants done.
#[derive(Debug)]
pub(crate) enum Out {
    Tell(usize, Tell),
    /// Ask the store; its answer carries the number back. Without one within a while the number times out.
    Store(u64, Request),
}

#[derive(Debug)]
enum Room {
    Loading { number: u64 },
    Open(Box<Open>),
}

/// Every so many looks a room makes sure that the game is still its own, as the server does from time to
/// time while a player is missed.
const LOOKS_PER_PROBE: u32 = 4;

#[derive(Debug)]
struct Open {
    epoch: Epoch,
    game: Game,
    looks: u32,
    busy: Option<Busy>,
}

/// What a room waits for.
#[derive(Debug)]
enum Busy {
    Append(Appending),
    Probe { number: u64, client: usize },
}

impl Busy {
    fn number(&self) -> u64 {
        match self {
            Busy::Append(appending) => appending.number,
            Busy::Probe { number, .. } => *number,
        }
    }
}

/// A result on its way to the store.
#[derive(Debug)]
struct Appending {
    number: u64,
    asked: Asked,
    id: CommandId,
    step: Option<Box<Step>>,
    /// What is to be appended once the command is marked, where it is marked first.
    append: Option<Box<Append>>,
}

#[derive(Debug)]
pub(crate) struct Node {
    index: usize,
    pub(crate) life: u64,
    pub(crate) up: bool,
    marks_first: bool,
    numbers: u64,
    rooms: HashMap<usize, Room>,
    waiting: HashMap<usize, VecDeque<Asked>>,
}

impl Node {
    pub(crate) fn new(index: usize, marks_first: bool) -> Self {
        Self {
            index,
            life: 0,
            up: true,
            marks_first,
            numbers: 0,
            rooms: HashMap::new(),
            waiting: HashMap::new(),
        }
    }

    pub(crate) fn owner(&self) -> Owner {
        Owner {
            release: self.index.to_string(),
            instance: format!("{}-{}", self.index, self.life),
        }
    }

    pub(crate) fn crash(&mut self) {
        self.up = false;
        self.life += 1;
        self.rooms.clear();
        self.waiting.clear();
    }

    pub(crate) fn on_asked(&mut self, asked: Asked, now_ms: i64) -> Vec<Out> {
        let game = asked.game;
        self.waiting.entry(game).or_default().push_back(asked);
        self.go_on(game, now_ms)
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn load(&mut self, game: usize) -> Out {
        let number = self.number();
        self.rooms.insert(game, Room::Loading { number });
        let owner = self.owner();
        Out::Store(number, Request::Acquire { game, owner })
    }

    /// Serves who waits at a room, as long as nothing is on its way to the store.
    fn go_on(&mut self, game: usize, now_ms: i64) -> Vec<Out> {
        let mut out = Vec::new();
        if !self.rooms.contains_key(&game) {
            out.push(self.load(game));
            return out;
        }
        loop {
            let owner = self.owner();
            let number = self.numbers + 1;
            let Some(Room::Open(room)) = self.rooms.get_mut(&game) else {
                return out;
            };
            if room.busy.is_some() {
                return out;
            }
            let Some(asked) = self.waiting.get_mut(&game).and_then(VecDeque::pop_front) else {
                return out;
            };
            let Ask::Command { id, command } = asked.ask.clone() else {
                let client = asked.client;
                room.looks += 1;
                if room.looks.is_multiple_of(LOOKS_PER_PROBE) {
                    room.busy = Some(Busy::Probe { number, client });
                    self.numbers = number;
                    out.push(Out::Store(number, Request::Probe { game }));
                } else {
                    out.push(Out::Tell(client, Tell::View(Box::new(room.game.clone()))));
                }
                continue;
            };
            let (append, step) = decide(room, &asked, &id, &command, owner, now_ms);
            let cause = (asked.color, id.clone());
            let (request, append) = if self.marks_first {
                (Request::Mark { game, cause }, Some(append))
            } else {
                (Request::Append { game, append }, None)
            };
            room.busy = Some(Busy::Append(Appending {
                number,
                asked,
                id,
                step,
                append,
            }));
            self.numbers = number;
            out.push(Out::Store(number, request));
        }
    }

    /// The store has answered the question `number` about `game`.
    pub(crate) fn on_reply(&mut self, game: usize, number: u64, reply: Reply, now_ms: i64) -> Vec<Out> {
        let mut out = Vec::new();
        match self.rooms.get_mut(&game) {
            Some(Room::Loading { number: expected }) if *expected == number => {
                let Reply::Acquired { epoch, events } = reply else {
                    return out;
                };
                match Game::from_events(&events) {
                    Ok(game_now) => {
                        let open = Open {
                            epoch,
                            game: game_now,
                            looks: 0,
                            busy: None,
                        };
                        self.rooms.insert(game, Room::Open(Box::new(open)));
                    }
                    // The verdict at the end names it.
                    Err(_) => return out,
                }
            }
            Some(Room::Open(room)) if room.busy.as_ref().is_some_and(|busy| busy.number() == number) => {
                let Some(busy) = room.busy.take() else { return out };
                if self.answer(game, busy, reply, &mut out) {
                    out.push(self.load(game));
                    return out;
                }
            }
            // Of a question that nobody asks any more.
            _ => return out,
        }
        out.extend(self.go_on(game, now_ms));
        out
    }

    /// Whether the game has to be loaded anew.
    fn answer(&mut self, game: usize, busy: Busy, reply: Reply, out: &mut Vec<Out>) -> bool {
        match busy {
            Busy::Append(appending) => self.appended(game, appending, reply, out),
            Busy::Probe { client, .. } => {
                let (Some(Room::Open(room)), Reply::Owned { owner, epoch }) = (self.rooms.get(&game), reply)
                else {
                    return true;
                };
                if epoch == room.epoch {
                    out.push(Out::Tell(client, Tell::View(Box::new(room.game.clone()))));
                } else {
                    self.leave(game, client, &owner, out);
                }
                false
            }
        }
    }

    /// The game is another node's: whoever is here is sent there.
    fn leave(&mut self, game: usize, client: usize, owner: &Owner, out: &mut Vec<Out>) {
        self.rooms.remove(&game);
        let waiting = self.waiting.remove(&game).unwrap_or_default();
        let others = waiting.into_iter().map(|asked| asked.client);
        for client in std::iter::once(client).chain(others) {
            let elsewhere = Tell::Elsewhere(owner.release.parse().ok());
            out.push(Out::Tell(client, elsewhere));
        }
    }

    fn appended(&mut self, game: usize, busy: Appending, reply: Reply, out: &mut Vec<Out>) -> bool {
        let number = self.numbers + 1;
        let Some(Room::Open(room)) = self.rooms.get_mut(&game) else {
            return false;
        };
        let Appending { asked, id, step, .. } = &busy;
        let (client, id) = (asked.client, id.clone());
        let mut tell = |tell| out.push(Out::Tell(client, tell));
        match reply {
            Reply::Marked { fresh: true, .. } => {
                self.numbers = number;
                if let Some(append) = busy.append.clone() {
                    out.push(Out::Store(number, Request::Append { game, append }));
                }
                room.busy = Some(Busy::Append(Appending { number, ..busy }));
            }
            // Seen before, so it must have been done.
            Reply::Marked { sequence, .. } => tell(Tell::Accepted {
                id,
                sequence,
                repeated: true,
            }),
            Reply::Appended(AppendOutcome::Committed { sequence }) => match step {
                Some(step) => {
                    room.game = step.game.clone();
                    tell(Tell::Accepted {
                        id,
                        sequence,
                        repeated: false,
                    });
                }
                None => tell(Tell::Rejected { id, repeated: false }),
            },
            Reply::Appended(AppendOutcome::Repeated { answer }) => tell(match answer {
                Answer::Accepted { sequence } => Tell::Accepted {
                    id,
                    sequence,
                    repeated: true,
                },
                Answer::Rejected { .. } => Tell::Rejected { id, repeated: true },
            }),
            Reply::Appended(AppendOutcome::Fenced { owner, .. }) => {
                self.leave(game, client, &owner, out);
            }
            Reply::Appended(AppendOutcome::Gap { .. } | AppendOutcome::Conflict)
            | Reply::Refused
            | Reply::Owned { .. }
            | Reply::Acquired { .. } => return true,
        }
        false
    }

    /// No answer came to the question `number`: what the store knows is loaded. Who asked asks again.
    pub(crate) fn on_timeout(&mut self, game: usize, number: u64) -> Vec<Out> {
        let waits = match self.rooms.get(&game) {
            Some(Room::Loading { number: expected }) => *expected == number,
            Some(Room::Open(room)) => room.busy.as_ref().is_some_and(|busy| busy.number() == number),
            None => false,
        };
        if waits { vec![self.load(game)] } else { Vec::new() }
    }
}

fn decide(
    room: &Open,
    asked: &Asked,
    id: &CommandId,
    command: &Command,
    owner: Owner,
    now_ms: i64,
) -> (Box<Append>, Option<Box<Step>>) {
    let (decision, step) = match room.game.advance(asked.color, command, now_ms) {
        Ok(step) => {
            let decision = Decision::Accepted {
                events: step.events.clone(),
                state: step.game.state(),
            };
            (decision, Some(Box::new(step)))
        }
        Err(rejection) => {
            let decision = Decision::Rejected {
                code: rejection.code().to_owned(),
                message: rejection.to_string(),
            };
            (decision, None)
        }
    };
    let append = Append {
        game_id: room.game.id().clone(),
        owner,
        epoch: room.epoch,
        expected_sequence: room.game.sequence(),
        command: Some(CommandKey {
            player_id: room.game.setup().seat(asked.color).player_id.clone(),
            command_id: id.clone(),
            payload_hash: payload_hash(command),
        }),
        decision,
        at_ms: now_ms,
    };
    (Box::new(append), step)
}
