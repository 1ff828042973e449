//! A rollback under load, watched in the live page by a real browser.

use crate::browser::{Driver, Window};
use crate::common::{Process, eventually};
use crate::other_backend::prepared;

const SAID: &str = "dashboard  ";
const DESKTOP: Window = Window {
    width: 1280,
    height: 1000,
    language: "en",
    phone: false,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_under_load_is_watched_in_the_live_page() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let driver = Driver::start().await;
    let (_gateway, mut command) = prepared(folder.path(), Some(4)).await;
    command.args(["--dashboard", "127.0.0.1:0"]);
    let launch = Process::start(&mut command, folder.path().join("launch.log"));
    let url = eventually(
        "the launch to say where its page is",
        async || {
            let output = launch.output();
            let (_, rest) = output.split_once(SAID)?;
            Some(rest.lines().next()?.trim().to_owned())
        },
        async || launch.output(),
    )
    .await;
    let page = driver.open(&url, DESKTOP).await;

    // While it is exposed: both releases with their traffic, and the evidence drawn look by look.
    page.until(
        "the canary with traffic",
        "document.querySelector('#canary .sides')?.innerText.match(/canary 2[.]0[^]*[1-9][0-9]* requests/)",
    )
    .await;
    page.until(
        "the evidence",
        "document.querySelector('#canary svg.chart path, #canary svg.chart polyline')",
    )
    .await;
    // Then the verdict with its numbers, and all traffic on stable again, in the page that was open all the time.
    page.until(
        "the verdict",
        "document.querySelector('#canary .steps')?.innerText.match(/ 0 % +(worse|fast kill) at [0-9]+ %: .* of the canary's requests failed/)",
    )
    .await;
    page.until(
        "all traffic on stable",
        "document.querySelector('#canary .split .stable')?.innerText.trim() === '1.0 100%'",
    )
    .await;
}
