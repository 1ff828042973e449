//! Which backend a request would get, and why: the gateway's own decision without a request.
//!
//! By a configuration alone it is the decision at the start; a running gateway decides by its routes of the moment.

use std::fmt;
use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::headers::{host, query_parameter};
use crate::matching::Asked;
use crate::route::{BUCKETS, BackendId, NoBackend, RequestFacts, RouteTable, Source, Split, Weight};
use crate::state::Routing;
use crate::sticky::{PlayerKey, StickySource, known_player};

/// A request, as far as it decides. The form in which a running gateway is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// `GET` when left out.
    #[serde(default = "get")]
    pub method: String,
    /// Path and query, or a whole URL.
    pub target: String,
    /// Names and values.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// The peer's address.
    pub client: IpAddr,
}

fn get() -> String {
    "GET".to_owned()
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// There is no such request.
    #[error("{0}")]
    NoRequest(String),
    /// Nobody can take it.
    #[error(transparent)]
    NoBackend(#[from] NoBackend),
}

/// What decides: the routes, where to look for the player, and for the release that is asked for.
#[derive(Clone, Copy, Debug)]
pub struct By<'a> {
    table: &'a RouteTable,
    sticky: &'a [StickySource],
    affinity_query: Option<&'a str>,
}

impl<'a> From<&'a Config> for By<'a> {
    fn from(config: &'a Config) -> Self {
        Self {
            table: &config.routes,
            sticky: &config.sticky,
            affinity_query: config.affinity_query.as_deref(),
        }
    }
}

impl<'a> From<&'a Routing> for By<'a> {
    fn from(routing: &'a Routing) -> Self {
        Self {
            table: &routing.table,
            sticky: &routing.sticky,
            affinity_query: routing.affinity_query.as_deref(),
        }
    }
}

/// Why a request goes where it goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// `None`: each such request is drawn by itself, because no source of `sticky` is in it.
    pub backend: Option<String>,
    /// The release that the backend serves.
    pub version: Option<String>,
    /// Which part of the routes decided.
    pub decided_by: DecidedBy,
    /// The player's own backend drains, and this one stands in.
    pub stand_in: bool,
    /// The rule's name.
    pub rule: Option<String>,
    /// The source of `sticky` that names the player.
    pub player_by: Option<String>,
    /// The player's place among 10,000.
    pub bucket: Option<u16>,
    /// The split that was asked; empty for `affinity`, which asks none.
    pub split: Vec<Share>,
}

/// The parts of the routes, in the order in which they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DecidedBy {
    /// The player is pinned.
    Pin,
    /// A rule.
    Rule,
    /// The release that the request asks for.
    Affinity,
    /// The default split.
    Default,
}

/// A backend's part of a split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The backend.
    pub backend: String,
    /// Percent.
    pub weight: Weight,
    /// Its first bucket.
    pub from: u32,
    /// The first bucket behind it.
    pub to: u32,
}

/// Decides as the gateway would.
///
/// # Errors
/// The question is no request, or no backend may take it.
pub fn explain<'a>(by: impl Into<By<'a>>, question: &Question) -> Result<Explained, Unanswered> {
    let By {
        table,
        sticky,
        affinity_query,
    } = by.into();
    let no_request = |what: &str| Unanswered::NoRequest(format!("{what} cannot stand in a request"));
    let method: Method = question
        .method
        .parse()
        .map_err(|_| no_request(&format!("the method {:?}", question.method)))?;
    let target: Uri = question
        .target
        .parse()
        .ok()
        .filter(|target: &Uri| target.path().starts_with('/'))
        .ok_or_else(|| no_request(&format!("the target {:?}", question.target)))?;
    let mut headers = HeaderMap::new();
    for (name, value) in &question.headers {
        let named = name
            .parse::<HeaderName>()
            .ok()
            .zip(value.parse::<HeaderValue>().ok());
        let (name, value) = named.ok_or_else(|| no_request(&format!("the header {name:?}")))?;
        headers.append(name, value);
    }
    let affinity = affinity_query.zip(target.query());
    let affinity = affinity.and_then(|(name, query)| query_parameter(query, name));
    let facts = RequestFacts {
        asked: Asked {
            method: &method,
            path: target.path(),
            host: host(&target, &headers),
            headers: &headers,
        },
        affinity: affinity.as_deref(),
    };
    let known = known_player(sticky, &headers, question.client);
    let key = known.map_or_else(|| PlayerKey::of("request", &[]), |(_, key)| key);
    let decision = table.decide(facts, &key)?;
    let (decided_by, rule, split) = match decision.source {
        Source::Pin => (DecidedBy::Pin, None, None),
        Source::Rule(index) => {
            let rule = &table.rules[index];
            (DecidedBy::Rule, Some(rule.name.clone()), Some(&rule.split))
        }
        Source::Affinity => (DecidedBy::Affinity, None, None),
        Source::Default => (DecidedBy::Default, None, Some(&table.default_split)),
    };
    let name = |id: BackendId| table.backends[id.0].name.clone();
    let shares = split.map_or_else(Vec::new, |split| shares(split, name));
    let of_weight = shares.iter().filter(|share| share.weight > Weight::NONE);
    let is_certain = known.is_some() || of_weight.count() <= 1;
    let backend = is_certain.then(|| &table.backends[decision.backend.0]);
    Ok(Explained {
        backend: backend.map(|backend| backend.name.clone()),
        version: backend.map(|backend| backend.version.clone()),
        decided_by,
        stand_in: decision.stand_in,
        rule,
        player_by: known.map(|(source, _)| source.to_string()),
        bucket: known.map(|(_, key)| key.bucket()),
        split: shares,
    })
}

fn shares(split: &Split, name: impl Fn(BackendId) -> String) -> Vec<Share> {
    let mut from = 0;
    let share = |(id, weight): &(BackendId, Weight)| {
        let to = from + weight.buckets();
        let share = Share {
            backend: name(*id),
            weight: *weight,
            from,
            to,
        };
        from = to;
        share
    };
    split.weights().iter().map(share).collect()
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.backend, &self.version) {
            (Some(backend), Some(version)) => writeln!(f, "goes to     {backend}, release {version}")?,
            _ => writeln!(
                f,
                "goes to     any of the split: each such request is drawn by itself"
            )?,
        }
        let why = match (self.decided_by, &self.rule) {
            (DecidedBy::Pin, _) => "a pin of this player".to_owned(),
            (DecidedBy::Rule, rule) => format!(
                "rule {:?}: all that it asks for holds",
                rule.as_deref().unwrap_or_default()
            ),
            (DecidedBy::Affinity, _) => {
                "affinity: the request asks for this release, and no rule matches".to_owned()
            }
            (DecidedBy::Default, _) => "the default split: no rule matches".to_owned(),
        };
        writeln!(f, "decided by  {why}")?;
        if self.stand_in {
            writeln!(
                f,
                "stands in   the backend that it would get is draining or not healthy"
            )?;
        }
        match (&self.player_by, self.bucket) {
            (Some(source), Some(bucket)) => {
                writeln!(f, "player by   {source}, bucket {bucket} of {BUCKETS}")?;
            }
            _ => writeln!(f, "player by   nothing: no source of `sticky` is in the request")?,
        }
        for share in &self.split {
            let Share {
                backend,
                weight,
                from,
                to,
            } = share;
            match to.checked_sub(1).filter(|last| last >= from) {
                Some(last) => writeln!(f, "split       {backend} {weight} %, buckets {from} to {last}")?,
                None => writeln!(f, "split       {backend} {weight} %")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "\
listen: 127.0.0.1:8080
admin: 127.0.0.1:8081
sticky: [\"header:x-session-id\"]
affinity_query: at
backends:
  canary: { url: \"http://127.0.0.1:9003\", version: v1.3 }
  stable: { url: \"http://127.0.0.1:9002\", version: v1.2 }
rules:
  - { name: testers, header: { x-version: v1.3 }, split: { canary: 100 } }
default: { split: { canary: 30, stable: 70 } }
";

    fn question(target: &str, headers: &[(&str, &str)]) -> Question {
        Question {
            method: get(),
            target: target.to_owned(),
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            client: [127, 0, 0, 1].into(),
        }
    }

    fn explained(headers: &[(&str, &str)], query: Option<&str>) -> Explained {
        let config = crate::config::parse(CONFIG, "gateway.yaml").unwrap();
        let target = format!("/{}", query.map_or_else(String::new, |query| format!("?{query}")));
        explain(&config, &question(&target, headers)).unwrap()
    }

    #[test]
    fn what_is_no_request_is_told() {
        let config = crate::config::parse(CONFIG, "gateway.yaml").unwrap();
        let mut wrong = vec![question("no path", &[]), question("/", &[("a b", "c")])];
        wrong.push(Question {
            method: "a b".to_owned(),
            ..question("/", &[])
        });
        for wrong in wrong {
            let error = explain(&config, &wrong).unwrap_err();
            assert!(
                error.to_string().ends_with("cannot stand in a request"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_pin_comes_before_all_else() {
        let yaml = CONFIG.replace("rules:", "pins: { p-7: stable }\nrules:");
        let config = crate::config::parse(&yaml, "gateway.yaml").unwrap();
        let told = explain(
            &config,
            &question("/?at=v1.3", &[("x-session-id", "p-7"), ("x-version", "v1.3")]),
        );
        let told = told.unwrap();
        assert_eq!(
            (told.decided_by, told.backend.as_deref()),
            (DecidedBy::Pin, Some("stable"))
        );
        let other = explain(
            &config,
            &question("/", &[("x-session-id", "p-8"), ("x-version", "v1.3")]),
        );
        assert_eq!(other.unwrap().decided_by, DecidedBy::Rule);
    }

    #[test]
    fn a_rule_comes_before_affinity_and_that_before_the_split() {
        let by_rule = explained(&[("x-version", "v1.3")], Some("at=v1.2"));
        assert_eq!(
            (by_rule.decided_by, by_rule.rule.as_deref()),
            (DecidedBy::Rule, Some("testers"))
        );
        assert_eq!(by_rule.backend.as_deref(), Some("canary"));
        let by_affinity = explained(&[], Some("at=v1.2"));
        assert_eq!(
            (by_affinity.decided_by, by_affinity.version.as_deref()),
            (DecidedBy::Affinity, Some("v1.2"))
        );
        assert!(by_affinity.split.is_empty());
        assert_eq!(explained(&[], Some("at=v9")).decided_by, DecidedBy::Default);
    }

    #[test]
    fn a_player_is_where_its_bucket_lies() {
        let mut seen = std::collections::BTreeSet::new();
        for player in 0..50 {
            let told = explained(&[("x-session-id", &player.to_string())], None);
            let (bucket, backend) = (u32::from(told.bucket.unwrap()), told.backend.unwrap());
            let owner = told
                .split
                .iter()
                .find(|share| (share.from..share.to).contains(&bucket));
            assert_eq!(owner.unwrap().backend, backend);
            assert_eq!(told.player_by.as_deref(), Some("header:x-session-id"));
            seen.insert(backend);
        }
        assert_eq!(seen.len(), 2);
        assert_eq!(
            explained(&[("x-session-id", "7")], None).split.last().unwrap().to,
            BUCKETS
        );
    }

    #[test]
    fn without_a_player_nothing_is_promised_that_is_drawn() {
        let drawn = explained(&[], None);
        assert_eq!((drawn.backend.as_deref(), drawn.bucket), (None, None));
        assert!(drawn.to_string().contains("drawn by itself"), "{drawn}");
        // A split with one backend draws nothing.
        assert_eq!(
            explained(&[("x-version", "v1.3")], None).backend.as_deref(),
            Some("canary")
        );
    }
}
