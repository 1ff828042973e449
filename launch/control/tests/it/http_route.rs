//! An HTTPRoute as the router of a canary, before a stand-in for a cluster's API server.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use starvault_testing::PrometheusServer;
use tminus_control::gates::CouldNotRun;
use tminus_control::gates::router::Router;
use tminus_plan::{CanarySpec, GateKind, Plan};
use tracing_subscriber::fmt::MakeWriter;

use crate::api_server::{Reports, TOKEN, cluster, kubeconfig};
use crate::canary::run_gate;
use crate::two_releases::{canary, has_note, release, said, steered};

fn gate(folder: &tempfile::TempDir, prometheus: &str, changes: &[(&str, &str)]) -> (Plan, Box<CanarySpec>) {
    let mut text = format!(
        "router:
  http_route:
    namespace: games
    route: shop
    rule: play
    kubeconfig: {}
    ready_ms: 400
releases: {{ stable: v1.2, canary: v1.3 }}
metrics:
  prometheus:
    url: {prometheus}
    requests: 'http_requests_total{{release=\"{{{{release}}}}\"}}'
    errors: 'http_errors_total{{release=\"{{{{release}}}}\"}} or 0 * http_requests_total{{release=\"{{{{release}}}}\"}}'
steps: [30, 100]
min_requests: 30
hold_s: 0
look_every_s: 0.2
slow_ms: 250
",
        folder.path().join("config").display()
    );
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    canary(&text, &[])
}

async fn router(folder: &tempfile::TempDir, changes: &[(&str, &str)]) -> Box<dyn Router> {
    steered(&gate(folder, "http://127.0.0.1:1", changes).1)
        .await
        .unwrap()
}

#[tokio::test]
async fn weights_of_the_named_rule_are_set_and_nothing_else_is_touched() {
    let (cluster, folder) = cluster().await;
    let mut router = router(&folder, &[]).await;
    assert_eq!(router.weight().await.unwrap(), 40);
    for percent in [0, 30, 100] {
        let mut expected = cluster.lock().unwrap().route.clone().unwrap();
        router.set_weight(percent).await.unwrap();
        let words = router.verify(percent).await.unwrap();
        assert!(words.contains("not counted"), "{words}");
        let now = cluster.lock().unwrap().route.clone().unwrap();
        expected["spec"]["rules"][1]["backendRefs"][0]["weight"] = (100 - percent).into();
        expected["spec"]["rules"][1]["backendRefs"][1]["weight"] = percent.into();
        assert_eq!(now["spec"], expected["spec"]);
        assert_eq!(
            now["metadata"]["annotations"],
            expected["metadata"]["annotations"]
        );
        assert_eq!(router.weight().await.unwrap(), percent);
    }
    let asked = cluster.lock().unwrap().asked.clone();
    assert_eq!(asked.iter().filter(|verb| *verb == "patch").count(), 3);
    assert!(
        asked.iter().all(|verb| ["get", "patch"].contains(&verb.as_str())),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_weight_is_in_force_only_once_the_gateway_has_reported_its_generation() {
    let (cluster, folder) = cluster().await;
    let mut router = router(&folder, &[("ready_ms: 400", "ready_ms: 60000")]).await;
    cluster.lock().unwrap().reports = Reports::After(3);
    router.set_weight(30).await.unwrap();
    {
        let cluster = cluster.lock().unwrap();
        let route = cluster.route.as_ref().unwrap();
        let observed = &route["status"]["parents"][0]["conditions"][0]["observedGeneration"];
        assert_eq!(observed, &route["metadata"]["generation"]);
    }
    let mut router = self::router(&folder, &[]).await;
    for (reports, words) in [
        (Reports::Never, "generation 0"),
        (Reports::Refuses, "service canary is not there"),
    ] {
        cluster.lock().unwrap().reports = reports;
        let why = said(router.set_weight(60).await);
        assert!(
            why.contains("not in force after 0.4 s") && why.contains(words),
            "{why}"
        );
    }
}

#[tokio::test]
async fn a_change_by_somebody_else_in_between_is_kept_and_the_weight_set_all_the_same() {
    let (cluster, folder) = cluster().await;
    let mut router = router(&folder, &[]).await;
    for conflict in [false, true] {
        {
            let mut cluster = cluster.lock().unwrap();
            cluster.others = if conflict { 0 } else { 2 };
            cluster.conflicts = if conflict { 2 } else { 0 };
        }
        let percent = if conflict { 30 } else { 70 };
        router.set_weight(percent).await.unwrap();
        let cluster = cluster.lock().unwrap();
        assert_eq!(cluster.weight(), u64::from(percent));
        let annotations = &cluster.route.as_ref().unwrap()["metadata"]["annotations"];
        assert_eq!(annotations["owner"], "edge-team");
        assert!(annotations.get("touched").is_some());
    }
    cluster.lock().unwrap().others = 1000;
    let why = said(router.set_weight(1).await);
    assert!(
        why.contains("somebody else has changed it 8 times in a row"),
        "{why}"
    );
    assert_eq!(cluster.lock().unwrap().weight(), 30);
}

#[tokio::test]
async fn what_is_forbidden_is_told_with_the_role_that_is_needed() {
    let (cluster, folder) = cluster().await;
    for verb in ["get", "patch"] {
        cluster.lock().unwrap().forbids = Some(verb);
        let why = said(router(&folder, &[]).await.set_weight(0).await);
        assert!(
            why.contains(&format!("forbids to {verb} httproutes.gateway.networking.k8s.io")),
            "{why}"
        );
        assert!(why.contains("User \"me\" cannot"), "{why}");
        for line in [
            "kind: Role",
            "resourceNames: [shop]",
            "namespace: games",
            "verbs: [get, patch]",
        ] {
            assert!(why.contains(line), "{line}: {why}");
        }
    }
}

pub async fn hint_when_forbidden(folder: &tempfile::TempDir) -> String {
    router(folder, &[])
        .await
        .weight()
        .await
        .unwrap_err()
        .hint
        .unwrap()
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let (cluster, folder) = cluster().await;
    let say = async |changes: &[(&str, &str)]| said(router(&folder, changes).await.set_weight(0).await);
    let why = say(&[("route: shop", "route: stop")]).await;
    assert!(
        why.contains("there is no such route") && why.contains("httproute games/stop"),
        "{why}"
    );
    let why = say(&[("rule: play", "rule: pay")]).await;
    assert!(why.contains("no rule `pay`; it has static, play"), "{why}");
    let why = say(&[("rule: play", "rule: static")]).await;
    assert!(why.contains("no backend ref `stable`; it has files"), "{why}");
    cluster.lock().unwrap().knows_routes = false;
    let why = say(&[]).await;
    assert!(
        why.contains("knows no HTTPRoute") && why.contains("Gateway API"),
        "{why}"
    );
}

#[tokio::test]
async fn a_cluster_that_cannot_be_asked_is_told_with_its_address() {
    let (_cluster, folder) = cluster().await;
    let config = folder.path().join("config");
    // Nobody listens on the port that was just let go.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let good = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, kubeconfig(&format!("http://{free}"))).unwrap();
    let why = said(router(&folder, &[]).await.set_weight(0).await);
    assert!(
        why.contains(&free.to_string()) && why.contains("Connection refused"),
        "{why}"
    );

    std::fs::write(&config, good.replace(TOKEN, "stale")).unwrap();
    let why = said(router(&folder, &[]).await.set_weight(0).await);
    assert!(why.contains("does not accept the credentials"), "{why}");

    std::fs::remove_file(&config).unwrap();
    let spec = gate(&folder, "http://127.0.0.1:1", &[]).1;
    let why = said::<Box<dyn Router>>(steered(&spec).await);
    assert!(
        why.contains("no usable kubeconfig") && why.contains("config"),
        "{why}"
    );
}

/// What a program logs at its chattiest.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn the_token_reaches_no_log() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let (cluster, folder) = cluster().await;
    let mut router = router(&folder, &[]).await;
    router.set_weight(30).await.unwrap();
    cluster.lock().unwrap().forbids = Some("patch");
    let why = said::<()>(router.set_weight(0).await);
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("httproutes"), "it has logged nothing: {log}");
    assert!(!log.contains(TOKEN) && !why.contains(TOKEN));
}

#[tokio::test]
async fn a_gate_that_cannot_begin_has_taken_the_canary_out() {
    let (cluster, folder) = cluster().await;
    let (plan, spec) = gate(&folder, "http://127.0.0.1:1", &[]);
    let ran = run_gate(&plan, GateKind::Canary(spec), |_| false).await;
    let CouldNotRun { why, .. } = ran.measured.unwrap_err();
    assert!(why.contains("Prometheus"), "{why}");
    assert_eq!(
        ran.steps.first().map(|step| step.0),
        Some(0),
        "the former share goes on record"
    );
    assert_eq!(cluster.lock().unwrap().weight(), 0);
}

#[tokio::test]
async fn a_rollout_ends_at_100_and_a_stopped_one_at_0() {
    let (cluster, folder) = cluster().await;
    let (stable, _) = release("v1.2").await;
    let (new, _) = release("v1.3").await;
    let prometheus = PrometheusServer::start(&[stable.clone(), new.clone()]);
    let traffic = tokio::spawn(async move {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        loop {
            for address in [&stable, &new] {
                client.get(format!("http://{address}/")).send().await.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    until_scraped(&prometheus).await;
    for (stop_at, last) in [(None, 100), (Some(100), 0)] {
        let (plan, spec) = gate(&folder, &prometheus.url(), &[]);
        let ran = run_gate(&plan, GateKind::Canary(spec), move |weight| {
            Some(weight) == stop_at
        })
        .await;
        assert_eq!(cluster.lock().unwrap().weight(), last, "{:?}", ran.measured);
        if let Ok(measured) = &ran.measured {
            assert!(
                has_note(measured, "Accepted and ResolvedRefs"),
                "{:?}",
                measured.notes
            );
            assert_eq!(measured.measurements["final_weight_percent"].value, 100.0);
        }
        assert_eq!(ran.measured.is_ok(), stop_at.is_none());
    }
    traffic.abort();
}

async fn until_scraped(prometheus: &PrometheusServer) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for _ in 0..600 {
        let url = format!(
            "{}/api/v1/query?query=count(http_requests_total)",
            prometheus.url()
        );
        if let Ok(answer) = client.get(url).send().await
            && answer.text().await.unwrap().contains("\"2\"")
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("never scraped: {}", prometheus.log());
}
