//! Proves a journal in Redis sound, or says what is not. Reads only.
//!
//! As with a file, nothing is believed that can be computed. Each game and each profile is read in one step,
//! but the whole is not of one moment. So a profile is not compared with its games where an end is still on its
//! way to it, or where it has changed since the check began: others may go on playing meanwhile.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use starvault_rules::{Color, Game, GameId, PlayerId};

use super::{
    RedisOptions, RedisUrl,
    ends::{self, End, Stage},
    entry,
    fault::{Fault, RedisTrouble},
    keys::{self, GameKeys, Shard},
    link::Link,
    players,
};
use crate::{
    Answer, CheckReport, FindingKind, StoreError,
    check::{
        acknowledged::{Acknowledged, Command, Line},
        game::{Causes, Tally, note_result},
    },
};

/// Keys that one step of a scan looks at.
const SCAN_COUNT: usize = 500;

/// Games whose commands are kept at hand.
const GAMES_AT_HAND_MAX: usize = 4096;

/// Checks the journal at `url`; see [`crate::check`] for `acknowledged`.
///
/// # Errors
/// It cannot be read, or is no journal.
pub async fn check_redis(url: &RedisUrl, acknowledged: Option<&Path>) -> Result<CheckReport, StoreError> {
    let acknowledged = acknowledged.map(Acknowledged::open).transpose()?;
    let link = Link::open(url, Duration::from_millis(RedisOptions::default().timeout_ms)).await?;
    let mut report = CheckReport::default();
    match walk(&link, acknowledged, &mut report).await {
        Ok(()) => Ok(report),
        Err(fault) => Err(link.at(fault, "check the journal")),
    }
}

async fn walk(
    link: &Link,
    acknowledged: Option<Acknowledged>,
    report: &mut CheckReport,
) -> Result<(), Fault> {
    if link.is_cluster() {
        let what = "a cluster cannot be walked through as a whole; check its nodes one by one".to_owned();
        return Err(RedisTrouble::Other(what).into());
    }
    let schema: Option<String> = link.ask(redis::cmd("HGET").arg(keys::META).arg("schema")).await?;
    if schema.as_deref() != Some(super::SCHEMA) {
        let what = format!("its schema is {schema:?}, this program knows {}", super::SCHEMA);
        return Err(RedisTrouble::Foreign(what).into());
    }
    let began_at = players::newest_position(link).await?;
    let mut tallies = HashMap::new();
    let mut under_way = HashSet::new();
    for shard in Shard::all() {
        let mut listed: HashSet<String> = link.ask(redis::cmd("HKEYS").arg(shard.running())).await?;
        let prefix = shard.heads();
        for key in scan(link, &prefix).await? {
            let text = key.strip_prefix(&prefix).unwrap_or_default().to_owned();
            let Ok(game_id) = GameId::new(text.clone()) else {
                report.find(FindingKind::Broken, None, format!("the key {key} names no game"));
                continue;
            };
            listed.remove(&text);
            check_game(link, &game_id, &mut tallies, &mut under_way, report).await?;
        }
        for game in listed {
            let what = format!("{game} is listed as a running game and does not exist");
            report.find(FindingKind::Broken, None, what);
        }
    }
    check_profiles(link, began_at, &tallies, &under_way, report).await?;
    match acknowledged {
        Some(acknowledged) => check_acknowledged(link, acknowledged, report).await,
        None => Ok(()),
    }
}

/// The keys that begin with `prefix`.
async fn scan(link: &Link, prefix: &str) -> Result<HashSet<String>, Fault> {
    let mut found = HashSet::new();
    let mut cursor = 0_u64;
    loop {
        let mut cmd = redis::cmd("SCAN");
        cmd.arg(cursor)
            .arg("MATCH")
            .arg(format!("{prefix}*"))
            .arg("COUNT")
            .arg(SCAN_COUNT);
        let (next, keys): (u64, Vec<String>) = link.ask(&cmd).await?;
        found.extend(keys);
        if next == 0 {
            return Ok(found);
        }
        cursor = next;
    }
}

/// A game as it lies there at one moment.
type Lying = (HashMap<String, Vec<u8>>, Vec<String>, Option<String>);

async fn check_game(
    link: &Link,
    game_id: &GameId,
    tallies: &mut HashMap<PlayerId, Tally>,
    under_way: &mut HashSet<PlayerId>,
    report: &mut CheckReport,
) -> Result<(), Fault> {
    let keys = GameKeys::of(game_id);
    let mut pipe = redis::pipe();
    pipe.atomic();
    pipe.cmd("HGETALL").arg(&keys.head);
    pipe.cmd("LRANGE").arg(&keys.events).arg(0).arg(-1);
    pipe.cmd("HGET").arg(keys.shard.running()).arg(game_id.as_str());
    let (head, entries, listed): Lying = link.ask_all(&pipe).await?;
    let (answers, head): (HashMap<_, _>, HashMap<_, _>) = head
        .into_iter()
        .partition(|(field, _)| field.starts_with("w:") || field.starts_with("b:"));
    let head: HashMap<String, String> = head
        .into_iter()
        .map(|(field, bytes)| (field, String::from_utf8_lossy(&bytes).into_owned()))
        .collect();
    if head.is_empty() || head.contains_key("never") {
        return Ok(());
    }
    report.games += 1;
    report.events += entries.len() as u64;
    let mut broken = |what: String| report.find(FindingKind::Broken, Some(game_id), what);
    let of = |name: &str| head.get(name).map(String::as_str).unwrap_or_default();
    let (Ok(white), Ok(black)) = (PlayerId::new(of("white")), PlayerId::new(of("black"))) else {
        broken("its head names no players".to_owned());
        return Ok(());
    };
    let players = [white, black];
    let (mut events, mut causes) = (Vec::new(), Causes::default());
    for (n, text) in entries.iter().enumerate() {
        match entry::read(text) {
            Ok((cause, event)) if event.sequence as usize == n + 1 => {
                if let Some((seat, command_id)) = cause {
                    causes.note((seat, command_id.to_owned()), &event);
                }
                events.push(event);
            }
            Ok((_, event)) => broken(format!("event {} lies at sequence {}", event.sequence, n + 1)),
            Err(_) => broken(format!("event {} cannot be read", n + 1)),
        }
    }
    match Game::from_events(&events) {
        Ok(game) => {
            if let Err(error) = game.check_invariants() {
                broken(error.to_string());
            }
            let seats = [&game.setup().white.player_id, &game.setup().black.player_id];
            if game.id() != game_id || seats != [&players[0], &players[1]] {
                broken("its head and its first event name other players or another game".to_owned());
            }
            if ends::state_digest(&game.state())? != of("state") {
                broken("the game that was stored is not what the events give".to_owned());
            }
            if of("sequence") != game.sequence().to_string() {
                broken(format!(
                    "its head says sequence {}, its events {}",
                    of("sequence"),
                    game.sequence()
                ));
            }
            let end = game.outcome().map(|outcome| End {
                outcome,
                at_ms: game.last_event_at_ms(),
            });
            let told: Option<End> = head.get("ended").and_then(|text| serde_json::from_str(text).ok());
            if told != end {
                broken(format!("its head says it ended {told:?}, its events {end:?}"));
            }
            if end.is_none() && listed.as_deref() != Some(of("owner")) {
                broken("it is not listed as a running game of its owner".to_owned());
            }
            if end.is_some() && !head.contains_key("settled") {
                under_way.extend(players.iter().cloned());
            }
        }
        Err(error) => broken(format!("the events are no game: {error}")),
    }
    check_answers(game_id, &causes, &answers, report);
    causes.check(game_id, &players, report);
    note_result(tallies, game_id, &players, &events);
    Ok(())
}

/// A command is accepted or refused, never both; and whatever was accepted has an answer that says where.
fn check_answers(
    game_id: &GameId,
    causes: &Causes,
    answers: &HashMap<String, Vec<u8>>,
    report: &mut CheckReport,
) {
    let mut broken = |what: String| report.find(FindingKind::Broken, Some(game_id), what);
    for ((seat, command_id), caused) in causes.iter() {
        let letter = if *seat == Color::White { 'w' } else { 'b' };
        let kept = answers.get(&format!("{letter}:{command_id}"));
        let kept = kept.and_then(|bytes| entry::kept(bytes).ok());
        let right = Answer::Accepted {
            sequence: caused.last,
        };
        if kept.is_none_or(|(_, answer)| answer != right) {
            broken(format!(
                "the answer to command {command_id} of {seat:?} is not that it was accepted at {}",
                caused.last
            ));
        }
    }
    for (field, bytes) in answers {
        let seat = if field.starts_with('w') {
            Color::White
        } else {
            Color::Black
        };
        let command_id = field.get(2..).unwrap_or_default().to_owned();
        match entry::kept(bytes) {
            Ok((_, Answer::Accepted { .. })) if causes.get(&(seat, command_id.clone())).is_none() => {
                broken(format!(
                    "command {command_id} of {seat:?} was answered as accepted and has no event"
                ));
            }
            Ok(_) => {}
            Err(_) => broken(format!(
                "the answer to command {command_id} of {seat:?} cannot be read"
            )),
        }
    }
}

async fn check_profiles(
    link: &Link,
    began_at: i64,
    tallies: &HashMap<PlayerId, Tally>,
    under_way: &HashSet<PlayerId>,
    report: &mut CheckReport,
) -> Result<(), Fault> {
    let mut known = 0;
    // Ended games leave after a while; until the first can have left, profiles must count what is there.
    let made_ms: Option<u64> = link
        .ask(redis::cmd("HGET").arg(keys::META).arg("made_ms"))
        .await?;
    let age_ms = link.now_ms().await?.saturating_sub(made_ms.unwrap_or_default());
    let all_games_are_here = age_ms < RedisOptions::default().ended_kept_ms;
    for key in scan(link, keys::PLAYER).await? {
        let player = key.strip_prefix(keys::PLAYER).unwrap_or_default();
        let mut pipe = redis::pipe();
        pipe.atomic();
        pipe.cmd("HGETALL").arg(&key);
        pipe.cmd("ZSCORE").arg(keys::OUTBOX).arg(player);
        let (columns, score): (HashMap<String, Vec<u8>>, Option<f64>) = link.ask_all(&pipe).await?;
        let text = |name: &str| {
            let bytes = columns.get(name).map(Vec::as_slice).unwrap_or_default();
            String::from_utf8_lossy(bytes).into_owned()
        };
        let mut broken =
            |what: String| report.find(FindingKind::Broken, None, format!("player {player}: {what}"));
        let body = text("body");
        let profile = match players::parse(&body) {
            Ok(profile) if profile.player_id.as_str() == player => profile,
            _ => {
                broken("the profile cannot be read".to_owned());
                continue;
            }
        };
        if columns.get("sha256").map(Vec::as_slice) != Some(&Sha256::digest(&body)[..])
            || text("version") != profile.version.to_string()
        {
            broken("the profile is not what its version and digest say".to_owned());
        }
        if score.map(|score| score.to_string()) != Some(text("position")) {
            broken("it is not in the outbox at its position".to_owned());
        }
        if let Err(error) = profile.progress.check() {
            broken(error.to_string());
        }
        let none = Tally::default();
        let tally = match tallies.get(&profile.player_id) {
            Some(tally) => {
                known += 1;
                tally
            }
            None => &none,
        };
        let has_changed = score.is_some_and(|score| score > began_at as f64);
        if has_changed || under_way.contains(&profile.player_id) {
            continue;
        }
        let progress = profile.progress;
        let (counted, played) = (
            [progress.wins, progress.losses, progress.draws],
            [tally.wins, tally.losses, tally.draws],
        );
        let sound = if all_games_are_here {
            counted == played
        } else {
            counted
                .iter()
                .zip(played)
                .all(|(counted, played)| *counted >= played)
        };
        if !sound {
            broken(format!(
                "{counted:?} wins, losses and draws in the profile, {played:?} in the games"
            ));
        }
        let running = columns.contains_key("game").then(|| text("game"));
        if (running.as_deref() != tally.running.first().map(GameId::as_str) || tally.running.len() > 1)
            && sits_at_another(link, &profile.player_id, running.as_deref(), &tally.running).await?
        {
            broken(format!(
                "in {running:?} by the profile, in {:?} by the games",
                tally.running
            ));
        }
    }
    if known != tallies.len() {
        let what = format!("{} players of games do not exist", tallies.len() - known);
        report.find(FindingKind::Broken, None, what);
    }
    Ok(())
}

/// Whether the player sits at a running game that the profile does not name; looked at again, since games have
/// begun and ended since they were read. A game that does not exist is none: its creator has died.
async fn sits_at_another(
    link: &Link,
    player_id: &PlayerId,
    by_profile: Option<&str>,
    by_games: &[GameId],
) -> Result<bool, Fault> {
    for game_id in by_games.iter().filter(|id| Some(id.as_str()) != by_profile) {
        if let Stage::Running(players) = ends::stage(link, game_id).await?
            && players.contains(player_id)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn check_acknowledged(
    link: &Link,
    mut acknowledged: Acknowledged,
    report: &mut CheckReport,
) -> Result<(), Fault> {
    let mut at_hand: HashMap<GameId, ([String; 2], Vec<Command>)> = HashMap::new();
    while let Some(line) = acknowledged.next()? {
        if !at_hand.contains_key(&line.game_id) {
            if at_hand.len() >= GAMES_AT_HAND_MAX {
                at_hand.clear();
            }
            let read = read_commands(link, &line).await?;
            at_hand.insert(line.game_id.clone(), read);
        }
        let Some((seats, commands)) = at_hand.get(&line.game_id) else {
            continue;
        };
        let seat = Color::BOTH
            .into_iter()
            .zip(seats)
            .find_map(|(color, seated)| (seated == line.player_id.as_str()).then_some(color));
        line.check(seat, commands, report);
    }
    Ok(())
}

/// The players of a game, and who gave which command.
async fn read_commands(link: &Link, line: &Line) -> Result<([String; 2], Vec<Command>), Fault> {
    let keys = GameKeys::of(&line.game_id);
    let mut cmd = redis::cmd("HMGET");
    let seats: [Option<String>; 2] = link.ask(cmd.arg(keys.head).arg(&["white", "black"])).await?;
    let entries: Vec<String> = link
        .ask(redis::cmd("LRANGE").arg(keys.events).arg(0).arg(-1))
        .await?;
    let mut commands = Vec::new();
    for text in &entries {
        // What cannot be read was found before.
        if let Ok((Some((seat, command_id)), event)) = entry::read(text) {
            commands.push((seat, command_id.to_owned(), event.sequence));
        }
    }
    Ok((seats.map(Option::unwrap_or_default), commands))
}
