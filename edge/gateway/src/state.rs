//! What all workers share: the routes of the moment, the backends, and their open tunnels.
//!
//! Readers take a snapshot of the routes and keep no lock; a writer replaces the whole table. No
//! lock is held across an await.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use http::HeaderValue;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::config::{BackendConfig, Config, Limits};
use crate::headers::RequestIds;
use crate::metrics::{BackendFacts, Counters, Snapshot};
use crate::route::{BackendId, RouteTable, Split, SplitError};
use crate::sticky::StickySource;
use crate::transcoding::Transcoding;

/// A backend as the data path sees it.
#[derive(Debug)]
pub struct Backend {
    /// Name, version and address.
    pub config: BackendConfig,
    /// The version as a header.
    pub version: HeaderValue,
    /// What of HTTP/JSON it is asked over gRPC.
    pub transcoding: Option<Arc<Transcoding>>,
    /// What was counted.
    pub counters: Counters,
    /// Requests whose answers have not ended.
    pub in_flight: AtomicU64,
    /// Cancelled to end all tunnels; replaced by a fresh one when draining ends.
    drain: Mutex<CancellationToken>,
    open_tunnels: watch::Sender<u64>,
}

impl Backend {
    fn new(config: BackendConfig, transcoding: Option<Arc<Transcoding>>) -> Self {
        Self {
            transcoding,
            version: HeaderValue::try_from(config.version.as_str())
                .expect("the configuration checked the version"),
            config,
            counters: Counters::default(),
            in_flight: AtomicU64::new(0),
            drain: Mutex::new(CancellationToken::new()),
            open_tunnels: watch::Sender::new(0),
        }
    }

    fn drain_token(&self) -> MutexGuard<'_, CancellationToken> {
        self.drain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a tunnel in. One that comes while the backend drains is told so at once.
    pub fn enter_tunnel(self: &Arc<Self>) -> TunnelPass {
        // Under the lock, so that a drain has either counted this tunnel or cancelled its token.
        let token = self.drain_token();
        self.open_tunnels.send_modify(|open| *open += 1);
        TunnelPass {
            drain: token.clone(),
            backend: Arc::clone(self),
        }
    }

    /// Tells all tunnels to end; answers how many there were.
    fn end_tunnels(&self) -> u64 {
        let token = self.drain_token();
        // Counted first: a tunnel may be gone as soon as it is told.
        let told = self.open_websockets();
        token.cancel();
        told
    }

    fn allow_tunnels(&self) {
        let mut token = self.drain_token();
        if token.is_cancelled() {
            *token = CancellationToken::new();
        }
    }

    /// Open WebSocket tunnels.
    pub fn open_websockets(&self) -> u64 {
        *self.open_tunnels.borrow()
    }

    async fn tunnels_ended(&self) {
        // The sender lives as long as the backend, so this cannot fail.
        let _ = self.open_tunnels.subscribe().wait_for(|open| *open == 0).await;
    }
}

/// A tunnel's place among the open ones, until dropped.
#[derive(Debug)]
pub struct TunnelPass {
    backend: Arc<Backend>,
    /// Cancelled when the tunnel must end.
    pub drain: CancellationToken,
}

impl Drop for TunnelPass {
    fn drop(&mut self) {
        self.backend.open_tunnels.send_modify(|open| *open -= 1);
    }
}

/// Why an administrative change was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// No such backend.
    #[error("there is no backend {name:?}: the backends are {known}")]
    UnknownBackend {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// The weights are no split.
    #[error(transparent)]
    Split(#[from] SplitError),
}

/// Shared by all workers and the admin API.
#[derive(Debug)]
pub struct Shared {
    routes: RwLock<Arc<RouteTable>>,
    /// In the order of the table's [`BackendId`]s.
    pub backends: Vec<Arc<Backend>>,
    /// Where to look for the player.
    pub sticky: Vec<StickySource>,
    /// Query parameter that names a release.
    pub affinity_query: Option<String>,
    /// All limits.
    pub limits: Limits,
    /// Makes request ids.
    pub request_ids: RequestIds,
    /// One permit per client connection.
    pub connections: Arc<Semaphore>,
    /// Connections refused at the limit.
    pub connections_refused: AtomicU64,
    /// Requests that no backend could take.
    pub unrouted: AtomicU64,
    /// Cancelled when the gateway shuts down.
    pub shutdown: CancellationToken,
}

impl Shared {
    /// The state at start, with what [`crate::transcoding::load`] gave. `id_prefix` distinguishes this process'
    /// request ids.
    pub fn new(
        config: &Config,
        transcoding: Vec<Option<Arc<Transcoding>>>,
        id_prefix: u64,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            routes: RwLock::new(Arc::new(config.routes.clone())),
            backends: config
                .backends
                .iter()
                .cloned()
                .zip(transcoding)
                .map(|(backend, transcoding)| Arc::new(Backend::new(backend, transcoding)))
                .collect(),
            sticky: config.sticky.clone(),
            affinity_query: config.affinity_query.clone(),
            limits: config.limits.clone(),
            request_ids: RequestIds::new(id_prefix),
            connections: Arc::new(Semaphore::new(config.limits.max_connections)),
            connections_refused: AtomicU64::new(0),
            unrouted: AtomicU64::new(0),
            shutdown,
        }
    }

    /// The routes of the moment.
    pub fn routes(&self) -> Arc<RouteTable> {
        Arc::clone(&self.routes.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, change: impl FnOnce(&mut RouteTable)) {
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        let mut table = RouteTable::clone(&routes);
        change(&mut table);
        *routes = Arc::new(table);
    }

    /// The backend of this name.
    pub fn backend(&self, id: BackendId) -> &Arc<Backend> {
        &self.backends[id.0]
    }

    fn find(&self, name: &str) -> Result<BackendId, ChangeError> {
        let routes = self.routes();
        routes.find(name).ok_or_else(|| ChangeError::UnknownBackend {
            name: name.to_owned(),
            known: routes
                .backends
                .iter()
                .map(|backend| backend.name.as_str())
                .collect::<Vec<_>>()
                .join(", "),
        })
    }

    /// Weights of the default split by backend name.
    pub fn weights(&self) -> BTreeMap<String, u32> {
        let routes = self.routes();
        let named = |(id, weight): &(BackendId, u32)| (routes.backends[id.0].name.clone(), *weight);
        routes.default_split.weights().iter().map(named).collect()
    }

    /// Replaces the default split as a whole. Backends that it names no longer keep weight 0.
    ///
    /// # Errors
    /// When a backend is unknown or the weights do not add up.
    pub fn set_weights(&self, weights: &BTreeMap<String, u32>) -> Result<(), ChangeError> {
        let mut wanted = BTreeMap::new();
        for (name, weight) in weights {
            wanted.insert(self.find(name)?, *weight);
        }
        for (id, _) in self.routes().default_split.weights() {
            wanted.entry(*id).or_insert(0);
        }
        let split = Split::new(wanted)?;
        self.change(|table| table.default_split = split);
        Ok(())
    }

    /// Gives a backend nothing new and ends its tunnels; waits until they are closed or the drain
    /// limit has passed, and answers how many there were.
    ///
    /// # Errors
    /// When the backend is unknown.
    pub async fn drain(&self, name: &str) -> Result<u64, ChangeError> {
        let id = self.find(name)?;
        self.change(|table| table.backends[id.0].draining = true);
        let backend = self.backend(id);
        let told = backend.end_tunnels();
        // A tunnel cuts itself at the drain limit; the second is for its task to run.
        let limit = self.limits.drain_timeout + Duration::from_secs(1);
        if tokio::time::timeout(limit, backend.tunnels_ended())
            .await
            .is_err()
        {
            tracing::warn!(
                backend = name,
                left = backend.open_websockets(),
                "tunnels are still open after draining"
            );
        }
        tracing::info!(backend = name, closed_websockets = told, "draining");
        Ok(told)
    }

    /// Lets a backend have new requests again.
    ///
    /// # Errors
    /// When the backend is unknown.
    pub fn undrain(&self, name: &str) -> Result<(), ChangeError> {
        let id = self.find(name)?;
        self.backend(id).allow_tunnels();
        self.change(|table| table.backends[id.0].draining = false);
        tracing::info!(backend = name, "no longer draining");
        Ok(())
    }

    /// Tells the tunnels of all backends to end, at shutdown.
    pub fn end_all_tunnels(&self) {
        for backend in &self.backends {
            backend.end_tunnels();
        }
    }

    /// All metrics at one moment.
    pub fn snapshot(&self) -> Snapshot {
        let routes = self.routes();
        let backends = (0..).map(BackendId).zip(&self.backends).map(|(id, backend)| {
            let facts = BackendFacts {
                version: backend.config.version.clone(),
                weight: routes.default_split.weight_of(id),
                draining: routes.backends[id.0].draining,
                in_flight: backend.in_flight.load(Ordering::Relaxed),
                open_websockets: backend.open_websockets(),
            };
            (backend.config.name.clone(), backend.counters.snapshot(facts))
        });
        let open = self.limits.max_connections - self.connections.available_permits();
        Snapshot {
            backends: backends.collect(),
            unrouted: self.unrouted.load(Ordering::Relaxed),
            connections: open as u64,
            connections_refused: self.connections_refused.load(Ordering::Relaxed),
        }
    }
}
