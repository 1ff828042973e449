use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use starvault_store::{Journal, NewPlayer, SqliteJournal, SqliteOptions, StoreError, check};

use crate::room::{Place, Room, add_player, owner, place, player_id};

fn player(id: &str) -> NewPlayer {
    NewPlayer {
        player_id: player_id(id),
        display_name: id.into(),
        rating: 1500,
        created_at_ms: 0,
    }
}

type Write<'w> = Pin<Box<dyn Future<Output = Result<(), StoreError>> + 'w>>;

/// Puts writes into the queue while another connection holds the lock, so that they all wait.
fn queue<'w>(writes: impl IntoIterator<Item = Write<'w>>) -> Vec<Write<'w>> {
    let mut context = Context::from_waker(Waker::noop());
    let queued = writes.into_iter().map(|mut write| {
        assert!(
            matches!(write.as_mut().poll(&mut context), Poll::Pending),
            "written under a foreign lock"
        );
        write
    });
    queued.collect()
}

fn create<'w>(journal: &'w SqliteJournal, id: &str) -> Write<'w> {
    let player = player(id);
    Box::pin(async move { journal.create_player(player).await.map(drop) })
}

async fn locked() -> (Place, SqliteJournal, rusqlite::Connection) {
    let place = place();
    let journal = place.open();
    let holder = place.raw();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    (place, journal, holder)
}

#[tokio::test]
async fn what_waits_is_committed_together() {
    let (_place, journal, holder) = locked().await;
    let queued = queue((0..100).map(|n| create(&journal, &format!("p{n}"))));
    holder.execute_batch("ROLLBACK").unwrap();
    for write in queued {
        write.await.unwrap();
    }
    let stats = journal.stats();
    assert_eq!((stats.transactions, stats.writes), (1, 100));
    for n in 0..100 {
        assert!(
            journal
                .get_profile(&player_id(&format!("p{n}")))
                .await
                .unwrap()
                .is_some()
        );
    }
}

#[tokio::test]
async fn a_batch_has_a_limit() {
    let place = place();
    let options = SqliteOptions {
        batch_max: 8,
        ..SqliteOptions::default()
    };
    let journal = SqliteJournal::open(&place.path, options).unwrap();
    let holder = place.raw();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let queued = queue((0..20).map(|n| create(&journal, &format!("p{n}"))));
    holder.execute_batch("ROLLBACK").unwrap();
    for write in queued {
        write.await.unwrap();
    }
    let stats = journal.stats();
    assert_eq!((stats.transactions, stats.writes), (3, 20));
}

#[tokio::test]
async fn one_that_fails_disturbs_no_other_in_its_batch() {
    let (_place, journal, holder) = locked().await;
    let queued = queue(["a", "b", "a", "c"].map(|id| create(&journal, id)));
    holder.execute_batch("ROLLBACK").unwrap();
    let mut results = Vec::new();
    for write in queued {
        results.push(write.await);
    }
    assert!(matches!(&results[2], Err(StoreError::PlayerExists { player_id: id }) if *id == player_id("a")));
    assert!([0, 1, 3].iter().all(|n| results[*n].is_ok()), "{results:?}");
    assert_eq!(journal.stats().transactions, 1);
    assert!(journal.get_profile(&player_id("c")).await.unwrap().is_some());
}

#[tokio::test]
async fn many_games_at_once_share_their_transactions() {
    let place = place();
    let journal = place.open();
    let mut rooms = Vec::new();
    for n in 0..32 {
        rooms.push(Room::begin(&journal, &format!("g{n}"), owner("v1")).await);
    }
    let before = journal.stats();
    let playing: Vec<_> = rooms
        .into_iter()
        .map(|mut room| tokio::spawn(async move { room.play("e2e4 e7e5 g1f3 b8c6 f1b5 a7a6").await }))
        .collect();
    for game in playing {
        game.await.unwrap();
    }
    let after = journal.stats();
    let (writes, transactions) = (
        after.writes - before.writes,
        after.transactions - before.transactions,
    );
    assert_eq!(writes, 32 * 6);
    assert!(
        transactions <= writes / 2,
        "{writes} writes took {transactions} transactions"
    );
    journal.close().await;
    assert!(check(&place.path, None).unwrap().is_clean());
}

#[tokio::test]
async fn a_lock_that_is_never_given_back_is_named() {
    let place = place();
    let options = SqliteOptions {
        busy_timeout_ms: 1,
        ..SqliteOptions::default()
    };
    let journal = SqliteJournal::open(&place.path, options).unwrap();
    let holder = place.raw();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = journal.create_player(player("a")).await.unwrap_err();
    assert!(matches!(error, StoreError::Busy { .. }), "{error}");
    holder.execute_batch("ROLLBACK").unwrap();
    // Nothing is stuck afterwards.
    journal.create_player(player("a")).await.unwrap();
}

#[tokio::test]
async fn closing_finishes_what_waits_and_refuses_what_comes_after() {
    let (place, journal, holder) = locked().await;
    let queued = queue((0..10).map(|n| create(&journal, &format!("p{n}"))));
    let closing = {
        let journal = journal.clone();
        tokio::spawn(async move { journal.close().await })
    };
    holder.execute_batch("ROLLBACK").unwrap();
    closing.await.unwrap();
    for write in queued {
        write.await.unwrap();
    }
    let late = journal.create_player(player("late")).await.unwrap_err();
    assert!(matches!(late, StoreError::Closed { .. }), "{late}");
    let late = journal.get_profile(&player_id("p0")).await.unwrap_err();
    assert!(matches!(late, StoreError::Closed { .. }), "{late}");
    journal.close().await;
    drop(holder);
    let again = place.open();
    assert!(again.get_profile(&player_id("p9")).await.unwrap().is_some());
    add_player(&again, "late").await;
}

#[test]
fn answers_reach_their_callers_after_the_runtime_of_the_journal_has_ended() {
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    let place = place();
    let first = runtime();
    let journal = first.block_on(async { place.open() });
    drop(first);
    runtime().block_on(async {
        add_player(&journal, "a").await;
        assert!(journal.get_profile(&player_id("a")).await.unwrap().is_some());
        journal.close().await;
    });
}

/// How many pages the log holds.
fn pages_written(file: &rusqlite::Connection) -> i64 {
    file.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get(1))
        .unwrap()
}

#[tokio::test]
async fn moves_of_many_games_write_the_end_of_the_log_and_a_page_of_heads() {
    let place = place();
    let options = SqliteOptions {
        // So long that only the prompt write ends the wait.
        commit_every_ms: 3_600_000,
        ..SqliteOptions::default()
    };
    let journal = SqliteJournal::open(&place.path, options).unwrap();
    let mut rooms = Vec::new();
    for n in 0..8 {
        rooms.push(Room::begin(&journal, &format!("g{n}"), owner("v1")).await);
    }
    let file = place.raw();
    let mut pages = Vec::new();
    for mv in ["e2e4", "e7e5", "g1f3"] {
        let before = pages_written(&file);
        let playing = rooms.iter_mut().map(|room| room.play(mv));
        let mut playing = Box::pin(futures_util::future::join_all(playing));
        let mut context = Context::from_waker(Waker::noop());
        assert!(playing.as_mut().poll(&mut context).is_pending());
        let prompt = journal.forget_refusals(0);
        assert_eq!(tokio::join!(playing, prompt).1.unwrap(), 0);
        pages.push(pages_written(&file) - before);
    }
    // Eight events fill less than a page. Where they go on to a second one, its parent tells so, and the
    // first time there is none yet.
    let least = pages.iter().filter(|count| **count == 2).count();
    assert!(
        least >= 2 && pages.iter().all(|count| *count <= 5),
        "{pages:?} pages for eight moves each"
    );
    journal.close().await;
}

#[tokio::test]
async fn a_command_waits_for_company_and_a_prompt_write_takes_it_along() {
    let place = place();
    let options = SqliteOptions {
        // So long that only the prompt write can end the wait.
        commit_every_ms: 3_600_000,
        ..SqliteOptions::default()
    };
    let journal = SqliteJournal::open(&place.path, options).unwrap();
    let mut room = Room::begin(&journal, "g", owner("v1")).await;
    let before = journal.stats();
    let mut playing = Box::pin(async { room.play("e2e4").await });
    let mut context = Context::from_waker(Waker::noop());
    assert!(playing.as_mut().poll(&mut context).is_pending());
    add_player(&journal, "somebody").await;
    playing.await;
    let after = journal.stats();
    assert_eq!(
        (
            after.transactions - before.transactions,
            after.writes - before.writes
        ),
        (1, 2)
    );
    // Nor does a prompt write wait while the journal rests after results.
    add_player(&journal, "another").await;
    // Closing does not wait for company either.
    let mut playing = Box::pin(async { room.play("e7e5").await });
    assert!(playing.as_mut().poll(&mut context).is_pending());
    journal.close().await;
    playing.await;
}

#[tokio::test]
async fn enough_company_ends_the_wait() {
    let place = place();
    let options = SqliteOptions {
        commit_every_ms: 3_600_000,
        gather_max: 4,
        ..SqliteOptions::default()
    };
    let journal = SqliteJournal::open(&place.path, options).unwrap();
    let mut rooms = Vec::new();
    for n in 0..4 {
        rooms.push(Room::begin(&journal, &format!("g{n}"), owner("v1")).await);
    }
    let before = journal.stats();
    let playing = rooms.iter_mut().map(|room| room.play("e2e4"));
    futures_util::future::join_all(playing).await;
    let after = journal.stats();
    assert_eq!(after.transactions - before.transactions, 1);
    assert_eq!(after.writes - before.writes, 4);
    // It ends the rest after a commit too, once what came promptly before does so no more.
    for mv in ["e7e5", "g1f3", "b8c6"] {
        let before = journal.stats().transactions;
        let playing = rooms.iter_mut().map(|room| room.play(mv));
        futures_util::future::join_all(playing).await;
        assert_eq!(journal.stats().transactions - before, 1);
    }
    // A close ends it for good: the commit that it comes with has no rest.
    let mut playing = Box::pin(async { rooms[0].play("f1c4").await });
    let mut context = Context::from_waker(Waker::noop());
    assert!(playing.as_mut().poll(&mut context).is_pending());
    journal.close().await;
    playing.await;
}
