use std::{sync::Arc, time::Duration};

use starvault_nodes::{Body, Bus, Closed, Figures, Instance, Receiver, RedisUrl};
use starvault_testing::RedisServer;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::membership::{Node, TIMING, join};

const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, PartialEq)]
enum Heard {
    Word(u64),
    Reset,
    Leaving,
}

struct Ear(mpsc::UnboundedSender<Heard>);

impl Receiver for Ear {
    fn on_message(&self, _: &Instance, body: Body) {
        if let Body::Closed(Closed { session_id }) = body {
            let _ = self.0.send(Heard::Word(session_id));
        }
    }

    fn on_reset(&self, _: &Instance) {
        let _ = self.0.send(Heard::Reset);
    }

    fn on_leaving(&self, _: &Instance) {
        let _ = self.0.send(Heard::Leaving);
    }
}

struct End {
    node: Node,
    bus: Bus,
    figures: Arc<Figures>,
    heard: mpsc::UnboundedReceiver<Heard>,
    stop: CancellationToken,
}

impl End {
    async fn start(redis: &RedisServer, name: &str) -> Self {
        let node = join(redis, name).await;
        let url: RedisUrl = redis.url().parse().unwrap();
        let figures = Arc::new(Figures::default());
        let (bus, idle) = Bus::new(&url, node.name.clone(), TIMING, figures.clone());
        let (ear, heard) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        tokio::spawn(idle.run(Arc::new(Ear(ear)), node.membership.view(), stop.clone()));
        Self {
            node,
            bus,
            figures,
            heard,
            stop,
        }
    }

    fn say(&self, to: &str, word: u64) {
        let _ = self
            .bus
            .send(&to.into(), Body::Closed(Closed { session_id: word }));
    }

    async fn hears(&mut self) -> Heard {
        let heard = tokio::time::timeout(PATIENCE, self.heard.recv()).await;
        heard.expect("something is heard").unwrap()
    }

    /// The next word; links may begin anew before it.
    async fn word(&mut self) -> u64 {
        loop {
            if let Heard::Word(word) = self.hears().await {
                return word;
            }
        }
    }

    async fn knows(&self, peer: &str) {
        let looking = async {
            while !self.bus.is_heard(&peer.into()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, looking)
            .await
            .expect("the link stands");
    }
}

async fn two(redis: &RedisServer) -> (End, End) {
    let (mut a, mut b) = (End::start(redis, "a").await, End::start(redis, "b").await);
    a.knows("b").await;
    b.knows("a").await;
    // Each has learned of the other; that is no loss.
    for end in [&mut a, &mut b] {
        while end.heard.try_recv().is_ok() {}
        assert_eq!(end.figures.resets(), 0);
    }
    (a, b)
}

async fn publish(redis: &RedisServer, to: &str, bytes: &[u8]) {
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let receivers: u64 = redis::cmd("PUBLISH")
        .arg(format!("sv:to:{to}"))
        .arg(bytes)
        .query_async(&mut connection)
        .await
        .unwrap();
    assert_eq!(receivers, 1);
}

#[tokio::test]
async fn words_arrive_in_order_both_ways() {
    let redis = RedisServer::start();
    let (mut a, mut b) = two(&redis).await;
    for word in 1..=2_000 {
        a.say("b", word);
        b.say("a", 10_000 + word);
    }
    for word in 1..=2_000 {
        assert_eq!(b.hears().await, Heard::Word(word));
        assert_eq!(a.hears().await, Heard::Word(10_000 + word));
    }
    assert!(a.figures.sent() >= 2_000 && b.figures.received() >= 2_000);
}

#[tokio::test]
async fn what_is_garbled_or_said_twice_is_refused_and_harms_nothing() {
    let redis = RedisServer::start();
    // What b hears, somebody else hears as well.
    let client = redis::Client::open(redis.url()).unwrap();
    let mut tap = client.get_async_pubsub().await.unwrap();
    let (a, mut b) = two(&redis).await;
    tap.subscribe("sv:to:b").await.unwrap();
    a.say("b", 1);
    assert_eq!(b.hears().await, Heard::Word(1));
    let overheard = {
        use futures_util::StreamExt as _;
        tap.on_message()
            .next()
            .await
            .unwrap()
            .get_payload_bytes()
            .to_vec()
    };
    drop(tap);
    let refused = b.figures.refused();
    for bytes in [
        &b""[..],
        b"\xff\xff\xff",
        b"hello",
        &overheard,
        &overheard[..overheard.len() - 1],
    ] {
        publish(&redis, "b", bytes).await;
    }
    a.say("b", 2);
    assert_eq!(b.hears().await, Heard::Word(2));
    assert!(b.figures.refused() >= refused + 5);
    assert_eq!(b.figures.resets(), 0);
}

#[tokio::test]
async fn a_peer_that_is_gone_is_noticed_by_the_first_word_to_it() {
    let redis = RedisServer::start();
    let (mut a, b) = two(&redis).await;
    b.stop.cancel();
    let noticed = async {
        loop {
            a.say("b", 1);
            if let Ok(heard) = a.heard.try_recv() {
                return heard;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let heard = tokio::time::timeout(PATIENCE, noticed).await.unwrap();
    assert_eq!(heard, Heard::Reset);
    assert!(!a.bus.is_heard(&"b".into()));
    drop(b.node);
}

#[tokio::test]
async fn a_redis_that_was_away_ends_what_hung_on_it_and_then_words_pass_again() {
    let redis = RedisServer::start();
    let (mut a, mut b) = two(&redis).await;
    redis.kill();
    assert_eq!(b.hears().await, Heard::Reset);
    assert_eq!(a.hears().await, Heard::Reset);
    redis.go_on();
    a.knows("b").await;
    b.knows("a").await;
    a.say("b", 7);
    b.say("a", 8);
    assert_eq!((a.word().await, b.word().await), (8, 7));
}

#[tokio::test]
async fn who_goes_down_in_order_says_so() {
    let redis = RedisServer::start();
    let (mut a, b) = two(&redis).await;
    let view = b.node.membership.view().borrow().clone();
    b.bus.say_leaving(&view).await;
    assert_eq!(a.hears().await, Heard::Leaving);
    assert_eq!(a.hears().await, Heard::Reset);
}
