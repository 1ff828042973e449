//! The page about the HTTP interface, on a phone: it shows all that the document holds, in two languages.

use serde_json::{Value, json};

use crate::browser::{Driver, Page};
use crate::common::Starvault;
use crate::play_page_steps::PHONE;

/// The parts of the page whose content is wider than the window, with everything opened.
const TOO_WIDE: &str = r"
    for (const details of document.querySelectorAll('details')) details.open = true;
    const limit = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= limit) return [];
    return [...document.querySelectorAll('body *')]
        .filter((element) => element.getBoundingClientRect().right > limit && !element.closest('pre'))
        .map((element) => element.outerHTML.slice(0, 120));";

/// Links of the page that lead to nothing in it.
const DEAD_LINKS: &str = r##"
    return [...document.querySelectorAll('a[href^="#"]')]
        .map((link) => decodeURIComponent(link.hash.slice(1)))
        .filter((id) => !document.getElementById(id));"##;

async fn text(page: &Page, css: &str) -> String {
    let script = "return document.querySelector(arguments[0]).innerText";
    page.run(script, vec![json!(css)])
        .await
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn the_interface_can_be_read_on_a_phone_in_two_languages() {
    let server = Starvault::start("v1.2").await;
    let driver = Driver::start().await;
    let page = driver.open(&format!("{}docs", server.url()), PHONE).await;
    page.until(
        "the operations",
        "document.querySelectorAll('#operations details.card').length > 0",
    )
    .await;

    let document: Value = {
        let script =
            "const [done] = arguments; fetch('openapi.json').then((answer) => answer.json()).then(done);";
        page.client().execute_async(script, vec![]).await.unwrap()
    };
    let items = document["paths"].as_object().unwrap().values();
    let operations: Vec<&Value> = items
        .flat_map(|item| item.as_object().unwrap().values())
        .collect();
    for operation in &operations {
        let card = format!("#{}", operation["operationId"].as_str().unwrap());
        page.run(
            "document.querySelector(arguments[0]).open = true",
            vec![json!(card)],
        )
        .await;
        let shown = text(&page, &card).await;
        for status in operation["responses"].as_object().unwrap().keys() {
            assert!(shown.contains(status), "{card} {status}: {shown}");
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            assert!(shown.contains(name), "{card} {name}: {shown}");
        }
    }
    let count = page
        .run(
            "return document.querySelectorAll('#schemas details').length",
            vec![],
        )
        .await;
    assert_eq!(
        count,
        document["components"]["schemas"].as_object().unwrap().len()
    );
    assert!(text(&page, "#sockets").await.contains("/v1/play"));
    assert_eq!(page.run(DEAD_LINKS, vec![]).await, json!([]));
    assert_eq!(page.run(TOO_WIDE, vec![]).await, json!([]));

    assert_eq!(text(&page, "#operations-title").await, "Operations");
    page.find("#language").await.click().await.unwrap();
    assert_eq!(text(&page, "#operations-title").await, "接口");
    assert_eq!(
        page.run("return document.documentElement.lang", vec![]).await,
        "zh-CN"
    );
    assert_eq!(page.run(TOO_WIDE, vec![]).await, json!([]));
}
