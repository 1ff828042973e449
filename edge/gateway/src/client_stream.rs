//! What a client's bytes come over: TCP, or TLS on it, in both cases perhaps behind a header of the PROXY protocol.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tminus_origin::proxy_protocol::{self, Header};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::front::Front;

/// A socket of which some bytes have been read already.
#[derive(Debug)]
pub struct Begun {
    early: Bytes,
    stream: TcpStream,
}

impl AsyncRead for Begun {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let taken = self.early.len().min(buf.remaining());
        buf.put_slice(&self.early[..taken]);
        self.early.advance(taken);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Begun {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// A client's connection, ready for its first request.
#[derive(Debug)]
pub enum ClientStream {
    /// As it comes over TCP.
    Plain(Begun),
    /// Over TLS.
    Tls(Box<TlsStream<Begun>>),
}

/// Calls the same method of whichever it is.
macro_rules! of_either {
    ($this:expr, $stream:ident => $call:expr) => {
        match $this {
            ClientStream::Plain($stream) => $call,
            ClientStream::Tls($stream) => $call,
        }
    };
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        of_either!(&mut *self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        of_either!(&mut *self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        of_either!(&mut *self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        of_either!(&mut *self, stream => Pin::new(stream).poll_shutdown(cx))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        of_either!(&mut *self, stream => Pin::new(stream).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        of_either!(self, stream => stream.is_write_vectored())
    }
}

impl ClientStream {
    /// Whether its client speaks TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }
}

/// Why a connection did not come to its first request.
#[derive(Debug, thiserror::Error)]
pub enum NotOpened {
    /// Who has to name its clients did not.
    #[error(transparent)]
    Proxy(#[from] proxy_protocol::NoHeader),
    /// Too slow, or broken.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Nothing came for too long.
    #[error("it was not open within {} ms", .0.as_millis())]
    Late(Duration),
}

/// Reads what comes before the first request; answers the stream and where its client connects from.
///
/// # Errors
/// It does not come, or not in time.
pub async fn open(
    stream: TcpStream,
    peer: SocketAddr,
    front: &Front,
    within: Duration,
) -> Result<(ClientStream, SocketAddr), NotOpened> {
    let begun = Begun {
        early: Bytes::new(),
        stream,
    };
    // A peer that is not trusted may not say who it is: its first bytes are its request's.
    let announced = front.proxy_protocol && front.trusted.is_trusted(peer.ip());
    if !announced && front.tls.is_none() {
        return Ok((ClientStream::Plain(begun), peer));
    }
    let opening = async {
        let (begun, peer) = if announced {
            announced_by(begun, peer).await?
        } else {
            (begun, peer)
        };
        let Some(tls) = &front.tls else {
            return Ok((ClientStream::Plain(begun), peer));
        };
        let stream = TlsAcceptor::from(std::sync::Arc::clone(tls))
            .accept(begun)
            .await?;
        Ok((ClientStream::Tls(Box::new(stream)), peer))
    };
    timeout(within, opening)
        .await
        .map_err(|_| NotOpened::Late(within))?
}

async fn announced_by(mut begun: Begun, peer: SocketAddr) -> Result<(Begun, SocketAddr), NotOpened> {
    let mut bytes = BytesMut::with_capacity(256);
    loop {
        match proxy_protocol::read(&bytes)? {
            Header::Whole {
                bytes: length,
                source,
            } => {
                begun.early = bytes.split_off(length).freeze();
                return Ok((begun, source.unwrap_or(peer)));
            }
            Header::Partial => {
                if begun.stream.read_buf(&mut bytes).await? == 0 {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                }
            }
        }
    }
}
