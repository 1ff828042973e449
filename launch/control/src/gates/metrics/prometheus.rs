//! Counters in a Prometheus: instant queries of the plan, one release each.
//!
//! A series that is missing or whose samples are old says nothing, and so does a Prometheus that does not answer:
//! the side is then unknown, never fine. A query that Prometheus refuses ends the gate.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use reqwest::{Client, StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;
use tminus_plan::{Counts, Outcomes, PrometheusSpec, RELEASE, Releases};

use super::tally::{SERIES_MAX, Sample, Tally};
use super::{MetricSource, Seen};
use crate::gates::http::{client, words};
use crate::gates::{CouldNotRun, shorten};

/// An answer is read up to this length.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Of Prometheus' own words.
const WORDS_BYTES_MAX: usize = 800;

/// What a query counts.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Figure {
    Requests,
    Errors,
    Latency,
    Bad(String),
    Total(String),
}

#[derive(Debug)]
struct Query {
    figure: Figure,
    text: String,
    tally: Tally,
}

/// One side's queries.
#[derive(Debug)]
struct Side {
    release: String,
    queries: Vec<Query>,
}

/// Why a query has no answer.
enum Unanswered {
    /// A later look may know.
    Now(String),
    Never(CouldNotRun),
}

/// See the module.
#[derive(Debug)]
pub struct Prometheus {
    client: Client,
    url: Url,
    shown: String,
    spec: PrometheusSpec,
    slow_ms: u32,
    stable: Side,
    canary: Side,
}

#[derive(Deserialize)]
struct Answer {
    status: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    data: Option<Data>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    result: Value,
}

impl Prometheus {
    /// # Errors
    /// The address is not a URL, or a release's name cannot stand in a query.
    pub fn new(spec: &PrometheusSpec, releases: &Releases, slow_ms: u32) -> Result<Self, CouldNotRun> {
        let url = Url::parse(&spec.url)
            .ok()
            .filter(|url| !url.cannot_be_a_base())
            .ok_or_else(|| CouldNotRun::new("Prometheus' address is not a URL"))?;
        // Its user information is for Prometheus alone.
        let mut shown = url.clone();
        if shown.set_password(None).is_ok() && shown.set_username("").is_err() {
            return Err(CouldNotRun::new("Prometheus' address cannot be shown"));
        }
        Ok(Self {
            shown: shown.to_string(),
            client: client()?,
            url,
            slow_ms,
            stable: Side::new(spec, &releases.stable)?,
            canary: Side::new(spec, &releases.canary)?,
            spec: spec.clone(),
        })
    }

    async fn see(&mut self) -> Result<Seen, CouldNotRun> {
        let asker = Asker {
            client: &self.client,
            url: &self.url,
            shown: &self.shown,
            timeout: Duration::from_millis(u64::from(self.spec.timeout_ms)),
            stale_s: self.spec.stale_s,
        };
        let has_latency = self.spec.latency.is_some();
        let stable = self.stable.look(&asker, self.slow_ms).await?;
        let canary = self.canary.look(&asker, self.slow_ms).await?;
        let mut figures = BTreeMap::new();
        for (name, side) in [("stable", &stable), ("canary", &canary)] {
            if let Ok(counts) = side {
                figures.insert(format!("prometheus_requests_{name}"), counts.requests as f64);
                figures.insert(format!("prometheus_errors_{name}"), counts.errors as f64);
                if has_latency {
                    figures.insert(format!("prometheus_slow_{name}"), counts.slow as f64);
                }
            }
        }
        Ok(Seen {
            canary_activity: canary.as_ref().map_or(0, |counts| counts.requests),
            stable,
            canary,
            open_connections: None,
            figures,
        })
    }
}

impl Side {
    fn new(spec: &PrometheusSpec, release: &str) -> Result<Self, CouldNotRun> {
        // It stands within quotes, perhaps within a pattern.
        if !release
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._+-".contains(c))
        {
            return Err(
                CouldNotRun::new(format!("the release `{release}` cannot stand in a query"))
                    .hint("letters, digits, `.`, `_`, `+` and `-` can"),
            );
        }
        let query = |figure: Figure, text: &str| Query {
            text: text.replace(RELEASE, release),
            tally: Tally::new((figure == Figure::Latency).then_some("le")),
            figure,
        };
        let mut queries = vec![
            query(Figure::Requests, &spec.requests),
            query(Figure::Errors, &spec.errors),
        ];
        queries.extend(spec.latency.iter().map(|text| query(Figure::Latency, text)));
        for (name, business) in &spec.business {
            queries.push(query(Figure::Bad(name.clone()), &business.bad));
            queries.push(query(Figure::Total(name.clone()), &business.total));
        }
        Ok(Self {
            release: release.to_owned(),
            queries,
        })
    }

    async fn look(&mut self, asker: &Asker<'_>, slow_ms: u32) -> Result<Result<Counts, String>, CouldNotRun> {
        let answers = match self.ask(asker).await {
            Ok(answers) => answers,
            Err(Unanswered::Now(why)) => return Ok(Err(why)),
            Err(Unanswered::Never(error)) => return Err(error),
        };
        if let Some((query, _)) = self
            .queries
            .iter()
            .zip(&answers)
            .find(|(_, samples)| samples.is_empty())
        {
            return Ok(Err(format!(
                "Prometheus has no fresh series of {} for `{}`",
                self.release, query.text
            )));
        }
        // Every tally takes the look in before any of them may refuse it.
        let refusals: Vec<String> = self
            .queries
            .iter_mut()
            .zip(&answers)
            .filter_map(|(query, samples)| {
                let refused = query.tally.take_in(samples).err()?;
                Some(format!("`{}`: {refused}", query.text))
            })
            .collect();
        Ok(match refusals.first() {
            Some(refusal) => Err(refusal.clone()),
            None => self.counts(slow_ms),
        })
    }

    fn counts(&self, slow_ms: u32) -> Result<Counts, String> {
        let mut counts = Counts::default();
        let mut business: BTreeMap<String, Outcomes> = BTreeMap::new();
        for query in &self.queries {
            let total = query.tally.total();
            match &query.figure {
                Figure::Requests => counts.requests = total,
                Figure::Errors => counts.errors = total,
                Figure::Latency => {
                    counts.latency_us = query
                        .tally
                        .buckets_us()
                        .map_err(|e| format!("`{}`: {e}", query.text))?;
                    counts.slow = Counts::slow_in(&counts.latency_us, slow_ms);
                }
                Figure::Bad(name) => business.entry(name.clone()).or_default().bad = total,
                Figure::Total(name) => business.entry(name.clone()).or_default().total = total,
            }
        }
        counts.business = business;
        Ok(counts)
    }

    /// All queries at one time of Prometheus' own clock.
    async fn ask(&self, asker: &Asker<'_>) -> Result<Vec<Vec<Sample>>, Unanswered> {
        let Some((first, rest)) = self.queries.split_first() else {
            return Ok(Vec::new());
        };
        let mut requests = asker.query(&first.text, None).await?;
        let at = requests.at;
        if let (Some(at), false) = (at, requests.is_scalar) {
            let ages = asker
                .query(&format!("timestamp({})", first.text), Some(at))
                .await?;
            requests.samples.retain(|sample| {
                let when = ages
                    .samples
                    .iter()
                    .find(|age| without_name(age) == without_name(sample));
                when.is_none_or(|when| when.value >= at - asker.stale_s)
            });
        }
        let mut answers = vec![requests.samples];
        for answer in join_all(rest.iter().map(|query| asker.query(&query.text, at))).await {
            answers.push(answer?.samples);
        }
        Ok(answers)
    }
}

/// A function of a series has its labels, without its name.
fn without_name(sample: &Sample) -> BTreeMap<&String, &String> {
    sample
        .labels
        .iter()
        .filter(|(name, _)| *name != "__name__")
        .collect()
}

struct Asker<'a> {
    client: &'a Client,
    url: &'a Url,
    shown: &'a str,
    timeout: Duration,
    stale_s: f64,
}

struct Samples {
    /// Seconds since 1970 at which the query was evaluated; none when nothing was found.
    at: Option<f64>,
    is_scalar: bool,
    samples: Vec<Sample>,
}

impl Asker<'_> {
    async fn query(&self, text: &str, at: Option<f64>) -> Result<Samples, Unanswered> {
        let mut url = self.url.clone();
        url.set_path(&format!("{}/api/v1/query", self.url.path().trim_end_matches('/')));
        {
            let mut pairs = url.query_pairs_mut();
            pairs.append_pair("query", text);
            if let Some(at) = at {
                pairs.append_pair("time", &at.to_string());
            }
        }
        let silent =
            |why: String| Unanswered::Now(format!("Prometheus at {} does not answer: {why}", self.shown));
        let mut response = self
            .client
            .get(url)
            .timeout(self.timeout)
            .send()
            .await
            .map_err(|e| silent(words(&e)))?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|e| silent(words(&e)))? {
            if body.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(Unanswered::Never(CouldNotRun::new(format!(
                    "`{text}` answers more than {ANSWER_BYTES_MAX} bytes"
                ))));
            }
            body.extend_from_slice(&piece);
        }
        let answer: Option<Answer> = serde_json::from_slice(&body).ok();
        let said = answer.as_ref().map_or_else(
            || String::from_utf8_lossy(&body).trim().to_owned(),
            |answer| answer.error.clone(),
        );
        match answer {
            Some(Answer {
                status: verdict,
                data: Some(data),
                ..
            }) if status.is_success() && verdict == "success" => read(text, data),
            _ => Err(refusal(
                self.shown,
                text,
                status,
                &shorten(&said, WORDS_BYTES_MAX),
            )),
        }
    }
}

/// What a refusal means: one of the client's doing comes again with every look.
fn refusal(shown: &str, text: &str, status: StatusCode, said: &str) -> Unanswered {
    // 422 is a query that cannot be carried out with the data that there is now.
    if status.is_server_error()
        || status == StatusCode::UNPROCESSABLE_ENTITY
        || status == StatusCode::TOO_MANY_REQUESTS
    {
        return Unanswered::Now(format!("Prometheus cannot answer `{text}`: {status}: {said}"));
    }
    let why = CouldNotRun::new(format!("Prometheus refuses `{text}`: {status}: {said}"));
    Unanswered::Never(if status == StatusCode::BAD_REQUEST {
        why.hint("correct the query in the plan; Prometheus' own page shows what it answers")
    } else {
        why.hint(format!("is {shown} the base address of a Prometheus?"))
    })
}

fn read(text: &str, data: Data) -> Result<Samples, Unanswered> {
    let odd = |what: &str| Unanswered::Never(CouldNotRun::new(format!("`{text}` answers {what}")));
    let pair = |value: &Value| -> Option<(f64, f64)> {
        let at = value.get(0)?.as_f64()?;
        Some((at, value.get(1)?.as_str()?.parse().ok()?))
    };
    let mut found = Samples {
        at: None,
        is_scalar: data.result_type == "scalar",
        samples: Vec::new(),
    };
    match data.result_type.as_str() {
        "vector" => {
            let series = data.result.as_array().ok_or_else(|| odd("no list of series"))?;
            if series.len() > SERIES_MAX {
                return Err(odd(&format!(
                    "{} series; at most {SERIES_MAX} are taken",
                    series.len()
                )));
            }
            for one in series {
                let (at, value) = one
                    .get("value")
                    .and_then(pair)
                    .ok_or_else(|| odd("a series without a number"))?;
                let labels = one.get("metric").and_then(Value::as_object).into_iter().flatten();
                found.at = Some(at);
                found.samples.push(Sample {
                    labels: labels
                        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
                        .collect(),
                    value,
                });
            }
        }
        "scalar" => {
            let (at, value) = pair(&data.result).ok_or_else(|| odd("no number"))?;
            found.at = Some(at);
            found.samples.push(Sample {
                labels: BTreeMap::new(),
                value,
            });
        }
        other => {
            return Err(Unanswered::Never(
                CouldNotRun::new(format!("`{text}` answers a {other}, not counters of now"))
                    .hint("ask for the counters themselves: no range such as `[5m]`, no rate()"),
            ));
        }
    }
    Ok(found)
}

impl MetricSource for Prometheus {
    fn describe(&mut self) -> BoxFuture<'_, Result<BTreeMap<String, String>, CouldNotRun>> {
        Box::pin(async {
            let mut inputs =
                BTreeMap::from([("metrics".to_owned(), format!("Prometheus at {}", self.shown))]);
            for query in &self.canary.queries {
                let name = match &query.figure {
                    Figure::Requests => "query requests".to_owned(),
                    Figure::Errors => "query errors".to_owned(),
                    Figure::Latency => "query latency".to_owned(),
                    Figure::Bad(name) => format!("query {name} bad"),
                    Figure::Total(name) => format!("query {name} total"),
                };
                inputs.insert(name, query.text.clone());
            }
            // The canary need not have any series yet; stable must.
            match self.see().await?.stable {
                Ok(_) => Ok(inputs),
                Err(why) => Err(CouldNotRun::new(why).hint(
                    "nothing is known of the stable side; an error counter that has no series before its first error is \
                     written `ERRORS or 0 * REQUESTS`",
                )),
            }
        })
    }

    fn look(&mut self) -> BoxFuture<'_, Result<Seen, CouldNotRun>> {
        Box::pin(self.see())
    }
}
