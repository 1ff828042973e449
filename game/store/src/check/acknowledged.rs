//! The clients' side of the truth: commands that somebody was told are durable.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufRead, BufReader, Read, Take},
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OptionalExtension};
use serde::Deserialize;
use starvault_rules::{Color, CommandId, GameId, PlayerId};

use super::{CheckReport, FindingKind};
use crate::{
    StoreError,
    sqlite::{Fault, log},
};

/// A line is some 300 bytes at most; what is longer is no such file.
const LINE_BYTES_MAX: u64 = 4096;

/// Games whose commands are kept at hand.
const GAMES_AT_HAND_MAX: usize = 4096;

/// A command that somebody was told is durable.
#[derive(Deserialize)]
pub(crate) struct Line {
    pub(crate) game_id: GameId,
    command_id: CommandId,
    sequence: u32,
    pub(crate) player_id: PlayerId,
}

/// Who gave which command at which sequence.
pub(crate) type Command = (Color, String, u32);

pub(crate) struct Acknowledged {
    path: PathBuf,
    /// Of the line that was read last.
    number: u64,
    /// As long as the file was when it was opened.
    lines: Take<BufReader<File>>,
}

impl Acknowledged {
    pub(crate) fn open(path: &Path) -> Result<Acknowledged, StoreError> {
        let open = || -> io::Result<_> {
            let file = File::open(path)?;
            let bytes = file.metadata()?.len();
            Ok(BufReader::new(file).take(bytes))
        };
        match open() {
            Ok(lines) => Ok(Acknowledged {
                path: path.to_owned(),
                number: 0,
                lines,
            }),
            Err(error) => Err(StoreError::Acknowledged {
                path: path.to_owned(),
                line: 0,
                what: error.to_string(),
            }),
        }
    }

    /// The next whole line. An unfinished last one is what a killed writer leaves.
    pub(crate) fn next(&mut self) -> Result<Option<Line>, StoreError> {
        self.number += 1;
        let (path, number) = (self.path.clone(), self.number);
        let unreadable = |what: String| StoreError::Acknowledged {
            path,
            line: number,
            what,
        };
        let mut line = Vec::new();
        let read = (&mut self.lines)
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut line);
        let bytes = match read {
            Ok(bytes) => bytes as u64,
            Err(error) => return Err(unreadable(error.to_string())),
        };
        if line.last() != Some(&b'\n') {
            if bytes == LINE_BYTES_MAX {
                return Err(unreadable(format!("longer than {LINE_BYTES_MAX} bytes")));
            }
            return Ok(None);
        }
        match serde_json::from_slice(&line) {
            Ok(line) => Ok(Some(line)),
            Err(error) => Err(unreadable(error.to_string())),
        }
    }

    pub(super) fn check(mut self, connection: &Connection, report: &mut CheckReport) -> Result<(), Fault> {
        let mut commands = Commands::default();
        while let Some(line) = self.next()? {
            check_line(connection, &mut commands, &line, report)?;
        }
        Ok(())
    }
}

impl Line {
    /// Compares with the commands of its game: who gave which command at which sequence. `seat`: the player's.
    pub(crate) fn check(&self, seat: Option<Color>, commands: &[Command], report: &mut CheckReport) {
        let Line {
            game_id,
            command_id,
            sequence,
            player_id,
        } = self;
        report.acknowledged += 1;
        let its = commands
            .iter()
            .filter(|(by, id, _)| Some(*by) == seat && id == command_id.as_str())
            .map(|(.., at)| *at);
        let (mut there, mut elsewhere) = (false, None);
        for at in its {
            there |= at == *sequence;
            elsewhere = elsewhere.max(Some(at));
        }
        if there {
            return;
        }
        let where_else = match elsewhere {
            Some(found) => format!("the journal has it at {found}"),
            None => "the journal does not have it".to_owned(),
        };
        let what = format!(
            "command {command_id} of player {player_id} was acknowledged at sequence {sequence}; {where_else}"
        );
        report.find(FindingKind::Lost, Some(game_id), what);
    }
}

/// The commands of games that were looked at last. Lines of one game come in a row as a rule.
#[derive(Default)]
struct Commands(HashMap<GameId, Vec<Command>>);

impl Commands {
    /// Who gave which command of the game at which sequence; none for a game that does not exist.
    fn of(&mut self, connection: &Connection, game_id: &GameId) -> Result<&[Command], Fault> {
        if !self.0.contains_key(game_id) {
            if self.0.len() >= GAMES_AT_HAND_MAX {
                self.0.clear();
            }
            let commands = read(connection, game_id)?;
            self.0.insert(game_id.clone(), commands);
        }
        Ok(self.0.get(game_id).map(Vec::as_slice).unwrap_or_default())
    }
}

fn read(connection: &Connection, game_id: &GameId) -> Result<Vec<Command>, Fault> {
    let Some((game, last)) = log::newest_of(connection, game_id)? else {
        return Ok(Vec::new());
    };
    // As far back as the log leads; where it ends too early was found before.
    let mut commands = Vec::new();
    let walked = log::walk_back(connection, game, last, |row| {
        if let Some((seat, command_id, _)) = row.cause {
            commands.push((seat, command_id, row.sequence));
        }
        true
    });
    match walked {
        Ok(()) | Err(Fault::Corrupt(_)) => Ok(commands),
        Err(fault) => Err(fault),
    }
}

fn check_line(
    connection: &Connection,
    commands: &mut Commands,
    line: &Line,
    report: &mut CheckReport,
) -> Result<(), Fault> {
    let Line {
        game_id, player_id, ..
    } = line;
    let seats: Option<[String; 2]> = connection
        .prepare_cached("SELECT white_id, black_id FROM games WHERE game_id = ?1")?
        .query_row([game_id.as_str()], |row| Ok([row.get(0)?, row.get(1)?]))
        .optional()?;
    let seat = Color::BOTH
        .into_iter()
        .zip(seats.iter().flatten())
        .find_map(|(color, seated)| (seated == player_id.as_str()).then_some(color));
    line.check(seat, commands.of(connection, game_id)?, report);
    Ok(())
}
