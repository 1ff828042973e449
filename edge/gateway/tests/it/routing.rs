//! Where requests go: rules, affinity, weights and stickiness, counted on real requests.

use super::backend::Backend;
use super::support::{Gateway, Settings};

async fn two(settings: &Settings) -> (Backend, Backend, Gateway) {
    let (stable, canary) = (Backend::start("stable").await, Backend::start("canary").await);
    let gateway = Gateway::start(stable.address, canary.address, settings);
    (stable, canary, gateway)
}

/// For each player, whether the canary answered.
async fn on_canary(gateway: &Gateway, players: usize, headers: &[(&str, &str)]) -> Vec<bool> {
    let mut answers = Vec::with_capacity(players);
    for player in 0..players {
        let id = format!("player-{player}");
        let headers = [headers, &[("x-session-id", id.as_str())]].concat();
        let answer = gateway.get("/who", &headers).await;
        let canary = answer.text() == "canary";
        assert_eq!(
            answer.header("x-served-version"),
            if canary { "v1.3" } else { "v1.2" }
        );
        answers.push(canary);
    }
    answers
}

/// Within three standard deviations of the share.
#[track_caller]
/// Within six standard deviations: what is drawn anew in each run must not fail once in 400 runs.
fn assert_share(answers: &[bool], share: f64) {
    let count = answers.iter().filter(|canary| **canary).count() as f64;
    let all = answers.len() as f64;
    let deviation = (all * share * (1.0 - share)).sqrt();
    assert!(
        (count - all * share).abs() <= 6.0 * deviation,
        "{count} of {all} instead of {share}"
    );
}

#[tokio::test]
async fn x_version_pins_and_splits_and_without_it_stable_answers() {
    let (_stable, _canary, gateway) = two(&Settings::default()).await;
    let who = async |headers: &[(&str, &str)]| gateway.get("/who", headers).await.text().to_owned();
    assert_eq!(who(&[]).await, "stable");
    assert_eq!(who(&[("x-version", "v1.2")]).await, "stable");
    assert_eq!(who(&[("x-version", "v1.3")]).await, "canary");
    assert_eq!(who(&[("x-version", "v9")]).await, "stable");
    assert_share(&on_canary(&gateway, 600, &[("x-version", "split")]).await, 0.3);
    assert!(on_canary(&gateway, 50, &[]).await.iter().all(|canary| !canary));
}

#[tokio::test]
async fn raising_the_weight_moves_players_only_to_the_canary_and_nobody_flaps() {
    let (_stable, _canary, gateway) = two(&Settings {
        weights: (90, 10),
        ..Settings::default()
    })
    .await;
    let at_10 = on_canary(&gateway, 500, &[]).await;
    assert_share(&at_10, 0.1);
    assert_eq!(
        on_canary(&gateway, 500, &[]).await,
        at_10,
        "the same players, the same answers"
    );
    // The order in which the weights are written must not matter.
    let put = gateway
        .ask_admin("PUT", "/weights", &[], r#"{"canary":40,"stable":60}"#)
        .await;
    assert_eq!(
        put.json(),
        serde_json::json!({ "default": { "canary": 40, "stable": 60 } })
    );
    let at_40 = on_canary(&gateway, 500, &[]).await;
    assert_share(&at_40, 0.4);
    assert!(
        at_10.iter().zip(&at_40).all(|(before, after)| !before || *after),
        "nobody leaves the canary"
    );
    let counted = (
        gateway.metrics("stable").await["requests"].as_u64(),
        gateway.metrics("canary").await["requests"].as_u64(),
    );
    let canary = [&at_10, &at_10, &at_40]
        .iter()
        .flat_map(|answers| answers.iter())
        .filter(|on| **on)
        .count() as u64;
    assert_eq!(counted, (Some(1500 - canary), Some(canary)));
}

#[tokio::test]
async fn a_reconnecting_player_finds_its_release_until_it_drains() {
    let (_stable, _canary, gateway) = two(&Settings::default()).await;
    let who = async |path: &str, headers: &[(&str, &str)]| gateway.get(path, headers).await.text().to_owned();
    assert_eq!(who("/who?at=v1.3", &[]).await, "canary");
    assert_eq!(who("/who?x=1&at=v1%2E3", &[]).await, "canary");
    assert_eq!(who("/who?at=v7", &[]).await, "stable");
    assert_eq!(
        who("/who?at=v1.3", &[("x-version", "v1.2")]).await,
        "stable",
        "rules come first"
    );
    gateway.drain("canary").await;
    assert_eq!(who("/who?at=v1.3", &[]).await, "stable");
    assert_eq!(
        who("/who", &[("x-version", "v1.3")]).await,
        "stable",
        "a pin does not revive a draining backend"
    );
}

#[tokio::test]
async fn the_player_is_the_bearer_subject_before_all_else() {
    use base64::Engine as _;
    let (_stable, _canary, gateway) = two(&Settings {
        weights: (50, 50),
        ..Settings::default()
    })
    .await;
    let mut seen = [false, false];
    for player in 0..20 {
        let claims =
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(format!(r#"{{"sub":"p-{player}"}}"#));
        let bearer = format!("Bearer e30.{claims}.c2ln");
        let mut answers = Vec::new();
        for session in ["1", "2", "3"] {
            let headers = [("authorization", bearer.as_str()), ("x-session-id", session)];
            answers.push(gateway.get("/who", &headers).await.text() == "canary");
        }
        assert!(
            answers.iter().all(|answer| *answer == answers[0]),
            "player {player} moved with its session"
        );
        seen[usize::from(answers[0])] = true;
    }
    assert_eq!(seen, [true, true]);
}

#[tokio::test]
async fn without_a_player_each_request_is_drawn_by_itself() {
    let (_stable, _canary, gateway) = two(&Settings {
        weights: (50, 50),
        sticky: "[\"header:x-session-id\"]",
        ..Settings::default()
    })
    .await;
    let mut answers = Vec::new();
    for _ in 0..300 {
        answers.push(gateway.get("/who", &[]).await.text() == "canary");
    }
    assert_share(&answers, 0.5);
}
