//! Messages from node to node over Redis' publish and subscribe, one channel per node.
//!
//! Redis delivers at most once; [`Links`] notice what is missing, and then everything that hangs on the
//! link has ended. Sending never waits: a message joins a bounded queue, and a queue that is full is a
//! link that has lost something. Whoever receives is told of everything in order by one task.

mod incoming;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt as _;
use prost::Message as _;
use redis::aio::MultiplexedConnection;
use tokio::{
    sync::{Notify, mpsc, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use self::incoming::Incoming;
use crate::{
    Figures, Instance, RedisUrl, Timing, View,
    figures::count,
    links::Links,
    message::{Body, Envelope, Leaving},
};

/// Messages that wait for Redis.
const QUEUE_MAX: usize = 16 * 1024;
/// Messages that one round trip carries.
const BATCH_MAX: usize = 256;
/// Messages that were read and wait to be taken in.
const READ_MAX: usize = 1024;
/// Between two attempts to reach Redis.
const RETRY: Duration = Duration::from_millis(200);
/// How long the last messages of a node that goes down may take, and how often that is looked at.
const FLUSH: Duration = Duration::from_millis(500);
const FLUSH_LOOK: Duration = Duration::from_millis(5);

/// What hung on the link to this node has ended, or will have in a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkLost;

/// Is told what arrives. Neither call may wait for anything.
pub trait Receiver: Send + Sync + 'static {
    fn on_message(&self, from: &Instance, body: Body);
    /// Whatever hung on the link to `peer` has ended.
    fn on_reset(&self, peer: &Instance);
    /// `peer` goes down; its reset follows.
    fn on_leaving(&self, peer: &Instance);
}

/// Sends to other nodes. Cheap to clone.
#[derive(Clone)]
pub struct Bus(Arc<Shared>);

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus")
            .field("me", &self.0.me)
            .finish_non_exhaustive()
    }
}

struct Shared {
    me: Instance,
    state: Mutex<State>,
    queue: mpsc::Sender<Outgoing>,
    /// Messages that were queued, and those of them that are done with, one way or the other.
    queued: AtomicU64,
    published: AtomicU64,
    /// Something stands in `State::resets`.
    resets: Notify,
    figures: Arc<Figures>,
}

#[derive(Default)]
struct State {
    links: Links,
    /// Links that were reset by a sender; the receiver has not been told yet.
    resets: Vec<Instance>,
}

struct Outgoing {
    to: Instance,
    bytes: Vec<u8>,
}

/// The tasks' part of a bus that was made but does not run yet.
pub struct Idle {
    bus: Bus,
    queued: mpsc::Receiver<Outgoing>,
    url: RedisUrl,
    timing: Timing,
}

impl fmt::Debug for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idle")
            .field("bus", &self.bus)
            .finish_non_exhaustive()
    }
}

fn channel(instance: &str) -> String {
    format!("sv:to:{instance}")
}

impl Bus {
    /// The handle, and what has to run for it.
    #[must_use]
    pub fn new(url: &RedisUrl, me: Instance, timing: Timing, figures: Arc<Figures>) -> (Self, Idle) {
        let (queue, queued) = mpsc::channel(QUEUE_MAX);
        let bus = Self(Arc::new(Shared {
            me,
            state: Mutex::default(),
            queue,
            queued: AtomicU64::new(0),
            published: AtomicU64::new(0),
            resets: Notify::new(),
            figures,
        }));
        let idle = Idle {
            bus: bus.clone(),
            queued,
            url: url.clone(),
            timing,
        };
        (bus, idle)
    }

    /// Queues a message.
    ///
    /// # Errors
    /// Too much waits already: the link has ended.
    pub fn send(&self, to: &Instance, body: Body) -> Result<(), LinkLost> {
        let shared = &self.0;
        let mut state = shared.state();
        let header = state.links.next(to, Instant::now()).ok_or(LinkLost)?;
        let envelope = Envelope {
            from: shared.me.to_string(),
            epoch: header.epoch,
            peer_epoch: header.peer_epoch,
            sequence: header.sequence,
            body: Some(body),
        };
        let bytes = envelope.encode_to_vec();
        // Under the lock, so that messages are queued in the order of their numbers.
        let to = to.clone();
        match shared.queue.try_send(Outgoing { to, bytes }) {
            Ok(()) => {
                shared.queued.fetch_add(1, Ordering::Release);
                return Ok(());
            }
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(LinkLost),
            Err(mpsc::error::TrySendError::Full(outgoing)) => {
                tracing::warn!(node = %outgoing.to, "too much waits to be sent; the link begins anew");
                state.reset(&outgoing.to, false);
            }
        }
        drop(state);
        shared.resets.notify_one();
        Err(LinkLost)
    }

    /// Whether messages from `peer` come through, as far as is known.
    #[must_use]
    pub fn is_heard(&self, peer: &Instance) -> bool {
        *peer == self.0.me || self.0.state().links.is_heard(peer)
    }

    /// How many nodes that holds for.
    #[must_use]
    pub fn heard(&self) -> usize {
        self.0.state().links.heard()
    }

    /// Tells every node in `view` that this one goes down. Ready once Redis has it, or not in time.
    pub async fn say_leaving(&self, view: &View) {
        for peer in view.alive.iter().filter(|peer| **peer != self.0.me) {
            let _ = self.send(peer, Body::Leaving(Leaving {}));
        }
        let queued = self.0.queued.load(Ordering::Acquire);
        let published = async {
            while self.0.published.load(Ordering::Acquire) < queued {
                tokio::time::sleep(FLUSH_LOOK).await;
            }
        };
        let _ = tokio::time::timeout(FLUSH, published).await;
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn reset(&mut self, peer: &Instance, gone: bool) {
        self.links.reset(peer, gone);
        if !self.resets.contains(peer) {
            self.resets.push(peer.clone());
        }
    }
}

enum Read {
    Message(Vec<u8>),
    /// What was published meanwhile is lost.
    Broken,
}

impl Idle {
    /// Carries messages until `stop`. `view` tells with whom there is a link.
    pub async fn run<R: Receiver>(
        self,
        receiver: Arc<R>,
        view: watch::Receiver<View>,
        stop: CancellationToken,
    ) {
        let Self {
            bus,
            queued,
            url,
            timing,
        } = self;
        let (read, reading) = mpsc::channel(READ_MAX);
        let incoming = Incoming {
            bus: bus.clone(),
            receiver,
            view,
            timing,
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = publish(bus.0.clone(), url.clone(), queued) => {}
            () = subscribe(channel(&bus.0.me), url, read) => {}
            () = incoming.run(reading) => {}
        }
    }
}

async fn publish(shared: Arc<Shared>, url: RedisUrl, mut queued: mpsc::Receiver<Outgoing>) {
    let mut connection: Option<MultiplexedConnection> = None;
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while queued.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let published = publish_batch(&mut connection, &url, &batch).await;
        match published {
            Ok(receivers) => {
                let mut unheard = Vec::new();
                for (outgoing, receivers) in batch.iter().zip(receivers) {
                    count(&shared.figures.sent);
                    if receivers == 0 && !unheard.contains(&outgoing.to) {
                        unheard.push(outgoing.to.clone());
                    }
                }
                lose(&shared, &unheard, true);
            }
            Err(error) => {
                tracing::debug!(%error, "messages to other nodes are lost");
                connection = None;
                let mut lost: Vec<Instance> = batch.iter().map(|outgoing| outgoing.to.clone()).collect();
                lost.sort();
                lost.dedup();
                lose(&shared, &lost, true);
                tokio::time::sleep(RETRY).await;
            }
        }
        shared.published.fetch_add(batch.len() as u64, Ordering::Release);
        batch.clear();
    }
}

fn lose(shared: &Shared, peers: &[Instance], gone: bool) {
    if peers.is_empty() {
        return;
    }
    let mut state = shared.state();
    for peer in peers {
        state.reset(peer, gone);
    }
    drop(state);
    shared.resets.notify_one();
}

/// How many received each of them.
async fn publish_batch(
    connection: &mut Option<MultiplexedConnection>,
    url: &RedisUrl,
    batch: &[Outgoing],
) -> Result<Vec<u64>, String> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(url.connect().await.map_err(|error| error.to_string())?),
    };
    let mut pipeline = redis::pipe();
    for outgoing in batch {
        pipeline
            .cmd("PUBLISH")
            .arg(channel(&outgoing.to))
            .arg(&outgoing.bytes);
    }
    pipeline
        .query_async(connection)
        .await
        .map_err(|error| error.to_string())
}

async fn subscribe(channel: String, url: RedisUrl, read: mpsc::Sender<Read>) {
    loop {
        match url.subscribe(&channel).await {
            Ok(subscription) => {
                let mut messages = subscription.into_on_message();
                while let Some(message) = messages.next().await {
                    let bytes = message.get_payload_bytes().to_vec();
                    if read.send(Read::Message(bytes)).await.is_err() {
                        return;
                    }
                }
                tracing::warn!(redis = %url, "the subscription broke; what hangs on other nodes begins anew");
                if read.send(Read::Broken).await.is_err() {
                    return;
                }
            }
            Err(error) => tracing::debug!(%error, "no subscription yet"),
        }
        tokio::time::sleep(RETRY).await;
    }
}
