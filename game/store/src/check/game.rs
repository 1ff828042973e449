//! One game: its events in order, replayed by the rules, against its digests, head and commands.

use std::collections::HashMap;

use rusqlite::{Connection, Row};
use starvault_rules::{Color, Event, EventKind, Game, GameId, PlayerId, Reason};

use super::{CheckReport, FindingKind};
use crate::sqlite::{Fault, log, stored_id};

/// What the games say about one player.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub wins: u32,
    pub losses: u32,
    pub draws: u32,
    pub running: Vec<GameId>,
}

/// The command that caused an event.
pub(crate) type Cause = (Color, String);

/// The events that one command caused.
pub(crate) struct Caused {
    pub(crate) last: u32,
    /// All but the end of the game, which may follow a move of the same command.
    actions: u32,
    applied_again: bool,
}

/// The commands of one game and what each of them caused.
#[derive(Default)]
pub(crate) struct Causes(HashMap<Cause, Caused>);

impl Causes {
    /// Events come in their order.
    pub(crate) fn note(&mut self, cause: Cause, event: &Event) {
        let action = u32::from(!matches!(event.kind, EventKind::Ended { .. }));
        let sequence = event.sequence;
        self.0
            .entry(cause)
            .and_modify(|caused| {
                caused.applied_again |= sequence != caused.last + 1;
                caused.last = sequence;
                caused.actions += action;
            })
            .or_insert(Caused {
                last: sequence,
                actions: action,
                applied_again: false,
            });
    }

    pub(crate) fn get(&self, cause: &Cause) -> Option<&Caused> {
        self.0.get(cause)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Cause, &Caused)> {
        self.0.iter()
    }

    /// Reports commands that were applied more than once.
    pub(crate) fn check(&self, game_id: &GameId, players: &[PlayerId; 2], report: &mut CheckReport) {
        for ((seat, command_id), _) in self.0.iter().filter(|(_, c)| c.applied_again || c.actions > 1) {
            let player_id = &players[*seat as usize];
            let what = format!("command {command_id} of player {player_id} was applied more than once");
            report.find(FindingKind::Twice, Some(game_id), what);
        }
    }
}

/// What a game did to its players.
pub(crate) fn note_result(
    tallies: &mut HashMap<PlayerId, Tally>,
    game_id: &GameId,
    players: &[PlayerId; 2],
    events: &[Event],
) {
    for (player_id, color) in players.iter().zip(Color::BOTH) {
        let tally = tallies.entry(player_id.clone()).or_default();
        match events.last().map(|event| &event.kind) {
            // Counts for nobody.
            Some(EventKind::Ended {
                reason: Reason::Aborted,
                ..
            }) => {}
            Some(EventKind::Ended { winner: None, .. }) => tally.draws += 1,
            Some(EventKind::Ended {
                winner: Some(winner), ..
            }) if *winner == color => tally.wins += 1,
            Some(EventKind::Ended { .. }) => tally.losses += 1,
            _ => tally.running.push(game_id.clone()),
        }
    }
}

/// One game as its rows tell it, without its events.
pub(super) struct Told {
    number: i64,
    game_id: GameId,
    /// White first.
    players: [PlayerId; 2],
    /// Its head: sequence, position of the newest event and the time of the end.
    head: Option<(u32, i64, Option<i64>)>,
}

impl Told {
    /// The columns: game, game_id, white_id, black_id, sequence, last, ended_at_ms.
    pub(super) fn from_row(row: &Row<'_>) -> Result<Told, Fault> {
        let head = match (row.get(4)?, row.get(5)?) {
            (Some(sequence), Some(last)) => Some((sequence, last, row.get(6)?)),
            _ => None,
        };
        Ok(Told {
            number: row.get(0)?,
            game_id: stored_id(row.get(1)?)?,
            players: [stored_id(row.get(2)?)?, stored_id(row.get(3)?)?],
            head,
        })
    }
}

/// Looks at one game; answers how many rows of the log are its events.
pub(super) fn check_game(
    connection: &Connection,
    told: &Told,
    tallies: &mut HashMap<PlayerId, Tally>,
    report: &mut CheckReport,
) -> Result<u64, Fault> {
    let Told {
        number,
        game_id,
        players,
        head,
    } = told;
    let (rows, reached) = match head {
        Some((_, last, _)) => read_rows(connection, *number, *last, game_id, report)?,
        None => {
            report.find(FindingKind::Broken, Some(game_id), "the game has no head");
            (Vec::new(), 0)
        }
    };
    let (events, caused) = read_events(&rows, game_id, report);
    report.events += events.len() as u64;
    caused.check(game_id, players, report);
    check_refusals(connection, told, &caused, report)?;

    note_result(tallies, game_id, players, &events);

    let mut broken = |what: String| report.find(FindingKind::Broken, Some(game_id), what);
    let game = match Game::from_events(&events) {
        Ok(game) => game,
        Err(error) => {
            broken(format!("the events are no game: {error}"));
            return Ok(reached);
        }
    };
    if let Err(error) = game.check_invariants() {
        broken(error.to_string());
    }
    let seats = [&game.setup().white.player_id, &game.setup().black.player_id];
    if game.id() != game_id || seats != [&players[0], &players[1]] {
        broken("the game's row and its first event name other players or another game".into());
    }
    if let Some(row) = rows.last()
        && !row.agrees_with(&game.state())?
    {
        broken("the game that was stored is not what the events give".into());
    }
    let Some((sequence, _, ended_at_ms)) = head else {
        return Ok(reached);
    };
    if *sequence != game.sequence() {
        broken(format!(
            "the game's head says sequence {sequence}, its events {}",
            game.sequence()
        ));
    }
    let end = game.outcome().map(|_| game.last_event_at_ms());
    if *ended_at_ms != end {
        broken(format!(
            "the game's head says it ended at {ended_at_ms:?}, its events {end:?}"
        ));
    }
    Ok(reached)
}

/// The rows of a game, oldest first, and how many the log has of them; those from its newest back to the
/// first that is not there.
fn read_rows(
    connection: &Connection,
    number: i64,
    last: i64,
    game_id: &GameId,
    report: &mut CheckReport,
) -> Result<(Vec<log::Row>, u64), Fault> {
    let mut rows = Vec::new();
    let walked = log::walk_back(connection, number, last, |row| {
        rows.push(row);
        true
    });
    let is_cut = match walked {
        Ok(()) => false,
        Err(Fault::Corrupt(what)) => {
            report.find(FindingKind::Broken, Some(game_id), what);
            true
        }
        Err(fault) => return Err(fault),
    };
    rows.reverse();
    let mut before = None;
    for (n, row) in rows.iter().enumerate() {
        // Behind a row that is lost, nothing can be said of the first.
        if !(row.is_whole(before) || n == 0 && is_cut) {
            let what = format!("event {} is not what was written", row.sequence);
            report.find(FindingKind::Broken, Some(game_id), what);
        }
        before = row.digest();
    }
    let reached = rows.len() as u64;
    Ok((rows, reached))
}

/// The events that can be read, and the commands that caused them.
fn read_events(rows: &[log::Row], game_id: &GameId, report: &mut CheckReport) -> (Vec<Event>, Causes) {
    let mut events = Vec::new();
    let mut caused = Causes::default();
    for row in rows {
        let sequence = row.sequence;
        let event = match log::event(row) {
            Ok(event) if event.sequence == sequence => event,
            Ok(event) => {
                let what = format!("event {} lies at sequence {sequence}", event.sequence);
                report.find(FindingKind::Broken, Some(game_id), what);
                continue;
            }
            Err(_) => {
                let what = format!("event {sequence} cannot be read");
                report.find(FindingKind::Broken, Some(game_id), what);
                continue;
            }
        };
        if let Some((seat, command_id, _)) = &row.cause {
            caused.note((*seat, command_id.clone()), &event);
        }
        events.push(event);
    }
    (events, caused)
}

/// A command is accepted or refused, never both.
fn check_refusals(
    connection: &Connection,
    told: &Told,
    caused: &Causes,
    report: &mut CheckReport,
) -> Result<(), Fault> {
    let mut statement =
        connection.prepare_cached("SELECT seat, command_id FROM refusals WHERE game = ?1 ORDER BY id")?;
    let mut rows = statement.query([told.number])?;
    while let Some(row) = rows.next()? {
        let (seat, command_id): (u8, String) = (row.get(0)?, row.get(1)?);
        let what = match log::color(seat) {
            Ok(seat) if caused.get(&(seat, command_id.clone())).is_some() => {
                let player_id = &told.players[seat as usize];
                format!("command {command_id} of player {player_id}: kept as refused and among the events")
            }
            Ok(_) => continue,
            Err(_) => format!("refused command {command_id}: there is no seat {seat}"),
        };
        report.find(FindingKind::Broken, Some(&told.game_id), what);
    }
    Ok(())
}
