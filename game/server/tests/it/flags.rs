//! Feature flags that change while players wait.

use std::{fs, process::Command, time::Duration};

use serde_json::{Value, json};
use starvault_server::{Config, MATCH_V2, Server, bind};
use starvault_wire::{
    Codec,
    v1::{JoinLobby, Queued, Resign, client_frame::Command as Say, server_frame::Event},
};
use tempfile::TempDir;

use crate::{
    process::BINARY,
    support::{Player, Running, folder, soon, store},
};

fn join(region: &str) -> Say {
    Say::JoinLobby(JoinLobby {
        region: region.into(),
    })
}

/// A definition in which the second policy is on or off, or as a rule says.
fn definition(default_variant: &str, rule: Value) -> String {
    let flag = json!({
        "state": "ENABLED",
        "variants": {"on": true, "off": false},
        "defaultVariant": default_variant,
        "targeting": rule,
    });
    json!({"flags": {MATCH_V2: flag}}).to_string()
}

fn write(folder: &TempDir, text: &str) {
    fs::write(folder.path().join("flags.json"), text).unwrap();
}

fn watches(folder: &TempDir) -> impl FnOnce(&mut Config) {
    let file = folder.path().join("flags.json");
    move |config| {
        config.flags.file = Some(file);
        config.flags.poll_every = Duration::from_millis(5);
        config.limits.ticket_grace = Duration::from_secs(600);
        config.matching.wait_ms_max = 600_000;
        // Wide enough for two who have played one game, however it ended.
        config.matching.window_initial = 400;
        config.matching.window_growth_per_second = 7;
        config.matching.avoid_ms = 600_000;
        config.matching.avoid_alone_ms = 600_000;
    }
}

async fn queued(player: &mut Player, command: Say) -> Queued {
    match player.ask(command).await {
        Event::Queued(queued) => queued,
        event => panic!("this player should wait: {event:?}"),
    }
}

/// What a player who waits hears unasked when the rules change.
async fn queued_anew(player: &mut Player) -> Queued {
    player
        .until(|frame| match frame.event {
            Some(Event::Queued(queued)) if frame.request_id == 0 => Some(queued),
            _ => None,
        })
        .await
}

#[tokio::test]
async fn a_changed_file_switches_the_policy_under_those_who_wait() {
    let folder = folder();
    write(&folder, &definition("on", json!({})));
    let server = Running::start(&folder, "v1.2", watches(&folder)).await;
    let mut table = server.two_in_a_game().await;
    let resign = Say::Resign(Resign {
        game_id: table.game_id.clone(),
        command_id: "r".into(),
    });
    table.black.ask(resign).await;
    table.white.game_event(2).await;
    // Last opponents, whom the second policy keeps apart.
    let (one, two) = (&mut table.white, &mut table.black);
    let before = queued(one, join("")).await;
    assert_eq!((before.window_initial, before.window_growth_per_second), (400, 7));
    queued(two, join("")).await;
    assert_eq!((server.lobby.waiting(), server.lobby.matched()), (2, 1));

    write(&folder, &definition("off", json!({})));
    let after = queued_anew(one).await;
    let expected = Queued {
        window_growth_per_second: 0,
        ..before.clone()
    };
    assert_eq!(after, expected, "the same ticket by other rules");
    queued_anew(two).await;
    // The first policy heeds no wish.
    let (seat_one, seat_two) = (one.matched().await, two.matched().await);
    assert_eq!(seat_one.game.unwrap().game_id, seat_two.game.unwrap().game_id);
    assert_eq!((server.lobby.waiting(), server.lobby.put_back()), (0, 0));
    server.stop().await;
}

#[tokio::test]
async fn switching_to_and_fro_loses_no_ticket_and_no_seniority() {
    let folder = folder();
    write(&folder, &definition("on", json!({})));
    let regions = "eu,asia,us";
    let server = Running::start(&folder, "v1.2", |config| {
        watches(&folder)(config);
        config.regions = regions.parse().unwrap();
    })
    .await;
    let mut players = Vec::new();
    for (name, region) in [("Ada", "eu"), ("Bo", "asia"), ("Cy", "us")] {
        let who = server.sign_in(name).await;
        let mut player = server.connect(&who, Codec::Json).await;
        let ticket = queued(&mut player, join(region)).await;
        players.push((who, player, ticket));
    }
    // One of them is away while the rules change.
    let (away, connection, its_ticket) = players.pop().unwrap();
    drop(connection);
    server
        .lobby_says("one is suspended", |lobby| lobby.suspended() == 1)
        .await;
    for round in 0..6 {
        let growth = if round % 2 == 0 { 0 } else { 7 };
        write(
            &folder,
            &definition(if growth == 0 { "off" } else { "on" }, json!({})),
        );
        for (_, player, ticket) in &mut players {
            let expected = Queued {
                window_growth_per_second: growth,
                ..ticket.clone()
            };
            assert_eq!(queued_anew(player).await, expected, "round {round}");
        }
        assert_eq!(
            (server.lobby.waiting(), server.lobby.suspended()),
            (2, 1),
            "round {round}"
        );
    }
    let mut back = server.connect(&away, Codec::Proto).await;
    assert_eq!(queued_anew(&mut back).await, its_ticket);
    // Each of them is still there to be found.
    players.push((away, back, its_ticket));
    for (number, (_, player, ticket)) in players.iter_mut().enumerate() {
        let other = server.sign_in(&format!("Opponent {number}")).await;
        let mut opponent = server.connect(&other, Codec::Json).await;
        queued(&mut opponent, join(&ticket.region)).await;
        let game = player.matched().await.game.unwrap();
        assert_eq!(opponent.matched().await.game.unwrap().game_id, game.game_id);
    }
    assert_eq!(
        (
            server.lobby.waiting(),
            server.lobby.suspended(),
            server.lobby.matched()
        ),
        (0, 0, 3)
    );
    server.stop().await;
}

#[tokio::test]
async fn the_debug_port_shows_what_is_in_force_and_what_is_wrong() {
    let folder = folder();
    let rule = json!({"if": [{"and": [
        {"==": [{"var": "region"}, "asia"]},
        {"==": [{"var": "environment"}, "staging"]},
        {"sem_ver": [{"var": "release"}, ">=", "1.3"]},
    ]}, "on", "off"]});
    let good = definition("on", rule);
    write(&folder, &good);
    fs::write(folder.path().join("flags.staging.json"), "{\"flags\":{}}").unwrap();
    let mut server = Running::start(&folder, "v1.3", |config| {
        watches(&folder)(config);
        config.regions = "eu,asia".parse().unwrap();
        config.flags.environment = Some("staging".into());
        config.flags.overrides = vec!["greeting=hello".parse().unwrap()];
    })
    .await;
    server
        .lobby_says("each region has its policy", |lobby| {
            lobby
                .policy_by_region()
                .map(|(_, policy)| policy.as_str())
                .eq(["v1", "v2"])
        })
        .await;
    let shown = server.flags_shown().await;
    let version = server.flags.state().version.clone();
    assert_eq!(version.len(), 64);
    assert_eq!(shown["version"], version);
    assert_eq!(shown["environment"], "staging");
    assert_eq!(shown["files"][0]["bytes"], good.len());
    assert!(
        shown["files"][1]["path"]
            .as_str()
            .unwrap()
            .ends_with("flags.staging.json")
    );
    assert_eq!(shown["in_effect"], json!({MATCH_V2: {"eu": "v1", "asia": "v2"}}));
    assert_eq!(
        shown["flags"][MATCH_V2],
        json!({
            "state": "ENABLED", "variants": {"off": false, "on": true}, "default_variant": "on",
            "targeting": true, "overridden": false,
        })
    );
    assert_eq!(shown["overrides"], json!({"greeting": "hello"}));
    assert_eq!(shown["flags"]["greeting"]["overridden"], true);
    assert_eq!(
        (&shown["reloads"], &shown["failures"], &shown["failing"]),
        (&json!(0), &json!(0), &Value::Null)
    );
    let figures = server.figures().await;
    assert_eq!(
        figures[&format!("starvault_flags_info{{version=\"{version}\"}}")],
        1.0
    );
    assert_eq!(
        figures["starvault_lobby_policy{region=\"eu\",policy=\"v1\"}"],
        1.0
    );
    assert_eq!(
        figures["starvault_lobby_policy{region=\"asia\",policy=\"v2\"}"],
        1.0
    );
    assert_eq!(figures["starvault_flags_failing"], 0.0);

    write(&folder, &good.replace("sem_ver", "semver"));
    soon(
        "it is refused",
        server.flags.until(|state| state.failing.is_some()),
    )
    .await;
    let shown = server.flags_shown().await;
    assert_eq!(
        (&shown["version"], &shown["reloads"]),
        (&json!(version), &json!(0)),
        "the last good one"
    );
    let problem = shown["failing"]["problems"][0].as_str().unwrap();
    assert!(
        problem.contains("flags.json:1:") && problem.contains("unknown operator \"semver\""),
        "{problem}"
    );
    let figures = server.figures().await;
    assert_eq!(figures["starvault_flags_failing"], 1.0);
    assert!(figures["starvault_flags_load_failures_total"] >= 1.0);
    assert_eq!(
        figures["starvault_lobby_policy{region=\"asia\",policy=\"v2\"}"],
        1.0
    );
    server.stop().await;
}

#[tokio::test]
async fn a_flag_without_a_value_leaves_the_newest_policy() {
    let folder = folder();
    // For every evaluation its result names no variant.
    write(&folder, &definition("off", json!({"var": "release"})));
    let mut server = Running::start(&folder, "v1.2", watches(&folder)).await;
    server
        .lobby_says("the newest policy", |lobby| {
            lobby
                .policy_by_region()
                .all(|(_, policy)| policy.as_str() == "v2")
        })
        .await;
    assert!(server.figures().await["starvault_flags_evaluation_failures_total"] >= 1.0);
    write(
        &folder,
        &definition("off", json!({})).replace("ENABLED", "DISABLED"),
    );
    soon("it is disabled", server.flags.until(|state| state.reloads == 1)).await;
    let who = server.sign_in("Ada").await;
    let mut player = server.connect(&who, Codec::Json).await;
    assert_eq!(queued(&mut player, join("")).await.window_growth_per_second, 7);
    server.stop().await;
}

#[tokio::test]
async fn a_server_does_not_start_on_a_definition_that_cannot_be_used() {
    let folder = folder();
    write(&folder, "{\"flags\": {\n  \"f\": {\"state\": \"ON\"}}}");
    let mut config = Config::new(
        store(folder.path()),
        "v1.2".parse().unwrap(),
        folder.path().join("key.pem"),
    );
    watches(&folder)(&mut config);
    let refused = Server::build(config, bind("127.0.0.1:0".parse().unwrap()).unwrap())
        .await
        .unwrap_err()
        .to_string();
    let expected = "flags.json:2:18: /flags/f/state: \"state\" is \"ENABLED\" or \"DISABLED\"";
    assert!(refused.contains(expected), "{refused}");
}

#[test]
fn the_command_line_says_what_is_wrong_with_flags() {
    let folder = folder();
    write(&folder, &definition("on", json!({})));
    let file = folder.path().join("flags.json");
    let said = |more: &[&str]| {
        let output = Command::new(BINARY)
            .args(["serve", "--listen", "127.0.0.1:0", "--release", "v1.2", "--store"])
            .arg(format!("sqlite:{}", store(folder.path()).display()))
            .arg("--signing-key")
            .arg(folder.path().join("key.pem"))
            .args(more)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{more:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let file = file.to_str().unwrap();
    let wrong = said(&["--flags", file, "--flag", "feature.match.v2=1"]);
    assert!(
        wrong.contains("the override makes feature.match.v2 a number"),
        "{wrong}"
    );
    let wrong = said(&["--flags", file, "--flags-env", "staging"]);
    assert!(
        wrong.contains("flags.staging.json: cannot be read: No such file"),
        "{wrong}"
    );
    let wrong = said(&["--flags", file, "--flags-env", "../x"]);
    assert!(wrong.contains("an environment has 1 to 64 characters"), "{wrong}");
    let wrong = said(&["--flag", "feature.match.v2"]);
    assert!(wrong.contains("an override is KEY=VALUE"), "{wrong}");
}
