//! What is known at this moment, for whoever shows it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use tminus_after::tickets::Entry;
use tminus_after::triggers::Raised;
use tokio::sync::watch;

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Seen {
    /// Oldest first.
    pub retrospectives: Vec<Raised>,
    /// Sink -> the tickets in its outbox.
    pub tickets: BTreeMap<String, Vec<Entry>>,
    /// Place -> what is wrong there.
    pub troubles: BTreeMap<String, String>,
}

/// A clone is the same one.
#[derive(Debug, Clone)]
pub struct Board(Arc<watch::Sender<Seen>>);

impl Default for Board {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Seen::default())))
    }
}

impl Board {
    pub fn change(&self, change: impl FnOnce(&mut Seen)) {
        self.0.send_if_modified(|seen| {
            let before = seen.clone();
            change(seen);
            *seen != before
        });
    }

    /// Trouble in one place, or none there any more. It is logged when it is news.
    pub fn trouble(&self, place: &str, trouble: Option<String>) {
        self.0.send_if_modified(|seen| {
            if seen.troubles.get(place) == trouble.as_ref() {
                return false;
            }
            match trouble {
                Some(trouble) => {
                    tracing::warn!(place, trouble, "needs looking at");
                    seen.troubles.insert(place.to_owned(), trouble);
                }
                None => {
                    tracing::info!(place, "is well again");
                    seen.troubles.remove(place);
                }
            }
            true
        });
    }

    pub fn read<T>(&self, read: impl FnOnce(&Seen) -> T) -> T {
        read(&self.0.borrow())
    }

    pub fn watch(&self) -> watch::Receiver<Seen> {
        self.0.subscribe()
    }
}
