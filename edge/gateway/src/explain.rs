//! Which backend a request would get by a configuration, and why: the gateway's own decision without a gateway.
//!
//! It is the decision at the start: weights set and backends drained since then are the admin API's to tell.

use std::fmt;
use std::net::IpAddr;

use http::HeaderMap;
use serde::Serialize;

use crate::config::Config;
use crate::headers::query_parameter;
use crate::route::{BUCKETS, BackendId, NoBackend, RequestFacts, Source, Split, WEIGHT_TOTAL};
use crate::sticky::{PlayerKey, known_player};

/// What a request carries, as far as it decides.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The request's headers.
    pub headers: &'a HeaderMap,
    /// What stands behind the `?`.
    pub query: Option<&'a str>,
    /// The peer's address.
    pub client: IpAddr,
}

/// Why a request goes where it goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// `None`: each such request is drawn by itself, because no source of `sticky` is in it.
    pub backend: Option<String>,
    /// The release that the backend serves.
    pub version: Option<String>,
    /// `rule`, `affinity` or `default`.
    pub decided_by: &'static str,
    /// The rule's name.
    pub rule: Option<String>,
    /// The source of `sticky` that names the player.
    pub player_by: Option<String>,
    /// The player's place among 10,000.
    pub bucket: Option<u16>,
    /// The split that was asked; empty for `affinity`, which asks none.
    pub split: Vec<Share>,
}

/// A backend's part of a split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Share {
    /// The backend.
    pub backend: String,
    /// Of 100.
    pub weight: u32,
    /// Its first bucket.
    pub from: u32,
    /// The first bucket behind it.
    pub to: u32,
}

/// Decides as the gateway would.
///
/// # Errors
/// No backend may take the request.
pub fn explain(config: &Config, asked: Asked<'_>) -> Result<Explained, NoBackend> {
    let routes = &config.routes;
    let affinity = config.affinity_query.as_deref().zip(asked.query);
    let affinity = affinity.and_then(|(name, query)| query_parameter(query, name));
    let facts = RequestFacts {
        headers: asked.headers,
        affinity: affinity.as_deref(),
    };
    let known = known_player(&config.sticky, asked.headers, asked.client);
    let key = known.map_or_else(|| PlayerKey::of("request", &[]), |(_, key)| key);
    let decision = routes.decide(facts, &key)?;
    let (decided_by, rule, split) = match decision.source {
        Source::Rule(index) => {
            let rule = &routes.rules[index];
            ("rule", Some(rule.name.clone()), Some(&rule.split))
        }
        Source::Affinity => ("affinity", None, None),
        Source::Default => ("default", None, Some(&routes.default_split)),
    };
    let name = |id: BackendId| routes.backends[id.0].name.clone();
    let shares = split.map_or_else(Vec::new, |split| shares(split, name));
    let is_certain = known.is_some() || shares.iter().filter(|share| share.weight > 0).count() <= 1;
    let backend = is_certain.then(|| &routes.backends[decision.backend.0]);
    Ok(Explained {
        backend: backend.map(|backend| backend.name.clone()),
        version: backend.map(|backend| backend.version.clone()),
        decided_by,
        rule,
        player_by: known.map(|(source, _)| source.to_string()),
        bucket: known.map(|(_, key)| key.bucket()),
        split: shares,
    })
}

fn shares(split: &Split, name: impl Fn(BackendId) -> String) -> Vec<Share> {
    let mut from = 0;
    let share = |(id, weight): &(BackendId, u32)| {
        let to = from + weight * (BUCKETS / WEIGHT_TOTAL);
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
        match (&self.rule, self.decided_by) {
            (Some(rule), _) => writeln!(f, "decided by  rule {rule:?}: all of its headers match")?,
            (None, "affinity") => writeln!(
                f,
                "decided by  affinity: the request asks for this release, and no rule matches"
            )?,
            (None, _) => writeln!(f, "decided by  the default split: no rule matches")?,
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

    fn explained(headers: &[(&'static str, &str)], query: Option<&str>) -> Explained {
        let config = crate::config::parse(CONFIG, "gateway.yaml").unwrap();
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let asked = Asked {
            headers: &headers.collect(),
            query,
            client: [127, 0, 0, 1].into(),
        };
        explain(&config, asked).unwrap()
    }

    #[test]
    fn a_rule_comes_before_affinity_and_that_before_the_split() {
        let by_rule = explained(&[("x-version", "v1.3")], Some("at=v1.2"));
        assert_eq!(
            (by_rule.decided_by, by_rule.rule.as_deref()),
            ("rule", Some("testers"))
        );
        assert_eq!(by_rule.backend.as_deref(), Some("canary"));
        let by_affinity = explained(&[], Some("at=v1.2"));
        assert_eq!(
            (by_affinity.decided_by, by_affinity.version.as_deref()),
            ("affinity", Some("v1.2"))
        );
        assert!(by_affinity.split.is_empty());
        assert_eq!(explained(&[], Some("at=v9")).decided_by, "default");
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
