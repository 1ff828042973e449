//! A real Prometheus as the source of a canary's figures, by itself and with a real nginx before the releases.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use starvault_testing::{NginxServer, PrometheusServer};
use tminus_control::gates::metrics::prometheus::Prometheus;
use tminus_control::gates::metrics::{MetricSource as _, Seen};
use tminus_plan::{Counts, GateKind, Plan, PrometheusSpec, Releases, RolloutVerdict};

use crate::canary::{Ran, run_gate};
use crate::nginx::BEFORE;
use crate::two_releases::{Release, canary, has_note, release, said};

const ROUTER: &str = "router: { http_route: { route: r } }
releases: { stable: v1.2, canary: v1.3 }
steps: [1, 100]
min_requests: 10
hold_s: 0
slow_ms: 250
";
const REQUESTS: &str = "http_requests_total{release=\"{{release}}\"}";
/// Until Prometheus has seen a change: it finds its targets after 5 s and asks them once a second.
const SOON: Duration = Duration::from_secs(60);

struct World {
    prometheus: PrometheusServer,
    stable: (String, Arc<Release>),
    canary: (String, Arc<Release>),
}

impl World {
    async fn new() -> Self {
        let stable = release("v1.2").await;
        let canary = release("v1.3").await;
        let prometheus = PrometheusServer::start(&[stable.0.clone(), canary.0.clone()]);
        Self {
            prometheus,
            stable,
            canary,
        }
    }

    fn spec(&self, fields: &str) -> PrometheusSpec {
        let gate = format!(
            "{ROUTER}metrics:\n  prometheus:\n    url: {}\n    requests: '{REQUESTS}'\n    timeout_ms: 3000\n{fields}",
            self.prometheus.url()
        );
        canary(&gate, &[]).1.metrics.unwrap()
    }

    /// A source that has begun to count.
    async fn source(&self, fields: &str) -> Prometheus {
        let releases = Releases {
            stable: "v1.2".to_owned(),
            canary: "v1.3".to_owned(),
        };
        let began = Instant::now();
        loop {
            let mut source = Prometheus::new(&self.spec(fields), &releases, 250).unwrap();
            match source.describe().await {
                Ok(_) => return source,
                // It has not asked the releases yet.
                Err(why) if !why.why.contains("no fresh series") || began.elapsed() > SOON => {
                    panic!("{}\n{}", why.why, self.prometheus.log())
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

/// Looks until it sees what it waits for.
async fn until(source: &mut Prometheus, what: &str, mut is_so: impl FnMut(&Seen) -> bool) -> Seen {
    let began = Instant::now();
    loop {
        let seen = source.look().await.unwrap();
        if is_so(&seen) {
            return seen;
        }
        assert!(began.elapsed() < SOON, "never {what}: {seen:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn ask(address: &str, times: u32) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for _ in 0..times {
        client.get(format!("http://{address}/")).send().await.unwrap();
    }
}

const ERRORS: &str = "    errors: 'http_errors_total{release=\"{{release}}\"} or 0 * http_requests_total{release=\"{{release}}\"}'\n";

#[tokio::test]
async fn counters_are_taken_from_the_first_look_on_with_buckets_and_business() {
    let world = World::new().await;
    ask(&world.canary.0, 7).await;
    let more = "    latency: 'http_seconds_bucket{release=\"{{release}}\"}'\n    business:\n      \
                carts: { bad: 'carts_lost_total{release=\"{{release}}\"}', total: 'carts_total{release=\"{{release}}\"}' }\n";
    let mut source = world.source(&format!("{ERRORS}{more}")).await;
    until(&mut source, "both sides", |seen| {
        seen.stable.is_ok() && seen.canary.is_ok()
    })
    .await;
    world.canary.1.fails_each.store(10, Ordering::Relaxed);
    ask(&world.canary.0, 50).await;
    let seen = until(&mut source, "50 requests of the canary", |seen| {
        seen.canary.as_ref().is_ok_and(|counts| counts.requests >= 50)
    })
    .await;
    let counts = seen.canary.unwrap();
    let errors = world.canary.1.errors.load(Ordering::Relaxed);
    assert_eq!((counts.requests, counts.errors, counts.slow), (50, errors, 0));
    assert_eq!(counts.latency_us, [(100_000, 50), (250_000, 0), (u64::MAX, 0)]);
    assert_eq!(
        (counts.business["carts"].bad, counts.business["carts"].total),
        (0, 50)
    );
    assert_eq!(seen.stable.unwrap().requests, 0);
}

#[tokio::test]
async fn what_is_missing_is_unknown_and_what_is_wrong_is_told_in_prometheus_own_words() {
    let mut world = World::new().await;
    let mut source = world.source(ERRORS).await;
    until(&mut source, "both sides", |seen| {
        seen.stable.is_ok() && seen.canary.is_ok()
    })
    .await;

    // No error yet, and so no series of errors: that is no zero.
    let releases = Releases {
        stable: "v1.2".to_owned(),
        canary: "v1.3".to_owned(),
    };
    let plain = world.spec("    errors: 'http_errors_total{release=\"{{release}}\"}'\n");
    let words = said(Prometheus::new(&plain, &releases, 250).unwrap().describe().await);
    assert!(
        words.contains("no fresh series of v1.2 for `http_errors_total{release=\"v1.2\"}`"),
        "{words}"
    );
    assert!(words.contains("or 0 * REQUESTS"), "{words}");

    // What was true a while ago is not taken for what is.
    let mut old = world.spec(&format!("{ERRORS}    stale_s: 1\n"));
    old.requests = format!("{REQUESTS} offset 3s");
    until_old(&old, &releases).await;

    for (query, words_of_it) in [
        ("http_requests_total{{{release}}", "parse error"),
        ("up{{release}}[5m]", "range"),
    ] {
        let mut bad = world.spec(ERRORS);
        bad.requests = query.replace("up{{release}}", "up{release!=\"{{release}}\"}");
        let words = said(Prometheus::new(&bad, &releases, 250).unwrap().describe().await);
        assert!(words.contains(words_of_it) && words.contains("v1.2"), "{words}");
    }

    world.canary.1.hidden.store(true, Ordering::Relaxed);
    let seen = until(&mut source, "gone", |seen| seen.canary.is_err()).await;
    assert!(seen.stable.is_ok());
    let why = seen.canary.unwrap_err();
    assert!(why.contains("no fresh series of v1.3"), "{why}");
    world.canary.1.hidden.store(false, Ordering::Relaxed);
    ask(&world.canary.0, 4).await;
    let back = until(&mut source, "back", |seen| {
        seen.canary.as_ref().is_ok_and(|c| c.requests > 0)
    })
    .await;
    assert_eq!(
        back.canary.unwrap(),
        Counts {
            requests: 4,
            ..Counts::default()
        }
    );

    world.prometheus.kill();
    let seen = source.look().await.unwrap();
    for side in [seen.stable, seen.canary] {
        let why = side.unwrap_err();
        assert!(why.contains("does not answer"), "{why}");
    }
    let words = said(source.describe().await);
    assert!(words.contains(&world.prometheus.url()), "{words}");
}

/// The series is there, and too old.
async fn until_old(spec: &PrometheusSpec, releases: &Releases) {
    let mut fresh = spec.clone();
    fresh.stale_s = 60.0;
    let mut source = Prometheus::new(&fresh, releases, 250).unwrap();
    until(&mut source, "there", |seen| seen.stable.is_ok()).await;
    let seen = Prometheus::new(spec, releases, 250)
        .unwrap()
        .look()
        .await
        .unwrap();
    assert!(seen.stable.unwrap_err().contains("no fresh series"));
}

const HTTP: &str = "
    include FOLDER/split.conf;
    server { listen 127.0.0.1:PORT; location / { proxy_pass http://$tminus_upstream; } }";

/// A whole rollout by nginx, judged by Prometheus; answers what it came to and which release players then meet.
async fn rollout(world: &World, at_step: impl FnMut(u32) -> bool + Send + 'static) -> (Ran, String) {
    drop(world.source(ERRORS).await);
    let nginx = NginxServer::new(BEFORE);
    nginx.start();
    nginx.configure(HTTP);
    let gate = format!(
        "router:
  nginx:
    file: {folder}/split.conf
    config: {folder}/nginx.conf
    program: {program:?}
    key: $http_x_session_id
    servers: {{ stable: [\"{stable}\"], canary: [\"{canary}\"] }}
  probe:
    url: {url}/
    headers: {{ x-session-id: \"{{{{key}}}}\" }}
    answered_by: x-served-version
    requests: 300
releases: {{ stable: v1.2, canary: v1.3 }}
metrics:
  prometheus:
    url: {prometheus}
    requests: '{REQUESTS}'
{ERRORS}    blind_s: 2
steps: [30, 100]
min_requests: 60
hold_s: 0
look_every_s: 0.2
slow_ms: 250
budgets: {{ step_s: 60, fast_kill_min: 100000 }}
traffic: {{ protocol: http, target: \"{url}\", path: /, players: 50, rate_per_s: 100 }}
",
        folder = nginx.folder().display(),
        program = nginx.program(),
        stable = world.stable.0,
        canary = world.canary.0,
        url = nginx.url(),
        prometheus = world.prometheus.url(),
    );
    let (plan, spec): (Plan, _) = canary(&gate, &[]);
    let ran = run_gate(&plan, GateKind::Canary(spec), at_step).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut met = std::collections::BTreeSet::new();
    for player in 0..100 {
        let answer = client
            .get(nginx.url())
            .header("x-session-id", player.to_string())
            .send()
            .await
            .unwrap();
        met.insert(answer.headers()["x-served-version"].to_str().unwrap().to_owned());
    }
    (ran, met.into_iter().collect::<Vec<_>>().join(" "))
}

#[tokio::test]
async fn a_sound_canary_is_rolled_out_by_nginx_on_prometheus_word() {
    let world = World::new().await;
    let (ran, met) = rollout(&world, |_| false).await;
    let measured = ran.measured.unwrap_or_else(|error| panic!("{}", error.why));
    assert_eq!(
        measured.measurements["final_weight_percent"].value, 100.0,
        "{:?}",
        measured.notes
    );
    assert_eq!(met, "v1.3");
    assert!(measured.inputs["query requests"].contains("v1.3"));
    assert!(
        has_note(&measured, "of 300 probes met v1.3 (30 % wanted"),
        "{:?}",
        measured.notes
    );
}

#[tokio::test]
async fn a_canary_whose_errors_prometheus_counts_is_out_of_nginx_again() {
    let world = World::new().await;
    world.canary.1.fails_each.store(3, Ordering::Relaxed);
    let (ran, met) = rollout(&world, |_| false).await;
    let measured = ran.measured.unwrap_or_else(|error| panic!("{}", error.why));
    assert_eq!(
        ran.steps.last().unwrap(),
        &(0, RolloutVerdict::Worse),
        "{:?}",
        measured.notes
    );
    assert_eq!(met, "v1.2");
}

#[tokio::test]
async fn a_canary_of_which_nothing_is_known_is_taken_back_and_not_let_pass() {
    let world = World::new().await;
    let canary = Arc::clone(&world.canary.1);
    let (ran, met) = rollout(&world, move |weight| {
        if weight == 30 {
            canary.hidden.store(true, Ordering::Relaxed);
        }
        false
    })
    .await;
    let measured = ran.measured.unwrap_or_else(|error| panic!("{}", error.why));
    assert_eq!(
        ran.steps.last().unwrap(),
        &(0, RolloutVerdict::NotEnoughEvidence),
        "{:?}",
        measured.notes
    );
    assert_eq!(measured.measurements["final_weight_percent"].value, 0.0);
    assert_eq!(met, "v1.2");
}

#[tokio::test]
async fn a_launch_that_is_stopped_leaves_no_player_on_the_canary_of_an_nginx() {
    let world = World::new().await;
    let (ran, met) = rollout(&world, |weight| weight == 100).await;
    assert!(ran.measured.is_err());
    assert_eq!(met, "v1.2");
}
