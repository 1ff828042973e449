//! What players say to each other on the play page.

use fantoccini::key::Key;

use crate::browser::{Driver, Page};
use crate::common::Starvault;
use crate::play_page_steps::{DESK, DESK_ZH, match_up, play, shows, sign_in, state};

async fn is_silent(page: &Page, color: &str) {
    page.until(
        &format!("nothing said at {color}'s seat"),
        &format!("!document.querySelector('[data-testid=bubble-{color}]').checkVisibility()"),
    )
    .await;
}

async fn was_announced(page: &Page, text: &str) -> bool {
    let heard = page
        .run(
            "return document.querySelector('[data-testid=announcer]').textContent.includes(arguments[0])",
            vec![text.into()],
        )
        .await;
    heard == true
}

async fn is_muted(page: &Page) {
    page.until(
        "the opponent to be muted",
        "document.querySelector('[data-testid=mute]').getAttribute('aria-pressed') === 'true'",
    )
    .await;
}

#[tokio::test]
async fn an_emote_shows_beside_the_seat_for_a_moment_until_the_opponent_is_muted() {
    let server = Starvault::start("v1.2").await;
    let driver = Driver::start().await;
    let first = driver.open(&server.url(), DESK).await;
    let second = driver.open(&server.url(), DESK_ZH).await;
    sign_in(&first, "Vega").await;
    sign_in(&second, "天枢").await;
    let (white, black) = match_up(&first, &second).await;
    let of_second = if std::ptr::eq(white, &second) {
        "white"
    } else {
        "black"
    };
    let of_first = if of_second == "white" { "black" } else { "white" };

    // By keyboard, and each in their own language.
    let bubble = format!("bubble-{of_second}");
    let greeting = second.control("emote-GREETING").await;
    greeting
        .send_keys(&char::from(Key::Enter).to_string())
        .await
        .expect("a key");
    shows(&first, &bubble, "Hello!").await;
    assert!(was_announced(&first, "天枢: Hello!").await);
    assert!(was_announced(&second, "天枢：你好！").await);
    is_silent(&first, of_first).await;
    for page in [&first, &second] {
        is_silent(page, of_second).await;
    }

    // Muted, also behind a reload; the other direction is open.
    first.click("mute").await;
    is_muted(&first).await;
    first.client().refresh().await.expect("a reload");
    state(&first, "playing").await;
    is_muted(&first).await;
    second.click("emote-THANKS").await;
    play(white, black, 0, "e2e4").await;
    // Said before the move, it would be here.
    assert!(!was_announced(&first, "Thanks!").await);
    is_silent(&first, of_second).await;
    first.click("emote-OOPS").await;
    shows(&second, &format!("bubble-{of_first}"), "哎呀！").await;

    // Heard again, and at the end of the game as well.
    first.click("mute").await;
    first.click("resign").await;
    first.click("resign-confirm").await;
    for page in [&first, &second] {
        state(page, "ended").await;
    }
    second.click("emote-GOOD_GAME").await;
    shows(&first, &bubble, "Good game!").await;
}

/// Keeps every text that the banner shows from now on.
const WATCH_BANNER: &str = "
    window.banners = [];
    new MutationObserver(() => window.banners.push(document.querySelector('#banner-text').textContent))
        .observe(document.querySelector('#banner-text'), { childList: true, characterData: true, subtree: true });";

#[tokio::test]
async fn too_many_emotes_are_told_and_cost_nothing_else() {
    let server = Starvault::start("v1.2").await;
    let driver = Driver::start().await;
    let first = driver.open(&server.url(), DESK).await;
    let second = driver.open(&server.url(), DESK).await;
    sign_in(&first, "Vega").await;
    sign_in(&second, "Deneb").await;
    let (white, black) = match_up(&first, &second).await;
    white.run(WATCH_BANNER, vec![]).await;
    white
        .run(
            "for (let i = 0; i < 12; i += 1) document.querySelector('[data-testid=emote-THINKING]').click()",
            vec![],
        )
        .await;
    shows(white, "error", "Wait a moment").await;
    is_silent(white, "white").await;
    shows(black, "bubble-white", "Thinking…").await;

    // An emote has no answer, and the page must not take that for a dead connection.
    white
        .run(
            "const real = Date.now; Date.now = () => real() + 60_000; window.sent = [];
             const send = WebSocket.prototype.send;
             WebSocket.prototype.send = function (text) { window.sent.push(text); send.call(this, text); };",
            vec![],
        )
        .await;
    white
        .until(
            "the next look at the connection",
            "window.sent.some(text => text.includes('ping'))",
        )
        .await;
    play(white, black, 0, "e2e4").await;
    assert_eq!(
        white.run("return window.banners", vec![]).await,
        serde_json::json!([])
    );
}
