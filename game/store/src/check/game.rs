//! One game: its events in order, replayed by the rules, against its state, answers and commands.

use std::collections::HashMap;

use rusqlite::{Connection, Row};
use starvault_rules::{Color, Event, EventKind, Game, GameId, GameState, PlayerId, Reason};

use super::{CheckReport, FindingKind};
use crate::{
    Answer,
    sqlite::{Fault, stored_id},
};

/// What the games say about one player.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub wins: u32,
    pub losses: u32,
    pub draws: u32,
    pub running: Vec<GameId>,
}

/// The command that caused an event: player and command id, as stored.
type Cause = (String, String);

/// The events that one command caused.
struct Caused {
    first: u32,
    last: u32,
    /// All but the end of the game, which may follow a move of the same command.
    actions: u32,
    applied_again: bool,
}

pub(super) fn check_game(
    connection: &Connection,
    row: &Row<'_>,
    tallies: &mut HashMap<PlayerId, Tally>,
    report: &mut CheckReport,
) -> Result<(), Fault> {
    let game_id: GameId = stored_id(row.get(0)?)?;
    let (sequence, state): (u32, String) = (row.get(1)?, row.get(2)?);
    let ended_at_ms: Option<i64> = row.get(3)?;
    let players: [PlayerId; 2] = [stored_id(row.get(4)?)?, stored_id(row.get(5)?)?];

    let (events, caused) = read_events(connection, &game_id, report)?;
    report.events += events.len() as u64;
    for ((player_id, command_id), _) in caused.iter().filter(|(_, c)| c.applied_again || c.actions > 1) {
        let what = format!("command {command_id} of player {player_id} was applied more than once");
        report.find(FindingKind::Twice, Some(&game_id), what);
    }
    check_answers(connection, &game_id, ended_at_ms.is_none(), &caused, report)?;

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

    let mut broken = |what: String| report.find(FindingKind::Broken, Some(&game_id), what);
    let game = match Game::from_events(&events) {
        Ok(game) => game,
        Err(error) => {
            broken(format!("the events are no game: {error}"));
            return Ok(());
        }
    };
    if let Err(error) = game.check_invariants() {
        broken(error.to_string());
    }
    let seats = [&game.setup().white.player_id, &game.setup().black.player_id];
    if *game.id() != game_id || seats != [&players[0], &players[1]] {
        broken("the game's row and its first event name other players or another game".into());
    }
    match serde_json::from_str::<GameState>(&state) {
        Ok(state) if state == game.state() => {}
        Ok(_) => broken("the stored state is not what the events give".into()),
        Err(error) => broken(format!("the stored state cannot be read: {error}")),
    }
    if sequence != game.sequence() {
        broken(format!(
            "the game's row says sequence {sequence}, its events {}",
            game.sequence()
        ));
    }
    let end = game.outcome().map(|_| game.last_event_at_ms());
    if ended_at_ms != end {
        broken(format!(
            "the game's row says it ended at {ended_at_ms:?}, its events {end:?}"
        ));
    }
    Ok(())
}

/// The events that can be read, and the commands that caused them.
fn read_events(
    connection: &Connection,
    game_id: &GameId,
    report: &mut CheckReport,
) -> Result<(Vec<Event>, HashMap<Cause, Caused>), Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT sequence, player_id, command_id, event FROM events WHERE game_id = ?1 ORDER BY sequence",
    )?;
    let mut rows = statement.query([game_id.as_str()])?;
    let mut events = Vec::new();
    let mut caused: HashMap<Cause, Caused> = HashMap::new();
    while let Some(row) = rows.next()? {
        let (sequence, json): (u32, String) = (row.get(0)?, row.get(3)?);
        let event = match serde_json::from_str::<Event>(&json) {
            Ok(event) if event.sequence == sequence => event,
            Ok(event) => {
                let what = format!("event {} lies at sequence {sequence}", event.sequence);
                report.find(FindingKind::Broken, Some(game_id), what);
                continue;
            }
            Err(error) => {
                let what = format!("event {sequence} cannot be read: {error}");
                report.find(FindingKind::Broken, Some(game_id), what);
                continue;
            }
        };
        if let (Some(player_id), Some(command_id)) = (row.get(1)?, row.get(2)?) {
            let action = u32::from(!matches!(event.kind, EventKind::Ended { .. }));
            caused
                .entry((player_id, command_id))
                .and_modify(|caused| {
                    caused.applied_again |= sequence != caused.last + 1;
                    caused.last = sequence;
                    caused.actions += action;
                })
                .or_insert(Caused {
                    first: sequence,
                    last: sequence,
                    actions: action,
                    applied_again: false,
                });
        }
        events.push(event);
    }
    Ok((events, caused))
}

/// Kept answers and events must tell the same. Answers of ended games may have been dropped.
fn check_answers(
    connection: &Connection,
    game_id: &GameId,
    running: bool,
    caused: &HashMap<Cause, Caused>,
    report: &mut CheckReport,
) -> Result<(), Fault> {
    let mut statement = connection
        .prepare_cached("SELECT player_id, command_id, answer FROM answers WHERE game_id = ?1 ORDER BY id")?;
    let mut rows = statement.query([game_id.as_str()])?;
    let mut accepted = 0;
    while let Some(row) = rows.next()? {
        let cause: Cause = (row.get(0)?, row.get(1)?);
        let json: String = row.get(2)?;
        let mut broken = |what: &str| {
            let what = format!("command {} of player {}: {what}", cause.1, cause.0);
            report.find(FindingKind::Broken, Some(game_id), what);
        };
        match (serde_json::from_str::<Answer>(&json), caused.get(&cause)) {
            (Ok(Answer::Accepted { sequence }), Some(caused)) if sequence == caused.last => accepted += 1,
            (Ok(Answer::Accepted { sequence }), Some(caused)) => {
                broken(&format!(
                    "answered with sequence {sequence}, its events are {} to {}",
                    caused.first, caused.last
                ));
            }
            (Ok(Answer::Accepted { .. }), None) => broken("answered as accepted and not among the events"),
            (Ok(Answer::Rejected { .. }), None) => {}
            (Ok(Answer::Rejected { .. }), Some(_)) => broken("answered as refused and among the events"),
            (Err(error), _) => broken(&format!("its kept answer cannot be read: {error}")),
        }
    }
    if running && accepted < caused.len() {
        let what = format!(
            "{} commands of a running game have no answer",
            caused.len() - accepted
        );
        report.find(FindingKind::Broken, Some(game_id), what);
    }
    Ok(())
}
