//! A player: looks at the game, gives a command, and gives it again under the same id until it is answered.

use std::collections::HashMap;

use starvault_rules::{Color, Command, CommandId, Game};

use crate::{
    node::{Ask, Tell},
    random::Random,
};

/// After so many moves a game is given up, so that it ends.
const MOVES_MAX: usize = 30;

/// What a player was told of a command, for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Accepted(u32),
    Rejected,
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) game: usize,
    pub(crate) color: Color,
    pub(crate) node: usize,
    commands: u32,
    outstanding: Option<(CommandId, Command)>,
    pub(crate) told: HashMap<CommandId, Told>,
    /// Answers that said something else than an earlier one.
    pub(crate) contradicted: u64,
    pub(crate) repeated: u64,
    pub(crate) done: bool,
}

impl Client {
    pub(crate) fn new(game: usize, color: Color, node: usize) -> Self {
        Self {
            game,
            color,
            node,
            commands: 0,
            outstanding: None,
            told: HashMap::new(),
            contradicted: 0,
            repeated: 0,
            done: false,
        }
    }

    /// What to ask now: the command that has no answer yet, or how the game stands.
    pub(crate) fn asks(&self) -> Ask {
        match &self.outstanding {
            Some((id, command)) => Ask::Command {
                id: id.clone(),
                command: command.clone(),
            },
            None => Ask::Look,
        }
    }

    /// Whether there is something to ask at once.
    pub(crate) fn on_tell(&mut self, tell: Tell, random: &mut Random) -> bool {
        match tell {
            Tell::View(game) if self.outstanding.is_none() => {
                self.outstanding = self.choose(&game, random);
                self.done = game.outcome().is_some();
                self.outstanding.is_some()
            }
            Tell::View(_) => false,
            Tell::Accepted {
                id,
                sequence,
                repeated,
            } => {
                self.repeated += u64::from(repeated);
                self.settle(id, Told::Accepted(sequence))
            }
            Tell::Rejected { id, repeated } => {
                self.repeated += u64::from(repeated);
                self.settle(id, Told::Rejected)
            }
            Tell::Elsewhere(node) => {
                if let Some(node) = node {
                    self.node = node;
                }
                true
            }
        }
    }

    fn settle(&mut self, id: CommandId, told: Told) -> bool {
        let was_asked = self.outstanding.take_if(|(asked, _)| *asked == id).is_some();
        match self.told.insert(id, told) {
            Some(before) if before != told => self.contradicted += 1,
            _ => {}
        }
        was_asked
    }

    fn choose(&mut self, game: &Game, random: &mut Random) -> Option<(CommandId, Command)> {
        if game.outcome().is_some() {
            return None;
        }
        let moves = game.moves_uci().len();
        let offered = game.draw_offered_by();
        let command = if offered == Some(self.color.other()) && random.percent(80) {
            Command::AnswerDraw { accept: false }
        } else if offered.is_none() && random.percent(8) {
            Command::OfferDraw
        } else if game.to_move() != self.color {
            return None;
        } else if moves >= MOVES_MAX {
            Command::Resign
        } else {
            let legal = game.legal_moves();
            Command::Move {
                uci: legal[random.below(legal.len())].as_str().to_owned(),
                expected_sequence: game.sequence(),
            }
        };
        self.commands += 1;
        let id = CommandId::new(format!("c{}", self.commands)).ok()?;
        Some((id, command))
    }
}
