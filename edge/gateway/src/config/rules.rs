//! Splits, rules and pins of a configuration.

use std::collections::{BTreeMap, HashMap};

use http::{HeaderName, Method};
use serde_saphyr::{Location, Spanned};

use super::file::{HeaderFile, Names, PathFile, PathsFile, RuleFile, TextFile};
use super::{Checker, ConfigError, PINS_MAX, RULES_MAX};
use crate::matching::{Conditions, Grpc, HeaderValueMatch, Host, Path, Text};
use crate::route::{BackendId, RouteTable, Rule, Split, Weight};
use crate::sticky::{PlayerKey, StickySource};

/// Alternatives of one condition.
const ALTERNATIVES_MAX: usize = 64;

impl Checker<'_> {
    pub(super) fn split(
        &self,
        routes: &RouteTable,
        read: &BTreeMap<String, Spanned<Weight>>,
        whole: Location,
    ) -> Result<Split, ConfigError> {
        let mut weights = Vec::new();
        for (name, weight) in read {
            weights.push((self.backend(routes, name, weight.referenced)?, weight.value));
        }
        let first = read
            .values()
            .map(|weight| weight.referenced)
            .min_by_key(|at| (at.line(), at.column()));
        Split::new(weights).map_err(|error| self.error(first.unwrap_or(whole), error.to_string()))
    }

    fn backend(&self, routes: &RouteTable, name: &str, at: Location) -> Result<BackendId, ConfigError> {
        routes.find(name).ok_or_else(|| {
            self.error(
                at,
                format!("unknown backend {name:?}: the backends are {}", routes.names()),
            )
        })
    }

    /// A pin holds whichever source of `sticky` names the player.
    pub(super) fn pins(
        &self,
        routes: &RouteTable,
        sticky: &[StickySource],
        read: BTreeMap<String, Spanned<String>>,
    ) -> Result<HashMap<PlayerKey, BackendId>, ConfigError> {
        let mut pins = HashMap::new();
        for (index, (player, backend)) in read.into_iter().enumerate() {
            if index >= PINS_MAX {
                return Err(self.error(backend.referenced, format!("at most {PINS_MAX} pins")));
            }
            if player.is_empty() {
                return Err(self.error(backend.referenced, "a pin needs the player's id"));
            }
            let id = self.backend(routes, &backend.value, backend.referenced)?;
            pins.extend(sticky.iter().map(|source| (source.key_of(player.as_bytes()), id)));
        }
        Ok(pins)
    }

    pub(super) fn rules(
        &self,
        routes: &RouteTable,
        read: Vec<Spanned<RuleFile>>,
    ) -> Result<Vec<Rule>, ConfigError> {
        let mut rules: Vec<Rule> = Vec::new();
        for rule in read {
            let at = rule.referenced;
            let rule = rule.value;
            if rules.len() >= RULES_MAX {
                return Err(self.error(at, format!("at most {RULES_MAX} rules")));
            }
            if rules.iter().any(|other| other.name == rule.name.value) {
                let what = format!("a rule named {:?} stands above already", rule.name.value);
                return Err(self.error(rule.name.referenced, what));
            }
            let split = self.split(routes, &rule.split, at)?;
            let name = rule.name.value.clone();
            let conditions = self.conditions(rule)?;
            if conditions.is_empty() {
                let what = format!(
                    "rule {name:?} asks for nothing and would match everything: give it host, path, method, grpc or \
                     header, or change the default split"
                );
                return Err(self.error(at, what));
            }
            rules.push(Rule {
                name,
                conditions,
                split,
            });
        }
        Ok(rules)
    }

    fn conditions(&self, rule: RuleFile) -> Result<Conditions, ConfigError> {
        let hosts = self.alternatives(rule.host, |host| {
            Host::parse(host).ok_or_else(|| {
                format!(
                    "{host:?} is no host: write it like play.example.com or *.example.com, without a port"
                )
            })
        })?;
        let methods = self.alternatives(rule.method, |method| {
            method
                .parse::<Method>()
                .ok()
                .filter(|parsed| parsed.as_str().bytes().all(|byte| !byte.is_ascii_lowercase()))
                .ok_or_else(|| format!("{method:?} is no method: write it like GET"))
        })?;
        let grpc = self.alternatives(rule.grpc, |grpc| {
            Grpc::parse(grpc).ok_or_else(|| {
                format!("{grpc:?} is no gRPC service: write it like package.v1.Service or package.v1.Service/Method")
            })
        })?;
        let mut paths = Vec::new();
        if let Some(read) = rule.path {
            let list = match read.value {
                PathsFile::One(one) => vec![one],
                PathsFile::Any(list) => list,
            };
            self.count(list.len(), read.referenced)?;
            for path in list {
                paths.push(checked_path(path).map_err(|what| self.error(read.referenced, what))?);
            }
        }
        let mut headers = Vec::new();
        for (header, value) in rule.header {
            let name = HeaderName::try_from(&header)
                .map_err(|_| self.error(value.referenced, format!("{header:?} is not a header name")))?;
            let wanted = match value.value {
                HeaderFile::Exact(text) => HeaderValueMatch::Text(Text::Exact(text)),
                HeaderFile::Text(read) => {
                    HeaderValueMatch::Text(text(read).map_err(|what| self.error(value.referenced, what))?)
                }
                HeaderFile::Present(read) => HeaderValueMatch::Present(read.present),
            };
            headers.push((name, wanted));
        }
        Ok(Conditions {
            hosts,
            paths,
            methods,
            grpc,
            headers,
        })
    }

    fn alternatives<T>(
        &self,
        read: Option<Spanned<Names>>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<T>, ConfigError> {
        let Some(read) = read else { return Ok(Vec::new()) };
        let list = match read.value {
            Names::One(one) => vec![one],
            Names::Any(list) => list,
        };
        self.count(list.len(), read.referenced)?;
        list.iter()
            .map(|one| parse(one).map_err(|what| self.error(read.referenced, what)))
            .collect()
    }

    /// An empty list would match everything, and is more likely meant to match nothing.
    fn count(&self, alternatives: usize, at: Location) -> Result<(), ConfigError> {
        if (1..=ALTERNATIVES_MAX).contains(&alternatives) {
            return Ok(());
        }
        let what = format!(
            "a list of alternatives has between 1 and {ALTERNATIVES_MAX}: leave the key out to match all"
        );
        Err(self.error(at, what))
    }
}

fn checked_path(read: PathFile) -> Result<Path, String> {
    let (path, asked) = match read {
        PathFile::Below(path) => (Path::Below(path.clone()), path),
        PathFile::Text(TextFile::Regex(regex)) => return Text::regex(&regex).map(Path::Text),
        PathFile::Text(read) => {
            let text = text(read)?;
            let (Text::Exact(asked) | Text::Prefix(asked)) = &text else {
                return Ok(Path::Text(text));
            };
            let asked = asked.clone();
            (Path::Text(text), asked)
        }
    };
    if !asked.starts_with('/') || asked.contains('?') {
        return Err(format!(
            "{asked:?} is no path: it begins with '/' and has no query"
        ));
    }
    Ok(path)
}

fn text(read: TextFile) -> Result<Text, String> {
    match read {
        TextFile::Exact(text) => Ok(Text::Exact(text)),
        TextFile::Prefix(text) if text.is_empty() => Err(
            "an empty prefix matches everything: use { present: true } for a header that is there".to_owned(),
        ),
        TextFile::Prefix(text) => Ok(Text::Prefix(text)),
        TextFile::Regex(regex) => Text::regex(&regex),
    }
}
