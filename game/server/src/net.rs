//! The listening socket and its connections: HTTP/1.1 and HTTP/2 without TLS on one port, told
//! apart by their first bytes. Bounds how many there are and how long they may be idle.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::{
    address::{Addresses, Place},
    config::Limits,
};

/// What the operating system may hold for a slow reader (bytes; Linux doubles it).
const SEND_BUFFER_BYTES: u32 = 128 * 1024;
/// Connections that wait to be accepted: a lobby that comes back all at once. The kernel takes no
/// more than its `somaxconn`, 4096 on Linux.
const BACKLOG: u32 = 4096;
/// RFC 9113, section 3.4.
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Refused connections that are told so at the same time.
const REFUSALS_MAX: usize = 64;
/// For requests that are still running when the process ends.
const LAST_REQUESTS: Duration = Duration::from_secs(2);
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 1\r\nconnection: close\r\n\r\n";
const TOO_MANY_OF_ONE_ADDRESS: &[u8] =
    b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\nretry-after: 5\r\nconnection: close\r\n\r\n";

/// Counts one connection for as long as any part of it lives.
#[derive(Debug, Clone)]
pub struct ConnectionPermit {
    _permit: Arc<(OwnedSemaphorePermit, Option<Place>)>,
    /// Who is at the other end: a client or a gateway.
    pub peer: IpAddr,
}

/// Listens at `address`; port 0 takes a free one.
///
/// # Errors
/// The address cannot be had.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    // Taken over by every connection: a client that does not read costs this much and no more.
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until `stop`, then lets running requests finish for a moment.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    addresses: Addresses,
    stop: CancellationToken,
) {
    let permits = Arc::new(Semaphore::new(limits.connections_max));
    let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
    let graceful = GracefulShutdown::new();
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(32 * 1024)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(256)
        .max_header_list_size(16 * 1024)
        .keep_alive_interval(Some(Duration::from_secs(30)))
        .keep_alive_timeout(Duration::from_secs(20));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
        };
        let (stream, peer) = match accepted {
            Ok((stream, peer)) => (stream, peer.ip()),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                // Out of file descriptors, mostly: without a pause this would spin.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let admitted = admit(&permits, &addresses, peer);
        let permit = match admitted {
            Ok(permit) => permit,
            Err(refusal) => {
                // Beyond this many refusals at a time a connection is dropped without a word.
                if let Ok(refusing) = refusals.clone().try_acquire_owned() {
                    connections.spawn(async move {
                        refuse(stream, refusal).await;
                        drop(refusing);
                    });
                }
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let router = router.clone();
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(permit.clone());
            router.clone().oneshot(request)
        });
        let (builder, watcher) = (builder.clone(), graceful.watcher());
        connections.spawn(async move {
            if !matches!(
                tokio::time::timeout(limits.header_timeout, speaks(&stream)).await,
                Ok(Ok(()))
            ) {
                return;
            }
            let connection = builder
                .serve_connection_with_upgrades(TokioIo::new(stream), service)
                .into_owned();
            if let Err(error) = watcher.watch(connection).await {
                tracing::debug!(%error, "a connection ended badly");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(LAST_REQUESTS, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("requests that did not finish are dropped");
    }
    connections.shutdown().await;
}

/// Ready once the client has said enough to tell HTTP/1.1 from HTTP/2. The library that does tell
/// them apart waits for that without end.
async fn speaks(stream: &TcpStream) -> io::Result<()> {
    let mut first = [0; HTTP2_PREFACE.len()];
    loop {
        let bytes = stream.peek(&mut first).await?;
        if bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if bytes == first.len() || !HTTP2_PREFACE.starts_with(&first[..bytes]) {
            return Ok(());
        }
        // Half a preface: what has been peeked at stays readable, so there is nothing to wait for.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Room for one more connection of this peer, or what it is refused with. A trusted proxy carries
/// the connections of many; those are counted one by one where they are opened.
fn admit(
    permits: &Arc<Semaphore>,
    addresses: &Addresses,
    peer: IpAddr,
) -> Result<ConnectionPermit, &'static [u8]> {
    let permit = permits.clone().try_acquire_owned().map_err(|_| FULL)?;
    let place = if addresses.is_trusted(peer) {
        None
    } else {
        Some(addresses.connect(peer.into()).ok_or(TOO_MANY_OF_ONE_ADDRESS)?)
    };
    Ok(ConnectionPermit {
        _permit: Arc::new((permit, place)),
        peer,
    })
}

/// Reads the request first: an answer that comes before its question is no answer to most clients.
async fn refuse(mut stream: TcpStream, refusal: &'static [u8]) {
    let _ = tokio::time::timeout(Duration::from_secs(1), async {
        let mut request = [0; 4 * 1024];
        if stream.read(&mut request).await? > 0 {
            stream.write_all(refusal).await?;
            stream.shutdown().await?;
            while stream.read(&mut request).await? > 0 {}
        }
        Ok::<_, io::Error>(())
    })
    .await;
}
