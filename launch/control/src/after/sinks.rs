//! Where tickets go: from a configuration to something that makes them.

use std::path::PathBuf;
use std::sync::Arc;

use tminus_after::tickets::{
    Accounts, Clock, GitHub, GitLab, Jira, JiraSetup, Secret, SetupError, SinkSetup, TicketSink, Webhook,
};

use crate::error::{CliError, Kind, Result, from_part};

/// One place for tickets. At most one of a kind.
#[derive(Debug, Clone)]
pub struct SinkConfig {
    pub target: Target,
    pub base_url: String,
    /// One line, mode 0600.
    pub secret_file: PathBuf,
    pub accounts: Accounts,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Jira {
        email: String,
        project: String,
        issue_type: String,
    },
    GitHub {
        repository: String,
    },
    GitLab {
        project: String,
    },
    Webhook,
}

impl SinkConfig {
    /// `jira`, `github`, `gitlab`, `webhook`: also in the name of its outbox.
    pub const fn name(&self) -> &'static str {
        match self.target {
            Target::Jira { .. } => "jira",
            Target::GitHub { .. } => "github",
            Target::GitLab { .. } => "gitlab",
            Target::Webhook => "webhook",
        }
    }

    /// # Errors
    /// A URL, name or account that cannot be one.
    pub fn build(
        &self,
        secret: Secret,
        clock: Clock,
    ) -> std::result::Result<Arc<dyn TicketSink>, SetupError> {
        let setup = SinkSetup {
            base_url: self.base_url.clone(),
            accounts: self.accounts.clone(),
            ..SinkSetup::default()
        };
        Ok(match &self.target {
            Target::Jira {
                email,
                project,
                issue_type,
            } => {
                let jira = JiraSetup {
                    email: email.clone(),
                    project_key: project.clone(),
                    issue_type: issue_type.clone(),
                };
                Arc::new(Jira::new(setup, jira, secret)?)
            }
            Target::GitHub { repository } => Arc::new(GitHub::new(setup, repository, secret)?),
            Target::GitLab { project } => Arc::new(GitLab::new(setup, project, secret)?),
            Target::Webhook => Arc::new(Webhook::new(setup, secret, clock)?),
        })
    }

    /// [`Self::build`] with the credential from its file.
    ///
    /// # Errors
    /// No such file, one that others can read, no token in it.
    pub fn open(&self, clock: Clock) -> Result<Arc<dyn TicketSink>> {
        let secret = Secret::from_file(&self.secret_file).map_err(|e| {
            from_part(
                Kind::Usage,
                &format!("the credential of tickets.{}", self.name()),
                &e,
            )
        })?;
        self.build(secret, clock)
            .map_err(|e| CliError::usage(format!("tickets.{}: {e}", self.name())))
    }
}
