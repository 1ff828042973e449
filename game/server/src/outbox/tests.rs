use std::{sync::atomic::AtomicUsize, task::Wake, time::Duration};

use starvault_wire::v1::{Error, server_frame::Event};
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpSocket, TcpStream},
};

use super::*;

/// How often a task would have been woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Wakes {
    fn so_far(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// An outbox with a socket that takes little, and the peer.
async fn connected(frames_max: usize) -> (Arc<Outbox>, Link, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let peer = socket.connect(listener.local_addr().unwrap()).await.unwrap();
    let (ours, _) = listener.accept().await.unwrap();
    let (_, writer) = ours.into_split();
    // That it takes anything is learned from the operating system first.
    writer.writable().await.unwrap();
    let outbox = Outbox::new(frames_max);
    outbox.attach(writer, Codec::Proto);
    (Arc::new(outbox), Link::new(), peer)
}

fn frame(request_id: u32, bytes: usize) -> ServerFrame {
    let message = "x".repeat(bytes);
    ServerFrame {
        request_id,
        event: Some(Event::Error(Error {
            message,
            ..Error::default()
        })),
    }
}

fn wire(frame: &ServerFrame) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_frame(&mut bytes, Codec::Proto, frame);
    bytes
}

async fn heard(peer: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut heard = vec![0; bytes];
    let hearing = peer.read_exact(&mut heard);
    tokio::time::timeout(Duration::from_secs(30), hearing)
        .await
        .expect("everything that was sent")
        .unwrap();
    heard
}

fn put(outbox: &Outbox, link: &Link, frame: &ServerFrame) -> bool {
    outbox.put(link, Outgoing::Frame(Box::new(frame.clone())))
}

#[tokio::test]
async fn a_frame_leaves_at_once_and_wakes_nobody() {
    let (outbox, link, mut peer) = connected(8).await;
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    outbox.hold();
    assert_eq!(
        outbox.poll_release(&link, &mut Context::from_waker(&waker)),
        Written::All
    );
    let (one, two) = (frame(1, 10), frame(2, 10));
    assert!(put(&outbox, &link, &one));
    assert!(outbox.put_if_room(&link, &Arc::new(SharedFrame::new(two.clone()))));
    let expected = [wire(&one), wire(&two)].concat();
    assert_eq!(heard(&mut peer, expected.len()).await, expected);
    assert_eq!(wakes.so_far(), 0);
}

#[tokio::test]
async fn frames_that_are_sent_together_leave_in_one_write() {
    let (outbox, link, mut peer) = connected(8).await;
    let frames: Vec<_> = (1..=3).map(|n| frame(n, 100)).collect();
    outbox.hold();
    outbox.hold();
    for frame in &frames {
        assert!(put(&outbox, &link, frame));
    }
    outbox.release(&link);
    assert_eq!(outbox.way().queue.len(), 3, "somebody else holds it still");
    let mut writes = 0;
    let written = outbox.way().write(&link, |half, bytes| {
        writes += 1;
        Poll::Ready(half.try_write(bytes))
    });
    assert_eq!((written, writes), (Written::All, 1));
    let expected: Vec<u8> = frames.iter().flat_map(wire).collect();
    assert_eq!(heard(&mut peer, expected.len()).await, expected);
    // More than goes together is not held back.
    for n in 0..=4 {
        assert!(put(&outbox, &link, &frame(n, 1)));
    }
    assert!(outbox.way().queue.is_empty());
}

#[tokio::test]
async fn an_outbox_that_fills_while_it_writes_is_cut_and_its_task_woken() {
    let (outbox, link, peer) = connected(4).await;
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let mut cx = Context::from_waker(&waker);
    outbox.hold();
    assert_eq!(outbox.poll_release(&link, &mut cx), Written::All);
    let large = frame(1, 12 * 1024);
    while !outbox.way().blocked {
        assert!(put(&outbox, &link, &large));
    }
    assert_eq!(wakes.so_far(), 1, "the task has to wait for the socket now");
    outbox.hold();
    assert!(matches!(
        outbox.poll_release(&link, &mut cx),
        Written::Blocked { .. }
    ));
    // Also while somebody else sends: whoever does not ask again is never woken.
    outbox.hold();
    outbox.hold();
    assert!(matches!(
        outbox.poll_release(&link, &mut cx),
        Written::Blocked { .. }
    ));
    outbox.release(&link);
    let shared = Arc::new(SharedFrame::new(large.clone()));
    assert!(outbox.put_if_room(&link, &shared));
    assert!(outbox.put_if_room(&link, &shared));
    assert!(
        !outbox.put_if_room(&link, &shared),
        "the other half is the game's"
    );
    assert!(
        put(&outbox, &link, &large) && put(&outbox, &link, &large),
        "there is room for the game"
    );
    let before = wakes.so_far();
    assert!(!outbox.is_closed());
    assert!(!put(&outbox, &link, &large));
    assert!(outbox.was_cut() && wakes.so_far() == before + 1);
    drop(peer);
}

/// Whatever the socket takes at a time, and whoever writes.
#[tokio::test]
async fn what_a_slow_peer_hears_is_whole_and_in_order() {
    for past_the_queue in [1, 3] {
        hears_it_all(past_the_queue).await;
    }
}

/// Each so many-th frame is one that goes past the queue if it can.
async fn hears_it_all(past_the_queue: usize) {
    let (outbox, link, mut peer) = connected(100_000).await;
    let link = Arc::new(link);
    let frames: Vec<_> = (0..300)
        .map(|n| frame(n, (n as usize * 3_701) % 90_000))
        .collect();
    let expected: Vec<u8> = frames.iter().flat_map(wire).collect();
    let length = expected.len();
    let (of_task, of_sender) = (outbox.clone(), outbox.clone());
    let (task_link, sender_link) = (link.clone(), link.clone());
    // The connection's task.
    let task = tokio::spawn(std::future::poll_fn(move |cx| {
        of_task.hold();
        match of_task.poll_release(&task_link, cx) {
            Written::UntilClose(_) => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }));
    let sender = tokio::spawn(async move {
        for (n, frame) in frames.into_iter().enumerate() {
            if n % past_the_queue == 0 {
                assert!(of_sender.put_if_room(&sender_link, &Arc::new(SharedFrame::new(frame))));
            } else {
                assert!(put(&of_sender, &sender_link, &frame));
            }
            if n % 16 == 0 {
                tokio::task::yield_now().await;
            }
        }
        of_sender.put(&sender_link, Outgoing::Close(Close::GOING_DOWN));
    });
    assert!(heard(&mut peer, length).await == expected);
    sender.await.unwrap();
    task.await.unwrap();
}
