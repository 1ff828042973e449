//! Files over HTTP by a machine's token.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::{Method, StatusCode};
use tminus_handoff::{Appending, Download, DownloadLog, LogError};

use crate::support::{EXPIRED_TOKEN, House, OPS_TOKEN, RUNBOOK, SECURITY_TOKEN, Wishes};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_gets_its_role_s_files_and_nobody_else_s() {
    let house = House::start().await;
    let listed: serde_json::Value =
        serde_json::from_str(&house.get("/files").send().await.unwrap().text().await.unwrap()).unwrap();
    let paths: Vec<_> = listed["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["path"].as_str().unwrap())
        .collect();
    assert_eq!(
        paths,
        ["empty.txt", "in\u{202e}fdp.exe", "runbook.pdf", "sub/报告 🚀.txt"]
    );
    // Each address in the listing leads to its file.
    for file in listed["files"].as_array().unwrap() {
        let got = house
            .client
            .get(file["url"].as_str().unwrap())
            .bearer_auth(OPS_TOKEN)
            .send()
            .await
            .unwrap();
        assert_eq!(got.status(), StatusCode::OK, "{file}");
        assert_eq!(
            got.bytes().await.unwrap().len() as u64,
            file["bytes"].as_u64().unwrap()
        );
    }
    assert_eq!(house.recorded().len(), 4);

    let other = house
        .ask(Method::GET, "/files/ops/runbook.pdf")
        .bearer_auth(SECURITY_TOKEN);
    assert_eq!(house.status(other).await, StatusCode::NOT_FOUND);
    for token in [EXPIRED_TOKEN, "", "wrong", &"x".repeat(5_000)] {
        let refused = house
            .ask(Method::GET, "/files/ops/runbook.pdf")
            .bearer_auth(token)
            .send()
            .await
            .unwrap();
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(refused.headers()["www-authenticate"], "Bearer");
    }
    let nobody = house.ask(Method::GET, "/files/ops/runbook.pdf");
    assert_eq!(house.status(nobody).await, StatusCode::UNAUTHORIZED);
    let basic = house
        .ask(Method::GET, "/files/ops/runbook.pdf")
        .header("authorization", format!("Basic {OPS_TOKEN}"));
    assert_eq!(house.status(basic).await, StatusCode::UNAUTHORIZED);
    assert_eq!(house.recorded().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_says_what_it_is_and_an_entry_whose_it_was() {
    let house = House::start().await;
    let got = house.get("/files/ops/runbook.pdf").send().await.unwrap();
    let headers = got.headers().clone();
    let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(RUNBOOK));
    assert_eq!(got.bytes().await.unwrap(), RUNBOOK);
    assert_eq!(headers["etag"], format!("\"{digest}\""));
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert!(
        headers["content-security-policy"]
            .to_str()
            .unwrap()
            .starts_with("default-src 'none'")
    );
    assert_eq!(
        headers["content-disposition"],
        "attachment; filename=\"runbook.pdf\"; filename*=UTF-8''runbook.pdf"
    );
    let [entry] = &house.recorded()[..] else {
        panic!("one entry")
    };
    let at_ms = entry["at_ms"].as_i64().unwrap();
    assert_eq!(at_ms, tminus_handoff::Clock::now_ms(&*house.clock));
    assert_eq!(
        *entry,
        serde_json::json!({
            "who": "token:ci", "role": "ops", "file": "runbook.pdf", "sha256": digest, "offset": 0,
            "bytes": RUNBOOK.len(), "address": "127.0.0.1", "at_ms": at_ms, "channel": "portal",
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_and_questions_are_answered_as_http_has_it() {
    let house = House::start().await;
    let path = "/files/ops/runbook.pdf";
    let tag = house
        .ask(Method::HEAD, path)
        .bearer_auth(OPS_TOKEN)
        .send()
        .await
        .unwrap();
    assert_eq!(tag.status(), StatusCode::OK);
    assert_eq!(tag.headers()["content-length"], RUNBOOK.len().to_string());
    let tag = tag.headers()["etag"].to_str().unwrap().to_owned();
    let known = house.get(path).header("if-none-match", &tag);
    assert_eq!(house.status(known).await, StatusCode::NOT_MODIFIED);
    let beyond = house
        .get(path)
        .header("range", "bytes=999-")
        .send()
        .await
        .unwrap();
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(
        beyond.headers()["content-range"],
        format!("bytes */{}", RUNBOOK.len())
    );
    assert!(house.recorded().is_empty(), "no byte has left");

    let part = house
        .get(path)
        .header("range", "bytes=5-9")
        .header("if-range", &tag)
        .send()
        .await
        .unwrap();
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(
        part.headers()["content-range"],
        format!("bytes 5-9/{}", RUNBOOK.len())
    );
    assert_eq!(part.bytes().await.unwrap(), RUNBOOK[5..=9]);
    let other = house
        .get(path)
        .header("range", "bytes=5-9")
        .header("if-range", "\"other\"")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (other.status(), other.bytes().await.unwrap()),
        (StatusCode::OK, bytes::Bytes::from_static(RUNBOOK))
    );
    let recorded = house.recorded();
    let span = |entry: &serde_json::Value| {
        (
            entry["offset"].as_u64().unwrap(),
            entry["bytes"].as_u64().unwrap(),
        )
    };
    assert_eq!(
        [span(&recorded[0]), span(&recorded[1])],
        [(5, 5), (0, RUNBOOK.len() as u64)]
    );
    let post = house.ask(Method::POST, path).bearer_auth(OPS_TOKEN);
    assert_eq!(house.status(post).await, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_download_at_once_and_each_is_on_record() {
    let house = House::start().await;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..1_000 {
        let request = house.get("/files/ops/runbook.pdf");
        asking.spawn(async move {
            let answer = request.send().await.unwrap();
            (answer.status(), answer.bytes().await.unwrap())
        });
    }
    while let Some(answer) = asking.join_next().await {
        assert_eq!(
            answer.unwrap(),
            (StatusCode::OK, bytes::Bytes::from_static(RUNBOOK))
        );
    }
    assert_eq!(house.recorded().len(), 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_asks_too_fast_has_to_wait() {
    let house = House::start_with(Wishes {
        portal_limits: Some("{ requests_per_s: 1, burst: 3 }"),
        ..Wishes::default()
    })
    .await;
    for _ in 0..3 {
        assert_eq!(house.status(house.get("/healthz")).await, StatusCode::OK);
    }
    let refused = house.get("/files/ops/runbook.pdf").send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()["retry-after"], "1");
    assert!(house.recorded().is_empty());
    house.clock.advance_s(1);
    assert_eq!(house.status(house.get("/healthz")).await, StatusCode::OK);
    // A header that anybody can write makes nobody somebody else.
    let forwarded = house.get("/healthz").header("x-forwarded-for", "203.0.113.9");
    assert_eq!(house.status(forwarded).await, StatusCode::TOO_MANY_REQUESTS);
}

/// A record whose disk is full.
#[derive(Debug, Default)]
struct FullLog(AtomicBool);

impl DownloadLog for FullLog {
    fn append(&self, _download: Download) -> Appending<'_> {
        self.0.store(true, Ordering::SeqCst);
        Box::pin(async { Err(LogError::Unwritable("no space left on device".to_owned())) })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_record_nothing_is_given_out() {
    let log = Arc::new(FullLog::default());
    let house = House::start_with(Wishes {
        log: Some(log.clone()),
        ..Wishes::default()
    })
    .await;
    for range in ["bytes=0-0", "bytes=0-"] {
        let refused = house
            .get("/files/ops/runbook.pdf")
            .header("range", range)
            .send()
            .await
            .unwrap();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(!refused.text().await.unwrap().contains("operations"));
    }
    let link = house.make_link("runbook.pdf", None).await;
    assert_eq!(
        house.client.get(link.url).send().await.unwrap().status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert!(log.0.load(Ordering::SeqCst));
    house.gets_nothing_over_ssh().await;
}

/// The real record, whose folder goes away under it and comes back.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_breaks_refuses_and_one_that_is_mended_goes_on() {
    let house = House::start().await;
    let path = "/files/ops/runbook.pdf";
    assert_eq!(house.status(house.get(path)).await, StatusCode::OK);
    let (record, away) = (house.dir.path().join("downloads"), house.dir.path().join("away"));
    std::fs::rename(&record, &away).unwrap();
    for _ in 0..2 {
        assert_eq!(
            house.status(house.get(path)).await,
            StatusCode::SERVICE_UNAVAILABLE
        );
    }
    house.gets_nothing_over_ssh().await;
    std::fs::rename(&away, &record).unwrap();
    assert_eq!(house.status(house.get(path)).await, StatusCode::OK);
    assert_eq!(house.recorded().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_has_another_digest() {
    let house = House::start().await;
    house.clock.advance_s(3_600);
    let path = house.dir.path().join("packages/ops/runbook.pdf");
    let mut tags = std::collections::BTreeSet::new();
    for text in ["one", "two", "six"] {
        std::fs::write(&path, text).unwrap();
        let got = house.get("/files/ops/runbook.pdf").send().await.unwrap();
        tags.insert(got.headers()["etag"].to_str().unwrap().to_owned());
        assert_eq!(got.text().await.unwrap(), text);
    }
    assert_eq!(tags.len(), 3);
}
