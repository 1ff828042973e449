//! Which links there are, how often each was used, which are revoked: one file, written whole and renamed into place
//! before anybody is told. Calls that wait together share a write.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::DeliveryError;

/// Links that have not ended.
pub const LINKS_MAX: usize = 10_000;
const FORMAT: u32 = 1;

/// A link as the book keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkEntry {
    pub role: String,
    pub file: String,
    pub made_by: String,
    /// Milliseconds since 1970-01-01 UTC, as all times here.
    pub made_at_ms: i64,
    pub expires_at_ms: i64,
    pub downloads: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub downloads_max: Option<u64>,
    pub revoked: bool,
}

impl LinkEntry {
    /// Whether it gives nothing any more.
    #[must_use]
    pub fn has_ended(&self, now_ms: i64) -> bool {
        self.revoked
            || now_ms >= self.expires_at_ms
            || self.downloads_max.is_some_and(|max| self.downloads >= max)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    format: u32,
    links: BTreeMap<String, LinkEntry>,
}

/// Why the book says no.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    #[error("this link has ended")]
    Ended,
    #[error("there is no such link")]
    Unknown,
    #[error("there are {LINKS_MAX} links already; revoke some, or wait until they end")]
    Full,
    #[error("the state of links cannot be written: {0}")]
    Unwritable(String),
}

#[derive(Debug)]
struct Kept {
    state: State,
    /// Grows with each change.
    version: u64,
}

/// The book, and its file.
#[derive(Debug)]
pub struct LinkBook {
    path: PathBuf,
    kept: Mutex<Kept>,
    /// The version on disk; held while the file is written.
    written: tokio::sync::Mutex<u64>,
}

impl LinkBook {
    /// Reads the book, or begins one.
    ///
    /// # Errors
    /// The file cannot be read or written, or is no whole book.
    pub fn open(path: &Path) -> Result<Self, DeliveryError> {
        let wrong = |what: String| DeliveryError::LinkState {
            path: path.to_owned(),
            what,
        };
        let state = match std::fs::read(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let state = State {
                    format: FORMAT,
                    links: BTreeMap::new(),
                };
                write(path, &state).map_err(DeliveryError::io(path, "cannot begin the state of links"))?;
                state
            }
            Err(error) => return Err(DeliveryError::io(path, "cannot read the state of links")(error)),
            Ok(text) => serde_json::from_slice::<State>(&text).map_err(|error| {
                wrong(format!(
                    "it is torn, or was not written by this program ({error})"
                ))
            })?,
        };
        if state.format != FORMAT {
            return Err(wrong(format!(
                "it has format {}, this program knows {FORMAT}",
                state.format
            )));
        }
        Ok(Self {
            path: path.to_owned(),
            kept: Mutex::new(Kept { state, version: 0 }),
            written: tokio::sync::Mutex::new(0),
        })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a link; durable when it returns.
    ///
    /// # Errors
    /// No room, or not written: then it is not in.
    pub async fn add(&self, id: &str, entry: LinkEntry, now_ms: i64) -> Result<(), BookError> {
        let version = {
            let mut kept = self.kept();
            // What has ended by its time is refused by its time: it need not be remembered.
            kept.state.links.retain(|_, link| now_ms < link.expires_at_ms);
            if kept.state.links.len() >= LINKS_MAX {
                return Err(BookError::Full);
            }
            kept.state.links.insert(id.to_owned(), entry);
            kept.changed()
        };
        let written = self.write(version).await;
        if written.is_err() {
            self.kept().state.links.remove(id);
        }
        written
    }

    /// Counts a download; durable when it returns, with who made the link. One that then fails still counts.
    ///
    /// # Errors
    /// The link has ended or is not known, or the count cannot be written.
    pub async fn count(&self, id: &str, now_ms: i64) -> Result<String, BookError> {
        let (version, made_by) = {
            let mut kept = self.kept();
            let link = kept.state.links.get_mut(id).ok_or(BookError::Ended)?;
            if link.has_ended(now_ms) {
                return Err(BookError::Ended);
            }
            link.downloads += 1;
            let made_by = link.made_by.clone();
            (kept.changed(), made_by)
        };
        self.write(version).await?;
        Ok(made_by)
    }

    /// Whether a link would give something, without counting.
    #[must_use]
    pub fn is_good(&self, id: &str, now_ms: i64) -> bool {
        self.kept()
            .state
            .links
            .get(id)
            .is_some_and(|link| !link.has_ended(now_ms))
    }

    /// Ends a link of one of these roles; durable when it returns. Ending it twice is no error.
    ///
    /// # Errors
    /// There is none of theirs, or the state cannot be written: it gives nothing in this process all the same.
    pub async fn revoke(&self, id: &str, roles: &[String]) -> Result<(), BookError> {
        let version = {
            let mut kept = self.kept();
            let link = kept
                .state
                .links
                .get_mut(id)
                .filter(|link| roles.contains(&link.role));
            link.ok_or(BookError::Unknown)?.revoked = true;
            kept.changed()
        };
        self.write(version).await
    }

    /// Links of a role that have not ended, by id.
    #[must_use]
    pub fn of_role(&self, role: &str, now_ms: i64) -> Vec<(String, LinkEntry)> {
        let kept = self.kept();
        let of_role = kept
            .state
            .links
            .iter()
            .filter(|(_, link)| link.role == role && !link.has_ended(now_ms));
        of_role.map(|(id, link)| (id.clone(), link.clone())).collect()
    }

    async fn write(&self, version: u64) -> Result<(), BookError> {
        let mut written = self.written.lock().await;
        if *written >= version {
            return Ok(());
        }
        let (state, version) = {
            let kept = self.kept();
            (kept.state.clone(), kept.version)
        };
        let path = self.path.clone();
        let done = tokio::task::spawn_blocking(move || write(&path, &state)).await;
        let done = done.map_err(std::io::Error::other).and_then(|done| done);
        done.map_err(|error| {
            tracing::error!(file = %self.path.display(), %error, "the state of links cannot be written");
            BookError::Unwritable(error.to_string())
        })?;
        *written = version;
        Ok(())
    }
}

impl Kept {
    fn changed(&mut self) -> u64 {
        self.version += 1;
        self.version
    }
}

fn write(path: &Path, state: &State) -> std::io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut next = path.as_os_str().to_owned();
    next.push(".next");
    // It names people and files, which is no business of others on this machine.
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&next)?;
    file.write_all(&serde_json::to_vec(state)?)?;
    file.sync_all()?;
    std::fs::rename(&next, path)?;
    std::fs::File::open(folder)?.sync_all()
}
