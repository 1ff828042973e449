//! Jira Cloud, REST API v3.
//!
//! developer.atlassian.com/cloud/jira/platform: `POST /rest/api/3/issue`, `POST /rest/api/3/search/jql`, Atlassian
//! Document Format. The search is not consistent with writes for seconds to minutes ("Search After Write").

use reqwest::Method;
use serde_json::{Value, json};

use crate::text::one_line;
use crate::tickets::http::{Http, Kind, SetupError, SinkSetup, checked};
use crate::tickets::{Answer, Failure, Made, Secret, Ticket, TicketSink};

/// Longer than the search lags behind, by Atlassian's words.
const SEARCH_LAG_MS: u64 = 5 * 60_000;

/// What Jira needs besides.
#[derive(Debug, Clone)]
pub struct JiraSetup {
    /// The account that the API token belongs to.
    pub email: String,
    /// `OPS`
    pub project_key: String,
    /// `Task`
    pub issue_type: String,
}

/// Makes issues in one project.
pub struct Jira {
    http: Http,
    setup: JiraSetup,
}

impl Jira {
    /// # Errors
    /// A URL, project key, address or account that cannot be one.
    pub fn new(sink: SinkSetup, setup: JiraSetup, token: Secret) -> Result<Self, SetupError> {
        checked("the project key", &setup.project_key, "_")?;
        checked("the e-mail address", &setup.email, "@.+-_")?;
        if setup.issue_type.is_empty() || setup.issue_type != one_line(&setup.issue_type, 60) {
            let shown = one_line(&setup.issue_type, 60);
            return Err(SetupError::Name {
                what: "the issue type",
                shown,
            });
        }
        Ok(Self {
            http: Http::new(sink, token)?,
            setup,
        })
    }

    fn post(&self, path: &str, body: &Value) -> reqwest::RequestBuilder {
        let request = self.http.request(Method::POST, path);
        request
            .basic_auth(&self.setup.email, Some(self.http.secret().expose()))
            .json(body)
    }

    fn made(&self, issue: &Value) -> Option<Made> {
        let key = issue["key"].as_str()?;
        checked("the key", key, "-_").ok()?;
        Some(Made {
            key: key.to_owned(),
            url: Some(self.http.url(&format!("/browse/{key}"))),
        })
    }

    fn issue(&self, ticket: &Ticket) -> Value {
        json!({"fields": {
            "project": {"key": self.setup.project_key},
            "issuetype": {"name": self.setup.issue_type},
            "summary": one_line(&ticket.title, 250),
            "description": self.description(ticket),
            "labels": ticket.all_labels(),
        }})
    }

    fn description(&self, ticket: &Ticket) -> Value {
        let text = |text: &str| json!({"type": "text", "text": if text.is_empty() { "–" } else { text }});
        let paragraph = |content: Vec<Value>| json!({"type": "paragraph", "content": content});
        let mut content = vec![paragraph(vec![text(&ticket.text)])];
        let facts: Vec<Value> = ticket
            .facts
            .iter()
            .map(|(name, value)| text(&format!("{name}: {value}")))
            .map(|fact| json!({"type": "listItem", "content": [paragraph(vec![fact])]}))
            .collect();
        if !facts.is_empty() {
            content.push(json!({"type": "bulletList", "content": facts}));
        }
        if !ticket.owners.is_empty() {
            let mut owners = vec![text("Owners: ")];
            for role in &ticket.owners {
                owners.push(match self.http.accounts.get(role) {
                    Some(id) => json!({"type": "mention", "attrs": {"id": id, "text": format!("@{role}")}}),
                    None => text(role),
                });
                owners.push(text(" "));
            }
            content.push(paragraph(owners));
        }
        json!({"version": 1, "type": "doc", "content": content})
    }
}

impl TicketSink for Jira {
    fn name(&self) -> &'static str {
        "jira"
    }

    fn search_lag_ms(&self) -> u64 {
        SEARCH_LAG_MS
    }

    fn find<'a>(&'a self, ticket: &'a Ticket) -> Answer<'a, Option<Made>> {
        Box::pin(async move {
            let jql = format!(
                "project = \"{}\" AND labels = \"{}\"",
                self.setup.project_key,
                ticket.label()
            );
            let body = json!({"jql": jql, "fields": ["key"], "maxResults": 1});
            let found = self
                .http
                .call(self.post("/rest/api/3/search/jql", &body), Kind::Looks)
                .await?;
            let Some(issues) = found["issues"].as_array() else {
                return Err(Failure::Refused {
                    why: "jira: the search's answer has no issues; is the base URL a Jira Cloud site?"
                        .to_owned(),
                });
            };
            Ok(issues.first().and_then(|issue| self.made(issue)))
        })
    }

    fn create<'a>(&'a self, ticket: &'a Ticket) -> Answer<'a, Made> {
        Box::pin(async move {
            let request = self.post("/rest/api/3/issue", &self.issue(ticket));
            let answer = self.http.call(request, Kind::Creates).await?;
            self.made(&answer).ok_or_else(|| Failure::Uncertain {
                why: "jira: the answer to a creation has no key".to_owned(),
                after_ms: None,
            })
        })
    }
}

impl std::fmt::Debug for Jira {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jira")
            .field("setup", &self.setup)
            .finish_non_exhaustive()
    }
}
