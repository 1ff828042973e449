//! The figures of one process in the Prometheus text format (version 0.0.4), and its feature flags as JSON, at a listener
//! of its own.
//!
//! There is no authentication, so the command line takes loopback addresses only. Reads; changes nothing.

mod flags;

use std::{
    fmt::{Display, Write as _},
    sync::Arc,
    sync::atomic::{AtomicU64, Ordering},
};

use axum::{Router, extract::State, response::IntoResponse, routing::get};
use http::header;
use tokio::{net::TcpListener, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    address::Addresses,
    app::App,
    build_info,
    config::Limits,
    game_copies::{GameCopies, Sink},
    metrics::GameMetrics,
    net,
    nodes::Nodes,
    snapshots::NamedFigures,
};
use starvault_snapshots::SinkFigures;

/// One or two collectors, and somebody who looks.
const CONNECTIONS_MAX: usize = 16;

/// Serves until `stop`.
pub async fn serve(listener: TcpListener, app: Arc<App>, stop: CancellationToken) {
    let limits = Limits {
        connections_max: CONNECTIONS_MAX,
        ..app.config.limits.clone()
    };
    let addresses = Addresses::new(&limits, Vec::new(), Instant::now());
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/flags", get(flags::show))
        .with_state(app);
    net::serve(listener, router, limits, addresses, stop).await;
}

async fn metrics(State(app): State<Arc<App>>) -> impl IntoResponse {
    let content_type = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], text(&app))
}

/// Families in the making.
struct Page(String);

impl Page {
    fn family(&mut self, kind: &str, name: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = write!(
            self.0,
            "# HELP starvault_{name} {help}\n# TYPE starvault_{name} {kind}\n"
        );
    }

    /// `labels`: nothing in them needs escaping.
    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = writeln!(self.0, "starvault_{name}{labels} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family("gauge", name, help);
        self.sample(name, "", value);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family("counter", name, help);
        self.sample(name, "", value);
    }
}

fn text(app: &App) -> String {
    let mut page = Page(String::new());
    let (release, version, commit) = (&app.config.release, env!("CARGO_PKG_VERSION"), build_info::COMMIT);
    page.family("gauge", "build_info", "The release that runs; always 1.");
    let labels = format!("{{release=\"{release}\",version=\"{version}\",commit=\"{commit}\"}}");
    page.sample("build_info", &labels, 1);
    page.gauge("sockets", "Open WebSockets of players.", app.sessions.len());
    tell_credentials(&mut page, app);
    tell_lobby(&mut page, app);
    flags::tell(&mut page, app);
    tell_games(&mut page, &app.metrics);
    if let Some(nodes) = &app.nodes {
        tell_nodes(&mut page, nodes);
    }
    let now_ms = app.config.time.now_ms();
    tell_snapshots(&mut page, &app.snapshots, now_ms);
    if let Some(copies) = &app.copies {
        tell_game_copies(&mut page, copies, now_ms);
    }
    page.0
}

/// `auth_compat_total` has the name that every backend behind one collector uses, without ours before it.
fn tell_credentials(page: &mut Page, app: &App) {
    app.gatekeeper.counts.write_prometheus(&mut page.0);
    let Some(keys) = app.gatekeeper.key_figures() else {
        return;
    };
    page.gauge(
        "jwks_keys",
        "Keys of the outside issuer that are in force.",
        keys.keys,
    );
    page.gauge(
        "jwks_fetched_timestamp_seconds",
        "When they were fetched; 0 if they never were.",
        keys.fetched_at_ms.unwrap_or(0) as f64 / 1000.0,
    );
    page.counter("jwks_fetches_total", "Fetches of the key set.", keys.fetches);
    page.counter(
        "jwks_failures_total",
        "Fetches that brought no key set.",
        keys.failures,
    );
    page.counter(
        "jwks_held_back_total",
        "Fetches not made, the last one being too recent.",
        keys.held_back,
    );
}

fn tell_lobby(page: &mut Page, app: &App) {
    let lobby = app.lobby.metrics();
    page.family("gauge", "lobby_waiting", "Tickets that can be matched now.");
    for (region, waiting) in lobby.waiting_by_region() {
        page.sample("lobby_waiting", &format!("{{region=\"{region}\"}}"), waiting);
    }
    page.gauge(
        "lobby_suspended",
        "Tickets whose player has no connection at the moment.",
        lobby.suspended(),
    );
    let now_ms = u64::try_from(app.config.time.now_ms()).unwrap_or(0);
    page.gauge(
        "lobby_oldest_wait_seconds",
        "How long the longest wait has lasted.",
        lobby.oldest_wait_ms(now_ms) as f64 / 1000.0,
    );
    let counters = [
        ("matched", "Games begun by the lobby.", lobby.matched()),
        (
            "put_back",
            "Tickets that a match took and that came back.",
            lobby.put_back(),
        ),
        (
            "redelivered",
            "Matches told over a newer connection.",
            lobby.redelivered(),
        ),
        (
            "reattached",
            "Tickets that went on over a newer connection.",
            lobby.reattached(),
        ),
        (
            "expired",
            "Tickets whose player did not come back.",
            lobby.expired(),
        ),
        (
            "overtaken",
            "Tickets whose player began a rematch.",
            lobby.overtaken(),
        ),
    ];
    for (name, help, value) in counters {
        page.counter(&format!("lobby_{name}_total"), help, value);
    }
}

fn tell_games(page: &mut Page, games: &GameMetrics) {
    page.gauge(
        "games_open",
        "Games in memory: going on, or ended a short while ago.",
        games.open.now(),
    );
    page.gauge("games_running", "Games that go on.", games.running.now());
    page.counter(
        "rematches_total",
        "Games that followed another one of the same two.",
        games.rematches.now(),
    );
    page.family("counter", "emotes_total", "Emotes by what became of them.");
    for (fate, counted) in [
        ("passed", &games.emotes_passed),
        ("dropped", &games.emotes_dropped),
        ("refused", &games.emotes_refused),
    ] {
        page.sample("emotes_total", &format!("{{fate=\"{fate}\"}}"), counted.now());
    }
}

/// Nothing where this process is alone.
fn tell_nodes(page: &mut Page, nodes: &Nodes) {
    let figures = nodes.figures();
    let leads = u8::from(nodes.may_lead());
    page.gauge(
        "nodes_alive",
        "Nodes of this release that say that they are there; 0 while Redis is away.",
        nodes.view().alive.len(),
    );
    page.gauge(
        "nodes_linked",
        "Other nodes whose messages come through.",
        nodes.linked(),
    );
    page.gauge("nodes_leader", "Whether this node makes the matches.", leads);
    page.family(
        "gauge",
        "nodes_remote_sessions",
        "Sessions that this node hosts for others, and sockets here that use another node.",
    );
    let (hosted, passed) = nodes.remote_sessions();
    page.sample("nodes_remote_sessions", "{side=\"host\"}", hosted);
    page.sample("nodes_remote_sessions", "{side=\"edge\"}", passed);
    page.counter(
        "nodes_link_resets_total",
        "Links to other nodes that began anew because something was lost.",
        figures.resets(),
    );
    page.family("counter", "nodes_messages_total", "Messages between nodes.");
    for (direction, counted) in [
        ("out", figures.sent()),
        ("in", figures.received()),
        ("refused", figures.refused()),
    ] {
        page.sample(
            "nodes_messages_total",
            &format!("{{direction=\"{direction}\"}}"),
            counted,
        );
    }
}

fn tell_game_copies(page: &mut Page, copies: &GameCopies, now_ms: i64) {
    type Read = fn(&Sink, i64) -> f64;
    fn count(value: &AtomicU64) -> f64 {
        value.load(Ordering::Relaxed) as f64
    }
    let families: [(&str, &str, &str, Read); 5] = [
        (
            "gauge",
            "waiting",
            "Games whose copy in the store is not the newest.",
            |sink, _| sink.backlog().0 as f64,
        ),
        (
            "gauge",
            "lag_seconds",
            "How long the first of them has waited: what losing the journal now would cost.",
            |sink, now_ms| {
                let since = sink.backlog().1;
                since.map_or(0.0, |since| now_ms.saturating_sub(since).max(0) as f64 / 1000.0)
            },
        ),
        (
            "counter",
            "rows_total",
            "Copies of games written to the store.",
            |sink, _| count(&sink.copied),
        ),
        (
            "counter",
            "failures_total",
            "Attempts that the store failed.",
            |sink, _| count(&sink.failures),
        ),
        (
            "counter",
            "left_out_total",
            "Games that were not noted, since too many waited.",
            |sink, _| count(&sink.left_out),
        ),
    ];
    for (kind, name, help, read) in families {
        let name = format!("game_copies_{name}");
        page.family(kind, &name, help);
        for sink in copies.sinks() {
            page.sample(&name, &format!("{{store=\"{}\"}}", sink.name), read(sink, now_ms));
        }
    }
}

/// Nothing where profiles are not copied.
fn tell_snapshots(page: &mut Page, stores: &[NamedFigures], now_ms: i64) {
    type Read = fn(&SinkFigures, i64) -> f64;
    let families: [(&str, &str, &str, Read); 7] = [
        (
            "gauge",
            "up",
            "Whether the store took what it was last given.",
            |figures, _| f64::from(u8::from(figures.is_up())),
        ),
        (
            "gauge",
            "position",
            "Up to where of the journal the store has everything.",
            |figures, _| figures.position() as f64,
        ),
        (
            "gauge",
            "lag_positions",
            "Positions of the journal that the store lacks.",
            |figures, _| figures.lag_positions() as f64,
        ),
        (
            "gauge",
            "lag_seconds",
            "How long the oldest snapshot has waited for the store.",
            |figures, now_ms| figures.lag_ms(now_ms) as f64 / 1000.0,
        ),
        (
            "counter",
            "rows_total",
            "Snapshots written to the store.",
            |figures, _| figures.rows() as f64,
        ),
        (
            "counter",
            "batches_total",
            "Transactions in which they were written.",
            |figures, _| figures.batches() as f64,
        ),
        (
            "counter",
            "failures_total",
            "Attempts that the store failed.",
            |figures, _| figures.failures() as f64,
        ),
    ];
    for (kind, name, help, read) in families.iter().filter(|_| !stores.is_empty()) {
        let name = format!("snapshot_{name}");
        page.family(kind, &name, help);
        for (store, figures) in stores {
            page.sample(&name, &format!("{{store=\"{store}\"}}"), read(figures, now_ms));
        }
    }
}
