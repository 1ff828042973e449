//! What is written down of a download, and where. An entry may stand in the record for a download that broke off; a
//! download without an entry does not happen.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use serde_json::{Value, json};
use tminus_record::dsse::{Envelope, IN_TOTO};
use tminus_record::{MAX_ENTRIES, Record, RecordError, SigningKey, VerifyingKey};
use tokio::sync::{mpsc, oneshot};

/// The predicate type of an entry.
pub const PREDICATE_TYPE: &str = "urn:tminus:download:v1";
const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// Downloads that wait for their entry; more are refused.
const WAITING_MAX: usize = 4_096;
/// Entries that share one sync to disk.
const BATCH_MAX: usize = 256;

/// Entries from which on a record warns that it will be full.
const NEARLY_FULL: u64 = MAX_ENTRIES / 10 * 9;

/// Who takes a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// The holder of an SSH key, by its fingerprint.
    Key(String),
    /// A person, by the provider's subject.
    Subject(String),
    /// A machine, by the id of its token.
    Token(String),
    /// Whoever has the link.
    Link {
        id: String,
        /// Who made it, in the same form as an entry's `who`.
        made_by: String,
    },
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(fingerprint) => write!(f, "key:{fingerprint}"),
            Self::Subject(subject) => write!(f, "subject:{subject}"),
            Self::Token(id) => write!(f, "token:{id}"),
            Self::Link { id, .. } => write!(f, "link:{id}"),
        }
    }
}

/// By which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    Sftp,
    Scp,
    Portal,
    Link,
}

impl Channel {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sftp => "sftp",
            Self::Scp => "scp",
            Self::Portal => "portal",
            Self::Link => "link",
        }
    }
}

/// A download that is about to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    pub who: Who,
    pub role: String,
    /// Path below the role's folder.
    pub file: String,
    /// Of the whole file.
    pub sha256: [u8; 32],
    /// First byte that may leave.
    pub offset: u64,
    /// How many bytes may leave; over SFTP all of the file, for a client may read any part of what is open.
    pub bytes: u64,
    pub address: IpAddr,
    /// Milliseconds since 1970-01-01 UTC.
    pub at_ms: i64,
    pub channel: Channel,
}

impl Download {
    /// The in-toto statement, as it is signed.
    #[must_use]
    pub fn statement(&self) -> Value {
        let mut predicate = json!({
            "who": self.who.to_string(),
            "role": self.role,
            "file": self.file,
            "sha256": hex::encode(self.sha256),
            "offset": self.offset,
            "bytes": self.bytes,
            "address": self.address.to_string(),
            "at_ms": self.at_ms,
            "channel": self.channel.name(),
        });
        if let Who::Link { made_by, .. } = &self.who {
            predicate["link_made_by"] = made_by.as_str().into();
        }
        json!({
            "_type": STATEMENT_TYPE,
            "subject": [{
                "name": format!("{}/{}", self.role, self.file),
                "digest": { "sha256": hex::encode(self.sha256) },
            }],
            "predicateType": PREDICATE_TYPE,
            "predicate": predicate,
        })
    }
}

/// Why a download is not on record.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    #[error("the record of downloads cannot be written: {0}")]
    Unwritable(String),
    #[error("too many downloads wait for the record of downloads")]
    Busy,
}

/// What [`DownloadLog::append`] answers.
pub type Appending<'a> = Pin<Box<dyn Future<Output = Result<(), LogError>> + Send + 'a>>;

/// Where downloads are written down.
pub trait DownloadLog: Send + Sync + std::fmt::Debug {
    /// Durable when it answers; before that no byte of the file is given out, and none after an error.
    fn append(&self, download: Download) -> Appending<'_>;
}

type Waiting = (Vec<u8>, oneshot::Sender<Result<(), LogError>>);

/// A [`DownloadLog`] in a launch record of its own. One thread writes; downloads that wait together share a sync.
#[derive(Debug)]
pub struct RecordLog {
    /// None only while it is dropped.
    sender: Option<mpsc::Sender<Waiting>>,
    thread: Option<std::thread::JoinHandle<()>>,
    key: SigningKey,
}

/// Waits for the thread, so that the record can be opened again at once.
impl Drop for RecordLog {
    fn drop(&mut self) {
        drop(self.sender.take());
        if let Some(thread) = self.thread.take() {
            // A panic in it has been told by itself.
            let _ = thread.join();
        }
    }
}

impl RecordLog {
    /// Opens the record in `dir`, or starts one of this `origin`, and the thread that writes it.
    ///
    /// # Errors
    /// The folder holds something else, another key's record, a damaged one, or cannot be written.
    pub fn open(dir: &Path, origin: &str, key: &SigningKey) -> Result<Self, RecordError> {
        let record = match Record::open(dir, key) {
            Err(RecordError::Missing { .. }) => Record::create(dir, origin, key)?,
            other => other?,
        };
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let writer = Writer {
            dir: dir.to_owned(),
            key: key.clone(),
            record: Some(record),
        };
        let started = std::thread::Builder::new()
            .name("download-record".to_owned())
            .spawn(move || writer.run(receiver));
        let thread = started.map_err(|source| RecordError::Io {
            path: dir.to_owned(),
            action: "cannot start the thread that writes the record",
            source,
        })?;
        Ok(Self {
            sender: Some(sender),
            thread: Some(thread),
            key: key.clone(),
        })
    }

    /// The public half of the key that signs.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        self.key.verifying_key()
    }
}

impl DownloadLog for RecordLog {
    fn append(&self, download: Download) -> Appending<'_> {
        Box::pin(async move {
            let statement = download.statement().to_string().into_bytes();
            let entry = Envelope::sign(IN_TOTO, statement, &self.key).to_bytes();
            let (done, answer) = oneshot::channel();
            let ended = || LogError::Unwritable("its thread has ended".to_owned());
            let sender = self.sender.as_ref().ok_or_else(ended)?;
            sender.try_send((entry, done)).map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => LogError::Busy,
                mpsc::error::TrySendError::Closed(_) => ended(),
            })?;
            answer.await.unwrap_or_else(|_| Err(ended()))
        })
    }
}

struct Writer {
    dir: PathBuf,
    key: SigningKey,
    /// None after an error: what is on disk has to be looked at first.
    record: Option<Record>,
}

impl Writer {
    fn run(mut self, mut receiver: mpsc::Receiver<Waiting>) {
        let mut batch = Vec::new();
        while receiver.blocking_recv_many(&mut batch, BATCH_MAX) > 0 {
            let (entries, answers): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
            let written = self.append(&entries).map_err(|error| {
                tracing::error!(folder = %self.dir.display(), %error, "downloads are refused: they cannot be put on record");
                LogError::Unwritable(error.to_string())
            });
            for answer in answers {
                // Who no longer waits has gone without a byte.
                let _ = answer.send(written.clone());
            }
        }
    }

    fn append(&mut self, entries: &[Vec<u8>]) -> Result<(), RecordError> {
        let mut record = match self.record.take() {
            Some(record) => record,
            None => Record::open(&self.dir, &self.key)?,
        };
        let appended = record.append(entries);
        if record.size() >= NEARLY_FULL {
            tracing::warn!(folder = %self.dir.display(), entries = record.size(), max = MAX_ENTRIES, "the record of downloads is nearly full; the next delivery needs another folder");
        }
        // After anything but an I/O error the record is as it was.
        if matches!(
            appended,
            Ok(_) | Err(RecordError::Full { .. } | RecordError::EntryTooLong { .. })
        ) {
            self.record = Some(record);
        }
        appended.map(drop)
    }
}
