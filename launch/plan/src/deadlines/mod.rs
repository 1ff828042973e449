//! Whether the time limits along a call fit each other: nobody may still work, or answer, when its caller has gone.
//!
//! [`misalignments`] compares what configurations say, [`probed`] and [`late`] what a live service answered. Who reads
//! files and sends requests hands in what was found; times are milliseconds.

mod live;
mod nginx;
mod nginx_syntax;

use std::fmt;

use serde::Serialize;

pub use crate::parse::gateway_route;
pub use live::{HopLeft, Late, Probe, hops_left, late, probed};
pub use nginx::{Included, time_ms as nginx_time_ms, walk as nginx_routes};

/// A time limit, with the place where it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Limit {
    /// Milliseconds.
    pub ms: u64,
    /// What it is called there, e.g. `proxy_read_timeout`.
    pub name: String,
    /// `FILE:LINE:COLUMN`, with a word more where it is a default.
    pub place: String,
}

/// The limits of one hop on one way through it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Route {
    /// Which way, e.g. `location /v1/`; empty where there is one only.
    pub name: String,
    /// Until the next hop's answer begins; of the last hop, for its own work.
    pub answer: Option<Limit>,
    /// For a connection to the next hop.
    pub connect: Option<Limit>,
    /// Whether `answer` bounds connecting as well.
    pub answer_covers_connect: bool,
    /// Pauses within a request or an answer, while the caller waits.
    pub pauses: Vec<Limit>,
    /// How long an idle connection to the next hop is kept.
    pub pool_idle: Option<Limit>,
    /// How long an idle connection of the hop before is kept.
    pub keep_alive: Option<Limit>,
    /// How often the next hop is tried, at least 1.
    pub attempts: u32,
    /// No attempt begins later than this.
    pub retry: Option<Limit>,
}

impl Default for Route {
    fn default() -> Self {
        Self {
            name: String::new(),
            answer: None,
            connect: None,
            answer_covers_connect: false,
            pauses: Vec::new(),
            pool_idle: None,
            keep_alive: None,
            attempts: 1,
            retry: None,
        }
    }
}

/// A hop, with what was found of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    pub name: String,
    /// Whether it reads the deadline that a request names, keeps it and hands it on with less.
    pub keeps_deadline: bool,
    pub routes: Vec<Route>,
}

/// What is out of line. The words are stable: evidence and the plan's readers know them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// A hop waits as long as its caller does, or longer.
    TimeoutNotBelowCaller,
    /// Connecting alone may take the whole budget.
    ConnectLongerThanBudget,
    /// A pause within a call, or the life of an idle pooled connection, is as long as the budget or longer.
    IdleLongerThanBudget,
    /// Idle connections are kept longer than the next hop keeps its end of them.
    IdleLongerThanNextHop,
    /// All attempts together take as long as the caller waits, or longer.
    RetriesExceedBudget,
    /// A hop that should announce what is left does not.
    HopNotSeen,
    /// A hop has as much time left as the one before it, or more.
    AddsTime,
    /// The caller's time was over long before an error said so.
    AnswersAfterCaller,
    /// The work was done to its end, or went on, after the caller's time was over.
    IgnoresDeadline,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimeoutNotBelowCaller => "timeout-not-below-caller",
            Self::ConnectLongerThanBudget => "connect-longer-than-budget",
            Self::IdleLongerThanBudget => "idle-longer-than-budget",
            Self::IdleLongerThanNextHop => "idle-longer-than-next-hop",
            Self::RetriesExceedBudget => "retries-exceed-budget",
            Self::HopNotSeen => "hop-not-seen",
            Self::AddsTime => "adds-time",
            Self::AnswersAfterCaller => "answers-after-caller",
            Self::IgnoresDeadline => "ignores-deadline",
        })
    }
}

/// One misalignment.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    pub rule: Rule,
    pub hop: String,
    /// `FILE:LINE:COLUMN`, or what was asked.
    pub place: String,
    /// With both numbers.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}: {}: {}; {}",
            self.rule, self.place, self.hop, self.what, self.remedy
        )
    }
}

/// Who waits for a hop, and how long.
#[derive(Clone)]
struct Wait {
    ms: u64,
    whose: String,
    /// Whether it hands its deadline on.
    hands_on: bool,
}

/// Compares the limits of hops, the outermost first, with each other and with the budget of who calls the first.
///
/// A hop that keeps deadlines needs no limit below that of a hop which hands its own on: the shorter one holds. The first
/// hop is held to the budget by its own limit, because not every caller says how long it waits. Streams and idle
/// connections of callers keep nobody waiting, so how long they may be idle is compared with no budget.
#[must_use]
pub fn misalignments(budget_ms: u64, hops: &[Hop]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut wait = Wait {
        ms: budget_ms,
        whose: "the caller".to_owned(),
        hands_on: false,
    };
    for (at, hop) in hops.iter().enumerate() {
        for route in &hop.routes {
            let next = hops.get(at + 1);
            let mut check = Check {
                budget_ms,
                hop,
                route,
                wait: &wait,
                findings: &mut findings,
            };
            check.answer();
            check.connect();
            check.pauses();
            check.pool(next);
        }
        let shortest = hop
            .routes
            .iter()
            .filter_map(|route| route.answer.as_ref())
            .map(|limit| limit.ms)
            .min();
        wait = Wait {
            ms: match shortest {
                Some(own) if hop.keeps_deadline => own.min(wait.ms),
                Some(own) => own,
                None => wait.ms,
            },
            whose: hop.name.clone(),
            hands_on: hop.keeps_deadline,
        };
    }
    findings
}

struct Check<'a> {
    budget_ms: u64,
    hop: &'a Hop,
    route: &'a Route,
    wait: &'a Wait,
    findings: &'a mut Vec<Finding>,
}

impl Check<'_> {
    fn find(&mut self, rule: Rule, limit: &Limit, what: String, remedy: String) {
        let hop = if self.route.name.is_empty() {
            self.hop.name.clone()
        } else {
            format!("{}, {}", self.hop.name, self.route.name)
        };
        self.findings.push(Finding {
            rule,
            hop,
            place: limit.place.clone(),
            what,
            remedy,
        });
    }

    fn answer(&mut self) {
        let Some(answer) = &self.route.answer else { return };
        if self.wait.hands_on && self.hop.keeps_deadline {
            return;
        }
        let Wait { ms: bound, whose, .. } = self.wait;
        if answer.ms >= *bound {
            let what = format!(
                "{} is {} ms, and {whose} waits {bound} ms",
                answer.name, answer.ms
            );
            let remedy = format!("set it below {bound} ms");
            self.find(Rule::TimeoutNotBelowCaller, answer, what, remedy);
            return;
        }
        let connect = match &self.route.connect {
            Some(connect) if !self.route.answer_covers_connect => connect.ms,
            _ => 0,
        };
        let (bound, whose, answer_ms) = (*bound, whose.clone(), answer.ms);
        let once = connect.saturating_add(answer_ms);
        let attempts = self.route.attempts.max(1);
        let all = once.saturating_mul(u64::from(attempts));
        let total = match &self.route.retry {
            // The last attempt may begin just before the limit.
            Some(retry) => all.min(retry.ms.saturating_add(once)),
            None => all,
        };
        if total < bound || connect >= bound {
            return;
        }
        let each = format!("connecting {connect} ms and {} {answer_ms} ms", answer.name);
        if attempts == 1 {
            let what = format!("{each} are {total} ms together, and {whose} waits {bound} ms");
            let remedy = format!("lower them until both are below {bound} ms together");
            self.find(Rule::TimeoutNotBelowCaller, answer, what, remedy);
        } else {
            let what =
                format!("{attempts} attempts of {each} are up to {total} ms, and {whose} waits {bound} ms");
            let remedy = format!("lower the limits, or bound the attempts and their time, below {bound} ms");
            self.find(Rule::RetriesExceedBudget, answer, what, remedy);
        }
    }

    fn connect(&mut self) {
        let bound = self.budget_ms;
        if let Some(connect) = &self.route.connect
            && connect.ms >= bound
        {
            let what = format!("{} is {} ms, the budget {bound} ms", connect.name, connect.ms);
            let remedy = format!("set it well below {bound} ms");
            self.find(Rule::ConnectLongerThanBudget, connect, what, remedy);
        }
    }

    fn pauses(&mut self) {
        let bound = self.budget_ms;
        for pause in self.route.pauses.iter().filter(|pause| pause.ms >= bound) {
            let what = format!(
                "{} is {} ms, so a call may stand still longer than the budget of {bound} ms",
                pause.name, pause.ms
            );
            let remedy = format!("set it below {bound} ms");
            self.find(Rule::IdleLongerThanBudget, pause, what, remedy);
        }
    }

    fn pool(&mut self, next: Option<&Hop>) {
        let Some(pool) = &self.route.pool_idle else { return };
        let bound = self.budget_ms;
        if pool.ms >= bound {
            let what = format!(
                "{} keeps idle connections for {} ms, the budget is {bound} ms",
                pool.name, pool.ms
            );
            let remedy = format!("set it below {bound} ms");
            self.find(Rule::IdleLongerThanBudget, pool, what, remedy);
        }
        let kept = next
            .into_iter()
            .flat_map(|next| next.routes.iter().filter_map(|route| route.keep_alive.as_ref()))
            // One that keeps none answers so, and nothing is pooled.
            .filter(|kept| kept.ms > 0)
            .min_by_key(|limit| limit.ms);
        if let (Some(kept), Some(next)) = (kept, next)
            && pool.ms >= kept.ms
        {
            let what = format!(
                "{} keeps idle connections for {} ms, and {} closes them after {} ms ({}, {}): requests get lost between",
                pool.name, pool.ms, next.name, kept.ms, kept.name, kept.place
            );
            let remedy = format!("set it below {} ms", kept.ms);
            self.find(Rule::IdleLongerThanNextHop, pool, what, remedy);
        }
    }
}
