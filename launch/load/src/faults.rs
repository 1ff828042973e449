//! A TCP relay that can fail on demand: what a lost or slow network looks like from both ends.
//!
//! Loopback in, any address out. Never looks into what it carries.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::LoadError;

/// The most connections at a time; more wait to be accepted.
const CONNECTIONS_MAX: usize = 8192;
const CHUNK_BYTES: usize = 4 * 1024;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Weather {
    swallow: bool,
    delay: Duration,
    /// Connections of an older generation are cut.
    generation: u64,
}

/// Accepts connections and carries each to the target, as long as nobody makes it fail.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    open: Arc<AtomicU64>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Relay {
    /// Listens at `listen` (port 0: any) for connections to `target`.
    ///
    /// # Errors
    /// [`LoadError::Relay`] when it cannot listen there.
    pub async fn start(listen: SocketAddr, target: SocketAddr) -> Result<Self, LoadError> {
        let failed = |source| LoadError::Relay {
            listen: listen.to_string(),
            source,
        };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let weather = watch::Sender::new(Weather::default());
        let (open, stop, tasks) = (Arc::default(), CancellationToken::new(), TaskTracker::new());
        tasks.spawn(accept(
            listener,
            target,
            weather.subscribe(),
            Arc::clone(&open),
            stop.clone(),
            tasks.clone(),
        ));
        Ok(Self {
            address,
            weather,
            open,
            stop,
            tasks,
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections it carries.
    pub fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Resets all connections, on both sides. Returns how many; later ones are not concerned.
    pub fn cut_all(&self) -> u64 {
        let open = self.open();
        self.weather.send_modify(|w| w.generation += 1);
        open
    }

    /// For so long nothing passes, in either direction, and nobody is told. Then it passes again.
    pub async fn blackhole(&self, lasts: Duration) {
        self.weather.send_modify(|w| w.swallow = true);
        tokio::time::sleep(lasts).await;
        self.weather.send_modify(|w| w.swallow = false);
    }

    /// As [`Relay::blackhole`], but what was swallowed never arrives: at the end everything is reset.
    /// Returns how many connections.
    pub async fn blackhole_then_cut(&self, lasts: Duration) -> u64 {
        self.weather.send_modify(|w| w.swallow = true);
        tokio::time::sleep(lasts).await;
        let open = self.open();
        self.weather.send_modify(|w| {
            w.generation += 1;
            w.swallow = false;
        });
        open
    }

    /// Every chunk is held for so long, in each direction.
    pub fn delay(&self, delay: Duration) {
        self.weather.send_modify(|w| w.delay = delay);
    }

    /// Resets what is open and stops listening.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn accept(
    listener: TcpListener,
    target: SocketAddr,
    weather: watch::Receiver<Weather>,
    open: Arc<AtomicU64>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            accepted = async {
                let permit = room.clone().acquire_owned().await.ok();
                (listener.accept().await, permit)
            } => accepted,
            () = stop.cancelled() => return,
        };
        let (Ok((inbound, _)), permit) = accepted else {
            continue;
        };
        let (mut weather, open, stop) = (weather.clone(), Arc::clone(&open), stop.clone());
        tasks.spawn(async move {
            let _permit = permit;
            open.fetch_add(1, Ordering::Relaxed);
            carry(inbound, target, &mut weather, stop).await;
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// One connection, until an end closes it or it is cut.
async fn carry(
    mut inbound: TcpStream,
    target: SocketAddr,
    weather: &mut watch::Receiver<Weather>,
    stop: CancellationToken,
) {
    let born = weather.borrow().generation;
    let connected = tokio::select! {
        connected = TcpStream::connect(target) => connected,
        () = stop.cancelled() => return,
    };
    let Ok(mut outbound) = connected else {
        let _ = inbound.set_zero_linger();
        return;
    };
    let _ = (inbound.set_nodelay(true), outbound.set_nodelay(true));
    let properly_ended = {
        let (inbound_read, inbound_write) = inbound.split();
        let (outbound_read, outbound_write) = outbound.split();
        let both = async {
            tokio::try_join!(
                pump(inbound_read, outbound_write, weather.clone(), born),
                pump(outbound_read, inbound_write, weather.clone(), born),
            )
        };
        let mut cut = weather.clone();
        tokio::select! {
            _ = cut.wait_for(|w| w.generation != born) => false,
            () = stop.cancelled() => false,
            ended = both => ended.is_ok(),
        }
    };
    if !properly_ended {
        let _ = (inbound.set_zero_linger(), outbound.set_zero_linger());
    }
}

async fn pump(
    mut from: tokio::net::tcp::ReadHalf<'_>,
    mut to: tokio::net::tcp::WriteHalf<'_>,
    mut weather: watch::Receiver<Weather>,
    born: u64,
) -> std::io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = from.read(&mut chunk).await?;
        // A relay that is gone lets nothing pass any more, and neither does a cut connection.
        let now = weather
            .wait_for(|w| !w.swallow || w.generation != born)
            .await
            .map(|w| *w);
        let Weather {
            delay, generation, ..
        } = now.map_err(|_| std::io::ErrorKind::ConnectionAborted)?;
        if generation != born {
            return Err(std::io::ErrorKind::ConnectionAborted.into());
        }
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&chunk[..length]).await?;
    }
}
