//! The time limits of an nginx, from its configuration: what it passes requests on with, and for how long.
//!
//! Reads the syntax of directives, not their meaning: whatever has no bearing on time is passed over.

use std::collections::BTreeMap;

use super::nginx_syntax::{Directive, error, read, shown};
use super::{Limit, Route};
use crate::error::PlanError;

/// Ways through one nginx.
const ROUTES_MAX: usize = 1_000;
/// Modules that pass requests on; each has its own names for the same limits.
const PASSING: [&str; 5] = ["proxy", "grpc", "fastcgi", "uwsgi", "scgi"];
const DEFAULT_MS: u64 = 60_000;
const KEEP_ALIVE_DEFAULT_MS: u64 = 75_000;

/// The name and the text of a file that another one includes.
pub type Included = (String, String);

/// Each way through an nginx, in the order of the file. `include` brings the files that a pattern names, in their
/// order; `location` keeps only the ways of which the arguments of `location` are these words.
///
/// # Errors
/// What is not nginx's syntax, a file that is not there, a time that does not read, and a file that passes nothing on.
pub fn walk(
    text: &str,
    file: &str,
    location: Option<&str>,
    include: &mut dyn FnMut(&str) -> Result<Vec<Included>, String>,
) -> Result<Vec<Route>, PlanError> {
    let root = read(text, file, include)?;
    let mut walk = Walk {
        upstreams: BTreeMap::new(),
        routes: Vec::new(),
        location,
    };
    walk.upstreams(&root, 0);
    walk.block(&root, &[], None)?;
    if walk.routes.is_empty() {
        let what = match location {
            Some(location) => format!("no `location {location}` that passes requests on"),
            None => "nothing is passed on here".to_owned(),
        };
        return Err(error(
            file,
            (1, 1),
            what,
            "`proxy_pass`, `grpc_pass` or the like in a location",
        ));
    }
    Ok(walk.routes)
}

/// A group of servers that requests are passed on to.
struct Upstream {
    servers: u32,
    /// How long an idle connection is kept, where any is.
    keep: Option<Limit>,
}

struct Walk<'a> {
    upstreams: BTreeMap<String, Result<Upstream, PlanError>>,
    routes: Vec<Route>,
    location: Option<&'a str>,
}

impl Walk<'_> {
    fn upstreams(&mut self, block: &[Directive], depth: usize) {
        for directive in block {
            let Some(inner) = &directive.block else { continue };
            if directive.name() == "upstream" {
                self.upstreams
                    .insert(directive.argument(0).to_owned(), upstream(directive, inner));
            } else if depth < 2 && directive.name() == "http" {
                self.upstreams(inner, depth + 1);
            }
        }
    }

    /// `around`: the blocks that this one stands in, the innermost last.
    fn block(
        &mut self,
        block: &[Directive],
        around: &[&[Directive]],
        location: Option<&str>,
    ) -> Result<(), PlanError> {
        let mut scopes = around.to_vec();
        scopes.push(block);
        for directive in block {
            let name = directive.name();
            if let Some(inner) = &directive.block {
                match name {
                    // Not HTTP: connections that nobody waits on with a budget.
                    "stream" | "mail" | "upstream" | "types" | "map" | "geo" | "events" => {}
                    "location" => {
                        let words = directive.words[1..].join(" ");
                        self.block(inner, &scopes, Some(&words))?;
                    }
                    _ => self.block(inner, &scopes, location)?,
                }
                continue;
            }
            let Some(module) = PASSING
                .iter()
                .find(|module| name.strip_prefix(**module) == Some("_pass"))
            else {
                continue;
            };
            let words = location.unwrap_or_default();
            if self.location.is_some_and(|wanted| wanted != words) {
                continue;
            }
            if self.routes.len() >= ROUTES_MAX {
                return Err(directive.error(
                    format!("more than {ROUTES_MAX} ways on"),
                    "`location` in the plan",
                ));
            }
            let route = self.route(directive, module, words, &scopes)?;
            self.routes.push(route);
        }
        Ok(())
    }

    fn route(
        &self,
        pass: &Directive,
        module: &str,
        location: &str,
        scopes: &[&[Directive]],
    ) -> Result<Route, PlanError> {
        let limit = |name: &str, default_ms: u64| -> Result<Limit, PlanError> {
            match nearest(scopes, name) {
                Some(directive) => time_of(directive),
                None => Ok(Limit {
                    ms: default_ms,
                    name: name.to_owned(),
                    place: format!("{} (default)", pass.at()),
                }),
            }
        };
        let own = |suffix: &str| format!("{module}_{suffix}");
        let target = pass.argument(0);
        let host = target.split_once("://").map_or(target, |(_, rest)| rest);
        let host = host.split(['/', '?', '$']).next().unwrap_or_default();
        let upstream = match self.upstreams.get(host) {
            None => None,
            Some(Ok(upstream)) => Some(upstream),
            Some(Err(error)) => return Err(error.clone()),
        };
        let answer = limit(&own("read_timeout"), DEFAULT_MS)?;
        let streams = is_stream(scopes, module);
        let retry = limit(&own("next_upstream_timeout"), 0)?;
        Ok(Route {
            name: if location.is_empty() {
                String::new()
            } else {
                format!("location {}", shown(location))
            },
            answer: (!streams).then_some(answer),
            connect: Some(limit(&own("connect_timeout"), DEFAULT_MS)?),
            answer_covers_connect: false,
            pauses: if streams {
                Vec::new()
            } else {
                vec![limit(&own("send_timeout"), DEFAULT_MS)?]
            },
            pool_idle: upstream
                .filter(|_| pools(scopes, module))
                .and_then(|upstream| upstream.keep.clone()),
            keep_alive: Some(limit("keepalive_timeout", KEEP_ALIVE_DEFAULT_MS)?),
            attempts: self.attempts(scopes, &own("next_upstream"), upstream)?,
            retry: (retry.ms > 0).then_some(retry),
        })
    }

    fn attempts(
        &self,
        scopes: &[&[Directive]],
        name: &str,
        upstream: Option<&Upstream>,
    ) -> Result<u32, PlanError> {
        let servers = upstream.map_or(1, |upstream| upstream.servers.max(1));
        if nearest(scopes, name).is_some_and(|directive| directive.argument(0) == "off") {
            return Ok(1);
        }
        let tries = match nearest(scopes, &format!("{name}_tries")) {
            None => 0,
            Some(directive) => directive.argument(0).parse::<u32>().map_err(|_| {
                directive.error(format!("`{}`", shown(directive.argument(0))), "a number of tries")
            })?,
        };
        // 0 is no bound: each server is tried once.
        Ok(if tries == 0 { servers } else { tries.min(servers) })
    }
}

/// Whether connections of this module can be kept at all.
fn pools(scopes: &[&[Directive]], module: &str) -> bool {
    match module {
        "proxy" | "grpc" => true,
        "fastcgi" => {
            nearest(scopes, "fastcgi_keep_conn").is_some_and(|directive| directive.argument(0) == "on")
        }
        _ => false,
    }
}

/// What is passed on may be a WebSocket, whose pauses keep nobody waiting.
fn is_stream(scopes: &[&[Directive]], module: &str) -> bool {
    let name = format!("{module}_set_header");
    let set = scopes
        .iter()
        .rev()
        .find(|block| block.iter().any(|directive| directive.name() == name));
    set.is_some_and(|block| {
        block.iter().any(|directive| {
            directive.name() == name && directive.argument(0).eq_ignore_ascii_case("upgrade")
        })
    })
}

/// The directive that is in force: that of the innermost block which has it.
fn nearest<'d>(scopes: &[&'d [Directive]], name: &str) -> Option<&'d Directive> {
    scopes
        .iter()
        .rev()
        .find_map(|block| block.iter().rfind(|directive| directive.name() == name))
}

fn upstream(directive: &Directive, block: &[Directive]) -> Result<Upstream, PlanError> {
    let servers = block
        .iter()
        .filter(|inner| inner.name() == "server" && !inner.words[1..].iter().any(|word| word == "down"));
    let servers = u32::try_from(servers.count()).unwrap_or(u32::MAX);
    let pools = block.iter().rfind(|inner| inner.name() == "keepalive");
    let keep = match pools {
        Some(pools) if pools.argument(0) == "0" => None,
        _ => Some(
            match block.iter().rfind(|inner| inner.name() == "keepalive_timeout") {
                Some(limit) => time_of(limit)?,
                None => Limit {
                    ms: DEFAULT_MS,
                    name: "keepalive_timeout".to_owned(),
                    // Older ones pool only where they are told to; a file does not say how old its nginx is.
                    place: match pools {
                        Some(_) => format!("{} (default)", directive.at()),
                        None => format!("{} (default since nginx 1.29.7)", directive.at()),
                    },
                },
            },
        ),
    };
    Ok(Upstream { servers, keep })
}

fn time_of(directive: &Directive) -> Result<Limit, PlanError> {
    let text = directive.argument(0);
    let ms = time_ms(text).ok_or_else(|| {
        directive.error(
            format!(
                "`{} {}` is no time that is known beforehand",
                directive.name(),
                shown(text)
            ),
            "a time such as 1500ms, 2s or 1m30s",
        )
    })?;
    Ok(Limit {
        ms,
        name: directive.name().to_owned(),
        place: directive.at(),
    })
}

/// A time as nginx writes it, in milliseconds: `90`, `90s`, `1m 30s`, `1500ms`. `None` for anything else.
#[must_use]
pub fn time_ms(text: &str) -> Option<u64> {
    let (mut total, mut rest, mut any) = (0_u64, text.trim(), false);
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let unit = match &rest[..letters] {
            "ms" => 1,
            // Without a unit it is seconds, at the end only.
            "" if rest.is_empty() => 1_000,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            "M" => 30 * 86_400_000,
            "y" => 365 * 86_400_000,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(unit)?)?;
        rest = rest[letters..].trim_start();
        any = true;
    }
    any.then_some(total)
}
