//! Connections as they come in: not more than so many at a time, and all of them end.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;

/// After this long connections are cut that did not end by themselves.
const GRACE: Duration = Duration::from_secs(5);
/// When no connection can be taken, for want of file descriptors as a rule.
const PAUSE: Duration = Duration::from_millis(100);

/// Takes connections until `stop`, then waits for those that there are. One too many is closed at once. What `serve`
/// makes of a connection ends when its [`Cut`] is cut.
pub async fn accept<S, F>(
    what: &'static str,
    listener: TcpListener,
    connections_max: usize,
    stop: CancellationToken,
    serve: S,
) where
    S: Fn(Cut<TcpStream>, SocketAddr) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let (permits, tasks, cut) = (
        Arc::new(Semaphore::new(connections_max)),
        TaskTracker::new(),
        CancellationToken::new(),
    );
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(what, %error, "no connection could be taken");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            tracing::warn!(what, %address, connections_max, "refused: there are too many connections");
            continue;
        };
        // Small answers go out at once; that it cannot be set harms nobody.
        let _ = stream.set_nodelay(true);
        let served = serve(Cut::new(stream, cut.child_token()), address);
        tasks.spawn(async move {
            served.await;
            drop(permit);
        });
    }
    drop(listener);
    tasks.close();
    if tokio::time::timeout(GRACE, tasks.wait()).await.is_err() {
        cut.cancel();
        tasks.wait().await;
    }
}

/// A stream that can be ended from outside, even while its peer takes nothing.
#[derive(Debug)]
pub struct Cut<S> {
    inner: S,
    token: CancellationToken,
    cancelled: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<S> Cut<S> {
    fn new(inner: S, token: CancellationToken) -> Self {
        Self {
            inner,
            cancelled: Box::pin(token.clone().cancelled_owned()),
            token,
        }
    }

    /// What ends it.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.cancelled.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Cut<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Cut<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
