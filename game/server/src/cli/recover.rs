//! `starvault recover`: an empty Redis is filled from the copies in the snapshot stores.

use std::{
    collections::HashMap,
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::Args;
use serde::Serialize;
use starvault_rules::Event;
use starvault_snapshots::{Store, ranges::KeyRange, row::Row};
use starvault_store::{Owner, RedisRestore, Restored, StoreAddress};
use tokio::task::JoinSet;

use super::data::{TwoStores, UrlText, runtime};
use crate::{Release, time::TimeSource};

/// Rows that are read at a time.
const PAGE: usize = 1_000;
/// Players that are written at a time: they share what Redis syncs.
const AT_A_TIME: usize = 256;

/// Has the games until somebody takes them over.
const NOBODY: &str = "recovered";

#[derive(Debug, Args)]
#[command(after_help = "\
Stop every server first, start Redis empty, then:
  starvault recover --primary URL --secondary URL --store redis://HOST:PORT --release v1.2
and start the servers again. Players resume their games, whose clocks stood meanwhile. What was played after the newest copy
is not there: the report says when that was, and how far each game came.

Exit codes: 0 everything that could be read is there, 1 some copies could not be read, 2 it could not run.")]
pub(super) struct RecoverArgs {
    #[command(flatten)]
    stores: TwoStores,
    /// The empty store: redis://HOST:PORT.
    #[arg(long, value_name = "STORE", env = "STARVAULT_STORE", hide_env_values = true)]
    store: UrlText,
    /// The release whose servers are to have the games.
    #[arg(long)]
    release: Release,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Default, Serialize)]
struct Report {
    players: u64,
    /// Games that go on.
    games: u64,
    /// Games that were over, or had counted already.
    games_over: u64,
    /// Copies that are not what their digest says, in either store, or are no player or game.
    unreadable: Vec<String>,
    /// When the newest event was that any copy of a running game holds (milliseconds since 1970-01-01 UTC): what
    /// came after it is lost.
    newest_event_at_ms: Option<i64>,
    running: Vec<Running>,
}

#[derive(Debug, Serialize)]
struct Running {
    game_id: String,
    /// Of its newest event that is there.
    sequence: i64,
    /// When that was.
    at_ms: i64,
}

pub(super) fn run(arguments: &RecoverArgs) -> anyhow::Result<ExitCode> {
    let report = runtime()?.block_on(recover(arguments))?;
    let mut out = io::stdout().lock();
    if arguments.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        writeln!(out, "players           {}", report.players)?;
        writeln!(out, "games that go on  {}", report.games)?;
        writeln!(out, "games over        {}", report.games_over)?;
        if let Some(at_ms) = report.newest_event_at_ms {
            writeln!(
                out,
                "newest event      {at_ms} ms since 1970-01-01 UTC; what came after it is lost"
            )?;
        }
        for what in &report.unreadable {
            writeln!(out, "unreadable        {what}")?;
        }
    }
    Ok(ExitCode::from(u8::from(!report.unreadable.is_empty())))
}

async fn recover(arguments: &RecoverArgs) -> anyhow::Result<Report> {
    let StoreAddress::Redis(url) = arguments.store.store()? else {
        bail!(
            "--store: a journal in a file is brought back from a backup of that file; this command fills a Redis"
        );
    };
    let stores = arguments.stores.urls()?.each_ref().map(Store::new);
    let mut position = 0;
    for store in &stores {
        store.check_schema().await?;
        position = position.max(store.standing().await?.newest);
    }
    let restore = RedisRestore::open(&url).await?;
    restore.begin_behind(position).await?;
    let restore = std::sync::Arc::new(restore);
    let mut report = Report::default();
    for store in &stores {
        players(store, &restore, &mut report).await?;
    }
    games(&stores, &restore, arguments, &mut report).await?;
    // So that clocks run on where nobody comes back.
    if let Some(place) = super::meeting_place(None, &arguments.store)? {
        let left = starvault_nodes::leave_games_of(&place, &arguments.release.to_string(), NOBODY).await;
        left.map_err(|error| anyhow::anyhow!(error))?;
    }
    for store in &stores {
        store.close().await;
    }
    Ok(report)
}

async fn players(
    store: &Store,
    restore: &std::sync::Arc<RedisRestore>,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut range = KeyRange::everything();
    let mut known = 0;
    loop {
        let page = store.page(&range, PAGE).await?;
        let rows: Vec<Row> = page.iter().map(|row| row.to_row()).collect();
        let Some(last) = rows.last() else { break };
        range = range.after(&last.player_id);
        for rows in rows.chunks(AT_A_TIME) {
            let mut writing = JoinSet::new();
            for row in rows {
                let player_id = starvault_snapshots::row::shown(&row.player_id);
                if !row.view().is_whole() {
                    report.unreadable.push(format!("player {player_id} in {store}"));
                    continue;
                }
                if row.deleted != 0 {
                    continue;
                }
                let (restore, row) = (restore.clone(), row.clone());
                writing.spawn(async move {
                    let body = String::from_utf8_lossy(&row.body);
                    restore.put_player(&body, row.written_at_us / 1000).await
                });
            }
            while let Some(written) = writing.join_next().await {
                written.context("writing players")??;
                known += 1;
            }
        }
    }
    report.players = report.players.max(known);
    Ok(())
}

async fn games(
    stores: &[Store; 2],
    restore: &RedisRestore,
    arguments: &RecoverArgs,
    report: &mut Report,
) -> anyhow::Result<()> {
    // The newest copy of each, whichever store has it; one that is over is known by its version alone.
    let mut newest: HashMap<Vec<u8>, Row> = HashMap::new();
    for store in stores {
        let mut after = Vec::new();
        loop {
            let rows = store.games(&after, PAGE).await?;
            let Some(last) = rows.last() else { break };
            after.clone_from(&last.player_id);
            for row in rows {
                if !row.view().is_whole() {
                    let game_id = starvault_snapshots::row::shown(&row.player_id);
                    report.unreadable.push(format!("game {game_id} in {store}"));
                    continue;
                }
                let older = newest.get(&row.player_id);
                if older.is_none_or(|older| older.version < row.version) {
                    newest.insert(row.player_id.clone(), row);
                }
            }
        }
    }
    let (over, mut running): (Vec<Row>, Vec<Row>) = newest.into_values().partition(|row| row.deleted != 0);
    report.games_over = over.len() as u64;
    // Of two games of one player, the older one must be over.
    running.sort_by_key(|row| (std::cmp::Reverse(row.written_at_us), row.player_id.clone()));
    let owner = Owner {
        release: arguments.release.to_string(),
        instance: NOBODY.to_owned(),
    };
    for row in running {
        let game_id = starvault_snapshots::row::shown(&row.player_id);
        let events: Vec<Event> = match serde_json::from_slice(&row.body) {
            Ok(events) => events,
            Err(error) => {
                report.unreadable.push(format!("game {game_id}: {error}"));
                continue;
            }
        };
        let now_ms = TimeSource::system().now_ms();
        match restore.put_game(events, &owner, now_ms).await {
            Ok(Restored::Running) => {
                let at_ms = row.written_at_us / 1000;
                report.games += 1;
                report.newest_event_at_ms = report.newest_event_at_ms.max(Some(at_ms));
                report.running.push(Running {
                    game_id,
                    sequence: row.version,
                    at_ms,
                });
            }
            Ok(Restored::Over) => report.games_over += 1,
            Err(error) => report.unreadable.push(format!("game {game_id}: {error}")),
        }
    }
    Ok(())
}
