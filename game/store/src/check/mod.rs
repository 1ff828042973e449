//! Proves a journal file sound, or says what is not. Reads only.
//!
//! Nothing that the journal says about itself is believed where it can be computed: each game is
//! replayed from its events, which must be those that were written and lead to the game that was stored,
//! and each profile is compared with the games that its player finished.

pub(crate) mod acknowledged;
pub(crate) mod game;

use std::{collections::HashMap, path::Path};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use serde::{Deserialize, Serialize};
use starvault_rules::{GameId, PlayerId};

use crate::{
    StoreError,
    sqlite::{Fault, PROFILE_COLUMNS, PROFILE_TABLES, check_progress, profile_from_row, schema},
};
use acknowledged::Acknowledged;
use game::{Tally, Told, check_game};

/// How many findings a report spells out; all of them are counted.
const FINDINGS_MAX: usize = 100;

/// What was looked at and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReport {
    pub games: u64,
    pub events: u64,
    /// How many acknowledged commands were looked up.
    pub acknowledged: u64,
    /// Acknowledged commands that the journal does not have at their sequence.
    pub lost: u64,
    /// Commands that were applied more than once.
    pub twice: u64,
    /// Everything else that must not be: gaps, events against the rules, stored state that is not
    /// their replay, wrong profiles, damaged pages.
    pub broken: u64,
    /// The first findings, in words.
    pub findings: Vec<Finding>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub kind: FindingKind,
    pub game_id: Option<GameId>,
    pub what: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    Lost,
    Twice,
    Broken,
}

impl CheckReport {
    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.twice == 0 && self.broken == 0
    }

    pub(crate) fn find(&mut self, kind: FindingKind, game_id: Option<&GameId>, what: impl Into<String>) {
        match kind {
            FindingKind::Lost => self.lost += 1,
            FindingKind::Twice => self.twice += 1,
            FindingKind::Broken => self.broken += 1,
        }
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding {
                kind,
                game_id: game_id.cloned(),
                what: what.into(),
            });
        }
    }
}

/// Checks the journal at `path` as of one moment; others may go on writing meanwhile.
///
/// `acknowledged` is a file of lines `{"game_id","command_id","sequence","player_id"}`: what clients
/// were told is durable. An unfinished last line is what a killed writer leaves and is passed over.
/// Blocks; call it where that is allowed.
pub fn check(path: &Path, acknowledged: Option<&Path>) -> Result<CheckReport, StoreError> {
    // Its length is taken before the journal's moment: what was acknowledged by then must be there.
    let acknowledged = acknowledged.map(Acknowledged::open).transpose()?;
    let connection = schema::open_to_read(path)?;
    let mut report = CheckReport::default();
    match walk(&connection, acknowledged, &mut report) {
        Ok(()) => Ok(report),
        Err(fault) if fault.is_damage() => {
            let what = format!("the file cannot be read to its end: {}", fault.at(path, "check"));
            report.find(FindingKind::Broken, None, what);
            Ok(report)
        }
        Err(fault) => Err(fault.at(path, "check")),
    }
}

fn walk(
    connection: &Connection,
    acknowledged: Option<Acknowledged>,
    report: &mut CheckReport,
) -> Result<(), Fault> {
    let moment = Transaction::new_unchecked(connection, TransactionBehavior::Deferred)?;
    check_pages(&moment, report)?;
    let mut tallies = HashMap::new();
    check_games(&moment, &mut tallies, report)?;
    check_profiles(&moment, &tallies, report)?;
    match acknowledged {
        Some(acknowledged) => acknowledged.check(&moment, report),
        None => Ok(()),
    }
}

fn check_pages(connection: &Connection, report: &mut CheckReport) -> Result<(), Fault> {
    let mut statement = connection.prepare("PRAGMA integrity_check(20)")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let says: String = row.get(0)?;
        if says != "ok" {
            report.find(FindingKind::Broken, None, format!("SQLite: {says}"));
        }
    }
    Ok(())
}

fn check_games(
    connection: &Connection,
    tallies: &mut HashMap<PlayerId, Tally>,
    report: &mut CheckReport,
) -> Result<(), Fault> {
    let mut statement = connection.prepare(
        "SELECT game, game_id, white_id, black_id, sequence, last, ended_at_ms
         FROM games LEFT JOIN heads USING (game) ORDER BY game",
    )?;
    let mut rows = statement.query([])?;
    let mut reached = 0;
    while let Some(row) = rows.next()? {
        report.games += 1;
        reached += check_game(connection, &Told::from_row(row)?, tallies, report)?;
    }
    for table in ["log", "heads", "refusals"] {
        let of_nobody = format!(
            "SELECT DISTINCT game FROM {table} WHERE game NOT IN (SELECT game FROM games) LIMIT {FINDINGS_MAX}"
        );
        let mut statement = connection.prepare(&of_nobody)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let game: i64 = row.get(0)?;
            let what = format!("{table} has rows of game number {game}, which does not exist");
            report.find(FindingKind::Broken, None, what);
        }
    }
    let events: i64 = connection.query_row("SELECT count(*) FROM log", [], |row| row.get(0))?;
    if events.unsigned_abs() != reached {
        let what = format!("the log has {events} events, its games lead to {reached} of them");
        report.find(FindingKind::Broken, None, what);
    }
    Ok(())
}

/// Compares each profile with the finished and running games of its player, and the outbox with it.
fn check_profiles(
    connection: &Connection,
    tallies: &HashMap<PlayerId, Tally>,
    report: &mut CheckReport,
) -> Result<(), Fault> {
    let mut statement = connection.prepare(&format!(
        "SELECT {PROFILE_COLUMNS}, o.body, o.sha256
         FROM {PROFILE_TABLES} LEFT JOIN outbox o USING (player_id) ORDER BY p.player_id"
    ))?;
    let mut rows = statement.query([])?;
    let mut known = 0;
    while let Some(row) = rows.next()? {
        let profile = profile_from_row(row)?;
        let player_id = &profile.player_id;
        let none = Tally::default();
        let tally = match tallies.get(player_id) {
            Some(tally) => {
                known += 1;
                tally
            }
            None => &none,
        };
        let progress = profile.progress;
        let counted = (progress.wins, progress.losses, progress.draws);
        let played = (tally.wins, tally.losses, tally.draws);
        if counted != played || progress.games_played != tally.wins + tally.losses + tally.draws {
            let what = format!(
                "player {player_id} has {counted:?} wins, losses and draws of {} games in the profile, {played:?} in the games",
                progress.games_played
            );
            report.find(FindingKind::Broken, None, what);
        }
        if profile.active_game_id.as_slice() != tally.running {
            let what = format!(
                "player {player_id} is in {:?} by the profile, in {:?} by the games",
                profile.active_game_id, tally.running
            );
            report.find(FindingKind::Broken, profile.active_game_id.as_ref(), what);
        }
        let published = (row.get("body")?, row.get("sha256")?);
        for wrong in check_progress(&profile, row, &published)? {
            report.find(FindingKind::Broken, None, wrong);
        }
    }
    let strays: i64 = connection.query_row(
        "SELECT count(*) FROM standings WHERE player_id NOT IN (SELECT player_id FROM players)",
        [],
        |row| row.get(0),
    )?;
    if strays > 0 {
        let what = format!("{strays} standings are of players that do not exist");
        report.find(FindingKind::Broken, None, what);
    }
    if known != tallies.len() {
        let what = format!("{} players of games do not exist", tallies.len() - known);
        report.find(FindingKind::Broken, None, what);
    }
    Ok(())
}
