use std::time::Duration;

use starvault_nodes::{Instance, Membership, RedisUrl, Standing, Timing, View};
use starvault_testing::{RedisOverTls, RedisServer};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(30);

pub const TIMING: Timing = Timing {
    time_to_live: Duration::from_millis(900),
    every: Duration::from_millis(200),
};

pub struct Node {
    pub name: Instance,
    pub membership: Membership,
    pub task: JoinHandle<()>,
}

pub async fn join(redis: &RedisServer, name: &str) -> Node {
    join_at(&redis.url(), name).await
}

async fn join_at(url: &str, name: &str) -> Node {
    let (url, name): (RedisUrl, Instance) = (url.parse().unwrap(), name.into());
    let stop = CancellationToken::new();
    let (membership, task) = Membership::join(&url, "v1", name.clone(), 0, TIMING, stop)
        .await
        .unwrap();
    Node {
        name,
        membership,
        task: tokio::spawn(task),
    }
}

impl Node {
    pub async fn sees(&self, what: &str, holds: impl Fn(&View) -> bool) -> View {
        let mut view = self.membership.view();
        let seen = tokio::time::timeout(PATIENCE, view.wait_for(|view| holds(view))).await;
        match seen {
            Ok(Ok(view)) => view.clone(),
            _ => panic!(
                "{}: never seen: {what}; but {:?}",
                self.name,
                self.membership.view().borrow()
            ),
        }
    }

    fn leads(&self) -> bool {
        self.membership.lease().is_held()
    }
}

fn leader(view: &View) -> Option<(&str, u64)> {
    view.leader
        .as_ref()
        .map(|leader| (&*leader.instance, leader.token))
}

#[tokio::test]
async fn nodes_meet_over_tls() {
    let redis = RedisOverTls::start(true);
    let (first, second) = (join_at(&redis.url(), "a").await, join_at(&redis.url(), "b").await);
    for node in [first, second] {
        node.sees("both", |view| view.alive.len() == 2 && view.leader.is_some())
            .await;
    }
}

#[tokio::test]
async fn one_leads_and_when_it_goes_another_one_does_under_a_higher_token() {
    let redis = RedisServer::start();
    let (a, b) = (join(&redis, "a").await, join(&redis, "b").await);
    a.sees("both", |view| view.alive.len() == 2).await;
    let view = b.sees("both", |view| view.alive.len() == 2).await;
    assert_eq!(leader(&view), Some(("a", 1)));
    assert!(a.leads() && !b.leads());
    b.sees("that it is sure", |view| view.settled).await;
    // As a process that was killed.
    a.task.abort();
    let view = b.sees("that a is dead", |view| view.dead.contains(&a.name)).await;
    assert_eq!(
        (view.standing("a"), view.standing("b")),
        (Standing::Dead, Standing::Alive)
    );
    let view = b
        .sees("that b leads", |view| {
            leader(view).is_some_and(|(name, _)| name == "b")
        })
        .await;
    assert_eq!(leader(&view), Some(("b", 2)));
    assert!(b.leads());
    // Its lease has run out by its own clock as well, though nobody told it.
    assert!(!a.leads());
    b.membership.forget(&a.name);
    b.sees("nothing of a", |view| view.dead.is_empty()).await;
}

#[tokio::test]
async fn who_leaves_is_gone_at_once_and_the_lease_is_free() {
    let redis = RedisServer::start();
    let (a, b) = (join(&redis, "a").await, join(&redis, "b").await);
    b.sees("both", |view| view.alive.len() == 2).await;
    b.sees("that it is sure", |view| view.settled).await;
    a.membership.leave().await;
    assert!(!a.leads());
    b.sees("that a is dead and b leads", |view| {
        view.standing("a") == Standing::Dead && leader(view) == Some(("b", 2))
    })
    .await;
    // And says no more.
    tokio::time::timeout(PATIENCE, a.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn without_redis_nobody_is_dead_and_nobody_leads() {
    let redis = RedisServer::start();
    let (a, b) = (join(&redis, "a").await, join(&redis, "b").await);
    for node in [&a, &b] {
        node.sees("both", |view| view.settled && view.alive.len() == 2)
            .await;
    }
    redis.kill();
    for node in [&a, &b] {
        let view = node.sees("nothing", |view| view.alive.is_empty()).await;
        assert_eq!(view.standing(&a.name), Standing::Unknown);
        assert!(!node.leads());
    }
    redis.lose_everything();
    redis.go_on();
    for node in [&a, &b] {
        // Who is back first does not take the other one for dead.
        let view = node.sees("both again", |view| view.alive.len() == 2).await;
        assert!(view.dead.is_empty());
        node.sees("a leader", |view| view.leader.is_some()).await;
    }
    assert!(a.leads() != b.leads());
}

#[tokio::test]
async fn who_is_away_counts_as_dead_only_once_redis_was_heard_for_long_enough() {
    let redis = RedisServer::start();
    let (a, b) = (join(&redis, "a").await, join(&redis, "b").await);
    a.sees("both", |view| view.settled && view.alive.len() == 2).await;
    redis.kill();
    a.sees("nothing", |view| view.alive.is_empty()).await;
    b.task.abort();
    // Redis still knows that there was a node b, and has let its presence expire meanwhile.
    redis.go_on();
    let view = a.sees("itself", |view| view.alive.len() == 1).await;
    assert_eq!((view.standing("b"), view.dead.len()), (Standing::Unknown, 0));
    let view = a.sees("that it is sure", |view| view.settled).await;
    assert_eq!(
        (view.standing("b"), &view.dead[..]),
        (Standing::Dead, &[b.name][..])
    );
}
