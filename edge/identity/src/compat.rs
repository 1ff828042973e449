//! How often which credentials were shown, and what became of it: `auth_compat_total`, and the sessions that
//! could not be read, by kind.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Mutex, PoisonError},
};

use crate::{
    decide::{Refusal, SessionFinding, TokenFinding},
    headers::Malformed,
};

/// What a request's credentials led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Accepted,
    Refused,
    /// Both were good and named different players.
    Disagree,
    /// A key set or the sessions could not be reached.
    Unavailable,
}

impl Outcome {
    #[must_use]
    pub fn of<T>(decision: &Result<T, Refusal>) -> Self {
        match decision {
            Ok(_) => Self::Accepted,
            Err(Refusal::Disagree) => Self::Disagree,
            Err(refusal) if refusal.is_unavailable() => Self::Unavailable,
            Err(_) => Self::Refused,
        }
    }

    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Disagree => "disagree",
            Self::Unavailable => "unavailable",
        }
    }
}

type Labels = (&'static str, &'static str, Outcome);

/// A counter with the labels `jwt`, `session` and `outcome`. Every label comes from a fixed set, so that
/// no client can make it grow.
#[derive(Debug, Default)]
pub struct AuthCompat {
    requests: Mutex<BTreeMap<Labels, u64>>,
    /// Sessions that could not be read, by the kind of what was wrong.
    unread: Mutex<BTreeMap<&'static str, u64>>,
}

impl AuthCompat {
    /// Counts one request.
    pub fn count<T>(&self, token: &TokenFinding, session: &SessionFinding, decision: &Result<T, Refusal>) {
        let labels = (token.label(), session.label(), Outcome::of(decision));
        raise(&self.requests, labels);
        if let SessionFinding::Unreadable(error) = session {
            raise(&self.unread, error.kind());
        }
    }

    /// Counts a request whose headers could not be read.
    pub fn count_malformed(&self, malformed: Malformed) {
        let labels = match malformed {
            Malformed::TwoTokens | Malformed::NotBearer | Malformed::TokenTooLong => ("malformed", "unknown"),
            Malformed::TwoSessions | Malformed::SessionId | Malformed::Cookies | Malformed::ForeignOrigin => {
                ("unknown", "malformed")
            }
        };
        raise(&self.requests, (labels.0, labels.1, Outcome::Refused));
    }

    /// How many requests had these labels.
    #[must_use]
    pub fn now(&self, jwt: &str, session: &str, outcome: Outcome) -> u64 {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let found = requests
            .iter()
            .find(|((a, b, c), _)| (*a, *b, *c) == (jwt, session, outcome));
        found.map_or(0, |(_, count)| *count)
    }

    /// Both families in the text format of Prometheus (version 0.0.4).
    pub fn write_prometheus(&self, page: &mut String) {
        // Writing to a string cannot fail.
        let _ = writeln!(
            page,
            "# HELP auth_compat_total Requests by the credentials that they showed and what became of them.\n\
             # TYPE auth_compat_total counter"
        );
        for ((jwt, session, outcome), count) in self
            .requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            let outcome = outcome.label();
            let _ = writeln!(
                page,
                "auth_compat_total{{jwt=\"{jwt}\",session=\"{session}\",outcome=\"{outcome}\"}} {count}"
            );
        }
        let _ = writeln!(
            page,
            "# HELP auth_sessions_unreadable_total Legacy sessions that could not be read, by what was wrong.\n\
             # TYPE auth_sessions_unreadable_total counter"
        );
        for (kind, count) in self.unread.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let _ = writeln!(page, "auth_sessions_unreadable_total{{kind=\"{kind}\"}} {count}");
        }
    }
}

fn raise<K: Ord>(counts: &Mutex<BTreeMap<K, u64>>, labels: K) {
    *counts
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .entry(labels)
        .or_default() += 1;
}
