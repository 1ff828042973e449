//! Issues on GitHub (REST, 2022-11-28) and GitLab (API v4): two dialects of one thing.
//!
//! docs.github.com/rest/issues/issues, docs.gitlab.com/api/issues.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::text::one_line;
use crate::tickets::http::{Http, Kind, SetupError, SinkSetup, checked};
use crate::tickets::{Answer, Failure, Made, Secret, Ticket, TicketSink};

/// Lists are read from the database, but perhaps from one that follows the other.
const LIST_LAG_MS: u64 = 60_000;

/// Issues of one repository on GitHub. The token must be one that may push: GitHub drops the labels of others without
/// a word, and a ticket whose answer was lost could not be found again.
pub struct GitHub(Forge);

/// Issues of one project on GitLab.
pub struct GitLab(Forge);

struct Forge {
    http: Http,
    dialect: Dialect,
    /// The path of the list and of creations.
    path: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    GitHub,
    GitLab,
}

impl GitHub {
    /// `repository` is `owner/name`; the base URL `https://api.github.com`.
    ///
    /// # Errors
    /// A URL, name or account that cannot be one.
    pub fn new(setup: SinkSetup, repository: &str, token: Secret) -> Result<Self, SetupError> {
        let repository = checked("the repository", repository, "-_./")?;
        if repository.split('/').filter(|part| !part.is_empty()).count() != 2
            || repository.matches('/').count() != 1
        {
            return Err(SetupError::Name {
                what: "the repository",
                shown: repository,
            });
        }
        Ok(Self(Forge {
            http: Http::new(setup, token)?,
            dialect: Dialect::GitHub,
            path: format!("/repos/{repository}/issues"),
        }))
    }
}

impl GitLab {
    /// `project` is its number or its whole path; the base URL ends before `/api`.
    ///
    /// # Errors
    /// A URL, name or account that cannot be one.
    pub fn new(setup: SinkSetup, project: &str, token: Secret) -> Result<Self, SetupError> {
        let project = checked("the project", project, "-_./")?.replace('/', "%2F");
        Ok(Self(Forge {
            http: Http::new(setup, token)?,
            dialect: Dialect::GitLab,
            path: format!("/api/v4/projects/{project}/issues"),
        }))
    }
}

impl Forge {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, path);
        let token = self.http.secret().expose();
        match self.dialect {
            Dialect::GitHub => request
                .bearer_auth(token)
                .header("accept", "application/vnd.github+json")
                .header("x-github-api-version", "2022-11-28"),
            Dialect::GitLab => request.header("private-token", token),
        }
    }

    async fn find(&self, ticket: &Ticket) -> Result<Option<Made>, Failure> {
        let path = format!("{}?labels={}&state=all&per_page=1", self.path, ticket.label());
        let found = self
            .http
            .call(self.request(Method::GET, &path), Kind::Looks)
            .await?;
        let Some(issues) = found.as_array() else {
            return Err(Failure::Refused {
                why: "the list of issues is no list; correct the base URL".to_owned(),
            });
        };
        Ok(issues.first().and_then(|issue| self.made(issue)))
    }

    async fn create(&self, ticket: &Ticket) -> Result<Made, Failure> {
        let (title, text) = (one_line(&ticket.title, 250), self.markdown(ticket));
        let labels = ticket.all_labels();
        let body = match self.dialect {
            Dialect::GitHub => json!({"title": title, "body": text, "labels": labels}),
            Dialect::GitLab => json!({"title": title, "description": text, "labels": labels.join(",")}),
        };
        let answer = self
            .http
            .call(self.request(Method::POST, &self.path).json(&body), Kind::Creates)
            .await?;
        self.made(&answer).ok_or_else(|| Failure::Uncertain {
            why: "the answer to a creation has no number".to_owned(),
            after_ms: None,
        })
    }

    fn made(&self, issue: &Value) -> Option<Made> {
        let (number, url) = match self.dialect {
            Dialect::GitHub => (&issue["number"], &issue["html_url"]),
            Dialect::GitLab => (&issue["iid"], &issue["web_url"]),
        };
        Some(Made {
            key: format!("#{}", number.as_u64()?),
            url: url.as_str().map(|url| one_line(url, 500)),
        })
    }

    /// Values stand in code spans: they mention nobody, link nothing and are no quick action.
    fn markdown(&self, ticket: &Ticket) -> String {
        let code = |text: &str| format!("`{}`", one_line(text, 600).replace('`', "'"));
        let mut lines = vec![ticket.text.clone(), String::new()];
        lines.extend(
            ticket
                .facts
                .iter()
                .map(|(name, value)| format!("- {name}: {}", code(value))),
        );
        let owners: Vec<String> = ticket
            .owners
            .iter()
            .map(|role| match self.http.accounts.get(role) {
                Some(account) => format!("@{account} ({})", code(role)),
                None => code(role),
            })
            .collect();
        if !owners.is_empty() {
            lines.extend([String::new(), format!("Owners: {}", owners.join(", "))]);
        }
        lines.join("\n")
    }
}

macro_rules! ticket_sink {
    ($type:ident, $name:literal) => {
        impl TicketSink for $type {
            fn name(&self) -> &'static str {
                $name
            }

            fn search_lag_ms(&self) -> u64 {
                LIST_LAG_MS
            }

            fn find<'a>(&'a self, ticket: &'a Ticket) -> Answer<'a, Option<Made>> {
                Box::pin(self.0.find(ticket))
            }

            fn create<'a>(&'a self, ticket: &'a Ticket) -> Answer<'a, Made> {
                Box::pin(self.0.create(ticket))
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($type))
                    .field("path", &self.0.path)
                    .finish_non_exhaustive()
            }
        }
    };
}

ticket_sink!(GitHub, "github");
ticket_sink!(GitLab, "gitlab");
