use std::time::Duration;

use starvault_nodes::{RedisUrl, Ticket, TicketLog};
use starvault_testing::RedisServer;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(30);

fn ticket(player: &str, enqueued_at_ms: u64) -> Ticket {
    Ticket {
        player_id: player.into(),
        display_name: "Ada 星".into(),
        rating: 1512,
        region: "eu".into(),
        enqueued_at_ms,
        node: "n".into(),
    }
}

/// What a new leader finds, once that is `wanted`.
async fn finds(url: &RedisUrl, wanted: &[Ticket]) {
    let (log, _) = TicketLog::new(url, "v1", CancellationToken::new());
    let looking = async {
        loop {
            let found = log.take_over().await.unwrap_or_default();
            if found == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let found = tokio::time::timeout(PATIENCE, looking).await;
    assert!(found.is_ok(), "{:?} instead of {wanted:?}", log.take_over().await);
}

#[tokio::test]
async fn a_new_leader_finds_who_waits_in_order_of_seniority_and_nobody_else() {
    let redis = RedisServer::start();
    let url: RedisUrl = redis.url().parse().unwrap();
    let (log, task) = TicketLog::new(&url, "v1", CancellationToken::new());
    let task = tokio::spawn(task);
    for (player, at) in [("p-1", 30), ("p-2", 20), ("p-3", 10)] {
        log.keep(ticket(player, at));
    }
    finds(&url, &[ticket("p-3", 10), ticket("p-2", 20), ticket("p-1", 30)]).await;
    log.drop_of("p-2");
    // A ticket that came back with its seniority takes the place of what was there.
    log.keep(ticket("p-1", 5));
    finds(&url, &[ticket("p-1", 5), ticket("p-3", 10)]).await;
    // Away for a while: what was wished meanwhile is written afterwards.
    redis.kill();
    log.drop_of("p-3");
    log.keep(ticket("p-4", 40));
    redis.go_on();
    finds(&url, &[ticket("p-1", 5), ticket("p-4", 40)]).await;
    // Another node leads: what this one still says about them changes nothing.
    log.hand_over();
    log.drop_of("p-1");
    log.keep(ticket("p-5", 50));
    finds(&url, &[ticket("p-1", 5), ticket("p-4", 40), ticket("p-5", 50)]).await;
    task.abort();
}
