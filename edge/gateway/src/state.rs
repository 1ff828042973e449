//! What all workers share: the routes of the moment, the backends, and how they change.
//!
//! Readers take a snapshot of the routing and keep no lock; a writer replaces the whole of it, so that no request ever
//! sees half of a change. No lock is held across an await.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use serde::Serialize;
use tminus_origin::ClientAddress;
use tminus_origin::rate::{Buckets, TokenBucket};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::access::{self, AccessLog};
use crate::backend::{Backend, Tunnels};
use crate::config::{Config, Limits};
use crate::front::{Files, Front, RateLimit};
use crate::headers::RequestIds;
use crate::kept::{Keeper, Kept};
use crate::metrics::{BackendFacts, Snapshot};
use crate::route::{BackendId, RouteTable, Split, SplitError};
use crate::sticky::StickySource;
use crate::weight::Weight;

/// What a request is decided by, as it is at one moment.
#[derive(Clone, Debug)]
pub struct Routing {
    /// The routes.
    pub table: RouteTable,
    /// In the order of the table's [`BackendId`]s.
    pub backends: Vec<Arc<Backend>>,
    /// Where to look for the player.
    pub sticky: Vec<StickySource>,
    /// Query parameter that names a release.
    pub affinity_query: Option<String>,
    /// What stands before it.
    pub front: Front,
    /// The default split as the file has it.
    configured: Split,
}

impl Routing {
    /// The backend of this place in the table.
    pub fn backend(&self, id: BackendId) -> &Arc<Backend> {
        &self.backends[id.0]
    }

    fn by_name(&self, split: &Split) -> BTreeMap<String, Weight> {
        let named = |(id, weight): &(BackendId, Weight)| (self.table.backends[id.0].name.clone(), *weight);
        split.weights().iter().map(named).collect()
    }

    fn find(&self, name: &str) -> Result<BackendId, ChangeError> {
        self.table.find(name).ok_or_else(|| ChangeError::UnknownBackend {
            name: name.to_owned(),
            known: self.table.names(),
        })
    }

    /// The whole split from weights by name. Backends that are in `besides` and are not named get 0.
    fn split(&self, weights: &BTreeMap<String, Weight>, besides: &Split) -> Result<Split, ChangeError> {
        let mut wanted = BTreeMap::new();
        for (name, weight) in weights {
            wanted.insert(self.find(name)?, *weight);
        }
        for (id, _) in besides.weights() {
            wanted.entry(*id).or_insert(Weight::NONE);
        }
        Ok(Split::new(wanted)?)
    }

    fn kept(&self) -> Kept {
        let draining = self.table.backends.iter().filter(|backend| backend.draining);
        Kept {
            configured: self.by_name(&self.configured),
            weights: self.by_name(&self.table.default_split),
            draining: draining
                .map(|backend| (backend.name.clone(), backend.version.clone()))
                .collect(),
        }
    }

    /// Takes up what was set before, unless the file says something new of it.
    fn take_up(&mut self, kept: &Kept) {
        if kept.configured == self.by_name(&self.configured)
            && let Ok(split) = self.split(&kept.weights, &self.configured)
        {
            self.table.default_split = split;
        }
        for (route, backend) in self.table.backends.iter_mut().zip(&self.backends) {
            if kept.draining.get(&route.name) == Some(&route.version) {
                route.draining = true;
                // Those that are open have been told, or are about to be.
                backend.tunnels.refuse();
            }
        }
    }
}

/// Why an administrative change was refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
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
    /// The new configuration differs where it cannot while the gateway runs.
    #[error("{what} cannot change while the gateway runs: restart it, or put {what} back")]
    Fixed {
        /// The keys.
        what: String,
    },
}

/// What cannot change while the gateway runs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fixed {
    listen: SocketAddr,
    admin: SocketAddr,
    workers: Option<usize>,
    limits: Limits,
    state_file: Option<PathBuf>,
    access_log: Option<access::Target>,
}

impl Fixed {
    fn of(config: &Config) -> Self {
        Self {
            listen: config.listen,
            admin: config.admin,
            workers: config.workers,
            limits: config.limits.clone(),
            state_file: config.state_file.clone(),
            access_log: config.access_log.clone(),
        }
    }

    fn differences(&self, other: &Self) -> Vec<&'static str> {
        let mut differences = Vec::new();
        let mut differ = |differs: bool, what| {
            if differs {
                differences.push(what);
            }
        };
        differ(self.listen != other.listen, "listen");
        differ(self.admin != other.admin, "admin");
        differ(self.workers != other.workers, "workers");
        differ(
            self.limits.upstream_timeout != other.limits.upstream_timeout,
            "upstream_timeout_ms",
        );
        let same_answer = Limits {
            upstream_timeout: self.limits.upstream_timeout,
            ..other.limits.clone()
        };
        differ(self.limits != same_answer, "limits");
        differ(self.state_file != other.state_file, "state_file");
        differ(self.access_log != other.access_log, "access_log");
        differences
    }
}

/// Client addresses that are remembered; those beyond share one allowance.
const ADDRESSES_MAX: usize = 100_000;

/// What each client address may still ask.
#[derive(Debug, Default)]
struct Rates(Option<(RateLimit, Buckets<ClientAddress>)>);

impl Rates {
    fn take(&mut self, limit: RateLimit, client: ClientAddress, now: Instant) -> bool {
        // Another configuration begins with full buckets.
        if self.0.as_ref().is_none_or(|(known, _)| *known != limit) {
            let bucket = TokenBucket::new(limit.per_second, limit.burst, now);
            self.0 = Some((limit, Buckets::new(bucket, ADDRESSES_MAX, now)));
        }
        self.0
            .as_mut()
            .is_none_or(|(_, buckets)| buckets.take(client, now))
    }
}

/// What a new configuration brought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reloaded {
    /// Counted from 1, the configuration at the start.
    pub generation: u64,
    /// Whether the file's default split was taken: it differs from the one before.
    pub weights_from_file: bool,
    /// Backends that are new, or are reached in another way.
    pub new: Vec<String>,
    /// Backends that are gone. What they carry goes on to its end.
    pub gone: Vec<String>,
}

/// Shared by all workers and the admin API.
#[derive(Debug)]
pub struct Shared {
    routing: RwLock<Arc<Routing>>,
    /// Held by whoever changes the routing, until the change is kept.
    changing: Mutex<()>,
    keeper: Keeper,
    /// Tunnels of releases that a reload has taken away.
    orphans: Mutex<Vec<Weak<Tunnels>>>,
    fixed: Fixed,
    generation: watch::Sender<u64>,
    rates: Mutex<Rates>,
    rate_limited: AtomicU64,
    reloads_refused: AtomicU64,
    workers: usize,
    /// Where requests are written down.
    pub access_log: Option<AccessLog>,
    /// The configuration's file.
    pub file: PathBuf,
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
    /// The state at start, with what [`crate::front::load`] gave, and as the state file has it. `id_prefix`
    /// distinguishes this process' request ids.
    pub fn new(
        config: &Config,
        files: Files,
        access_log: Option<AccessLog>,
        workers: usize,
        id_prefix: u64,
        shutdown: CancellationToken,
    ) -> Self {
        let keeper = Keeper::new(config.state_file.clone());
        let mut routing = routing(config, files, workers, None);
        match keeper.read() {
            Ok(Some(kept)) => routing.take_up(&kept),
            Ok(None) => {}
            // A gateway that does not start helps nobody; the file's weights are the operator's word, too.
            Err(why) => tracing::error!("{why}"),
        }
        Self {
            routing: RwLock::new(Arc::new(routing)),
            changing: Mutex::new(()),
            keeper,
            orphans: Mutex::default(),
            fixed: Fixed::of(config),
            generation: watch::Sender::new(1),
            rates: Mutex::default(),
            rate_limited: AtomicU64::new(0),
            access_log,
            reloads_refused: AtomicU64::new(0),
            workers,
            file: config.file.clone(),
            limits: config.limits.clone(),
            request_ids: RequestIds::new(id_prefix),
            connections: Arc::new(Semaphore::new(config.limits.max_connections)),
            connections_refused: AtomicU64::new(0),
            unrouted: AtomicU64::new(0),
            shutdown,
        }
    }

    /// The routing of the moment.
    pub fn routing(&self) -> Arc<Routing> {
        Arc::clone(&self.routing.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes a change and keeps it. A change that cannot be kept holds all the same: a rollback must not fail because
    /// a disk is full. The sentence says what was not kept.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Routing) -> Result<T, ChangeError>,
    ) -> Result<(T, Option<String>), ChangeError> {
        let _turn = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut routing = Routing::clone(&self.routing());
        let done = change(&mut routing)?;
        let kept = routing.kept();
        *self.routing.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(routing);
        let not_kept = self.keeper.write(&kept).err();
        if let Some(why) = &not_kept {
            tracing::error!("{why}");
        }
        Ok((done, not_kept))
    }

    /// Weights of the default split by backend name.
    pub fn weights(&self) -> BTreeMap<String, Weight> {
        let routing = self.routing();
        routing.by_name(&routing.table.default_split)
    }

    /// Replaces the default split as a whole. Backends that it names no longer keep weight 0. Answers why it may not
    /// outlast the process, if so.
    ///
    /// # Errors
    /// When a backend is unknown or the weights do not add up.
    pub fn set_weights(&self, weights: &BTreeMap<String, Weight>) -> Result<Option<String>, ChangeError> {
        let ((), not_kept) = self.change(|routing| {
            routing.table.default_split = routing.split(weights, &routing.table.default_split)?;
            Ok(())
        })?;
        Ok(not_kept)
    }

    /// Takes another configuration. Connections and tunnels go on; weights that were set and backends that drain stay
    /// so, unless the file's own default split has changed.
    ///
    /// # Errors
    /// It differs where it cannot while the gateway runs; then nothing has changed.
    pub fn reload(&self, config: &Config, files: Files) -> Result<Reloaded, ChangeError> {
        let fixed = self.fixed.differences(&Fixed::of(config));
        if !fixed.is_empty() {
            return Err(ChangeError::Fixed {
                what: fixed.join(", "),
            });
        }
        let (reloaded, _) = self.change(|current| {
            let kept = current.kept();
            let mut next = routing(config, files, self.workers, Some(current));
            next.take_up(&kept);
            let is_same = |one: &Arc<Backend>| current.backends.iter().any(|other| Arc::ptr_eq(one, other));
            let new = next.backends.iter().filter(|backend| !is_same(backend));
            let new = new.map(|backend| backend.config.name.clone()).collect();
            let is_gone = |backend: &&Arc<Backend>| next.table.find(&backend.config.name).is_none();
            let gone = current.backends.iter().filter(is_gone);
            let gone = gone.map(|backend| backend.config.name.clone()).collect();
            let weights_from_file = kept.configured != next.by_name(&next.configured);
            let known =
                |tunnels: &Arc<Tunnels>| next.backends.iter().any(|one| Arc::ptr_eq(&one.tunnels, tunnels));
            let left = current.backends.iter().map(|backend| &backend.tunnels);
            let left = left.filter(|tunnels| !known(tunnels)).map(Arc::downgrade);
            let mut orphans = self.orphans.lock().unwrap_or_else(PoisonError::into_inner);
            orphans.retain(|tunnels| tunnels.strong_count() > 0);
            orphans.extend(left);
            drop(orphans);
            *current = next;
            Ok(Reloaded {
                generation: *self.generation.borrow() + 1,
                weights_from_file,
                new,
                gone,
            })
        })?;
        // When it holds: whoever follows the configuration looks for it now.
        self.generation.send_replace(reloaded.generation);
        if let Some(log) = &self.access_log {
            log.reopen();
        }
        Ok(reloaded)
    }

    /// Which configuration holds, counted from 1.
    pub fn generations(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// Whether a client may send one more request now.
    pub fn may_ask(&self, limit: RateLimit, client: IpAddr, now: Instant) -> bool {
        let may = self
            .rates
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(limit, client.into(), now);
        if !may {
            self.rate_limited.fetch_add(1, Ordering::Relaxed);
        }
        may
    }

    /// Whether a backend counts as healthy.
    pub fn is_healthy(&self, backend: &Arc<Backend>) -> bool {
        let routing = self.routing();
        let at = routing.backends.iter().position(|one| Arc::ptr_eq(one, backend));
        at.is_none_or(|at| routing.table.backends[at].healthy)
    }

    /// Has a backend count as healthy or not; true if that is a change. It does not outlast the process.
    pub fn set_health(&self, backend: &Arc<Backend>, healthy: bool, by: &str) -> bool {
        let _turn = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut routing = Routing::clone(&self.routing());
        let at = routing.backends.iter().position(|one| Arc::ptr_eq(one, backend));
        let Some(at) = at.filter(|at| routing.table.backends[*at].healthy != healthy) else {
            return false;
        };
        routing.table.backends[at].healthy = healthy;
        *self.routing.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(routing);
        let name = &backend.config.name;
        if healthy {
            tracing::info!(backend = name, by, "healthy again");
        } else {
            tracing::warn!(
                backend = name,
                by,
                "not healthy: it gets nothing new while another one is"
            );
        }
        true
    }

    /// A configuration was refused.
    pub fn reload_refused(&self) {
        self.reloads_refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Gives a backend nothing new and tells its tunnels to end, one after the other over `spread`; waits until they
    /// are closed or the drain limit has passed, and answers how many there were.
    ///
    /// # Errors
    /// When the backend is unknown.
    pub async fn drain(&self, name: &str, spread: Duration) -> Result<u64, ChangeError> {
        let (backend, _) = self.change(|routing| {
            let id = routing.find(name)?;
            routing.table.backends[id.0].draining = true;
            Ok(Arc::clone(routing.backend(id)))
        })?;
        tracing::info!(backend = name, spread_ms = spread.as_millis(), "draining");
        let told = backend.tunnels.end_over(spread).await;
        // A tunnel cuts itself at the drain limit; the second is for its task to run.
        let limit = self.limits.drain_timeout + Duration::from_secs(1);
        if tokio::time::timeout(limit, backend.tunnels.ended())
            .await
            .is_err()
        {
            tracing::warn!(
                backend = name,
                left = backend.tunnels.open(),
                "tunnels are still open after draining"
            );
        }
        tracing::info!(backend = name, closed_websockets = told, "drained");
        Ok(told)
    }

    /// Lets a backend have new requests again.
    ///
    /// # Errors
    /// When the backend is unknown.
    pub fn undrain(&self, name: &str) -> Result<(), ChangeError> {
        self.change(|routing| {
            let id = routing.find(name)?;
            routing.backend(id).tunnels.allow();
            routing.table.backends[id.0].draining = false;
            Ok(())
        })?;
        tracing::info!(backend = name, "no longer draining");
        Ok(())
    }

    /// Tells the tunnels of all backends to end, at shutdown.
    pub fn end_all_tunnels(&self) {
        for backend in &self.routing().backends {
            backend.tunnels.end();
        }
        let orphans = self.orphans.lock().unwrap_or_else(PoisonError::into_inner);
        for tunnels in orphans.iter().filter_map(Weak::upgrade) {
            tunnels.end();
        }
    }

    /// All metrics at one moment.
    pub fn snapshot(&self) -> Snapshot {
        let routing = self.routing();
        let backends = (0..).map(BackendId).zip(&routing.backends).map(|(id, backend)| {
            let facts = BackendFacts {
                version: backend.config.version.clone(),
                weight: routing.table.default_split.weight_of(id),
                draining: routing.table.backends[id.0].draining,
                healthy: routing.table.backends[id.0].healthy,
                in_flight: backend.in_flight.load(Ordering::Relaxed),
                open_websockets: backend.tunnels.open(),
            };
            (backend.config.name.clone(), backend.counters.snapshot(facts))
        });
        let open = self.limits.max_connections - self.connections.available_permits();
        Snapshot {
            backends: backends.collect(),
            unrouted: self.unrouted.load(Ordering::Relaxed),
            connections: open as u64,
            connections_refused: self.connections_refused.load(Ordering::Relaxed),
            rate_limited: self.rate_limited.load(Ordering::Relaxed),
            access_log_dropped: self.access_log.as_ref().map_or(0, AccessLog::dropped),
            config_generation: *self.generation.borrow(),
            config_reloads_refused: self.reloads_refused.load(Ordering::Relaxed),
        }
    }
}

/// The routing of a configuration, with the backends that there are already where they are the same.
fn routing(config: &Config, files: Files, workers: usize, current: Option<&Routing>) -> Routing {
    let front = Front::new(&config.front, &files);
    let backends = config.backends.iter().cloned().zip(files.transcoding);
    let backends = backends.map(|(config, transcoding)| {
        let earlier = current
            .into_iter()
            .flat_map(|current| &current.backends)
            .find(|earlier| {
                (&earlier.config.name, &earlier.config.version) == (&config.name, &config.version)
            });
        match earlier {
            // The file of a descriptor set may have changed under its name: what is transcoded is made anew.
            Some(earlier) if earlier.config == config && config.transcode.is_none() => Arc::clone(earlier),
            Some(earlier) => Arc::new(Backend::new(config, transcoding, workers).continuing(earlier)),
            None => Arc::new(Backend::new(config, transcoding, workers)),
        }
    });
    let backends: Vec<Arc<Backend>> = backends.collect();
    let mut table = config.routes.clone();
    for (route, backend) in table.backends.iter_mut().zip(&backends) {
        let known = current.and_then(|current| {
            let at = current
                .backends
                .iter()
                .position(|one| Arc::ptr_eq(one, backend))?;
            Some(current.table.backends[at].healthy)
        });
        route.healthy = known.unwrap_or(true);
    }
    Routing {
        backends,
        front,
        configured: config.routes.default_split.clone(),
        table,
        sticky: config.sticky.clone(),
        affinity_query: config.affinity_query.clone(),
    }
}
