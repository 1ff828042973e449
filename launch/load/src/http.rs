//! Plain HTTP at a fixed rate, whatever the answers do (open loop). Works with any backend.

mod tally;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::LoadError;
use crate::api::{self, SESSION_ID, failure, served_version};
use crate::book::ReleaseSnapshot;
use crate::host::CpuWatch;
use crate::players::GENERATOR_LAG_P99_MAX;
use crate::schedule::{Arrivals, RateSchedule};
use crate::series::{Merge, Series};
use crate::target::Target;

pub use tally::HttpReport;
use tally::{Outcome, Tally, report};

/// Distinct players of one run.
const PLAYERS_MAX: u32 = 1_000_000;

/// What to send.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HttpConfig {
    /// Base URL, `http://…` or `https://…`.
    pub target: String,
    /// Begins with `/`; may carry a query.
    pub path: String,
    pub method: String,
    pub headers: BTreeMap<String, String>,
    pub body: Option<String>,
    /// All players together.
    pub rate_per_s: f64,
    pub arrivals: Arrivals,
    pub duration: Duration,
    /// So many distinct values of `x-session-id`, sent in turn.
    pub players: u32,
    pub timeout: Duration,
    /// A correct answer later than this is a slow one.
    pub slow_after: Duration,
    /// A run whose generator started requests later than this (99th percentile) is not valid.
    pub generator_lag_max: Duration,
    /// Requests under way at a time. What is due beyond is not sent and counts as an error.
    pub in_flight_max: usize,
    pub seed: u64,
}

impl HttpConfig {
    /// `GET path` at 50/s for 10 s from 100 players.
    pub fn new(target: impl Into<String>, path: impl Into<String>) -> Self {
        Self {
            target: target.into(),
            path: path.into(),
            method: "GET".into(),
            headers: BTreeMap::new(),
            body: None,
            rate_per_s: 50.0,
            arrivals: Arrivals::Poisson,
            duration: Duration::from_secs(10),
            players: 100,
            timeout: Duration::from_secs(2),
            slow_after: Duration::from_millis(200),
            generator_lag_max: GENERATOR_LAG_P99_MAX,
            in_flight_max: 2000,
            seed: 1,
        }
    }
}

/// The run at one moment; counts are cumulative.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct HttpSnapshot {
    pub elapsed_ms: u64,
    pub requests: u64,
    pub errors: u64,
    pub p99_ms: f64,
    pub versions: BTreeMap<String, ReleaseSnapshot>,
    pub finished: bool,
}

/// Requests on their way.
#[derive(Debug)]
pub struct HttpHandle {
    /// Renewed every 250 ms.
    pub snapshots: watch::Receiver<HttpSnapshot>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<HttpReport>,
}

impl HttpHandle {
    /// Sends no more; requests under way are still awaited.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// # Errors
    /// [`LoadError::Generator`] when the generator failed.
    pub async fn join(self) -> Result<HttpReport, LoadError> {
        self.task.await.map_err(|e| LoadError::Generator(e.to_string()))
    }
}

struct Sender {
    client: reqwest::Client,
    method: Method,
    url: String,
    headers: HeaderMap,
    body: Option<String>,
    seed: u64,
    tally: Mutex<Tally>,
}

/// [`start`] and [`HttpHandle::join`].
///
/// # Errors
/// As these.
pub async fn run(config: HttpConfig, cancel: CancellationToken) -> Result<HttpReport, LoadError> {
    start(config, cancel)?.join().await
}

/// Starts sending in the background. Must be called within a tokio runtime.
///
/// # Errors
/// When the configuration is not usable. A target that does not answer is counted, not refused.
pub fn start(config: HttpConfig, cancel: CancellationToken) -> Result<HttpHandle, LoadError> {
    let sender = Arc::new(Sender::new(&config)?);
    let stop = cancel.child_token();
    let (snapshots_in, snapshots) = watch::channel(HttpSnapshot::default());
    let task = tokio::spawn(send(config, sender, snapshots_in, stop.clone(), cancel));
    Ok(HttpHandle {
        snapshots,
        stop,
        task,
    })
}

impl Sender {
    fn new(config: &HttpConfig) -> Result<Self, LoadError> {
        let setting = |setting, value: String, expected| LoadError::Setting {
            setting,
            value,
            expected,
        };
        if !(config.rate_per_s > 0.0 && config.rate_per_s <= 100_000.0) {
            return Err(setting(
                "rate_per_s",
                config.rate_per_s.to_string(),
                "above 0, at most 100000",
            ));
        }
        if !(1..=PLAYERS_MAX).contains(&config.players) {
            return Err(setting("players", config.players.to_string(), "1 to 1000000"));
        }
        if !config.path.starts_with('/') {
            return Err(setting("path", config.path.clone(), "a path that begins with /"));
        }
        let method = Method::from_bytes(config.method.to_ascii_uppercase().as_bytes())
            .map_err(|_| setting("method", config.method.clone(), "an HTTP method"))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &config.headers {
            let invalid = || setting("headers", format!("{name}: {value}"), "a valid HTTP header");
            headers.insert(
                HeaderName::try_from(name).map_err(|_| invalid())?,
                HeaderValue::try_from(value).map_err(|_| invalid())?,
            );
        }
        let target = Target::parse(&config.target)?;
        Ok(Self {
            client: api::client(&target, config.timeout, config.in_flight_max.min(512))?,
            method,
            url: target.url(&config.path),
            headers,
            body: config.body.clone(),
            seed: config.seed,
            tally: Mutex::new(Tally::new(config)),
        })
    }

    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn request(&self, player: u32, intended: Instant) {
        let mut request = self
            .client
            .request(self.method.clone(), &self.url)
            .headers(self.headers.clone());
        if !self.headers.contains_key(SESSION_ID) {
            request = request.header(SESSION_ID, format!("load-{}-{player}", self.seed));
        }
        if let Some(body) = &self.body {
            request = request.body(body.clone());
        }
        let sent = Instant::now();
        let (outcome, version) = match request.send().await {
            Err(e) => (of_error(&e), None),
            Ok(response) => {
                let version = served_version(response.headers());
                let status = response.status().as_u16();
                match response.bytes().await {
                    Ok(_) => (Outcome::Status(status), version),
                    Err(e) => (of_error(&e), version),
                }
            }
        };
        let ended = Instant::now();
        self.tally()
            .answered(player as usize, version, &outcome, ended - intended, ended - sent);
    }
}

fn of_error(error: &reqwest::Error) -> Outcome {
    match failure(error) {
        api::Failure::TimedOut => Outcome::TimedOut,
        _ => Outcome::Connection,
    }
}

async fn send(
    config: HttpConfig,
    sender: Arc<Sender>,
    snapshots: watch::Sender<HttpSnapshot>,
    stop: CancellationToken,
    cancel: CancellationToken,
) -> HttpReport {
    let (began, cpu) = (Instant::now(), CpuWatch::start());
    let mut schedule = RateSchedule::new(config.arrivals, config.rate_per_s, config.seed)
        .take_while(|at| *at < config.duration)
        .zip((0..config.players).cycle());
    let mut next = schedule.next();
    let mut under_way = JoinSet::new();
    let mut look = tokio::time::interval(Duration::from_millis(250));
    let mut series = Watch::default();
    loop {
        let due = next.map(|(at, _)| began + at);
        tokio::select! {
            biased;
            () = cancel.cancelled() => break,
            () = stop.cancelled(), if next.is_some() => next = None,
            () = sleep_until(due.unwrap_or(began)), if due.is_some() => {
                if let (Some((_, player)), Some(due)) = (next, due) {
                    sender.tally().started(due, Instant::now());
                    if under_way.len() < config.in_flight_max {
                        let sender = sender.clone();
                        under_way.spawn(async move { sender.request(player, due).await });
                    } else {
                        sender.tally().not_sent();
                    }
                    next = schedule.next();
                }
            }
            Some(_) = under_way.join_next() => {}
            _ = look.tick() => { snapshots.send_replace(series.look(&sender, began, false)); }
            else => break,
        }
        if next.is_none() && under_way.is_empty() {
            break;
        }
    }
    under_way.shutdown().await;
    snapshots.send_replace(series.look(&sender, began, true));
    report(
        &sender.tally(),
        began.elapsed(),
        config.generator_lag_max,
        cpu.stolen_percent(),
        cancel.is_cancelled(),
        series.into_series(),
    )
}

struct Watch {
    looks: u32,
    per_s: Series,
    p99: Series,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            looks: 0,
            per_s: Series::new(Merge::Mean),
            p99: Series::new(Merge::Max),
        }
    }
}

impl Watch {
    fn into_series(self) -> BTreeMap<String, Vec<(f64, f64)>> {
        [
            ("requests_per_s", self.per_s.points()),
            ("p99_ms", self.p99.points()),
        ]
        .map(|(name, points)| (name.to_owned(), points))
        .into()
    }

    fn look(&mut self, sender: &Sender, began: Instant, finished: bool) -> HttpSnapshot {
        let elapsed = began.elapsed();
        let mut tally = sender.tally();
        self.looks += 1;
        if self.looks.is_multiple_of(4) {
            self.per_s
                .push(elapsed.as_secs_f64(), tally.recent_requests as f64);
            self.p99
                .push(elapsed.as_secs_f64(), tally.recent.quantile_ms(0.99));
            tally.recent_requests = 0;
            tally.recent.clear();
        }
        HttpSnapshot {
            elapsed_ms: elapsed.as_millis() as u64,
            requests: tally.requests,
            errors: tally.errors,
            p99_ms: tally.response.quantile_ms(0.99),
            versions: tally.versions.clone(),
            finished,
        }
    }
}
