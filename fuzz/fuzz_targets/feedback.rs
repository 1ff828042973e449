//! The link of the feedback form, and what a form sends. No bytes are a link that the key did not sign; no body makes the
//! page panic or answer that it broke.

#![no_main]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use libfuzzer_sys::fuzz_target;
use tminus_after::feedback::{
    Feedback, FeedbackLinks, Invitation, LinkKey, Outside, Rate, STORE_BYTES_MAX, Settings, Store,
};
use tower::ServiceExt as _;

const NOW_MS: u64 = 1_795_356_000_000;

fuzz_target!(|bytes: &[u8]| {
    let links = links();
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert_eq!(links.check(text, NOW_MS), None, "signed by nobody");
    }
    let forged = format!("f1.k1.{}.{}", URL_SAFE_NO_PAD.encode(bytes), URL_SAFE_NO_PAD.encode([0; 32]));
    assert_eq!(links.check(&forged, NOW_MS), None);
    let (runtime, router, path) = &*HOUSE;
    let request = Request::post(path.as_str())
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(bytes.to_vec()))
        .expect("a request");
    let Ok(answer) = runtime.block_on(router.clone().oneshot(request));
    assert!(answer.status().as_u16() < 500 || answer.status() == 503 || answer.status() == 507, "{answer:?}");
});

fn links() -> FeedbackLinks {
    FeedbackLinks::new(vec![LinkKey::new("k1", &[7; 32]).expect("a key")]).expect("keys")
}

/// A form that is asked as often as one likes.
static HOUSE: LazyLock<(tokio::runtime::Runtime, Router, String)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder").keep();
    let store = Store::open(&folder.join("answers"), STORE_BYTES_MAX).expect("a store");
    let browsers = AtomicU64::new(0);
    let outside = Outside {
        clock: Arc::new(|| NOW_MS),
        token: Arc::new(move || u128::from(browsers.fetch_add(1, Ordering::Relaxed) % 64).to_be_bytes()),
        address: Arc::new(|_, _| Some([127, 0, 0, 1].into())),
    };
    let settings = Settings {
        rate: Rate { burst: 1e12, per_s: 1e12 },
        ..Settings::default()
    };
    let invitation = Invitation {
        launch: "l-1".to_owned(),
        sections: vec!["Rehearsal".to_owned(), "Canary".to_owned()],
        issued_at_ms: NOW_MS,
    };
    let path = format!("/feedback/{}", links().token(&invitation).expect("a link"));
    let router = Feedback::new(links(), store, outside, settings).form_router();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    (runtime, router, path)
});
