//! The play page in real browsers, against a real server: two windows, two players.

use fantoccini::actions::{InputSource, MOUSE_BUTTON_LEFT, MouseActions, PointerAction};
use fantoccini::key::Key;
use serde_json::{Value, json};

use crate::browser::{Driver, Page};
use crate::common::Starvault;
use crate::play_page_steps::{
    DESK, DESK_ZH, PHONE, PHONE_ZH, match_up, may_play, moves, play, sequence, shows, shows_sequence,
    sign_in, state,
};

/// The longest name that there is room for (24 characters), and the widest.
const WIDEST_NAME: &str = "WWWWWWWWWWWWWWWWWWWWWWWW";
const TOUCH_TARGET_PX: f64 = 40.0;

/// White checks on the 7th, 9th and 11th ply.
const THREE_CHECKS: [&str; 11] = [
    "e2e4", "e7e5", "d1h5", "b8c6", "f1c4", "g8f6", "c4f7", "e8e7", "h5e5", "e7f7", "e5e8",
];

#[tokio::test]
async fn two_windows_play_a_whole_game_and_a_reloaded_one_comes_back() {
    let server = Starvault::start("v1.2").await;
    let driver = Driver::start().await;
    let first = driver.open(&server.url(), DESK).await;
    let second = driver.open(&server.url(), DESK_ZH).await;
    sign_in(&first, "Vega").await;
    sign_in(&second, "天枢").await;
    assert_eq!(first.text("release").await, "Served by release v1.2");
    let (white, black) = match_up(&first, &second).await;

    for (ply, uci) in THREE_CHECKS.iter().enumerate() {
        if ply == 5 {
            black.client().refresh().await.expect("a reload");
            state(black, "playing").await;
            shows_sequence(&[black], sequence(white).await).await;
            assert_eq!(
                black.attribute("board", "data-my-color").await,
                "black",
                "still the same player"
            );
            assert_eq!(
                moves(black).await,
                moves(white).await,
                "the reloaded page has the whole game"
            );
        }
        play(white, black, ply, uci).await;
        let lives = match ply {
            0..=5 => "3",
            6 | 7 => "2",
            8 | 9 => "1",
            _ => "0",
        };
        for page in [white, black] {
            assert_eq!(page.attribute("hp-black", "data-hp").await, lives, "after {uci}");
            assert_eq!(page.attribute("hp-white", "data-hp").await, "3", "after {uci}");
        }
    }

    for page in [white, black] {
        state(page, "ended").await;
        page.control("play-again").await;
        assert_eq!(page.attribute("result", "data-reason").await, "THREE_CHECKS");
        assert_eq!(page.attribute("result", "data-winner").await, "white");
        assert_eq!(
            page.attribute("board", "data-legal").await,
            "",
            "nobody may move any more"
        );
    }
    assert_eq!(moves(white).await, moves(black).await);
    assert_eq!(moves(white).await.len(), THREE_CHECKS.len());
    let titles = if std::ptr::eq(white, &first) {
        ["You win", "你输了"]
    } else {
        ["You lose", "你赢了"]
    };
    for (page, title) in [&first, &second].into_iter().zip(titles) {
        shows(page, "result-title", title).await;
    }

    // And again: the same two meet in a new game.
    let ended = white.attribute("board", "data-game-id").await;
    white.click("play-again").await;
    state(white, "queued").await;
    black.click("play-again").await;
    for page in [white, black] {
        state(page, "playing").await;
        assert_ne!(page.attribute("board", "data-game-id").await, ended);
        assert!(moves(page).await.is_empty());
    }
}

#[tokio::test]
async fn a_game_outlives_the_server_process() {
    let mut server = Starvault::start("v1.2").await;
    let driver = Driver::start().await;
    let first = driver.open(&server.url(), DESK).await;
    let second = driver.open(&server.url(), DESK).await;
    sign_in(&first, "Vega").await;
    sign_in(&second, "Deneb").await;
    let (white, black) = match_up(&first, &second).await;
    for (ply, uci) in ["e2e4", "e7e5", "d1h5"].iter().enumerate() {
        play(white, black, ply, uci).await;
    }

    server.kill_and_restart("v1.3").await;

    for page in [white, black] {
        page.until(
            "the new release",
            "document.querySelector('[data-testid=release]').textContent.includes('v1.3')",
        )
        .await;
    }
    for (ply, uci) in ["b8c6", "h5f7"].iter().enumerate() {
        play(white, black, ply + 3, uci).await;
    }
    assert_eq!(moves(white).await.len(), 5);
    assert_eq!(moves(white).await, moves(black).await);
    assert_eq!(black.attribute("hp-black", "data-hp").await, "2");
}

#[tokio::test]
async fn moves_by_keyboard_and_by_drag_are_moves_and_a_draw_is_agreed() {
    let server = Starvault::start("v1.2").await;
    let driver = Driver::start().await;
    let first = driver.open(&server.url(), DESK).await;
    let second = driver.open(&server.url(), DESK).await;
    sign_in(&first, "Vega").await;
    sign_in(&second, "Deneb").await;
    let (white, black) = match_up(&first, &second).await;

    // By keyboard: the cursor starts on e2.
    may_play(white, "e2e4").await;
    white
        .run(
            "document.querySelector('[role=gridcell][tabindex=\"0\"]').focus()",
            vec![],
        )
        .await;
    for key in [Key::Enter, Key::Up, Key::Up, Key::Enter] {
        let focused = white
            .client()
            .active_element()
            .await
            .expect("a square has the focus");
        focused
            .send_keys(&char::from(key).to_string())
            .await
            .expect("a key");
    }
    black
        .until(
            "the spoken move",
            "document.querySelector('[data-testid=announcer]').textContent.includes('White: pawn e2 to e4')",
        )
        .await;

    // By drag.
    may_play(black, "e7e5").await;
    drag(black, "e7", "e5").await;
    for page in [white, black] {
        page.until(
            "two moves",
            "document.querySelectorAll('[data-testid=moves] [data-ply]').length === 2",
        )
        .await;
    }
    assert_eq!(moves(white).await, ["e4", "e5"]);

    // The language changes without losing the game.
    white.click("lang").await;
    white
        .until(
            "Chinese",
            "document.querySelector('[data-testid=status]').textContent === '轮到你走'",
        )
        .await;

    white.click("offer-draw").await;
    black.click("decline-draw").await;
    white
        .until(
            "the offer to be gone",
            "!document.querySelector('[data-testid=offer-draw]').disabled",
        )
        .await;
    black.click("offer-draw").await;
    white.click("accept-draw").await;
    for page in [white, black] {
        state(page, "ended").await;
        assert_eq!(page.attribute("result", "data-reason").await, "AGREEMENT");
        assert_eq!(page.attribute("result", "data-winner").await, "none");
    }
}

async fn drag(page: &Page, from: &str, to: &str) {
    let centre = async |square: &str| {
        let (x, y, width, height) = page
            .find(&format!("[data-square={square}]"))
            .await
            .rectangle()
            .await
            .expect("a place");
        PointerAction::MoveTo {
            duration: None,
            x: x + width / 2.0,
            y: y + height / 2.0,
        }
    };
    let (start, end) = (centre(from).await, centre(to).await);
    let mouse = MouseActions::new("mouse".to_owned())
        .then(start)
        .then(PointerAction::Down {
            button: MOUSE_BUTTON_LEFT,
        })
        .then(PointerAction::MoveBy {
            duration: None,
            x: 9.0,
            y: 9.0,
        })
        .then(end)
        .then(PointerAction::Up {
            button: MOUSE_BUTTON_LEFT,
        });
    page.client().perform_actions(mouse).await.expect("a drag");
}

#[tokio::test]
async fn a_phone_of_360_px_shows_every_control_without_sideways_scrolling() {
    let server = Starvault::start_with("v1.2", &["--regions", "eu,asia,us,sa"]).await;
    let driver = Driver::start().await;
    let first = driver.open(&server.url(), PHONE).await;
    let second = driver.open(&server.url(), PHONE_ZH).await;
    for page in [&first, &second] {
        page.control("sign-in").await;
        fits(page, "signed out", &["name", "sign-in", "lang"]).await;
        sign_in(page, WIDEST_NAME).await;
        page.control("find").await;
        page.control("item-pieces-classic").await;
        let controls = [
            "find",
            "sign-out",
            "lang",
            "region-eu",
            "region-us",
            "item-board-dusk",
            "item-pieces-classic",
        ];
        fits(page, "in the lobby", &controls).await;
    }
    first.click("find").await;
    first.control("queue-window").await;
    fits(&first, "queued", &["cancel", "lang"]).await;
    second.click("find").await;
    for page in [&first, &second] {
        state(page, "playing").await;
        page.control("offer-draw").await;
        let controls = [
            "offer-draw",
            "resign",
            "lang",
            "emote-GREETING",
            "emote-THINKING",
            "emote-GOOD_GAME",
            "mute",
        ];
        fits(page, "playing", &controls).await;
        // Beside the widest name there is still room for what is said.
        page.click("emote-THINKING").await;
        let color = page.attribute("board", "data-my-color").await;
        page.control(&format!("bubble-{color}")).await;
        fits(page, "said something", &[]).await;
    }
    first.click("offer-draw").await;
    second.control("accept-draw").await;
    fits(
        &second,
        "offered a draw",
        &["accept-draw", "decline-draw", "resign"],
    )
    .await;
    first.click("resign").await;
    first.control("resign-confirm").await;
    fits(
        &first,
        "asked whether to resign",
        &["resign-confirm", "resign-cancel"],
    )
    .await;
    first.click("resign-confirm").await;
    for page in [&first, &second] {
        state(page, "ended").await;
        page.control("play-again").await;
        fits(
            page,
            "ended",
            &[
                "rematch",
                "rematch-side",
                "play-again",
                "view-board",
                "play-again-side",
                "to-lobby",
                "sign-out",
            ],
        )
        .await;
        assert_eq!(page.attribute("result", "data-reason").await, "RESIGNATION");
    }
    shows(&first, "result-title", "You lose").await;
    shows(&second, "result-title", "你赢了").await;
}

/// Nothing lies beside the window, and each of `controls` (and each square) is there and large
/// enough for a finger.
async fn fits(page: &Page, when: &str, controls: &[&str]) {
    let width = page
        .run("return document.documentElement.scrollWidth", vec![])
        .await;
    assert!(
        width.as_f64() <= Some(360.0),
        "{when}: the page is {width} px wide"
    );
    let boxes = page
        .run(
            "const wanted = arguments[0].map(id => document.querySelector(`[data-testid=\"${id}\"]`));
             const squares = [...document.querySelectorAll('[data-square]')].filter(e => e.checkVisibility());
             return [...wanted, ...squares].map(e => {
                 const { left, right, width, height } = e.getBoundingClientRect();
                 return { name: e.dataset.testid ?? e.dataset.square, left, right, width, height };
             });",
            vec![json!(controls)],
        )
        .await;
    let boxes = boxes.as_array().expect("a list");
    assert!(boxes.len() >= controls.len());
    for place in boxes {
        let of = |side: &str| place[side].as_f64().expect("a number");
        let inside = of("left") >= 0.0 && of("right") <= 360.0;
        let large = of("width") >= TOUCH_TARGET_PX && of("height") >= TOUCH_TARGET_PX;
        assert!(inside && large, "{when}: {place}");
    }
    assert_eq!(
        page.run("return innerWidth", vec![]).await,
        Value::from(360),
        "{when}: the phone's own width"
    );
}
