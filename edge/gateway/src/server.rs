//! The running gateway: one single-threaded runtime per worker, one for the admin API.
//!
//! All workers accept from the same listening socket; a connection stays on the thread that took
//! it, with that thread's own connections to the backends. Listeners and the shutdown token are
//! arguments. Shutdown stops accepting, ends tunnels with a close frame, lets requests in flight
//! finish, and waits no longer than the configured limit.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::AccessLog;
use crate::admin;
use crate::config::{Config, ConfigError};
use crate::connection;
use crate::front::{self, Files};
use crate::health;
use crate::state::Shared;

/// Pause after an accept that failed for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The rest of a shutdown after its limit: threads stop within this.
const THREADS_STOP_WITHIN: Duration = Duration::from_secs(1);
const OVERLOADED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/json\r\ncontent-length: 77\r\nconnection: close\r\nx-served-version: none\r\n\r\n\
    {\"code\":14,\"message\":\"the gateway has no room: try again later\",\"details\":[]}";

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file that the configuration names cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An address could not be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The access log could not be opened.
    #[error("cannot open the access log: {0}")]
    AccessLog(#[source] io::Error),
    /// A thread or its runtime could not be made.
    #[error("cannot start a worker: {0}")]
    Worker(#[from] io::Error),
}

/// One worker thread's own things.
#[derive(Debug)]
pub struct Worker {
    /// What all workers share.
    pub shared: Arc<Shared>,
    /// Its place among the workers, by which it finds its own connections to a backend.
    pub index: usize,
    /// Connections and tunnels of this worker.
    pub tasks: TaskTracker,
}

/// A gateway that runs until its token is cancelled.
#[derive(Debug)]
pub struct Running {
    /// Where players come in.
    pub listen: SocketAddr,
    /// Where the admin API listens.
    pub admin: SocketAddr,
    /// What its threads share: to be asked and changed while it runs.
    pub shared: Arc<Shared>,
    shutdown: CancellationToken,
    threads: Vec<JoinHandle<()>>,
    admin_thread: JoinHandle<()>,
    admin_stop: CancellationToken,
}

/// Binds the configured addresses and starts.
///
/// # Errors
/// When a descriptor set cannot be used, an address is taken or a thread cannot be made.
pub fn start(config: &Config, shutdown: CancellationToken) -> Result<Running, StartError> {
    start_with(config, front::load(config)?, shutdown)
}

/// The same with what [`front::load`] gave.
///
/// # Errors
/// When an address is taken or a thread cannot be made.
pub fn start_with(config: &Config, files: Files, shutdown: CancellationToken) -> Result<Running, StartError> {
    let bind = |address| TcpListener::bind(address).map_err(|source| StartError::Listen { address, source });
    let (listener, admin) = (bind(config.listen)?, bind(config.admin)?);
    start_on(config, files, listener, admin, shutdown)
}

/// Starts on sockets that are bound already; the configuration's addresses are not used.
///
/// # Errors
/// When a thread cannot be made.
pub fn start_on(
    config: &Config,
    files: Files,
    listener: TcpListener,
    admin_listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<Running, StartError> {
    listener.set_nonblocking(true)?;
    admin_listener.set_nonblocking(true)?;
    let (listen, admin) = (listener.local_addr()?, admin_listener.local_addr()?);
    let id_prefix = RandomState::new().hash_one(listen);
    let workers = config
        .workers
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let access_log = match &config.access_log {
        None => None,
        Some(target) => Some(AccessLog::start(target).map_err(StartError::AccessLog)?),
    };
    let shared = Arc::new(Shared::new(
        config,
        files,
        access_log,
        workers,
        id_prefix,
        shutdown.clone(),
    ));
    let mut threads = Vec::new();
    for index in 0..workers {
        let (listener, shared) = (listener.try_clone()?, Arc::clone(&shared));
        threads.push(thread(
            &format!("gateway-{index}"),
            work(index, listener, shared),
        )?);
    }
    let admin_stop = CancellationToken::new();
    let admin_thread = thread(
        "gateway-admin",
        operate(admin_listener, Arc::clone(&shared), admin_stop.clone()),
    )?;
    Ok(Running {
        shared,
        listen,
        admin,
        shutdown,
        threads,
        admin_thread,
        admin_stop,
    })
}

/// Runs a future on a thread with a runtime of its own.
fn thread(
    name: &str,
    future: impl Future<Output = io::Result<()>> + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let thread_name = name.to_owned();
    std::thread::Builder::new()
        .name(thread_name.clone())
        .spawn(move || {
            if let Err(error) = runtime.block_on(future) {
                tracing::error!(thread = thread_name, %error, "stopped");
            }
            runtime.shutdown_timeout(THREADS_STOP_WITHIN);
        })
}

impl Running {
    /// Waits for the token to be cancelled and for everything to end; bounded by the shutdown limit.
    pub async fn stopped(self) {
        self.shutdown.cancelled().await;
        // The admin API answers until the last worker has finished.
        let joining = tokio::task::spawn_blocking(move || {
            for thread in self.threads {
                let _ = thread.join();
            }
            self.admin_stop.cancel();
            let _ = self.admin_thread.join();
        });
        let _ = joining.await;
    }
}

/// What is not done for a request: the admin API, and the backends' health.
async fn operate(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) -> io::Result<()> {
    tokio::select! {
        served = admin::serve(listener, Arc::clone(&shared), stop) => served,
        () = health::supervise(shared) => Ok(()),
    }
}

async fn work(index: usize, listener: TcpListener, shared: Arc<Shared>) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let limits = &shared.limits;
    let worker = Arc::new(Worker {
        shared: Arc::clone(&shared),
        index,
        tasks: TaskTracker::new(),
    });
    loop {
        let accepted = tokio::select! {
            biased;
            () = shared.shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => take(&worker, stream, peer),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    shared.end_all_tunnels();
    worker.tasks.close();
    if tokio::time::timeout(limits.shutdown_timeout, worker.tasks.wait())
        .await
        .is_err()
    {
        tracing::warn!(
            connections = worker.tasks.len(),
            "connections were cut at the shutdown limit"
        );
    }
    Ok(())
}

fn take(worker: &Arc<Worker>, stream: TcpStream, peer: SocketAddr) {
    let shared = &worker.shared;
    let Ok(permit) = Arc::clone(&shared.connections).try_acquire_owned() else {
        shared.connections_refused.fetch_add(1, Ordering::Relaxed);
        // One write into the empty buffer of a new socket: it neither waits nor needs a task.
        let _ = stream
            .into_std()
            .and_then(|mut stream| stream.write_all(OVERLOADED));
        return;
    };
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "connection was gone at once");
        return;
    }
    worker
        .tasks
        .spawn(connection::serve(stream, peer, Arc::clone(worker), permit));
}
