//! A backend as the data path sees it: what is counted of it, its open tunnels, and the connections to it.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::config::{BackendConfig, Limits};
use crate::health::Failures;
use crate::metrics::Counters;
use crate::transcoding::Transcoding;
use crate::upstream::Clients;

/// A backend of the configuration of the moment.
#[derive(Debug)]
pub struct Backend {
    /// Name, version and address.
    pub config: BackendConfig,
    /// The version as a header.
    pub version: HeaderValue,
    /// What of HTTP/JSON it is asked over gRPC.
    pub transcoding: Option<Arc<Transcoding>>,
    /// What was counted.
    pub counters: Arc<Counters>,
    /// Requests whose answers have not ended.
    pub in_flight: Arc<AtomicU64>,
    /// Requests that it failed in a row.
    pub failures: Failures,
    /// WebSockets.
    pub tunnels: Arc<Tunnels>,
    /// One per worker.
    clients: Box<[OnceLock<Clients>]>,
}

impl Backend {
    pub(crate) fn new(config: BackendConfig, transcoding: Option<Arc<Transcoding>>, workers: usize) -> Self {
        Self {
            transcoding,
            version: HeaderValue::try_from(config.version.as_str())
                .expect("the configuration checked the version"),
            config,
            counters: Arc::default(),
            in_flight: Arc::default(),
            failures: Failures::default(),
            tunnels: Arc::default(),
            clients: (0..workers).map(|_| OnceLock::new()).collect(),
        }
    }

    /// The same release under the same name, reached in another way: it is counted and drained as one with what the
    /// earlier one still carries.
    pub(crate) fn continuing(mut self, earlier: &Self) -> Self {
        self.counters = Arc::clone(&earlier.counters);
        self.in_flight = Arc::clone(&earlier.in_flight);
        self.tunnels = Arc::clone(&earlier.tunnels);
        self
    }

    /// A worker's own connections to it.
    pub(crate) fn clients(&self, worker: usize, limits: &Limits) -> &Clients {
        self.clients[worker].get_or_init(|| Clients::new(&self.config, limits))
    }

    /// Counts a tunnel in. One that comes while the backend drains is told so at once.
    pub fn enter_tunnel(&self) -> TunnelPass {
        Tunnels::enter(&self.tunnels)
    }
}

#[derive(Debug, Default)]
struct Book {
    /// In the order in which they began.
    open: BTreeMap<u64, CancellationToken>,
    next: u64,
    /// Cancelled when draining is taken back.
    draining: Option<CancellationToken>,
}

/// The open WebSockets of a release.
#[derive(Debug)]
pub struct Tunnels {
    book: Mutex<Book>,
    count: watch::Sender<u64>,
}

impl Default for Tunnels {
    fn default() -> Self {
        Self {
            book: Mutex::default(),
            count: watch::Sender::new(0),
        }
    }
}

impl Tunnels {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(tunnels: &Arc<Self>) -> TunnelPass {
        let mut book = tunnels.book();
        let number = book.next;
        book.next += 1;
        let drain = CancellationToken::new();
        if book.draining.is_some() {
            drain.cancel();
        }
        book.open.insert(number, drain.clone());
        tunnels.count.send_modify(|open| *open += 1);
        TunnelPass {
            tunnels: Arc::clone(tunnels),
            number,
            drain,
        }
    }

    /// How many are open.
    pub fn open(&self) -> u64 {
        *self.count.borrow()
    }

    /// From now on new ones are told to end at once. Answers those that were there, the longest open first, and
    /// what says when this is taken back.
    pub(crate) fn refuse(&self) -> (Vec<CancellationToken>, CancellationToken) {
        let mut book = self.book();
        let round = book.draining.get_or_insert_default().clone();
        (book.open.values().cloned().collect(), round)
    }

    /// Tells all to end, now.
    pub fn end(&self) {
        for tunnel in self.refuse().0 {
            tunnel.cancel();
        }
    }

    /// Tells all to end, one after the other at even distances over this time, so that their players do not come
    /// back all at once. Answers how many were told; stops early when draining is taken back.
    pub async fn end_over(&self, spread: Duration) -> u64 {
        let (told, taken_back) = self.refuse();
        let began = Instant::now();
        for (index, (tunnel, after)) in (0..).zip(told.iter().zip(moments(told.len(), spread))) {
            if !after.is_zero() {
                tokio::select! {
                    () = sleep_until(began + after) => {}
                    () = taken_back.cancelled() => return index,
                }
            }
            tunnel.cancel();
        }
        told.len() as u64
    }

    /// New ones may stay again.
    pub fn allow(&self) {
        if let Some(round) = self.book().draining.take() {
            round.cancel();
        }
    }

    /// Resolves when none is open.
    pub async fn ended(&self) {
        // The sender lives as long as this, so it cannot fail.
        let _ = self.count.subscribe().wait_for(|open| *open == 0).await;
    }
}

/// When each of so many is told: the first at once, all within the time.
fn moments(count: usize, spread: Duration) -> impl Iterator<Item = Duration> {
    let count = count as f64;
    (0..count as usize).map(move |index| spread.mul_f64(index as f64 / count))
}

/// A tunnel's place among the open ones, until dropped.
#[derive(Debug)]
pub struct TunnelPass {
    tunnels: Arc<Tunnels>,
    number: u64,
    /// Cancelled when the tunnel must end.
    pub drain: CancellationToken,
}

impl Drop for TunnelPass {
    fn drop(&mut self) {
        self.tunnels.book().open.remove(&self.number);
        self.tunnels.count.send_modify(|open| *open -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_even_and_within_the_time() {
        let of = |count, ms| -> Vec<u128> {
            moments(count, Duration::from_millis(ms))
                .map(|moment| moment.as_millis())
                .collect()
        };
        assert_eq!(of(4, 8_000), [0, 2_000, 4_000, 6_000]);
        assert_eq!(of(3, 0), [0, 0, 0]);
        assert_eq!(of(1, 5_000), [0]);
        assert!(of(0, 5_000).is_empty());
    }

    #[tokio::test]
    async fn all_are_told_and_who_comes_late_at_once() {
        let tunnels = Arc::new(Tunnels::default());
        let passes: Vec<_> = (0..4).map(|_| Tunnels::enter(&tunnels)).collect();
        let draining = tunnels.end_over(Duration::from_millis(40));
        let told = async {
            // The last one is told when all are.
            passes[3].drain.cancelled().await;
            assert!(passes.iter().all(|pass| pass.drain.is_cancelled()));
        };
        assert_eq!(tokio::join!(draining, told).0, 4);
        assert!(
            Tunnels::enter(&tunnels).drain.is_cancelled(),
            "one that comes late"
        );
        drop(passes);
        tunnels.ended().await;
        assert_eq!(tunnels.open(), 0);
    }

    #[tokio::test]
    async fn the_longest_open_are_told_first() {
        let tunnels = Arc::new(Tunnels::default());
        let mut passes: Vec<_> = (0..4).map(|_| Tunnels::enter(&tunnels)).collect();
        // One leaves and another one comes: it has waited least.
        drop(passes.remove(1));
        passes.push(Tunnels::enter(&tunnels));
        let order = Mutex::new(Vec::new());
        let told = futures_util::future::join_all(passes.iter().map(|pass| async {
            pass.drain.cancelled().await;
            order.lock().unwrap().push(pass.number);
        }));
        let (count, _) = tokio::join!(tunnels.end_over(Duration::from_millis(80)), told);
        assert_eq!((count, order.into_inner().unwrap()), (4, vec![0, 2, 3, 4]));
    }

    #[tokio::test]
    async fn a_drain_that_is_taken_back_tells_no_more() {
        let tunnels = Arc::new(Tunnels::default());
        let passes: Vec<_> = (0..3).map(|_| Tunnels::enter(&tunnels)).collect();
        let draining = tunnels.end_over(Duration::from_secs(3600));
        let taking_back = async {
            passes[0].drain.cancelled().await;
            tunnels.allow();
        };
        assert_eq!(tokio::join!(draining, taking_back).0, 1);
        let told: Vec<_> = passes.iter().map(|pass| pass.drain.is_cancelled()).collect();
        assert_eq!(told, [true, false, false]);
        assert!(!Tunnels::enter(&tunnels).drain.is_cancelled());
    }
}
