use std::collections::HashMap;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use tminus_load::players::{PlayersConfig, PlayersHandle, PlayersReport, run, start};
use tminus_load::{LoadError, Snapshot};
use tokio_util::sync::CancellationToken;

use crate::server::Server;

fn config(server: &Server) -> PlayersConfig {
    PlayersConfig {
        players: 8,
        arrivals_over: Duration::from_millis(50),
        duration: Duration::from_secs(60),
        finish_within: Duration::from_secs(1),
        think_time: Duration::from_millis(4),
        profile_every: Some(Duration::from_millis(50)),
        resume_within: Duration::from_secs(30),
        ..PlayersConfig::new(&server.url)
    }
}

async fn go(config: PlayersConfig) -> PlayersHandle {
    start(config, CancellationToken::new()).await.unwrap()
}

async fn until(handle: &mut PlayersHandle, seen: impl FnMut(&Snapshot) -> bool) -> Snapshot {
    let wait = handle.snapshots.wait_for(seen);
    tokio::time::timeout(Duration::from_secs(50), wait)
        .await
        .expect("in time")
        .unwrap()
        .clone()
}

async fn finish(handle: PlayersHandle) -> PlayersReport {
    handle.stop();
    handle.join().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn players_play_whole_games_and_each_acknowledged_move_is_logged_and_in_the_game() {
    let server = Server::start(10).await;
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("acknowledged.jsonl");
    let mut handle = go(PlayersConfig {
        acknowledged_log: Some(log.clone()),
        ..config(&server)
    })
    .await;
    until(&mut handle, |s| s.games_finished >= 6).await;
    let last = handle.snapshots.clone();
    let report = finish(handle).await;

    assert_eq!(
        (report.total.errors, report.games_lost, report.lost_moves),
        (0, 0, 0),
        "{report:#?}"
    );
    assert!(report.games_finished >= 6 && report.games_started >= report.games_finished);
    assert_eq!(
        report.games_unfinished,
        report.games_started - report.games_finished
    );
    assert_eq!(report.players_arrived, 8);
    assert!(report.operations["profile"].count > 0 && report.operations["sign_in"].count == 8);
    assert_eq!(report.match_wait.count, report.games_started * 2);
    assert!(last.borrow().finished);

    let games = server.games();
    let applied: usize = games.values().map(|g| g.moves().len()).sum();
    let lines = std::fs::read_to_string(&log).unwrap();
    assert_eq!(lines.lines().count() as u64, report.moves);
    assert!(applied as u64 >= report.moves && applied as u64 <= report.moves + 8);
    for line in lines.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let commands = &games[line["game_id"].as_str().unwrap()].commands;
        assert_eq!(
            u64::from(commands[line["command_id"].as_str().unwrap()]),
            line["sequence"].as_u64().unwrap()
        );
    }
    let m = report.measurements();
    for name in [
        "p99_ms",
        "move_p99_ms",
        "error_rate_percent",
        "release_v1_commands",
        "generator_lag_p99_ms",
    ] {
        assert!(m.contains_key(name), "{name} in {m:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generator_later_than_its_limit_makes_a_run_void() {
    let server = Server::start(10).await;
    for (generator_lag_max, valid) in [(Duration::ZERO, false), (Duration::from_secs(3_600), true)] {
        let mut handle = go(PlayersConfig {
            generator_lag_max,
            ..config(&server)
        })
        .await;
        until(&mut handle, |s| s.moves >= 20).await;
        let report = finish(handle).await;
        assert_eq!(
            (report.valid, report.notes.is_empty()),
            (valid, valid),
            "{report:#?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn players_that_are_sent_elsewhere_in_the_middle_of_a_game_play_on_there() {
    let server = Server::start(400).await;
    let mut handle = go(config(&server)).await;
    until(&mut handle, |s| s.games_open == 4 && s.moves >= 40).await;
    server.relocate("v2");
    let before = until(&mut handle, |s| s.releases.contains_key("v2")).await;
    until(&mut handle, |s| s.moves >= before.moves + 80).await;
    let report = finish(handle).await;
    assert_eq!(report.relocated, 8);
    assert_eq!(
        (report.games_lost, report.lost_moves, report.total.errors),
        (0, 0, 0),
        "{report:#?}"
    );
    assert_eq!((report.resumed, report.resume_gap.count), (8, 8), "{report:#?}");
    assert_eq!(*server.shared.asked_at.lock().unwrap(), vec!["v2"; 8]);
    assert!(report.releases["v1"].commands > 0 && report.releases["v2"].commands > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_upgrades_are_errors_of_the_release_that_refused() {
    let server = Server::start(10).await;
    server.shared.refuse_upgrades.store(5, SeqCst);
    let mut handle = go(config(&server)).await;
    until(&mut handle, |s| s.games_finished >= 2).await;
    let report = finish(handle).await;
    assert_eq!(report.error_codes, [("http_503".to_owned(), 5)].into());
    assert_eq!(
        (report.releases["v1"].errors, report.operations["connect"].errors),
        (5, 5)
    );
    assert_eq!(report.releases.len(), 1, "nothing is attributed to nobody");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_commands_are_sent_again_and_applied_once() {
    let server = Server::start(20).await;
    server.shared.fail_every.store(4, SeqCst);
    let mut handle = go(config(&server)).await;
    until(&mut handle, |s| s.errors >= 10 && s.games_finished >= 2).await;
    let report = finish(handle).await;
    let failed = report.error_codes["internal"];
    assert!(failed >= 10);
    assert_eq!(
        (report.releases["v1"].errors, report.operations["move"].errors),
        (failed, failed)
    );
    assert_eq!(report.games_lost, 0);
    for game in server.games().values() {
        assert_eq!(game.moves().len(), game.commands.len(), "one command, one move");
    }
}

/// The point of an open loop: during the pause hardly anything is sent, and yet it must weigh as
/// much as all that should have been sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_of_the_server_is_charged_for_everything_that_it_delayed() {
    let server = Server::start(10_000).await;
    let slow = Duration::from_millis(500);
    let config = PlayersConfig {
        think_time: Duration::from_millis(20),
        profile_every: None,
        command_timeout: Duration::from_secs(20),
        slow_after: slow,
        ..config(&server)
    };
    let mut handle = go(config).await;
    let before = until(&mut handle, |s| s.games_open == 4 && s.moves >= 20).await;
    server.answer(false);
    let sent_before = server.shared.frames.load(SeqCst);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let sent = server.shared.frames.load(SeqCst) - sent_before;
    server.answer(true);
    until(&mut handle, |s| s.moves >= before.moves + 400).await;
    let report = finish(handle).await;

    assert!(sent <= 4, "{sent} frames came during the pause");
    let moves = &report.operations["move"];
    assert!(moves.response.p99_ms > 900.0, "{moves:#?}");
    // 25 moves a game and half a second, against the one that was sent.
    assert!(report.releases["v1"].slow >= 50, "{:#?}", report.releases);
    assert!(moves.service.p90_ms < moves.response.p90_ms / 2.0, "{moves:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_answering_is_charged_with_timeouts_and_its_games_go_on_afterwards() {
    let server = Server::start(400).await;
    let config = PlayersConfig {
        command_timeout: Duration::from_millis(200),
        profile_every: None,
        ..config(&server)
    };
    let mut handle = go(config).await;
    until(&mut handle, |s| s.games_open == 4 && s.moves >= 20).await;
    server.answer(false);
    let stalled = until(&mut handle, |s| s.releases["v1"].timeouts >= 4).await;
    assert_eq!(stalled.releases.len(), 1);
    server.answer(true);
    until(&mut handle, |s| s.moves >= stalled.moves + 80).await;
    let report = finish(handle).await;
    assert!(report.error_codes["timeout"] >= 4);
    assert_eq!((report.games_lost, report.lost_moves), (0, 0), "{report:#?}");
    for game in server.games().values() {
        assert_eq!(game.moves().len(), game.commands.len(), "one command, one move");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_that_the_server_forgets_is_reported() {
    let server = Server::start(400).await;
    let mut handle = go(config(&server)).await;
    until(&mut handle, |s| s.games_open == 4 && s.moves >= 20).await;
    server.shared.forget_on_resume.store(1, SeqCst);
    // Some player comes back as the one who has moved last; it takes a few rounds at most.
    for round in 0.. {
        let release = format!("v{}", 2 + round);
        server.relocate(&release);
        until(&mut handle, |s| s.releases.contains_key(&release)).await;
        if server.shared.forget_on_resume.load(SeqCst) == 0 {
            break;
        }
        let now = until(&mut handle, |_| true).await;
        until(&mut handle, |s| s.moves > now.moves + 8).await;
    }
    let report = finish(handle).await;
    assert_eq!(report.lost_moves, 1, "{report:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn games_are_resigned_when_they_grow_too_long() {
    let server = Server::start(100_000).await;
    let mut handle = go(PlayersConfig {
        resign_after_plies: Some(12),
        ..config(&server)
    })
    .await;
    until(&mut handle, |s| s.games_finished >= 5).await;
    let report = finish(handle).await;
    assert!(report.operations["resign"].count >= 5);
    assert_eq!(report.operations["resign"].errors, 0);
    let by_length: HashMap<String, usize> = server
        .games()
        .into_iter()
        .map(|(id, g)| (id, g.moves().len()))
        .collect();
    assert!(by_length.values().all(|plies| *plies <= 12), "{by_length:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelling_ends_a_run_at_once_and_says_that_it_is_not_valid() {
    let server = Server::start(100_000).await;
    let cancel = CancellationToken::new();
    let mut handle = start(config(&server), cancel.clone()).await.unwrap();
    until(&mut handle, |s| s.games_open == 4).await;
    cancel.cancel();
    let report = handle.join().await.unwrap();
    assert!(!report.valid && report.games_unfinished == 4, "{report:#?}");
}

#[tokio::test]
async fn what_cannot_run_says_why() {
    let server = Server::start(10).await;
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let with = |change: fn(&mut PlayersConfig)| {
        let mut config = config(&server);
        change(&mut config);
        config
    };
    for (config, expected) in [
        (
            PlayersConfig {
                target: nobody.clone(),
                ..config(&server)
            },
            "does not answer",
        ),
        (
            PlayersConfig {
                target: "127.0.0.1".into(),
                ..config(&server)
            },
            "target",
        ),
        (with(|c| c.target = "https://play.example".into()), "plain TCP"),
        (with(|c| c.players = 0), "players = 0"),
        (with(|c| c.think_time = Duration::ZERO), "think_time"),
        (
            with(|c| c.headers = [("x y".to_owned(), "1".to_owned())].into()),
            "headers",
        ),
        (
            with(|c| c.acknowledged_log = Some("/does/not/exist/log".into())),
            "log of the players /does/not/exist/log",
        ),
        (
            with(|c| c.history_log = Some("/does/not/exist/either".into())),
            "log of the players /does/not/exist/either",
        ),
    ] {
        let error: LoadError = run(config, CancellationToken::new()).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error} / {expected}");
    }
}
