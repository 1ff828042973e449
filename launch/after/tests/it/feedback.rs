use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::{Client, Response, StatusCode};
use tminus_after::feedback::{
    Answer, Feedback, FeedbackLinks, Invitation, LinkKey, Outside, Rate, STORE_BYTES_MAX, Settings, Store,
    StoreError, qr_svg,
};

const START: u64 = 1_795_356_000_000;
const DAY: u64 = 24 * 3_600_000;

fn links(keys: &[(&str, u8)]) -> FeedbackLinks {
    FeedbackLinks::new(
        keys.iter()
            .map(|(id, byte)| LinkKey::new(id, &[*byte; 32]).unwrap())
            .collect(),
    )
    .unwrap()
}

fn invitation() -> Invitation {
    Invitation {
        launch: "星穹 season-7 <مريم>".into(),
        sections: vec!["预演 Rehearsal".into(), "Canary 👩‍🚀".into(), "Roll\"back".into()],
        issued_at_ms: START,
    }
}

#[test]
fn a_link_says_what_was_signed_and_nothing_else_is_one() {
    let signer = links(&[("k2", 2), ("k1", 1)]);
    let token = signer.token(&invitation()).unwrap();
    assert_eq!(signer.check(&token, START), Some(invitation()));
    assert!(
        token
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)),
        "{token}"
    );
    for at in 0..token.len() {
        let mut forged = token.clone().into_bytes();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        assert_eq!(
            signer.check(&String::from_utf8(forged).unwrap(), START),
            None,
            "byte {at}"
        );
    }
    for cut in 0..token.len() {
        assert_eq!(signer.check(&token[..cut], START), None);
    }
    for wrong in [
        "",
        "f1",
        "f1.k2",
        "f1.k2..",
        "....",
        &format!("{token}A"),
        &format!("{token}="),
        &"A".repeat(5_000),
    ] {
        assert_eq!(signer.check(wrong, START), None, "{wrong}");
    }
}

#[test]
fn a_link_outlives_a_new_key_but_not_the_loss_of_its_own_nor_ninety_days() {
    let token = links(&[("k1", 1)]).token(&invitation()).unwrap();
    assert!(links(&[("k2", 2), ("k1", 1)]).check(&token, START).is_some());
    assert!(links(&[("k2", 2)]).check(&token, START).is_none());
    assert!(
        links(&[("k1", 3)]).check(&token, START).is_none(),
        "another key of the same id"
    );
    let signer = links(&[("k1", 1)]);
    assert!(signer.check(&token, START + 90 * DAY).is_some());
    assert!(signer.check(&token, START + 90 * DAY + 1).is_none());
    assert!(signer.check(&token, START - DAY).is_none());
}

#[test]
fn keys_and_names_that_do_not_do_are_refused() {
    assert!(LinkKey::new("k1", &[1; 31]).is_err());
    assert!(LinkKey::new("K.1", &[1; 32]).is_err());
    assert!(FeedbackLinks::new(vec![]).is_err());
    let key = LinkKey::new("k1", &[1; 32]).unwrap();
    assert!(FeedbackLinks::new(vec![key.clone(), key.clone()]).is_err());
    assert_eq!(format!("{key:?}"), "LinkKey(k1)");
    let signer = links(&[("k1", 1)]);
    let with = |launch: &str, sections: &[&str]| {
        let sections = sections.iter().map(|section| (*section).to_owned()).collect();
        signer
            .token(&Invitation {
                launch: launch.into(),
                sections,
                issued_at_ms: START,
            })
            .is_ok()
    };
    assert!(with("s7", &["a", "b"]));
    let (long, many) = ("星".repeat(41), vec!["a"; 13]);
    for (launch, sections) in [
        ("", &["a"][..]),
        ("s7", &[]),
        ("s7", &["a", "a"]),
        ("s7", &[""]),
        ("s7", &[&long]),
        ("s7", &many),
    ] {
        assert!(!with(launch, sections), "{launch} {sections:?}");
    }
}

/// A scanner of others reads the code from pixels made of the SVG's rectangles.
#[test]
fn zbarimg_reads_the_code() {
    let token = links(&[("k1", 1)]).token(&invitation()).unwrap();
    let url = format!("https://launch.example.org/feedback/{token}");
    let svg = qr_svg(&url).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let png = folder.path().join("code.png");
    rasterise(&svg).save(&png).unwrap();
    assert_eq!(zbarimg(&png), url);
    assert!(
        qr_svg(&"x".repeat(421))
            .unwrap_err()
            .to_string()
            .contains("421 bytes")
    );
}

#[test]
fn zbarimg_reads_the_code_of_the_printed_page() {
    let folder = tempfile::tempdir().unwrap();
    let png = folder.path().join("page.png");
    crate::page::printed(200).save(&png).unwrap();
    assert_eq!(zbarimg(&png), crate::page::LINK);
}

fn zbarimg(png: &std::path::Path) -> String {
    let read = std::process::Command::new("zbarimg")
        .args(["--quiet", "--raw", "-Sdisable", "-Sqrcode.enable"])
        .arg(png)
        .output()
        .expect("zbarimg cannot be run: install zbar-tools");
    String::from_utf8_lossy(&read.stdout).trim().to_owned()
}

/// Black rectangles, `M<x> <y>h<w>v<h>`, on white.
fn rasterise(svg: &str) -> image::GrayImage {
    let side: u32 = between(svg, "width=\"", "\"").parse().unwrap();
    let mut image = image::GrayImage::from_pixel(side, side, image::Luma([255]));
    let path = svg.rsplit(" d=\"").next().unwrap().split('"').next().unwrap();
    for part in path.split('M').skip(1) {
        let numbers: Vec<u32> = part
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|n| n.parse().ok())
            .collect();
        let [x, y, width, height] = numbers[..4] else {
            panic!("{part}")
        };
        for dy in 0..height {
            for dx in 0..width {
                image.put_pixel(x + dx, y + dy, image::Luma([0]));
            }
        }
    }
    image
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    text.split_once(from).unwrap().1.split_once(to).unwrap().0
}

fn answer(browser: &str, at_ms: u64, scores: &[(&str, u8)]) -> Answer {
    Answer {
        launch: "s7".into(),
        browser: browser.into(),
        at_ms,
        scores: scores
            .iter()
            .map(|(section, score)| ((*section).to_owned(), *score))
            .collect(),
        text: String::new(),
    }
}

#[test]
fn figures_count_the_newest_answer_of_each_browser() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("answers.jsonl");
    let mut store = Store::open(&path, STORE_BYTES_MAX).unwrap();
    for (browser, at_ms, score) in [("a", 1, 1), ("b", 2, 5), ("a", 3, 4), ("c", 4, 4)] {
        store
            .append(answer(browser, at_ms, &[("canary", score)]))
            .unwrap();
    }
    store.append(answer("d", 5, &[("plan", 2)])).unwrap();
    let check = |store: &Store| {
        let figures = store.figures("s7");
        assert_eq!(figures.len(), 2);
        assert_eq!((figures[0].section.as_str(), figures[0].count), ("canary", 3));
        assert_eq!(
            (figures[0].mean, figures[0].distribution),
            (Some(13.0 / 3.0), [0, 0, 0, 2, 1])
        );
        assert_eq!((figures[0].last, figures[0].last_at_ms), (Some(4), Some(4)));
        assert_eq!(
            (figures[1].section.as_str(), figures[1].distribution),
            ("plan", [0, 1, 0, 0, 0])
        );
        assert!(store.figures("other").is_empty());
    };
    check(&store);
    drop(store);
    check(&Store::open(&path, STORE_BYTES_MAX).unwrap());
}

#[test]
fn a_line_torn_anywhere_costs_only_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("answers.jsonl");
    let mut store = Store::open(&path, STORE_BYTES_MAX).unwrap();
    store.append(answer("a", 1, &[("canary", 1)])).unwrap();
    let whole = std::fs::read(&path).unwrap();
    store.append(answer("星", 2, &[("canary", 5)])).unwrap();
    drop(store);
    let both = std::fs::read(&path).unwrap();
    for cut in whole.len()..both.len() {
        std::fs::write(&path, &both[..cut]).unwrap();
        let mut store = Store::open(&path, STORE_BYTES_MAX).unwrap();
        assert_eq!(store.figures("s7")[0].count, 1, "cut at {cut}");
        store.append(answer("c", 3, &[("canary", 3)])).unwrap();
        drop(store);
        assert_eq!(
            Store::open(&path, STORE_BYTES_MAX).unwrap().figures("s7")[0].count,
            2,
            "cut at {cut}"
        );
    }
}

#[test]
fn a_store_that_is_full_damaged_or_in_use_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("answers.jsonl");
    let mut store = Store::open(&path, 120).unwrap();
    store.append(answer("a", 1, &[("canary", 1)])).unwrap();
    assert!(matches!(
        store.append(answer("b", 2, &[("canary", 1)])),
        Err(StoreError::Full { .. })
    ));
    assert!(store.answer("s7", "b").is_none());
    let second = Store::open(&path, 120).unwrap_err().to_string();
    assert!(second.contains("in use by another process"), "{second}");
    drop(store);
    std::fs::write(&path, "{\"launch\":1}\nx\n").unwrap();
    let damaged = Store::open(&path, 120).unwrap_err().to_string();
    assert!(damaged.contains("line 1"), "{damaged}");
    std::fs::write(&path, vec![b'x'; 200]).unwrap();
    assert!(
        Store::open(&path, 120)
            .unwrap_err()
            .to_string()
            .contains("larger than 120 bytes")
    );
}

struct Scene {
    base: String,
    token: String,
    client: Client,
    feedback: Feedback,
    clock: Arc<AtomicU64>,
    folder: tempfile::TempDir,
}

async fn scene(limit: u64, settings: Settings) -> Scene {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("answers.jsonl"), limit).unwrap();
    let clock = Arc::new(AtomicU64::new(START));
    let (now, count) = (clock.clone(), Arc::new(AtomicU64::new(0)));
    let outside = Outside {
        clock: Arc::new(move || now.load(Ordering::SeqCst)),
        token: Arc::new(move || u128::from(count.fetch_add(1, Ordering::SeqCst) + 1).to_be_bytes()),
        address: Arc::new(|headers, _| headers.get("x-from")?.to_str().ok()?.parse::<IpAddr>().ok()),
    };
    let signer = links(&[("k1", 1)]);
    let token = signer.token(&invitation()).unwrap();
    let feedback = Feedback::new(signer, store, outside, settings);
    let app = feedback.form_router().merge(feedback.events_router());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    Scene {
        base: format!("http://{address}/feedback"),
        token,
        client: Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap(),
        feedback,
        clock,
        folder,
    }
}

impl Scene {
    async fn get(&self, query: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = self.client.get(format!("{}/{}{query}", self.base, self.token));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    async fn post(&self, body: impl Into<reqwest::Body>, headers: &[(&str, &str)]) -> Response {
        let mut request = self
            .client
            .post(format!("{}/{}", self.base, self.token))
            .body(body);
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/x-www-form-urlencoded");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    fn file(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("answers.jsonl")).unwrap()
    }

    fn counts(&self) -> BTreeMap<String, u64> {
        let figures = self.feedback.figures(&invitation().launch);
        figures
            .into_iter()
            .map(|section| (section.section, section.count))
            .collect()
    }
}

fn cookie(response: &Response) -> String {
    let cookie = response.headers().get("set-cookie").unwrap().to_str().unwrap();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax") && cookie.contains("Secure"),
        "{cookie}"
    );
    cookie.split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_phone_gets_the_form_in_its_language_and_can_switch() {
    let scene = scene(STORE_BYTES_MAX, Settings::default()).await;
    for (accepted, query, zh) in [
        ("zh-CN,zh;q=0.9,en;q=0.5", "", true),
        ("en-GB,zh;q=0.2", "", false),
        ("fr, zh;q=0.1", "", true),
        ("fr", "", false),
        ("", "", false),
        ("zh", "?lang=en", false),
        ("en", "?lang=zh", true),
        ("en", "?lang=%00", false),
    ] {
        let page = scene
            .get(query, &[("accept-language", accepted)])
            .await
            .text()
            .await
            .unwrap();
        assert_eq!(page.contains("这次上线怎么样"), zh, "{accepted} {query}");
        assert_eq!(page.contains("How did the launch go"), !zh, "{accepted} {query}");
        assert!(page.contains(if zh { "?lang=en" } else { "?lang=zh" }));
        assert!(page.contains("width=device-width") && !page.contains("<script"));
        assert!(
            page.contains("&lt;مريم&gt;") && page.contains("Roll&quot;back") && page.contains("👩‍🚀"),
            "{page}"
        );
    }
}

#[tokio::test]
async fn headers_let_nothing_run_and_the_link_go_nowhere() {
    use base64::Engine as _;
    use sha2::Digest as _;
    let scene = scene(STORE_BYTES_MAX, Settings::default()).await;
    let response = scene.get("", &[]).await;
    let header = |name: &str| response.headers().get(name).unwrap().to_str().unwrap().to_owned();
    assert_eq!(header("referrer-policy"), "no-referrer");
    assert_eq!(header("cache-control"), "no-store");
    let policy = header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    let page = response.text().await.unwrap();
    let digest = sha2::Sha256::digest(between(&page, "<style>", "</style>"));
    let digest = base64::engine::general_purpose::STANDARD.encode(digest);
    assert!(
        policy.contains(&digest),
        "the style does not have the policy's digest"
    );
}

#[tokio::test]
async fn an_answer_is_stored_thanked_for_in_two_zones_and_replaced_by_the_same_browser() {
    let scene = scene(STORE_BYTES_MAX, Settings::default()).await;
    let cookie = cookie(&scene.get("", &[]).await);
    let sent = scene
        .post(
            "s0=4&s1=5&text=%E6%98%9F+%F0%9F%9A%80%0D%0Ax&lang=en&zone=Asia%2FShanghai",
            &[("cookie", &cookie)],
        )
        .await;
    assert_eq!(sent.status(), StatusCode::SEE_OTHER);
    assert_eq!(sent.headers()["location"], "?done=1&lang=en");
    let zone = sent
        .headers()
        .get_all("set-cookie")
        .iter()
        .find(|c| c.as_bytes().starts_with(b"tminus_zone="))
        .unwrap();
    let cookies = format!("{cookie}; {}", zone.to_str().unwrap().split(';').next().unwrap());
    let thanks = scene
        .get("?done=1&lang=en", &[("cookie", &cookies)])
        .await
        .text()
        .await
        .unwrap();
    assert!(
        thanks.contains("2026-11-22 14:00:00 UTC · 22:00:00 Asia/Shanghai (+08:00)"),
        "{thanks}"
    );
    assert!(
        thanks.contains("value=\"4\" checked") && thanks.contains("星 🚀\nx</textarea>"),
        "{thanks}"
    );
    assert_eq!(scene.feedback.texts(&invitation().launch)[0].text, "星 🚀\nx");
    scene.clock.fetch_add(1_000, Ordering::SeqCst);
    assert_eq!(
        scene.post("s0=1", &[("cookie", &cookie)]).await.status(),
        StatusCode::SEE_OTHER
    );
    let figures = scene.feedback.figures(&invitation().launch);
    assert_eq!(
        (figures.len(), figures[0].count, figures[0].last),
        (1, 1, Some(1))
    );
    assert_eq!(scene.file().lines().count(), 2, "append-only");
    assert!(
        !scene.file().contains(cookie.split('=').nth(1).unwrap()),
        "a browser's token is in the file"
    );
    scene.post("s0=3", &[]).await;
    assert_eq!(scene.counts()["预演 Rehearsal"], 2);
    let field = format!("s0=2&browser={}", "c".repeat(32));
    for _ in 0..2 {
        scene.post(field.clone(), &[]).await;
    }
    assert_eq!(
        scene.counts()["预演 Rehearsal"],
        3,
        "without cookies the form's own field counts"
    );
}

#[tokio::test]
async fn a_forged_link_is_not_found_and_stores_nothing() {
    let mut scene = scene(STORE_BYTES_MAX, Settings::default()).await;
    let other = links(&[("k1", 9)]).token(&invitation()).unwrap();
    for token in [
        other,
        "x".into(),
        "%00".into(),
        "..%2F..%2Fetc".into(),
        scene.token[..scene.token.len() - 2].to_owned(),
    ] {
        scene.token = token;
        assert_eq!(
            scene.get("", &[]).await.status(),
            StatusCode::NOT_FOUND,
            "{}",
            scene.token
        );
        assert_eq!(
            scene.post("s0=1", &[]).await.status(),
            StatusCode::NOT_FOUND,
            "{}",
            scene.token
        );
    }
    assert_eq!(scene.file(), "");
}

#[tokio::test]
async fn what_is_no_answer_is_told_why_and_not_stored() {
    let scene = scene(STORE_BYTES_MAX, Settings::default()).await;
    let long = format!("s0=1&text={}", "%F0%9F%9A%80".repeat(2_001));
    for (body, status) in [
        ("s0=6", 422),
        ("s0=0", 422),
        ("s0=1.5", 422),
        ("s0=1&s0=2", 400),
        ("", 422),
        ("text=+%0A", 422),
        ("s9=1", 422),
        ("s0=1&text=%ff%fe", 400),
        ("s0=1&text=%zz", 400),
        ("s0=1&text=%2", 400),
        (&long, 422),
    ] {
        let response = scene.post(body.to_owned(), &[]).await;
        let shown = &body[..body.len().min(30)];
        assert_eq!(response.status().as_u16(), status, "{shown}");
        assert!(
            response.text().await.unwrap().contains("role=\"alert\""),
            "{shown}"
        );
    }
    let raw = scene.post(vec![b's', b'0', b'=', 0xd0, 0xc7], &[]).await;
    assert_eq!(raw.status(), 400, "GBK is no UTF-8");
    for kind in [
        "text/plain",
        "application/json",
        "application/x-www-form-urlencoded; charset=gbk",
        "multipart/form-data",
    ] {
        assert_eq!(
            scene.post("s0=1", &[("content-type", kind)]).await.status(),
            415,
            "{kind}"
        );
    }
    assert_eq!(scene.post("x".repeat(33 << 10), &[]).await.status(), 413);
    assert_eq!(scene.file(), "");
    let most = format!("s0=1&text={}", "%F0%9F%9A%80".repeat(2_000));
    assert_eq!(
        scene
            .post(
                most,
                &[(
                    "content-type",
                    "Application/X-WWW-Form-Urlencoded; Charset=\"UTF-8\""
                )]
            )
            .await
            .status(),
        303
    );
}

#[tokio::test]
async fn one_address_cannot_flood_and_others_are_not_held_up() {
    let settings = Settings {
        rate: Rate {
            burst: 3.0,
            per_s: 1.0,
        },
        ..Settings::default()
    };
    let scene = scene(STORE_BYTES_MAX, settings).await;
    let from = [("x-from", "10.0.0.1")];
    for _ in 0..3 {
        assert_eq!(scene.post("s0=1", &from).await.status(), 303);
    }
    let refused = scene.post("s0=1", &from).await;
    assert_eq!(
        (
            refused.status().as_u16(),
            refused.headers()["retry-after"].as_bytes()
        ),
        (429, &b"60"[..])
    );
    assert_eq!(scene.post("s0=1", &[("x-from", "10.0.0.2")]).await.status(), 303);
    scene.clock.fetch_add(1_000, Ordering::SeqCst);
    assert_eq!(scene.post("s0=1", &from).await.status(), 303);
    assert_eq!(scene.file().lines().count(), 5);
}

#[tokio::test]
async fn a_full_store_is_not_thanked_for() {
    let scene = scene(220, Settings::default()).await;
    assert_eq!(scene.post("s0=1", &[]).await.status(), 303);
    let refused = scene.post("s0=2&lang=zh", &[]).await;
    assert_eq!(refused.status(), StatusCode::INSUFFICIENT_STORAGE);
    assert!(refused.text().await.unwrap().contains("没有保存"));
    assert_eq!(scene.counts()["预演 Rehearsal"], 1);
}

async fn next_event(response: &mut Response) -> String {
    let mut text = String::new();
    while !text.ends_with("\n\n") {
        text.push_str(std::str::from_utf8(&response.chunk().await.unwrap().unwrap()).unwrap());
    }
    text
}

#[tokio::test]
async fn a_dashboard_sees_each_answer_and_is_let_go_at_the_end() {
    let settings = Settings {
        listeners: 1,
        ..Settings::default()
    };
    let scene = scene(STORE_BYTES_MAX, settings).await;
    let listen = || scene.client.get(format!("{}/events", scene.base)).send();
    let mut stream = listen().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    assert!(next_event(&mut stream).await.contains("data: {\"launches\":[]}"));
    assert_eq!(listen().await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    scene.post("s1=5&text=secret-words", &[]).await;
    let event = next_event(&mut stream).await;
    assert!(
        event.contains("event: figures") && event.contains("\"distribution\":[0,0,0,0,1]"),
        "{event}"
    );
    assert!(!event.contains("secret-words"));
    scene.feedback.close();
    assert_eq!(stream.chunk().await.unwrap(), None);
}
