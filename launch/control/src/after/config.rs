//! The configuration of what happens after a launch: a YAML file, checked as a whole before anything starts.
//!
//! Every mistake is told with file, line and column. Reading it opens no other file and no socket; it holds no secret.

mod file;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_saphyr::{Location, Spanned};
use tminus_after::stamps::Zone;
use tminus_after::tickets::{Accounts, Secret};
use tminus_configuration::ConfigError;
use tminus_origin::Network;

use super::sinks::{SinkConfig, Target};
use file::{AfterFile, MentionsFile, TicketsFile};

const OWNERS_MAX: usize = 16;
const IGNORED_MAX: usize = 100;
const PROXIES_MAX: usize = 256;
const MENTIONS_MAX: usize = 256;
const NAME_CHARACTERS_MAX: usize = 100;

/// A checked configuration. Relative paths are to the folder of the file.
#[derive(Debug, Clone)]
pub struct AfterConfig {
    /// The folder of the launch's record.
    pub record: PathBuf,
    /// The folder of the record of downloads; it may not be there yet.
    pub downloads: PathBuf,
    /// What is kept from one run to the next.
    pub state: PathBuf,
    /// Where the form is.
    pub listen: SocketAddr,
    /// Where figures and tickets are shown.
    pub admin: SocketAddr,
    pub admin_allow_remote: bool,
    /// Cookies without `Secure`.
    pub plain_http: bool,
    /// 64 hexadecimal digits, mode 0600.
    pub feedback_key: PathBuf,
    /// Of readers of whom nothing else is known.
    pub zone: Option<Zone>,
    pub geoip: Option<PathBuf>,
    pub trusted_proxies: Vec<Network>,
    pub ops_package: OpsPackage,
    /// `token:mirror`, `key:SHA256:…`: whose downloads mean nothing.
    pub ignore_downloads_by: Vec<String>,
    /// Roles that every ticket mentions; none: the owners of the plan's items.
    pub owners: Option<Vec<String>>,
    pub sinks: Vec<SinkConfig>,
}

/// The file whose download is to be followed by its operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpsPackage {
    pub role: String,
    /// Below the role's folder.
    pub file: String,
}

impl AfterConfig {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// It cannot be read, or the first mistake in it.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(&tminus_configuration::read(path)?, &path.display().to_string())
    }

    /// Checks a configuration's text; `file` is where it lies, for messages and for paths in it.
    ///
    /// # Errors
    /// The first mistake, with its place.
    pub fn parse(yaml: &str, file: &str) -> Result<Self, ConfigError> {
        let read: AfterFile = tminus_configuration::parse(yaml, file)?;
        Checker { file }.check(read)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.state.join(name)
    }
}

struct Checker<'a> {
    file: &'a str,
}

impl Checker<'_> {
    fn error(&self, at: Location, what: impl Into<String>) -> ConfigError {
        ConfigError::at(self.file, at, what)
    }

    fn path(&self, path: &Path) -> PathBuf {
        Path::new(self.file)
            .parent()
            .map_or_else(|| path.to_owned(), |folder| folder.join(path))
    }

    fn check(&self, read: AfterFile) -> Result<AfterConfig, ConfigError> {
        let launch = self.path(&read.launch);
        let below = |given: Option<PathBuf>, name: &str| match given {
            Some(path) => self.path(&path),
            None => launch.join(name),
        };
        let listen = self.address(read.listen.as_ref(), 8090)?;
        let admin = self.address(read.admin.as_ref(), 8091)?;
        if let Some(given) = &read.admin
            && !admin.ip().is_loopback()
            && !read.admin_allow_remote
        {
            let what = format!(
                "{admin} can be reached from other machines, and the page has no sign-in: use a loopback address such as \
                 127.0.0.1, or set admin_allow_remote: true and put a sign-in before it"
            );
            return Err(self.error(given.referenced, what));
        }
        let zone = read.zone.as_ref().map(|zone| {
            let what = "zone is a name of the IANA database: Asia/Shanghai";
            Zone::named(&zone.value).ok_or_else(|| self.error(zone.referenced, what))
        });
        self.at_most(&read.trusted_proxies, PROXIES_MAX, "trusted_proxies")?;
        let proxies = read.trusted_proxies.iter().map(|proxy| {
            let network = proxy.value.parse::<Network>();
            network.map_err(|what| self.error(proxy.referenced, what))
        });
        let trusted_proxies = proxies.collect::<Result<_, _>>()?;
        let ops = read.ops_package;
        let (role, file) = ops.map_or((None, None), |ops| (ops.role, ops.file));
        let role = match role {
            Some(role) => self.name(&role)?,
            None => "ops".to_owned(),
        };
        let ops_package = OpsPackage {
            file: match file {
                Some(file) => self.name(&file)?,
                None => format!("{role}.zip"),
            },
            role,
        };
        self.at_most(&read.ignore_downloads_by, IGNORED_MAX, "ignore_downloads_by")?;
        let owners = read.owners.map(|owners| {
            self.at_most(&owners, OWNERS_MAX, "owners")?;
            owners.iter().map(|owner| self.name(owner)).collect()
        });
        Ok(AfterConfig {
            record: below(read.record, "record"),
            downloads: below(read.downloads, "downloads"),
            state: below(read.state, "after"),
            listen,
            admin,
            admin_allow_remote: read.admin_allow_remote,
            plain_http: read.plain_http,
            feedback_key: below(read.feedback_key, "keys/feedback.key"),
            zone: zone.transpose()?,
            geoip: read.geoip.map(|path| self.path(&path)),
            trusted_proxies,
            ops_package,
            ignore_downloads_by: read
                .ignore_downloads_by
                .iter()
                .map(|who| self.name(who))
                .collect::<Result<_, _>>()?,
            owners: owners.transpose()?,
            sinks: self.sinks(read.tickets.unwrap_or_default())?,
        })
    }

    fn address(&self, text: Option<&Spanned<String>>, port: u16) -> Result<SocketAddr, ConfigError> {
        match text {
            None => Ok(SocketAddr::from(([127, 0, 0, 1], port))),
            Some(text) => text.value.parse().map_err(|_| {
                let what = "an address to listen on is written 127.0.0.1:8090 or [::1]:8090";
                self.error(text.referenced, what)
            }),
        }
    }

    fn name(&self, name: &Spanned<String>) -> Result<String, ConfigError> {
        let length = name.value.chars().count();
        if (1..=NAME_CHARACTERS_MAX).contains(&length) && !name.value.chars().any(char::is_control) {
            return Ok(name.value.clone());
        }
        let what = format!("a name has 1 to {NAME_CHARACTERS_MAX} characters on one line");
        Err(self.error(name.referenced, what))
    }

    fn at_most<T>(&self, list: &[Spanned<T>], most: usize, name: &str) -> Result<(), ConfigError> {
        match list.get(most) {
            None => Ok(()),
            Some(one_more) => {
                Err(self.error(one_more.referenced, format!("{name} has at most {most} entries")))
            }
        }
    }

    fn sinks(&self, read: TicketsFile) -> Result<Vec<SinkConfig>, ConfigError> {
        let mut sinks = Vec::new();
        if let Some(jira) = read.jira {
            let target = Target::Jira {
                email: jira.email,
                project: jira.project,
                issue_type: jira.issue_type.unwrap_or_else(|| "Task".to_owned()),
            };
            sinks.push(self.sink(target, jira.url, &jira.token_file, jira.mentions)?);
        }
        if let Some(github) = read.github {
            let target = Target::GitHub {
                repository: github.repository.value.clone(),
            };
            let url = github
                .url
                .unwrap_or_else(|| at("https://api.github.com", &github.repository));
            sinks.push(self.sink(target, url, &github.token_file, github.mentions)?);
        }
        if let Some(gitlab) = read.gitlab {
            let target = Target::GitLab {
                project: gitlab.project.value.clone(),
            };
            let url = gitlab
                .url
                .unwrap_or_else(|| at("https://gitlab.com", &gitlab.project));
            sinks.push(self.sink(target, url, &gitlab.token_file, gitlab.mentions)?);
        }
        if let Some(webhook) = read.webhook {
            sinks.push(self.sink(Target::Webhook, webhook.url, &webhook.key_file, webhook.mentions)?);
        }
        Ok(sinks)
    }

    /// Built once with a secret that is none: what a sink does not take is told with its line.
    fn sink(
        &self,
        target: Target,
        url: Spanned<String>,
        secret_file: &Path,
        mentions: Option<MentionsFile>,
    ) -> Result<SinkConfig, ConfigError> {
        let mut accounts = Accounts::new();
        for (role, account) in mentions.unwrap_or_default() {
            if accounts.len() == MENTIONS_MAX {
                let what = format!("mentions has at most {MENTIONS_MAX} entries");
                return Err(self.error(account.referenced, what));
            }
            accounts.insert(role, self.name(&account)?);
        }
        let sink = SinkConfig {
            target,
            base_url: url.value.clone(),
            secret_file: self.path(secret_file),
            accounts,
        };
        let nobody = |e: &dyn std::fmt::Display| self.error(url.referenced, e.to_string());
        let secret = Secret::new("none", "the check").map_err(|e| nobody(&e))?;
        let name = sink.name();
        sink.build(secret, std::sync::Arc::new(|| 0))
            .map_err(|e| nobody(&format!("tickets.{name}: {e}")))?;
        Ok(sink)
    }
}

fn at(text: &str, place: &Spanned<String>) -> Spanned<String> {
    let mut at = place.clone();
    text.clone_into(&mut at.value);
    at
}
