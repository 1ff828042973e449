//! What a player does on the play page, and what a test reads from it.

use crate::browser::{Page, Window};

pub const DESK: Window = Window {
    width: 1280,
    height: 900,
    language: "en",
    phone: false,
};
pub const DESK_ZH: Window = Window {
    language: "zh-CN",
    ..DESK
};
pub const PHONE: Window = Window {
    width: 360,
    height: 740,
    language: "en",
    phone: true,
};
pub const PHONE_ZH: Window = Window {
    language: "zh-CN",
    ..PHONE
};

pub async fn state(page: &Page, state: &str) {
    page.until(
        &format!("state {state}"),
        &format!("document.body.dataset.state === '{state}'"),
    )
    .await;
}

/// Waits until the element with this `data-testid` holds `text`, also while it is still fading in.
pub async fn shows(page: &Page, id: &str, text: &str) {
    let shown = format!(
        "(e => e?.checkVisibility() && e.textContent.includes('{text}'))(document.querySelector('[data-testid=\"{id}\"]'))"
    );
    page.until(&format!("{id} to show {text:?}"), &shown).await;
}

pub async fn sign_in(page: &Page, name: &str) {
    let field = page.control("name").await;
    field.send_keys(name).await.expect("typing a name");
    page.click("sign-in").await;
    state(page, "lobby").await;
}

/// Matches two signed-in pages; returns them as (White, Black).
pub async fn match_up<'a>(first: &'a Page, second: &'a Page) -> (&'a Page, &'a Page) {
    first.click("find").await;
    state(first, "queued").await;
    second.click("find").await;
    for page in [first, second] {
        state(page, "playing").await;
    }
    let colors = (
        first.attribute("board", "data-my-color").await,
        second.attribute("board", "data-my-color").await,
    );
    match (colors.0.as_str(), colors.1.as_str()) {
        ("white", "black") => (first, second),
        ("black", "white") => (second, first),
        other => panic!("two players of one game play {other:?}"),
    }
}

pub async fn may_play(page: &Page, uci: &str) {
    let legal =
        format!("document.querySelector('[data-testid=board]').dataset.legal.split(' ').includes('{uci}')");
    page.until(&format!("{uci} to be legal"), &legal).await;
}

pub async fn shows_sequence(pages: &[&Page], sequence: usize) {
    for page in pages {
        let shown =
            format!("document.querySelector('[data-testid=board]').dataset.sequence === '{sequence}'");
        page.until(&format!("sequence {sequence}"), &shown).await;
    }
}

pub async fn sequence(page: &Page) -> usize {
    page.attribute("board", "data-sequence")
        .await
        .parse()
        .expect("data-sequence is a number")
}

pub async fn click_square(page: &Page, square: &str) {
    page.find(&format!("[data-square={square}]"))
        .await
        .click()
        .await
        .expect("a click on a square");
}

pub async fn play_by_click(page: &Page, uci: &str) {
    may_play(page, uci).await;
    click_square(page, &uci[..2]).await;
    page.until(
        "a target mark",
        &format!("document.querySelector('[data-square={}].target')", &uci[2..4]),
    )
    .await;
    click_square(page, &uci[2..4]).await;
}

/// Plays a move from the page of the side to move and waits until both pages show it.
pub async fn play(white: &Page, black: &Page, ply: usize, uci: &str) {
    let mover = if ply.is_multiple_of(2) { white } else { black };
    let before = sequence(mover).await;
    play_by_click(mover, uci).await;
    for page in [white, black] {
        let shown =
            format!("Number(document.querySelector('[data-testid=board]').dataset.sequence) > {before}");
        page.until(&format!("{uci} to be shown"), &shown).await;
    }
}

pub async fn moves(page: &Page) -> Vec<String> {
    let list = page
        .run(
            "return [...document.querySelectorAll('[data-testid=moves] [data-ply]')].map(e => e.textContent)",
            vec![],
        )
        .await;
    serde_json::from_value(list).expect("a list of moves")
}
