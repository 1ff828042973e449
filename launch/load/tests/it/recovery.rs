use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use tminus_load::recovery::{NetworkLoss, RecoveryConfig, RecoveryReport, run};
use tokio_util::sync::CancellationToken;

use crate::server::Server;

fn config(server: &Server) -> RecoveryConfig {
    RecoveryConfig {
        players: 8,
        arrivals_over: Duration::from_millis(100),
        duration: Duration::from_secs(3),
        think_time: Duration::from_millis(30),
        cut_fraction: 1.0,
        cuts_per_player: 4,
        network_loss: None,
        ..RecoveryConfig::new(&server.url)
    }
}

async fn recover(config: RecoveryConfig) -> RecoveryReport {
    run(config, CancellationToken::new()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sound_server_loses_nothing_through_cuts_and_a_lost_network() {
    let server = Server::start(60).await;
    let loss = NetworkLoss {
        after: Duration::from_millis(1200),
        lasts: Duration::from_millis(300),
    };
    let report = recover(RecoveryConfig {
        network_loss: Some(loss),
        ..config(&server)
    })
    .await;
    assert!(report.valid && report.cuts >= 16, "{report:#?}");
    assert!(
        report.cuts_before_answer > 0 && report.cuts_before_answer < report.cuts,
        "{report:#?}"
    );
    assert!(
        report.network_losses > 0 && report.resumed > 0 && report.acknowledged > 50,
        "{report:#?}"
    );
    let wrong = [
        report.lost,
        report.twice,
        report.diverged,
        report.gaps,
        report.unverified,
    ];
    assert_eq!(wrong, [0; 5], "{report:#?}");
    assert_eq!((report.games_stuck, report.games_lost), (0, 0), "{report:#?}");
    let m = report.measurements();
    assert!(m.contains_key("resume_p99_ms") && m["lost"].0 == 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledged_move_that_is_forgotten_is_lost() {
    let server = Server::start(10_000).await;
    server.shared.forget_on_resume.store(1, SeqCst);
    let report = recover(config(&server)).await;
    assert_eq!(
        server.shared.forget_on_resume.load(SeqCst),
        0,
        "the server had its chance"
    );
    assert_eq!(report.lost, 1, "{report:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_is_applied_again_counts_as_twice() {
    let server = Server::start(10_000).await;
    server.shared.apply_again.store(1, SeqCst);
    let report = recover(config(&server)).await;
    assert_eq!(
        server.shared.apply_again.load(SeqCst),
        0,
        "the server had its chance"
    );
    assert_eq!((report.twice, report.lost), (1, 0), "{report:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_game_that_does_not_go_on_is_stuck() {
    let server = Server::start(10_000).await;
    server.shared.freeze_resumed.store(true, SeqCst);
    let short = Duration::from_millis(300);
    let config = RecoveryConfig {
        continue_within: short,
        command_timeout: short,
        ..config(&server)
    };
    let report = recover(config).await;
    assert_eq!(report.games_stuck, 4, "{report:#?}");
    assert_eq!((report.lost, report.twice), (0, 0), "{report:#?}");
}

#[tokio::test]
async fn a_run_that_cuts_nothing_is_not_valid() {
    let server = Server::start(10).await;
    let duration = Duration::from_millis(400);
    let report = recover(RecoveryConfig {
        cut_fraction: 0.0,
        duration,
        ..config(&server)
    })
    .await;
    assert!(!report.valid && report.cuts == 0, "{report:#?}");
    let wrong = RecoveryConfig {
        cut_fraction: 1.5,
        ..config(&server)
    };
    assert!(
        run(wrong, CancellationToken::new())
            .await
            .unwrap_err()
            .to_string()
            .contains("cut_fraction")
    );
}
