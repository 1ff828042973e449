//! The clients' side of the truth: commands that somebody was told are durable.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Take},
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OptionalExtension};
use serde::Deserialize;
use starvault_rules::{CommandId, GameId, PlayerId};

use super::{CheckReport, FindingKind};
use crate::{StoreError, sqlite::Fault};

/// A line is some 300 bytes at most; what is longer is no such file.
const LINE_BYTES_MAX: u64 = 4096;

#[derive(Deserialize)]
struct Line {
    game_id: GameId,
    command_id: CommandId,
    sequence: u32,
    player_id: PlayerId,
}

pub(super) struct Acknowledged {
    path: PathBuf,
    /// As long as the file was when it was opened.
    lines: Take<BufReader<File>>,
}

impl Acknowledged {
    pub(super) fn open(path: &Path) -> Result<Acknowledged, StoreError> {
        let open = || -> io::Result<_> {
            let file = File::open(path)?;
            let bytes = file.metadata()?.len();
            Ok(BufReader::new(file).take(bytes))
        };
        match open() {
            Ok(lines) => Ok(Acknowledged {
                path: path.to_owned(),
                lines,
            }),
            Err(error) => Err(StoreError::Acknowledged {
                path: path.to_owned(),
                line: 0,
                what: error.to_string(),
            }),
        }
    }

    pub(super) fn check(mut self, connection: &Connection, report: &mut CheckReport) -> Result<(), Fault> {
        let mut line = Vec::new();
        for number in 1.. {
            let unreadable = |what: String| StoreError::Acknowledged {
                path: self.path.clone(),
                line: number,
                what,
            };
            line.clear();
            let read = (&mut self.lines)
                .take(LINE_BYTES_MAX)
                .read_until(b'\n', &mut line);
            let bytes = read.map_err(|error| unreadable(error.to_string()))? as u64;
            if line.last() != Some(&b'\n') {
                if bytes == LINE_BYTES_MAX {
                    return Err(unreadable(format!("longer than {LINE_BYTES_MAX} bytes")).into());
                }
                break;
            }
            let parsed: Line =
                serde_json::from_slice(&line).map_err(|error| unreadable(error.to_string()))?;
            report.acknowledged += 1;
            check_line(connection, &parsed, report)?;
        }
        Ok(())
    }
}

fn check_line(connection: &Connection, line: &Line, report: &mut CheckReport) -> Result<(), Fault> {
    let Line {
        game_id,
        command_id,
        sequence,
        player_id,
    } = line;
    let there = connection
        .prepare_cached(
            "SELECT 1 FROM events WHERE game_id = ?1 AND sequence = ?2 AND player_id = ?3 AND command_id = ?4",
        )?
        .exists((game_id.as_str(), sequence, player_id.as_str(), command_id.as_str()))?;
    if there {
        return Ok(());
    }
    let elsewhere: Option<u32> = connection
        .prepare_cached(
            "SELECT max(sequence) FROM events WHERE game_id = ?1 AND player_id = ?2 AND command_id = ?3",
        )?
        .query_row(
            (game_id.as_str(), player_id.as_str(), command_id.as_str()),
            |row| row.get(0),
        )
        .optional()?
        .flatten();
    let where_else = match elsewhere {
        Some(found) => format!("the journal has it at {found}"),
        None => "the journal does not have it".to_owned(),
    };
    let what = format!(
        "command {command_id} of player {player_id} was acknowledged at sequence {sequence}; {where_else}"
    );
    report.find(FindingKind::Lost, Some(game_id), what);
    Ok(())
}
