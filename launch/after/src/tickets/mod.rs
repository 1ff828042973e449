//! Decisions become tickets elsewhere, each one once.
//!
//! [`Outbox`] decides what is sent when and is pure; [`Courier`] keeps it in a file and talks to one
//! [`TicketSink`]. No server offers "create once", so the rule is: write down that it is being sent, look
//! whether it is there already, create it, write down what came back. After anything that may have created
//! it (no answer, a failing server, a crash) the next look waits until the server's search can know of it.

mod courier;
mod forge;
mod http;
mod jira;
mod outbox;
mod secret;
mod webhook;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use serde::{Deserialize, Serialize};

pub use courier::{Chance, Clock, Courier, CourierError, Step};
pub use forge::{GitHub, GitLab};
pub use http::{HttpLimits, SetupError, SinkSetup};
pub use jira::{Jira, JiraSetup};
pub use outbox::{Entry, Outbox, OutboxError, Pace, State, Taken};
pub use secret::{Secret, SecretError};
pub use webhook::{Webhook, signature};

use crate::text::one_line;
use crate::triggers::{Decision, Reason};

/// A text or fact of a ticket has at most this many characters.
const FACT_CHARACTERS_MAX: usize = 500;

/// What a sink is asked to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The decision's id.
    pub id: String,
    /// One line.
    pub title: String,
    /// One paragraph.
    pub text: String,
    /// Names and values, in order.
    pub facts: Vec<(String, String)>,
    /// Roles of the plan; a sink turns those that it has an account for into mentions.
    pub owners: Vec<String>,
    /// Besides [`Ticket::label`].
    pub labels: Vec<String>,
}

impl Ticket {
    /// The label by which a ticket is found again: `tminus-<id>`.
    pub fn label(&self) -> String {
        label(&self.id)
    }

    /// A retrospective.
    pub fn retrospective(decision: &Decision, owners: &[String]) -> Self {
        let launch = one_line(&decision.launch, 80);
        let fact = |name: &str, value: &str| (name.to_owned(), one_line(value, FACT_CHARACTERS_MAX));
        let mut facts = vec![fact("launch", &decision.launch)];
        let (title, text) = match &decision.reason {
            Reason::EmergencyRollback => (
                format!("Retrospective: emergency rollback in launch {launch}"),
                "The emergency rollback was carried out: it is ticked on the page by hand, or the launch's record says so.",
            ),
            Reason::EditedByHand { version, edits_at_ms } => {
                facts.push(fact("version", version));
                let times: Vec<String> = edits_at_ms.iter().map(|at_ms| utc(*at_ms)).collect();
                facts.push(fact("edits", &times.join(", ")));
                (
                    format!(
                        "Retrospective: version {} edited by hand again and again",
                        one_line(version, 80)
                    ),
                    "One version was edited by hand several times within the window that the rules allow.",
                )
            }
            Reason::NotCarriedOut {
                file,
                who,
                downloaded_at_ms,
            } => {
                facts.push(fact("file", file));
                facts.push(fact("downloaded by", who));
                facts.push(fact("downloaded at", &utc(*downloaded_at_ms)));
                (
                    format!(
                        "Retrospective: {} was downloaded but not carried out",
                        one_line(file, 80)
                    ),
                    "An ops package was downloaded, and the operation that it is for did not follow in time.",
                )
            }
        };
        Self {
            id: decision.id.clone(),
            title,
            text: text.to_owned(),
            facts,
            owners: owners.to_vec(),
            labels: vec!["tminus".to_owned(), "retrospective".to_owned()],
        }
    }

    fn all_labels(&self) -> Vec<String> {
        let mut labels = vec![self.label()];
        labels.extend(self.labels.iter().cloned());
        labels
    }
}

fn label(id: &str) -> String {
    format!("tminus-{id}")
}

fn utc(at_ms: u64) -> String {
    let at = i64::try_from(at_ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map_or_else(
        || format!("{at_ms} ms"),
        |at| {
            at.to_zoned(jiff::tz::TimeZone::UTC)
                .strftime("%Y-%m-%d %H:%M:%S UTC")
                .to_string()
        },
    )
}

/// A ticket that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// `OPS-12`, `#34`.
    pub key: String,
    /// Where a person sees it.
    pub url: Option<String>,
}

/// Why a sink has no ticket to show. No text here holds a credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nothing was made. Later it may work.
    #[error("{why}")]
    Later { why: String, after_ms: Option<u64> },
    /// It may have been made.
    #[error("{why}; it may have been made all the same")]
    Uncertain { why: String, after_ms: Option<u64> },
    /// It will not work before somebody changes something.
    #[error("{why}")]
    Refused { why: String },
}

/// What a call to a sink returns.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

/// Where tickets are made.
pub trait TicketSink: Send + Sync {
    /// For messages: `jira`, `github`.
    fn name(&self) -> &'static str;

    /// How long after a creation its search may not know of it yet.
    fn search_lag_ms(&self) -> u64;

    /// The ticket with our label. A sink whose receiver keeps our idempotency key says `None`.
    fn find<'a>(&'a self, ticket: &'a Ticket) -> Answer<'a, Option<Made>>;

    fn create<'a>(&'a self, ticket: &'a Ticket) -> Answer<'a, Made>;
}

/// Role -> account: an account id in Jira, a user's name elsewhere.
pub type Accounts = BTreeMap<String, String>;
