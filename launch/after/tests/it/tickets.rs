use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tminus_after::tickets::{
    Courier, Failure, GitHub, Pace, Secret, SinkSetup, State, Step, Taken, Ticket, TicketSink, signature,
};
use tminus_after::triggers::{Event, Retro, Rules};

use crate::desk::{ALL, Api, Desk, TOKEN, Trouble, serve, sink};

const START: u64 = 1_795_356_000_000;

fn ticket() -> Ticket {
    let mut retro = Retro::default();
    let event = Event::Downloaded {
        launch: "season 7\n/close".into(),
        file: "`ops`\u{202e}.zip @all".into(),
        who: "مريم 👩‍🚀".into(),
        at_ms: START - 9 * 3_600_000,
    };
    retro.observe(&event, &Rules::default(), START).unwrap();
    let decision = retro.due(&Rules::default(), START).remove(0);
    Ticket::retrospective(&decision, &["sre".to_owned(), "开发".to_owned()])
}

fn courier(path: &Path, desk: &Desk, sink: Arc<dyn TicketSink>) -> Courier {
    let clock = desk.clock.clone();
    let clock = Arc::new(move || clock.load(Ordering::SeqCst));
    Courier::open(path, sink, Pace::default(), clock, Arc::new(|| 0.5)).unwrap()
}

/// Steps, the clock put forward to whatever is waited for, until nothing waits.
async fn carry(courier: &mut Courier, desk: &Desk) -> Vec<Step> {
    let mut steps = Vec::new();
    for _ in 0..200 {
        match courier.step().await.unwrap() {
            Step::Idle { until_ms: None } => return steps,
            Step::Idle {
                until_ms: Some(until_ms),
            } => {
                assert!(until_ms > desk.now_ms());
                desk.clock.store(until_ms, Ordering::SeqCst);
            }
            step => steps.push(step),
        }
    }
    panic!("never quiet: {steps:?}");
}

struct Scene {
    desk: Arc<Desk>,
    address: SocketAddr,
    folder: tempfile::TempDir,
    courier: Courier,
    api: Api,
}

async fn scene(api: Api, token: &str) -> Scene {
    let desk = Desk::new(START);
    let address = serve(&desk, None).await;
    let folder = tempfile::tempdir().unwrap();
    let courier = courier(
        &folder.path().join("outbox.json"),
        &desk,
        sink(api, &desk, address, token).unwrap(),
    );
    Scene {
        desk,
        address,
        folder,
        courier,
        api,
    }
}

impl Scene {
    /// As after a crash: the file is what is left.
    fn restart(self) -> Self {
        drop(self.courier);
        let sink = sink(self.api, &self.desk, self.address, TOKEN).unwrap();
        let courier = courier(&self.folder.path().join("outbox.json"), &self.desk, sink);
        Self { courier, ..self }
    }
}

#[tokio::test]
async fn a_ticket_is_made_once_in_every_api_with_label_owner_and_harmless_text() {
    for api in ALL {
        let mut scene = scene(api, TOKEN).await;
        assert_eq!(scene.courier.put(ticket()).unwrap(), Taken::New);
        assert_eq!(scene.courier.put(ticket()).unwrap(), Taken::Known);
        let steps = carry(&mut scene.courier, &scene.desk).await;
        assert!(
            matches!(&steps[..], [Step::Made { made, .. }] if made.key.contains('1')),
            "{api:?} {steps:?}"
        );
        let issues = scene.desk.issues.lock().unwrap();
        assert_eq!(issues.len(), 1);
        assert!(issues[0].labels.contains(&ticket().label()), "{api:?}");
        let body = issues[0].body.to_string();
        assert!(
            body.contains("5b10ac8d82e05b22cc7d4ef5") && body.contains("开发"),
            "{api:?} {body}"
        );
        assert!(
            body.contains("مريم 👩‍🚀") && !body.contains('\u{202e}'),
            "{api:?} {body}"
        );
        assert!(body.contains("2026-"), "{body}");
    }
}

#[tokio::test]
async fn a_server_that_is_down_for_a_while_gets_the_ticket_once() {
    const BUSY: &[(&str, &str)] = &[("retry-after", "3600")];
    for api in ALL {
        let mut scene = scene(api, TOKEN).await;
        scene.courier.put(ticket()).unwrap();
        let unavailable = [
            Trouble::Answer(500, &[]),
            Trouble::Answer(503, &[]),
            Trouble::Answer(429, BUSY),
            Trouble::Answer(500, &[]),
        ];
        scene.desk.trouble(&unavailable);
        let steps = carry(&mut scene.courier, &scene.desk).await;
        assert_eq!(steps.len(), 5, "{api:?} {steps:?}");
        assert!(
            matches!(steps.last(), Some(Step::Made { .. })),
            "{api:?} {steps:?}"
        );
        assert_eq!(scene.desk.issue_count(), 1);
        assert!(
            scene.desk.now_ms() >= START + 3_600_000,
            "Retry-After was not honoured by {api:?}"
        );
    }
}

#[tokio::test]
async fn a_refused_connection_is_tried_again_with_growing_waits() {
    for api in ALL {
        let desk = Desk::new(START);
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let folder = tempfile::tempdir().unwrap();
        let sink = sink(api, &desk, address, TOKEN).unwrap();
        let mut courier = courier(&folder.path().join("outbox.json"), &desk, sink);
        courier.put(ticket()).unwrap();
        let mut waits = Vec::new();
        for _ in 0..6 {
            assert!(matches!(
                courier.step().await.unwrap(),
                Step::Failed {
                    failure: Failure::Later { .. },
                    ..
                }
            ));
            let Step::Idle {
                until_ms: Some(until_ms),
            } = courier.step().await.unwrap()
            else {
                panic!("it does not wait");
            };
            waits.push(until_ms - desk.now_ms());
            desk.clock.store(until_ms, Ordering::SeqCst);
        }
        assert_eq!(waits, [750, 1_500, 3_000, 6_000, 12_000, 24_000], "{api:?}");
        serve(&desk, Some(address)).await;
        carry(&mut courier, &desk).await;
        assert_eq!(desk.issue_count(), 1, "{api:?}");
    }
}

#[tokio::test]
async fn an_answer_lost_after_the_ticket_was_made_makes_no_second_one() {
    for api in ALL {
        for trouble in [Trouble::LoseAnswer, Trouble::BreakAnswer, Trouble::GatewayFails] {
            let mut scene = scene(api, TOKEN).await;
            scene.courier.put(ticket()).unwrap();
            scene.desk.trouble(std::slice::from_ref(&trouble));
            let steps = carry(&mut scene.courier, &scene.desk).await;
            assert!(
                matches!(steps.last(), Some(Step::Made { .. })),
                "{api:?} {trouble:?} {steps:?}"
            );
            assert_eq!(scene.desk.issue_count(), 1, "{api:?} {trouble:?} {steps:?}");
            assert!(
                matches!(
                    &steps[0],
                    Step::Failed {
                        failure: Failure::Uncertain { .. },
                        ..
                    }
                ),
                "{api:?} {steps:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_crash_between_sending_and_noting_makes_no_second_ticket() {
    for api in ALL {
        let mut scene = scene(api, TOKEN).await;
        scene.courier.put(ticket()).unwrap();
        scene.desk.trouble(&[Trouble::Hold]);
        let desk = scene.desk.clone();
        tokio::select! {
            step = scene.courier.step() => panic!("answered: {step:?}"),
            () = desk.held.notified() => {}
        }
        assert_eq!(desk.issue_count(), 1);
        let mut scene = scene.restart();
        let steps = carry(&mut scene.courier, &desk).await;
        assert!(matches!(&steps[..], [Step::Made { .. }]), "{api:?} {steps:?}");
        assert_eq!(desk.issue_count(), 1, "{api:?}");
    }
}

#[tokio::test]
async fn a_crash_before_the_request_left_loses_no_ticket() {
    for api in ALL {
        let mut scene = scene(api, TOKEN).await;
        scene.courier.put(ticket()).unwrap();
        // Polled once: the note is in the file, the request has not been answered, perhaps not been sent.
        {
            let step = std::pin::pin!(scene.courier.step());
            assert!(futures_util::poll!(step).is_pending());
        }
        let desk = scene.desk.clone();
        let mut scene = scene.restart();
        assert!(scene.courier.get(&ticket().id).unwrap().trouble.is_some());
        carry(&mut scene.courier, &desk).await;
        assert_eq!(desk.issue_count(), 1, "{api:?}");
    }
}

#[tokio::test]
async fn a_wrong_token_is_one_request_and_a_clear_error_and_can_be_mended() {
    for api in ALL {
        let mut scene = scene(api, "wrong-token-of-mine").await;
        scene.courier.put(ticket()).unwrap();
        let steps = carry(&mut scene.courier, &scene.desk).await;
        let [
            Step::GaveUp {
                failure: Failure::Refused { why },
                ..
            },
        ] = &steps[..]
        else {
            panic!("{api:?} {steps:?}");
        };
        assert!(
            why.contains("answered 401") && why.contains("credential was refused"),
            "{why}"
        );
        assert!(
            !why.contains("wrong-token") && !why.contains("secret-path"),
            "{why}"
        );
        assert_eq!(scene.desk.request_count(), 1, "{api:?}");
        let mut scene = scene.restart();
        let entry = scene.courier.get(&ticket().id).unwrap();
        assert!(matches!(entry.state, State::GaveUp { .. }));
        assert_eq!(entry.trouble.as_ref(), Some(why));
        scene.courier.again(&ticket().id).unwrap();
        carry(&mut scene.courier, &scene.desk).await;
        assert_eq!(scene.desk.issue_count(), 1, "{api:?}");
    }
}

#[tokio::test]
async fn it_gives_up_after_the_configured_time_and_says_so() {
    let mut scene = scene(Api::Jira, TOKEN).await;
    scene.courier.put(ticket()).unwrap();
    scene.desk.trouble(&vec![Trouble::Answer(503, &[]); 2_000]);
    let mut last = None;
    while last.is_none() {
        match scene.courier.step().await.unwrap() {
            Step::Idle { until_ms } => scene.desk.clock.store(until_ms.unwrap(), Ordering::SeqCst),
            Step::GaveUp { failure, .. } => last = Some(failure),
            step => assert!(matches!(step, Step::Failed { .. })),
        }
    }
    let passed = scene.desk.now_ms() - START;
    let pace = Pace::default();
    assert!(
        passed <= pace.give_up_after_ms && passed + pace.longest_ms >= pace.give_up_after_ms,
        "{passed}"
    );
    let entry = scene.courier.get(&ticket().id).unwrap();
    assert!(entry.trouble.as_ref().unwrap().contains("503"));
    assert!(scene.desk.request_count() < 400, "{}", scene.desk.request_count());
}

#[tokio::test]
async fn a_limit_of_github_is_waited_for_and_no_missing_right() {
    const SPENT: &[(&str, &str)] = &[
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-reset", "1795359600"),
        ("date", "Sun, 22 Nov 2026 14:00:00 GMT"),
    ];
    let mut scene = scene(Api::GitHub, TOKEN).await;
    scene.courier.put(ticket()).unwrap();
    scene.desk.trouble(&[Trouble::Answer(403, SPENT)]);
    carry(&mut scene.courier, &scene.desk).await;
    assert_eq!(
        (scene.desk.issue_count(), scene.desk.now_ms()),
        (1, START + 3_600_000)
    );
}

#[tokio::test]
async fn no_credential_is_in_an_error_a_file_or_a_debug_text() {
    for api in ALL {
        let mut scene = scene(api, TOKEN).await;
        scene.courier.put(ticket()).unwrap();
        scene.desk.trouble(&[Trouble::Answer(400, &[])]);
        let steps = carry(&mut scene.courier, &scene.desk).await;
        let file = std::fs::read_to_string(scene.folder.path().join("outbox.json")).unwrap();
        let said = format!("{steps:?} {:?} {file}", scene.courier);
        assert!(said.contains("[credential]"), "{said}");
        assert!(
            !said.contains(TOKEN) && !said.contains("secret-path"),
            "{api:?} {said}"
        );
    }
    assert_eq!(format!("{:?}", Secret::new(TOKEN, "here").unwrap()), "Secret(…)");
}

#[tokio::test]
async fn a_redirect_is_not_followed_with_the_credential() {
    for api in ALL {
        let mut scene = scene(api, TOKEN).await;
        scene.courier.put(ticket()).unwrap();
        scene
            .desk
            .trouble(&[Trouble::Answer(307, &[("location", "/hook/secret-path")])]);
        let steps = carry(&mut scene.courier, &scene.desk).await;
        assert!(
            matches!(
                &steps[..],
                [Step::GaveUp {
                    failure: Failure::Refused { .. },
                    ..
                }]
            ),
            "{steps:?}"
        );
        assert_eq!(scene.desk.request_count(), 1);
    }
}

#[test]
fn a_token_file_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    assert!(
        Secret::from_file(&path)
            .unwrap_err()
            .to_string()
            .contains("there is no")
    );
    std::fs::write(&path, format!("{TOKEN}\n")).unwrap();
    for (mode, good) in [(0o644, false), (0o640, false), (0o600, true), (0o400, true)] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let read = Secret::from_file(&path);
        assert_eq!(read.is_ok(), good, "{mode:o}");
        assert!(read.is_ok() || read.unwrap_err().to_string().contains("chmod 600"));
    }
    for bad in ["", "  ", "two words", "tök", &"x".repeat(5_000)] {
        let refused = Secret::new(bad, "TMINUS_TOKEN").unwrap_err().to_string();
        assert!(refused.contains("TMINUS_TOKEN"), "{refused}");
    }
}

#[test]
fn only_https_or_loopback_and_no_name_that_leaves_its_place() {
    let setup = |base_url: &str| SinkSetup {
        base_url: base_url.to_owned(),
        ..SinkSetup::default()
    };
    let with = |url: &str, repository: &str| {
        GitHub::new(setup(url), repository, Secret::new(TOKEN, "test").unwrap())
            .map(|_| ())
            .map_err(|e| e.to_string())
    };
    for url in [
        "http://example.org",
        "ftp://example.org",
        "https://user:pw@example.org",
        "no url",
        "http://127.0.0.1.example.org",
    ] {
        let refused = with(url, "ours/ops").unwrap_err();
        assert!(refused.contains("https") && !refused.contains("pw@"), "{refused}");
    }
    for url in [
        "https://api.github.com",
        "http://127.0.0.1:9",
        "http://[::1]:9",
        "http://localhost:9",
    ] {
        assert_eq!(with(url, "ours/ops"), Ok(()), "{url}");
    }
    for repository in [
        "",
        "ours",
        "ours/ops/more",
        "../..",
        "ours/ops?x",
        "ours/оps",
        "/ops",
    ] {
        assert!(
            with("https://api.github.com", repository).is_err(),
            "{repository}"
        );
    }
}

/// `printf '1795356000.{"id":1}' | openssl dgst -sha256 -hmac tok-3f9a-do-not-print`
#[test]
fn the_webhook_signature_is_what_openssl_says() {
    let key = Secret::new(TOKEN, "test").unwrap();
    assert_eq!(
        signature(&key, 1_795_356_000, b"{\"id\":1}"),
        "sha256=924b6f41904f9526da626927ec52fd1aba03679b41a2c1b0bed4dcbc87599a93"
    );
}
