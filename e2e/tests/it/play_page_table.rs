//! The play page around a game: what players bring to it, what they take from it, another one with
//! the same opponent; and a game that changes windows or servers.

use crate::browser::{Driver, Page};
use crate::common::Starvault;
use crate::play_page_steps::{DESK, DESK_ZH, match_up, moves, play, shows, sign_in, state};

async fn wears(page: &Page, item: &str) {
    page.click(&format!("item-{item}")).await;
    page.until(
        &format!("{item} to be worn"),
        &format!(
            "document.querySelector('[data-testid=item-{item}]').getAttribute('aria-pressed') === 'true'"
        ),
    )
    .await;
}

async fn game_id(page: &Page) -> String {
    page.attribute("board", "data-game-id").await
}

#[tokio::test]
async fn a_rematch_swaps_the_colours_and_a_game_brings_experience() {
    let server = Starvault::start("v1.2").await;
    let driver = Driver::start().await;
    let first = driver.open(&server.url(), DESK).await;
    let second = driver.open(&server.url(), DESK_ZH).await;
    sign_in(&first, "Vega").await;
    sign_in(&second, "天枢").await;
    assert_eq!(first.attribute("level", "aria-label").await, "Level 1");
    wears(&first, "pieces-classic").await;
    wears(&first, "board-dusk").await;
    let (white, black) = match_up(&first, &second).await;
    let first_is_white = std::ptr::eq(white, &first);
    let dressed = |first_is_white: bool| {
        let pieces = if first_is_white { "white" } else { "black" };
        format!("document.body.dataset.{pieces}Pieces === 'pieces-classic'")
    };
    for page in [white, black] {
        page.until("the pieces of one player", &dressed(first_is_white))
            .await;
    }
    first
        .until("our own board", "document.body.dataset.board === 'board-dusk'")
        .await;
    second
        .until("the plain board", "document.body.dataset.board === ''")
        .await;

    let played = game_id(&first).await;
    second.click("resign").await;
    second.click("resign-confirm").await;
    for page in [&first, &second] {
        state(page, "ended").await;
    }
    // A win is worth 100 points of experience, and so much is a level.
    for part in ["+100 XP", "Level 2 reached!", "New: Spark crest"] {
        shows(&first, "result-gains", part).await;
    }

    second.click("rematch").await;
    first.control("rematch-accept").await;
    shows(&first, "rematch-ask-text", "天枢 wants a rematch").await;
    first.click("rematch-accept").await;
    for page in [&first, &second] {
        state(page, "playing").await;
        assert_ne!(game_id(page).await, played);
        page.until("colours swapped", &dressed(!first_is_white)).await;
    }
    assert_eq!(game_id(&first).await, game_id(&second).await);
    play(black, white, 0, "e2e4").await;

    // And a declined one.
    first.click("resign").await;
    first.click("resign-confirm").await;
    for page in [&first, &second] {
        state(page, "ended").await;
    }
    second.click("rematch").await;
    first.click("rematch-decline").await;
    second
        .until(
            "the refusal",
            "(e => e.disabled && e.textContent === '没有再战')(document.querySelector('[data-testid=rematch]'))",
        )
        .await;
}

/// Keeps every text that the banner shows from now on.
const WATCH_BANNER: &str = "
    window.banners = [];
    new MutationObserver(() => window.banners.push(document.querySelector('#banner-text').textContent))
        .observe(document.querySelector('#banner-text'), { childList: true, characterData: true, subtree: true });";

#[tokio::test]
async fn a_game_goes_on_in_another_window_and_behind_a_restart() {
    let mut server = Starvault::start("v1.2").await;
    let driver = Driver::start().await;
    let first = driver.open(&server.url(), DESK).await;
    let second = driver.open(&server.url(), DESK).await;
    sign_in(&first, "Vega").await;
    sign_in(&second, "Deneb").await;
    let (white, black) = match_up(&first, &second).await;
    play(white, black, 0, "e2e4").await;

    // The same tab once more: it is the same player, and one connection counts.
    let former = first.client().window().await.expect("a window");
    first.run("window.open('/', '_blank')", vec![]).await;
    let newer = first
        .client()
        .windows()
        .await
        .expect("a list of windows")
        .into_iter()
        .find(|window| *window != former)
        .expect("a second window");
    first
        .client()
        .switch_to_window(newer.clone())
        .await
        .expect("a window");
    state(&first, "playing").await;
    first
        .client()
        .switch_to_window(former.clone())
        .await
        .expect("a window");
    first
        .until(
            "who took over",
            "document.querySelector('[data-testid=connection]').innerText.includes('another window')",
        )
        .await;
    first.click("retry").await;
    first
        .until(
            "the connection",
            "document.querySelector('[data-testid=connection]').hidden",
        )
        .await;
    first.client().switch_to_window(newer).await.expect("a window");
    first
        .until(
            "who took over",
            "document.querySelector('[data-testid=connection]').innerText.includes('another window')",
        )
        .await;
    first.client().close_window().await.expect("it closes");
    first.client().switch_to_window(former).await.expect("a window");
    play(white, black, 1, "e7e5").await;

    for page in [white, black] {
        page.run(WATCH_BANNER, vec![]).await;
    }
    server.drain_and_restart("v1.3").await;
    for page in [white, black] {
        page.until(
            "the new release",
            "document.querySelector('[data-testid=release]').textContent.includes('v1.3')",
        )
        .await;
        page.until(
            "what happened",
            "window.banners.some(text => text.includes('being updated'))",
        )
        .await;
    }
    play(white, black, 2, "g1f3").await;
    assert_eq!(moves(white).await, ["e4", "e5", "Nf3"]);
    assert_eq!(moves(black).await, moves(white).await);
}
