use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tminus_load::faults::Relay;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// An echo server behind a relay, and a connection through both.
async fn connected() -> (Relay, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = socket.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    let relay = Relay::start(SocketAddr::from(([127, 0, 0, 1], 0)), target)
        .await
        .unwrap();
    let mut socket = TcpStream::connect(relay.address()).await.unwrap();
    echo(&mut socket, b"hello").await.unwrap();
    (relay, socket)
}

async fn echo(socket: &mut TcpStream, text: &[u8]) -> std::io::Result<()> {
    socket.write_all(text).await?;
    let mut back = vec![0; text.len()];
    socket.read_exact(&mut back).await?;
    assert_eq!(back, text);
    Ok(())
}

#[tokio::test]
async fn a_cut_resets_what_is_open_and_leaves_later_connections_alone() {
    let (relay, mut socket) = connected().await;
    assert_eq!((relay.open(), relay.cut_all()), (1, 1));
    let error = socket.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let mut later = TcpStream::connect(relay.address()).await.unwrap();
    echo(&mut later, b"again").await.unwrap();
    relay.stop().await;
    assert!(later.read_u8().await.is_err());
}

#[tokio::test]
async fn what_a_lost_network_swallowed_never_arrives() {
    let (relay, mut socket) = connected().await;
    let (cut, answer) = tokio::join!(relay.blackhole_then_cut(Duration::from_millis(100)), async {
        tokio::task::yield_now().await;
        echo(&mut socket, b"lost").await
    });
    assert_eq!(cut, 1);
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::ConnectionReset);
    relay.stop().await;
}

#[tokio::test]
async fn a_network_that_was_only_silent_delivers_late() {
    let (relay, mut socket) = connected().await;
    let silent = Duration::from_millis(100);
    let began = Instant::now();
    let ((), answer) = tokio::join!(relay.blackhole(silent), async {
        tokio::task::yield_now().await;
        echo(&mut socket, b"late").await
    });
    answer.unwrap();
    assert!(began.elapsed() >= silent);
    relay.delay(Duration::from_millis(20));
    let began = Instant::now();
    echo(&mut socket, b"slow").await.unwrap();
    assert!(
        began.elapsed() >= Duration::from_millis(40),
        "held in each direction"
    );
    relay.stop().await;
}

#[tokio::test]
async fn an_end_that_closes_properly_is_passed_on_properly() {
    let (relay, mut socket) = connected().await;
    socket.write_all(b"bye").await.unwrap();
    socket.shutdown().await.unwrap();
    let mut rest = Vec::new();
    socket.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"bye");
    relay.stop().await;
}
