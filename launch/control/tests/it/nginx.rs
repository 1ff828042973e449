//! A real nginx as the router of a canary.

use std::fs;
use std::path::PathBuf;

use starvault_testing::NginxServer;
use tminus_plan::CanarySpec;

use crate::two_releases::{canary, release, said, steered, who_meets_whom};

/// What a team has: its own server block, which passes on to what our file decides.
const HTTP: &str = "
    include FOLDER/split.conf;
    server {
        listen 127.0.0.1:PORT;
        location / { proxy_pass http://$shop_upstream; }
    }";

pub const BEFORE: &str = "server { listen 127.0.0.1:PORT; }";

struct Edge {
    nginx: NginxServer,
    stable: String,
    canary: String,
}

impl Edge {
    /// Two releases and an nginx that runs as it did before it was to split; its configuration is written.
    async fn started(http: &str) -> Self {
        let (stable, _) = release("v1.2").await;
        let (canary, _) = release("v1.3").await;
        let nginx = NginxServer::new(BEFORE);
        nginx.start();
        nginx.configure(http);
        Self {
            nginx,
            stable,
            canary,
        }
    }

    fn file(&self) -> PathBuf {
        self.nginx.folder().join("split.conf")
    }

    fn spec(&self, key: &str, more: &str) -> Box<CanarySpec> {
        let gate = format!(
            "router:
  nginx:
    file: ${{folder}}/split.conf
    config: ${{folder}}/nginx.conf
    program: {:?}
    name: shop
    key: {key}
    pin_header: x-version
    servers: {{ stable: [\"${{stable}}\"], canary: [\"${{canary}}\"] }}
{more}  probe:
    url: ${{url}}/
    headers: {{ x-player-id: \"{{{{key}}}}\" }}
    answered_by: x-served-version
    requests: 2000
releases: {{ stable: v1.2, canary: v1.3 }}
metrics: {{ prometheus: {{ url: \"http://127.0.0.1:1\", requests: \"r{{{{release}}}}\", errors: \"e{{{{release}}}}\" }} }}
steps: [1, 100]
min_requests: 10
hold_s: 0
slow_ms: 250
",
            self.nginx.program()
        );
        let folder = self.nginx.folder().display().to_string();
        let url = self.nginx.url();
        canary(
            &gate,
            &[
                ("folder", &folder),
                ("url", &url),
                ("stable", &self.stable),
                ("canary", &self.canary),
            ],
        )
        .1
    }
}

#[tokio::test]
async fn shares_hold_and_a_greater_one_moves_players_only_towards_the_canary() {
    let edge = Edge::started(HTTP).await;
    let mut router = steered(&edge.spec("$http_x_player_id", "")).await.unwrap();
    assert_eq!(router.weight().await.unwrap(), 0);
    let mut before = None;
    for percent in [0, 1, 30, 70, 100] {
        router.set_weight(percent).await.unwrap();
        let counted = router.verify(percent).await.unwrap();
        assert!(counted.contains("of 2000 probes met v1.3"), "{counted}");
        assert_eq!(router.weight().await.unwrap(), percent);
        let now = who_meets_whom(&edge.nginx.url(), 300, None).await;
        if let Some(before) = before {
            let back: Vec<_> = now
                .iter()
                .filter(|(p, v)| *v == "v1.2" && before_of(&before, **p) == "v1.3")
                .collect();
            assert!(back.is_empty(), "at {percent} %: {back:?}");
        }
        before = Some(now);
    }
    router.set_weight(0).await.unwrap();
    router.verify(0).await.unwrap();
}

fn before_of(met: &std::collections::BTreeMap<u32, String>, player: u32) -> &str {
    &met[&player]
}

#[tokio::test]
async fn a_split_that_is_not_followed_is_noticed() {
    let edge = Edge::started(HTTP).await;
    let mut router = steered(&edge.spec("$http_x_player_id", "")).await.unwrap();
    router.set_weight(10).await.unwrap();
    let words = said(router.verify(20).await);
    assert!(
        words.contains("traffic does not follow the weights: of 2000 probes at 20 %"),
        "{words}"
    );
}

#[tokio::test]
async fn requests_are_split_by_weights_where_players_have_no_name() {
    let edge = Edge::started(HTTP).await;
    let mut router = steered(&edge.spec("request", "")).await.unwrap();
    for percent in [30, 0, 100, 0] {
        router.set_weight(percent).await.unwrap();
        router.verify(percent).await.unwrap();
    }
}

#[tokio::test]
async fn a_pin_leads_to_its_release_until_the_canary_is_drained() {
    let edge = Edge::started(HTTP).await;
    let mut router = steered(&edge.spec("$http_x_player_id", "")).await.unwrap();
    router.set_weight(0).await.unwrap();
    let all =
        |met: std::collections::BTreeMap<u32, String>, version: &str| met.values().all(|v| v == version);
    let url = edge.nginx.url();
    assert!(all(who_meets_whom(&url, 5, Some("v1.3")).await, "v1.3"));
    let drained = router.set_draining(true).await.unwrap();
    assert!(
        drained.contains("no worker of a former configuration is left"),
        "{drained}"
    );
    assert!(all(who_meets_whom(&url, 5, Some("v1.3")).await, "v1.2"));
    router.set_draining(false).await.unwrap();
    assert!(all(who_meets_whom(&url, 5, Some("v1.3")).await, "v1.3"));
}

#[tokio::test]
async fn a_configuration_that_nginx_does_not_take_is_put_back_and_its_words_are_shown() {
    let edge = Edge::started(HTTP).await;
    let mut router = steered(&edge.spec("$http_x_player_id", "")).await.unwrap();
    router.set_weight(30).await.unwrap();
    let before = fs::read_to_string(edge.file()).unwrap();
    let config = fs::read_to_string(edge.nginx.config()).unwrap();
    fs::write(edge.nginx.config(), format!("{config}\nbogus on;\n")).unwrap();
    let words = said(router.set_weight(70).await);
    assert!(words.contains("unknown directive \"bogus\""), "{words}");
    assert_eq!(fs::read_to_string(edge.file()).unwrap(), before);
    router.verify(30).await.unwrap();
    fs::write(edge.nginx.config(), config).unwrap();
    router.set_weight(0).await.unwrap();
    router.verify(0).await.unwrap();
}

#[tokio::test]
async fn an_nginx_that_does_not_run_is_said_so_and_nothing_is_left() {
    let edge = Edge::started(HTTP).await;
    edge.nginx.stop();
    let mut router = steered(&edge.spec("$http_x_player_id", "")).await.unwrap();
    let words = said(router.set_weight(1).await);
    assert!(
        words.contains("nginx is not running") && words.contains("nginx.pid"),
        "{words}"
    );
    assert!(!edge.file().exists());
}

#[tokio::test]
async fn what_the_teams_configuration_lacks_is_named() {
    for (http, lacks) in [
        (BEFORE, "does not include"),
        (
            "include FOLDER/split.conf; server { listen 127.0.0.1:PORT; }",
            "nothing in",
        ),
    ] {
        let edge = Edge::started(http).await;
        let mut router = steered(&edge.spec("$http_x_player_id", "")).await.unwrap();
        let words = said(router.set_weight(1).await);
        assert!(words.contains(lacks) && words.contains("write `"), "{words}");
        assert!(!edge.file().exists());
    }
}

#[tokio::test]
async fn a_file_that_is_not_ours_or_was_changed_is_not_overwritten_unless_the_plan_says_so() {
    let edge = Edge::started(HTTP).await;
    let foreign = "upstream stable { server 127.0.0.1:1; }\n";
    fs::write(edge.file(), foreign).unwrap();
    let spec = edge.spec("$http_x_player_id", "");
    let words = said(steered(&spec).await.unwrap().set_weight(0).await);
    assert!(
        words.contains("was not written by T-minus") && words.contains("force"),
        "{words}"
    );
    assert_eq!(fs::read_to_string(edge.file()).unwrap(), foreign);

    let forced = edge.spec("$http_x_player_id", "    force: true\n");
    steered(&forced).await.unwrap().set_weight(0).await.unwrap();

    let changed = fs::read_to_string(edge.file())
        .unwrap()
        .replace("* stable;", "50% canary; * stable;");
    fs::write(edge.file(), &changed).unwrap();
    let words = said(steered(&spec).await.unwrap().set_weight(0).await);
    assert!(words.contains("was changed by hand"), "{words}");
    assert_eq!(fs::read_to_string(edge.file()).unwrap(), changed);
}

#[tokio::test]
async fn a_change_by_hand_amid_a_rollout_stops_it_and_does_not_keep_the_canary_in_service() {
    let edge = Edge::started(HTTP).await;
    let mut router = steered(&edge.spec("$http_x_player_id", "")).await.unwrap();
    router.set_weight(30).await.unwrap();
    let changed = fs::read_to_string(edge.file()).unwrap().replace("30%", "60%");
    fs::write(edge.file(), &changed).unwrap();
    let words = said(router.set_weight(70).await);
    assert!(words.contains("was changed by hand"), "{words}");
    router.set_weight(0).await.unwrap();
    router.verify(0).await.unwrap();
    let kept = edge.nginx.folder().join("split.conf.by-hand");
    assert_eq!(fs::read_to_string(kept).unwrap(), changed);
}
