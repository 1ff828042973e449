//! The play page before a game: waiting, regions, and what the page says of both.

use fantoccini::key::Key;
use serde_json::json;

use crate::browser::{Driver, Page};
use crate::common::Starvault;
use crate::play_page_steps::{DESK, DESK_ZH, shows, sign_in, state};

/// Between the page and its sockets: `window.hear(frame)` is as if the server had said it.
const OVERHEAR: &str = "
    const Real = window.WebSocket;
    window.WebSocket = class extends Real {
        set onmessage(handler) {
            window.hear = (frame) => handler({ data: JSON.stringify(frame) });
            super.onmessage = handler;
        }
    };";

async fn hears(page: &Page, frame: serde_json::Value) {
    page.run("window.hear(arguments[0])", vec![frame]).await;
}

async fn since_ms(page: &Page) -> String {
    page.attribute("queue", "data-since-ms").await
}

async fn press(page: &Page, key: Key) {
    let focused = page
        .client()
        .active_element()
        .await
        .expect("something has the focus");
    focused
        .send_keys(&char::from(key).to_string())
        .await
        .expect("a key");
}

async fn has_focus(page: &Page, id: &str) {
    page.until(
        &format!("the focus on {id}"),
        &format!("document.activeElement.dataset.testid === '{id}'"),
    )
    .await;
}

#[tokio::test]
async fn players_wait_in_their_region_and_a_reload_keeps_the_place() {
    // A window that does not grow and a wait without end, so that the texts stay the same.
    let server = Starvault::start_with(
        "v1.2",
        &[
            "--regions",
            "eu,asia",
            "--match-window",
            "300",
            "--match-window-growth",
            "0",
            "--match-wait-max",
            "60000",
        ],
    )
    .await;
    let driver = Driver::start().await;
    let first = driver.open(&server.url(), DESK).await;
    let second = driver.open(&server.url(), DESK_ZH).await;
    sign_in(&first, "Vega").await;
    sign_in(&second, "天枢").await;

    first.click("region-asia").await;
    first.click("find").await;
    state(&first, "queued").await;
    shows(&first, "lobby-title", "Looking for an opponent · Asia").await;
    let rating: i32 = first.text("rating").await.parse().expect("a rating");
    let range = first.text("queue-range").await;
    assert_eq!(range, format!("Ratings {} to {}", rating - 300, rating + 300));

    let since = since_ms(&first).await;
    first.client().refresh().await.expect("a reload");
    state(&first, "queued").await;
    assert_eq!(since_ms(&first).await, since, "the wait goes on where it was");

    // Europe is the first region, and nobody is there.
    second.click("find").await;
    state(&second, "queued").await;
    shows(&second, "lobby-title", "正在寻找对手 · 欧洲").await;
    second.click("cancel").await;
    second.click("region-asia").await;
    second.click("find").await;
    for page in [&first, &second] {
        state(page, "playing").await;
    }
    assert_eq!(
        first.attribute("board", "data-game-id").await,
        second.attribute("board", "data-game-id").await
    );
}

#[tokio::test]
async fn a_keyboard_is_enough_and_the_wait_is_told_as_far_as_it_is_known() {
    let server = Starvault::start("v1.2").await;
    let driver = Driver::start().await;
    let page = driver.open(&server.url(), DESK).await;
    page.run(OVERHEAR, vec![]).await;

    let name = page.control("name").await;
    name.send_keys("Vega").await.expect("typing a name");
    press(&page, Key::Enter).await;
    state(&page, "lobby").await;
    page.control("find").await;
    press(&page, Key::Enter).await;
    state(&page, "queued").await;
    has_focus(&page, "cancel").await;
    page.control("queue-window").await;

    // Long ago: the window has grown to its end.
    let policy = json!({ "queued": {
        "sinceMs": "1000", "rating": 1500, "windowInitial": 50, "windowGrowthPerSecond": 10, "waitMsMax": 30_000,
    } });
    hears(&page, policy).await;
    assert_eq!(page.text("queue-range").await, "Any rating");
    // A release that does not tell its policy.
    hears(&page, json!({ "queued": {} })).await;
    page.until(
        "no window",
        "!document.querySelector('[data-testid=queue-window]').checkVisibility()",
    )
    .await;
    page.control("queue-time").await;

    press(&page, Key::Enter).await;
    state(&page, "lobby").await;
    has_focus(&page, "find").await;
}

#[tokio::test]
async fn a_game_without_opponent_is_called_off_and_the_place_is_kept() {
    let server = Starvault::start("v1.2").await;
    let driver = Driver::start().await;
    let page = driver.open(&server.url(), DESK).await;
    page.run(OVERHEAR, vec![]).await;
    sign_in(&page, "Vega").await;
    page.click("find").await;
    page.control("queue-window").await;

    // As an older release tells it: no level, nothing worn.
    let game = json!({
        "gameId": "g", "sequence": 1, "toMove": "WHITE", "legalMoves": ["e2e4"],
        "fen": "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1",
        "white": { "displayName": "Vega", "rating": 1500, "hp": 3, "clockMs": "180000" },
        "black": { "displayName": "Deneb", "rating": 1480, "hp": 3, "clockMs": "180000" },
    });
    hears(&page, json!({ "matched": { "youPlay": "WHITE", "game": game } })).await;
    state(&page, "playing").await;
    assert_eq!(page.text("strength-black").await, "1480");

    // As this one does.
    let mut after = game.clone();
    after["sequence"] = json!(2);
    after["black"]["level"] = json!(7);
    after["black"]["equipped"] = json!(["pieces-comet", "crest-orbit"]);
    let moved = json!({ "by": "WHITE", "uci": "e2e4", "san": "e4", "lagMs": 137 });
    hears(
        &page,
        json!({ "gameEvent": { "gameId": "g", "sequence": 2, "moveMade": moved, "game": after } }),
    )
    .await;
    assert_eq!(page.text("lag-white").await, "+137 ms lag");
    assert_eq!(page.text("strength-black").await, "1480 · Lv 7");
    assert_eq!(
        page.attribute("wears-black", "aria-label").await,
        "wears Orbit crest"
    );
    page.until(
        "the opponent's pieces",
        "document.body.dataset.blackPieces === 'pieces-comet' && document.body.dataset.whitePieces === ''",
    )
    .await;

    after["sequence"] = json!(3);
    after["outcome"] = json!({ "reason": "ABORTED" });
    let ended = json!({ "outcome": { "reason": "ABORTED" } });
    hears(
        &page,
        json!({ "gameEvent": { "gameId": "g", "sequence": 3, "ended": ended, "game": after } }),
    )
    .await;
    state(&page, "ended").await;
    shows(&page, "result-title", "Game called off").await;
    page.until(
        "no rematch",
        "!document.querySelector('[data-testid=rematch]').checkVisibility()",
    )
    .await;
    hears(&page, json!({ "queued": { "sinceMs": "1000" } })).await;
    state(&page, "queued").await;
    assert_eq!(since_ms(&page).await, "1000");
    shows(&page, "error", "keep your place").await;
}

#[tokio::test]
async fn whoever_waits_waits_on_behind_a_restart() {
    let mut server = Starvault::start("v1.2").await;
    let driver = Driver::start().await;
    let first = driver.open(&server.url(), DESK).await;
    sign_in(&first, "Vega").await;
    first.click("find").await;
    first.control("queue-window").await;
    let since = since_ms(&first).await;

    server.kill_and_restart("v1.3").await;
    first
        .until(
            "the new release",
            "document.querySelector('[data-testid=release]').textContent.includes('v1.3')",
        )
        .await;
    // Nobody touched the page; the wait is a new one.
    first
        .until(
            "another wait",
            &format!(
                "(wait => document.body.dataset.state === 'queued' && Number(wait.dataset.sinceMs) > {since})\
                 (document.querySelector('[data-testid=queue]'))"
            ),
        )
        .await;
    let second = driver.open(&server.url(), DESK_ZH).await;
    sign_in(&second, "天枢").await;
    second.click("find").await;
    for page in [&first, &second] {
        state(page, "playing").await;
    }
}
