//! What happens after a launch becomes one ticket: events from every side, sinks that fail, crashes.

use std::io::BufRead as _;
use std::process::{Command, Stdio};

use tminus_after::tickets::State;

use crate::after_stage::{HOUR_MS, Stage, now_ms, page, png, private, rfc3339, said, text};
use crate::desk::{Desk, TOKEN, Trouble};

const MINUTE_MS: u64 = 60_000;

#[tokio::test]
async fn a_page_ticked_by_hand_becomes_one_ticket_whatever_is_repeated() {
    let stage = Stage::served(false).await;
    let scan = stage.path("page.png");
    std::fs::write(&scan, png(&page(&["emergency-rollback"], &[]))).unwrap();
    let scan = scan.to_str().unwrap();

    // Nobody serves: it waits on disk.
    let told = stage.told(&["scan", scan]);
    assert_eq!(
        (told["served"].as_bool(), told["events"][0]["zone"].as_str()),
        (Some(false), Some("emergency-rollback"))
    );
    let running = stage.start().await;
    running.until_made(1).await;
    assert_eq!(stage.told(&["scan", scan, scan])["served"], true);
    running.stop().await;

    let running = stage.start().await;
    stage.told(&["scan", scan, "--at", &rfc3339(now_ms() - HOUR_MS)]);
    stage.told(&["event", "emergency-rollback"]);
    stage.edited_thrice("marker");
    running.until_made(2).await;
    let issues = stage.bodies();
    assert_eq!(issues.len(), 2);
    let body = issues[0].to_string();
    assert!(
        body.contains("emergency rollback") && body.contains(&stage.launch),
        "{body}"
    );
    // The owner that has an account is mentioned, the other one named.
    assert!(
        body.contains("5b10ac8d82e05b22cc7d4ef5") && body.contains("\"qa\""),
        "{body}"
    );
    running.stop().await;
}

#[tokio::test]
async fn a_page_that_says_edited_counts_once_however_often_it_is_scanned() {
    let stage = Stage::served(false).await;
    let running = stage.start().await;
    let scan = stage.path("page.png");
    std::fs::write(&scan, png(&page(&["edited-by-hand"], &[]))).unwrap();
    let scan = scan.to_str().unwrap();
    for _ in 0..3 {
        stage.told(&["scan", scan]);
    }
    stage.edited_thrice("marker");
    running.until_made(1).await;
    assert_eq!(stage.desk.issue_count(), 1);
    // Three pages, of three times.
    for hours in [3, 2, 1] {
        stage.told(&["scan", scan, "--at", &rfc3339(now_ms() - hours * HOUR_MS)]);
    }
    running.until_made(2).await;
    running.stop().await;
}

#[tokio::test]
async fn three_edits_within_72_hours_are_one_ticket_and_two_are_none() {
    let stage = Stage::served(false).await;
    let running = stage.start().await;
    let now = now_ms();
    stage.edited("v2", now - 100 * HOUR_MS);
    stage.edited("v2", now - 80 * HOUR_MS);
    stage.edited("v2", now - 10 * HOUR_MS);
    stage.edited("v2", now - 10 * HOUR_MS);
    stage.edited("v3", now - 9 * HOUR_MS);
    stage.edited_thrice("marker");
    running.until_made(1).await;
    let titles = |stage: &Stage| {
        let bodies = stage.bodies().into_iter();
        let titles = bodies.map(|body| body["fields"]["summary"].as_str().unwrap().to_owned());
        titles.collect::<Vec<_>>()
    };
    assert!(titles(&stage)[0].contains("marker"), "{:?}", titles(&stage));
    // The launch's own version, when none is named: the bench's plan says v2. The third one within 72 h.
    stage.told(&["event", "edited-by-hand", "--at", &rfc3339(now - 20 * HOUR_MS)]);
    running.until_made(2).await;
    stage.edited_thrice("v2");
    stage.edited_thrice("another marker");
    running.until_made(3).await;
    assert_eq!(titles(&stage).len(), 3, "{:?}", titles(&stage));
    running.stop().await;
}

#[tokio::test]
async fn a_download_that_nothing_follows_within_two_hours_is_one_ticket() {
    let stage = Stage::served(false).await;
    stage.configure("ignore_downloads_by: [\"token:mirror\"]\n");
    let start = now_ms();
    stage.download("ops.zip", "mirror", start).await;
    stage.download("runbook.md", "night-shift", start).await;
    let running = stage.start().await;
    stage.later(3 * HOUR_MS);
    stage.edited_thrice("marker");
    running.until_made(1).await;
    assert_eq!(stage.desk.issue_count(), 1);

    // While it runs: the record grows.
    let taken = start + 3 * HOUR_MS;
    let long = format!("night-shift{}", "x".repeat(400));
    stage.download("ops.zip", &long, taken).await;
    stage.later(2 * HOUR_MS - MINUTE_MS);
    stage.edited_thrice("another marker");
    running.until_made(2).await;
    assert_eq!(stage.desk.issue_count(), 2);
    running.stop().await;
    // Also when the time runs out while nobody serves.
    stage.later(3 * MINUTE_MS);
    let running = stage.start().await;
    running.until_made(3).await;
    stage.later(HOUR_MS);
    stage.edited_thrice("a third marker");
    running.until_made(4).await;
    let issues = stage.bodies();
    assert_eq!(issues.len(), 4);
    let body = issues[2].to_string();
    assert!(
        body.contains("ops.zip") && body.contains("token:night-shift"),
        "{body}"
    );
    running.stop().await;
}

#[tokio::test]
async fn an_operation_in_time_needs_no_ticket() {
    let stage = Stage::served(false).await;
    let start = now_ms();
    stage.download("ops.zip", "night-shift", start).await;
    let running = stage.start().await;
    stage.told(&["event", "operation-done"]);
    stage.later(3 * HOUR_MS);
    stage.edited_thrice("marker");
    running.until_made(1).await;
    let issues = stage.bodies();
    assert_eq!(issues.len(), 1);
    assert!(issues[0].to_string().contains("marker"));
    running.stop().await;
}

#[tokio::test]
async fn a_rollback_on_record_is_one_ticket_also_after_a_restart_without_state() {
    let stage = Stage::served(true).await;
    let running = stage.start().await;
    running.until_made(1).await;
    running.stop().await;
    // The state is lost, the record is not: the issue that is there is found by its label.
    std::fs::remove_dir_all(stage.path("after")).unwrap();
    stage.later(10 * MINUTE_MS);
    let running = stage.start().await;
    running.until_made(1).await;
    assert_eq!(stage.desk.issue_count(), 1);
    running.stop().await;
}

#[tokio::test]
async fn a_sink_that_is_down_gets_its_ticket_later_and_once() {
    let stage = Stage::new(true).await;
    let running = stage.start().await;
    running
        .until("a first try has failed", |seen| {
            seen.tickets.values().flatten().any(|entry| entry.failures > 0)
        })
        .await;
    assert!(text(&running.admin(), &[]).await.contains("no connection"));
    let listed = stage.told(&["tickets", "list"]);
    assert_eq!(
        listed["retrospectives"][0]["tickets"][0]["entry"]["state"], "waiting",
        "{listed}"
    );
    stage.serve_desk().await;
    // Made, but the answer is lost: it is looked for once Jira's search can know of it.
    stage.desk.trouble(&[Trouble::LoseAnswer]);
    stage.later(HOUR_MS);
    running
        .until("the answer was lost", |seen| {
            let mut entries = seen.tickets.values().flatten();
            entries.any(|entry| {
                entry
                    .trouble
                    .as_deref()
                    .is_some_and(|why| why.contains("may have been made"))
            })
        })
        .await;
    running.stop().await;
    let running = stage.start().await;
    stage.later(HOUR_MS);
    running.until_made(1).await;
    assert_eq!(stage.desk.issue_count(), 1);
    let output = stage.tminus(&["tickets", "list"]);
    assert!(said(&output).contains("OPS-1 http://"), "{}", said(&output));
    running.stop().await;
}

#[tokio::test]
async fn an_end_while_a_ticket_is_on_its_way_makes_no_second_one() {
    let stage = Stage::served(true).await;
    stage.configure("owners: [dev]\n");
    stage.desk.trouble(&[Trouble::Hold]);
    let running = stage.start().await;
    stage.desk.held.notified().await;
    // The courier ends where it stands.
    running.stop().await;
    let running = stage.start().await;
    running
        .until("it is known that it was on its way", |seen| {
            let mut entries = seen.tickets.values().flatten();
            entries.any(|entry| {
                entry
                    .trouble
                    .as_deref()
                    .is_some_and(|why| why.contains("the process ended"))
            })
        })
        .await;
    stage.later(6 * MINUTE_MS);
    running.until_made(1).await;
    let issues = stage.bodies();
    assert_eq!(issues.len(), 1);
    let body = issues[0].to_string();
    assert!(body.contains("\"dev\"") && !body.contains("\"qa\""), "{body}");
    running.stop().await;
}

#[tokio::test]
async fn the_program_serves_until_it_is_asked_to_stop_and_a_killed_one_leaves_nothing_held() {
    let stage = Stage::served(false).await;
    let serve = || {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tminus"))
            .args(["after", "serve", "--json", "--config"])
            .arg(stage.config_file())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        (child, serde_json::from_str::<serde_json::Value>(&line).unwrap())
    };
    let (mut child, told) = serve();
    assert_eq!((&told["ok"], &told["sinks"][0]), (&true.into(), &"jira".into()));
    assert!(
        text(told["admin"].as_str().unwrap(), &[])
            .await
            .contains(&stage.launch)
    );
    assert_eq!(stage.told(&["event", "emergency-rollback"])["served"], true);
    child.kill().unwrap();
    child.wait().unwrap();

    let (mut child, told) = serve();
    let status = format!("{}api/status", told["admin"].as_str().unwrap());
    let began = std::time::Instant::now();
    while stage.desk.issue_count() == 0 {
        assert!(began.elapsed().as_secs() < 60, "{}", text(&status, &[]).await);
        tokio::task::yield_now().await;
    }
    let pid = i32::try_from(child.id()).unwrap();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid).unwrap(),
        rustix::process::Signal::TERM,
    )
    .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(stage.told(&["event", "emergency-rollback"])["served"], false);
    assert_eq!(stage.desk.issue_count(), 1);
}

#[tokio::test]
async fn a_ticket_that_was_given_up_is_tried_again_by_order() {
    let stage = Stage::served(true).await;
    private(&stage.path("sink.token"), "of-somebody-else");
    let running = stage.start().await;
    let given_up = |entry: &tminus_after::tickets::Entry| matches!(entry.state, State::GaveUp { .. });
    running
        .until("it is given up", |seen| {
            seen.tickets.values().flatten().any(given_up)
        })
        .await;
    let listed = stage.tminus(&["tickets", "list"]);
    assert!(
        said(&listed).contains("the credential was refused"),
        "{}",
        said(&listed)
    );
    let id = stage.told(&["tickets", "list"])["retrospectives"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    running.stop().await;

    private(&stage.path("sink.token"), TOKEN);
    let told = stage.told(&["tickets", "again", &id[..6]]);
    assert_eq!(
        (&told["sinks"][0], &told["served"]),
        (&"jira".into(), &false.into())
    );
    let running = stage.start().await;
    running.until_made(1).await;
    // Nothing is left to be tried; a name that no id has.
    assert_eq!(stage.tminus(&["tickets", "again", &id]).status.code(), Some(1));
    assert_eq!(stage.tminus(&["tickets", "again", "zz"]).status.code(), Some(2));
    let everything = said(&stage.tminus(&["tickets", "list", "--json"]))
        + &text(&running.admin(), &[]).await
        + &text(&format!("{}api/status", running.admin()), &[]).await;
    assert!(!everything.contains(TOKEN) && everything.contains("OPS-1"));
    running.stop().await;
}

#[tokio::test]
async fn every_kind_of_sink_gets_its_ticket_and_none_is_no_loss() {
    let stage = Stage::served(true).await;
    stage.configure_with("", "");
    let running = stage.start().await;
    running
        .until("it is raised", |seen| seen.retrospectives.len() == 1)
        .await;
    running.stop().await;
    assert_eq!(
        stage.told(&["tickets", "list"])["retrospectives"][0]["tickets"],
        serde_json::json!([])
    );
    // What no sink has yet, those that come later get; each system knows only its own.
    let (mut desks, mut addresses) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let desk = Desk::new(stage.desk.now_ms());
        addresses.push(crate::desk::serve(&desk, None).await);
        desks.push(desk);
    }
    let [github, gitlab, webhook] = addresses[..] else {
        unreachable!()
    };
    let tickets = format!(
        "tickets:\n  github: {{ url: \"http://{github}\", repository: ours/ops, token_file: sink.token }}\n  \
         gitlab: {{ url: \"http://{gitlab}\", project: ours/deep/ops, token_file: sink.token, mentions: {{ sre: night }} }}\n  \
         webhook: {{ url: \"http://{webhook}/hook/secret-path\", key_file: sink.token }}\n"
    );
    stage.configure_with(&tickets, "");
    let running = stage.start().await;
    running.until_made(3).await;
    assert_eq!(
        desks.iter().map(|desk| desk.issue_count()).collect::<Vec<_>>(),
        [1, 1, 1]
    );
    let gitlab = desks[1].issues.lock().unwrap()[0].body.to_string();
    assert!(gitlab.contains("@night") && gitlab.contains("qa"), "{gitlab}");
    running.stop().await;
}
