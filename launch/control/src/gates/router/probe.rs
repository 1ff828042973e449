//! Counting who answers: requests of so many players, and which release each of them met.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Client, Url};
use tminus_plan::{KEY, ProbeSpec, Releases, SplitSpec, split_sigmas};

use crate::gates::CouldNotRun;
use crate::gates::http::{client, words};

/// Requests under way at once.
const CONCURRENT_MAX: usize = 16;
/// A count is off when it lies further from its share than this, in standard deviations …
const SIGMAS_MAX: f64 = 3.0;
/// … and does so again with other players: one count in 370 lies further off by chance.
const COUNTS_MAX: u32 = 2;
/// So many of the probes may go unanswered, as a share.
const UNANSWERED_MAX: f64 = 0.01;
/// Other answers than the two that are told apart in an error.
const KINDS_MAX: usize = 20;

/// Sends probes.
#[derive(Debug)]
pub struct Probe {
    spec: ProbeSpec,
    url: Url,
    releases: Releases,
    seed: u64,
    counts_taken: u32,
}

impl Probe {
    /// The seed tells its players from those of another run.
    ///
    /// # Errors
    /// The address or a header is none.
    pub fn new(spec: &ProbeSpec, releases: &Releases, seed: u64) -> Result<Self, CouldNotRun> {
        let url = Url::parse(&spec.url)
            .map_err(|e| CouldNotRun::new(format!("the probe's `{}` is not a URL: {e}", spec.url)))?;
        for (name, value) in &spec.headers {
            if HeaderName::from_bytes(name.as_bytes()).is_err() || HeaderValue::from_str(value).is_err() {
                return Err(CouldNotRun::new(format!(
                    "the probe's header `{name}` cannot be sent"
                )));
            }
        }
        Ok(Self {
            spec: spec.clone(),
            url,
            releases: releases.clone(),
            seed,
            counts_taken: 0,
        })
    }

    /// Counts until the answers are spread as they should, and says how they are.
    ///
    /// # Errors
    /// They are not, or the service does not answer.
    pub async fn verify(&mut self, canary_percent: u32) -> Result<String, CouldNotRun> {
        let mut last = String::new();
        for _ in 0..COUNTS_MAX {
            let counts = self.count().await?;
            let split = SplitSpec {
                header: self.spec.answered_by.clone(),
                shares: BTreeMap::from([
                    (
                        self.releases.stable.clone(),
                        f64::from(100 - canary_percent.min(100)),
                    ),
                    (self.releases.canary.clone(), f64::from(canary_percent.min(100))),
                ]),
                key_header: String::new(),
                keys: self.spec.requests,
            };
            let sigmas = split_sigmas(&split, &counts);
            let total: u64 = counts.values().sum();
            let canary = counts.get(&self.releases.canary).copied().unwrap_or(0);
            if sigmas <= SIGMAS_MAX {
                return Ok(format!(
                    "{canary} of {total} probes met {} ({canary_percent} % wanted, {sigmas:.1} standard deviations off)",
                    self.releases.canary
                ));
            }
            let found: Vec<String> = counts.iter().map(|(who, n)| format!("{who} {n}")).collect();
            last = format!(
                "traffic does not follow the weights: of {total} probes at {canary_percent} %, {}",
                found.join(", ")
            );
        }
        Err(CouldNotRun::new(last).hint(format!(
            "is {} split by this router, and is `{}` what says which release has answered?",
            self.spec.url, self.spec.answered_by
        )))
    }

    /// One request for each of new players; answers by release.
    async fn count(&mut self) -> Result<BTreeMap<String, u64>, CouldNotRun> {
        // Connections of former counts may lead to processes that split as before.
        let client = client()?;
        self.counts_taken += 1;
        let (seed, round) = (self.seed, self.counts_taken);
        let mut answers = stream::iter(0..self.spec.requests)
            .map(|n| self.ask(&client, format!("probe-{seed:x}-{round}-{n}")))
            .buffer_unordered(CONCURRENT_MAX);
        let mut counts = BTreeMap::new();
        let (mut unanswered, mut why) = (0_u32, String::new());
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(who) if counts.len() < KINDS_MAX || counts.contains_key(&who) => {
                    *counts.entry(who).or_default() += 1;
                }
                Ok(_) => *counts.entry("(others)".to_owned()).or_default() += 1,
                Err(e) => {
                    unanswered += 1;
                    why = e;
                }
            }
        }
        if f64::from(unanswered) > UNANSWERED_MAX * f64::from(self.spec.requests) {
            return Err(CouldNotRun::new(format!(
                "{unanswered} of {} probes of {} were not answered: {why}",
                self.spec.requests, self.spec.url
            ))
            .hint("is the address of the probe that of the router, and do both releases answer it?"));
        }
        Ok(counts)
    }

    async fn ask(&self, client: &Client, player: String) -> Result<String, String> {
        let mut request = client
            .get(self.url.clone())
            .timeout(Duration::from_millis(u64::from(self.spec.timeout_ms)));
        for (name, value) in &self.spec.headers {
            request = request.header(name, value.replace(KEY, &player));
        }
        let response = request.send().await.map_err(|e| words(&e))?;
        let who = response
            .headers()
            .get(&self.spec.answered_by)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        who.ok_or_else(|| {
            format!(
                "an answer {} without `{}`",
                response.status().as_u16(),
                self.spec.answered_by
            )
        })
    }
}
