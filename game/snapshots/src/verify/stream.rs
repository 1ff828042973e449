//! Every row of both stores, side by side in the order of their keys.

use std::cmp::Ordering;

use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{Findings, Pair, checkpoint::Checkpoints};
use crate::{
    SnapshotError, Store,
    ranges::{KeyRange, successor},
    row::{Page, RowView, shown},
};

/// Pages of one store that are read ahead of the comparison.
const PAGES_AHEAD: usize = 2;

/// Pages as they come, and the task that reads them.
type Reading = (mpsc::Receiver<Result<Page, SnapshotError>>, AbortOnDropHandle<()>);

/// Rows of one store on their way into the comparison.
pub(super) struct Lane {
    page: Page,
    at: usize,
    more: Option<Reading>,
}

impl Lane {
    /// The rows of one page.
    pub(super) fn of(page: Page) -> Lane {
        Lane {
            page,
            at: 0,
            more: None,
        }
    }

    /// All rows of a range. Pages by key and not one long query: nothing is held in the database meanwhile,
    /// and a comparison that waits for the other store cannot run into its timeouts.
    fn reading(store: Store, range: KeyRange, page_rows: usize) -> Lane {
        let (pages, receiver) = mpsc::channel(PAGES_AHEAD);
        let read = tokio::spawn(async move {
            let mut rest = range;
            loop {
                let page = next_page(&store, &rest, page_rows).await;
                let last = page.as_ref().ok().filter(|page| page.len() == page_rows);
                let last = last.and_then(|page| page.get(page.len() - 1));
                let next = last.map(|row| rest.after(row.player_id));
                if pages.send(page).await.is_err() {
                    return;
                }
                match next {
                    Some(next) => rest = next,
                    None => return,
                }
            }
        });
        Lane {
            page: Page::default(),
            at: 0,
            more: Some((receiver, AbortOnDropHandle::new(read))),
        }
    }

    fn head(&self) -> Option<RowView<'_>> {
        self.page.get(self.at)
    }

    /// Gets the next page if this one is used up. `true`: it did.
    async fn fill(&mut self) -> Result<bool, SnapshotError> {
        let mut turned = false;
        while self.at >= self.page.len() {
            let Some((pages, _)) = &mut self.more else {
                break;
            };
            match pages.recv().await {
                Some(page) => self.page = page?,
                None => {
                    self.more = None;
                    break;
                }
            }
            self.at = 0;
            turned = true;
        }
        Ok(turned)
    }
}

async fn next_page(store: &Store, range: &KeyRange, page_rows: usize) -> Result<Page, SnapshotError> {
    let page = store.page(range, page_rows).await?;
    match page.disorder(None) {
        None => Ok(page),
        Some(key) => Err(SnapshotError::OutOfOrder {
            store: store.to_string(),
            what: shown(key),
        }),
    }
}

/// Looks at the next key of either lane. `false`: both are used up, or one needs its next page.
pub(super) fn look(
    primary: &mut Lane,
    secondary: &mut Lane,
    findings: &mut Findings<'_>,
) -> Result<bool, SnapshotError> {
    let (left, right) = (primary.head(), secondary.head());
    let order = match (left, right) {
        (None, None) => return Ok(false),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (Some(left), Some(right)) => left.player_id.cmp(right.player_id),
    };
    findings.see(
        left.filter(|_| order != Ordering::Greater),
        right.filter(|_| order != Ordering::Less),
    )?;
    primary.at += usize::from(order != Ordering::Greater);
    secondary.at += usize::from(order != Ordering::Less);
    Ok(true)
}

pub(super) async fn compare(
    pair: &Pair<'_>,
    next_key: Vec<u8>,
    findings: &mut Findings<'_>,
    checkpoints: &mut Checkpoints,
) -> Result<(), SnapshotError> {
    let range = KeyRange {
        from: next_key.clone(),
        ..KeyRange::everything()
    };
    let page_rows = pair.options.page_rows.max(1);
    let mut primary = Lane::reading(pair.primary.clone(), range.clone(), page_rows);
    let mut secondary = Lane::reading(pair.secondary.clone(), range, page_rows);
    let mut next_key = next_key;
    loop {
        // Before the page is gone: the key after the last one that was compared.
        if let Some(done) = [&primary, &secondary]
            .into_iter()
            .filter_map(|lane| lane.page.get(lane.at.checked_sub(1)?))
            .map(|row| row.player_id)
            .max()
        {
            // Never back: the lane that is further may have turned its page just before.
            next_key = next_key.max(successor(done));
        }
        let turned = primary.fill().await? | secondary.fill().await?;
        if turned {
            pair.pause(&next_key, findings, checkpoints).await?;
        }
        // While both have rows, nothing has to be waited for.
        while primary.head().is_some() && secondary.head().is_some() {
            look(&mut primary, &mut secondary, findings)?;
        }
        let used_up = |lane: &Lane| lane.head().is_none() && lane.more.is_some();
        if used_up(&primary) || used_up(&secondary) {
            continue;
        }
        if !look(&mut primary, &mut secondary, findings)? {
            return Ok(());
        }
    }
}
