//! Sockets with hand-written bytes, for what no library would send.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::support::within;

pub struct Raw(pub TcpStream);

impl Raw {
    pub async fn connect(address: SocketAddr) -> Self {
        Self(within(TcpStream::connect(address)).await.unwrap())
    }

    pub async fn accept(listener: &TcpListener) -> Self {
        Self(within(listener.accept()).await.unwrap().0)
    }

    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        within(self.0.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Reads up to and including the empty line.
    pub async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(
                within(self.0.read_u8())
                    .await
                    .unwrap_or_else(|error| panic!("{error} after {head:?}")),
            );
        }
        String::from_utf8(head).unwrap()
    }

    pub async fn exactly(&mut self, bytes: usize) -> Vec<u8> {
        let mut read = vec![0; bytes];
        within(self.0.read_exact(&mut read)).await.unwrap();
        read
    }

    /// Everything until the other end closes; a reset counts as closing.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let mut buffer = vec![0; 16 * 1024];
        loop {
            match within(self.0.read(&mut buffer)).await {
                Ok(0) | Err(_) => return rest,
                Ok(read) => rest.extend_from_slice(&buffer[..read]),
            }
        }
    }
}

pub async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// An address at which nobody listens.
pub async fn nobody() -> SocketAddr {
    listener().await.1
}
