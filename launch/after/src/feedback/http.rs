//! The form over HTTP, and the figures as they change.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use futures_util::{Stream, stream};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::feedback::form::{self, Filled, FormTrouble};
use crate::feedback::limits::{Buckets, Rate};
use crate::feedback::links::{FeedbackLinks, Invitation};
use crate::feedback::page::{self, Language, Notice};
use crate::feedback::store::{Answer, Figures, Store, StoreError};
use crate::stamps::{Places, Reader, ZONE_COOKIE, Zone, reader_zone, two_zones};

const BROWSER_COOKIE: &str = "tminus_feedback";
const COOKIE_AGE_S: u64 = 90 * 24 * 3600;

/// From a request's headers and its socket to the client's address.
pub type Address = dyn Fn(&HeaderMap, Option<SocketAddr>) -> Option<IpAddr> + Send + Sync;

/// Everything from outside: time, chance, whose request it is.
#[derive(Clone)]
pub struct Outside {
    /// Milliseconds since 1970-01-01 UTC.
    pub clock: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Sixteen bytes that nobody can guess.
    pub token: Arc<dyn Fn() -> [u8; 16] + Send + Sync>,
    /// The client's address. Behind a proxy the socket's is the proxy's: give what the proxy says.
    pub address: Arc<Address>,
}

impl std::fmt::Debug for Outside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outside").finish_non_exhaustive()
    }
}

/// Settings of the form.
#[derive(Debug)]
pub struct Settings {
    pub rate: Rate,
    /// A body must have arrived within this time.
    pub body_ms: u64,
    /// Dashboards that listen at the same time.
    pub listeners: usize,
    /// Cookies over HTTPS only.
    pub secure: bool,
    pub places: Option<Arc<Places>>,
    pub zone: Option<Zone>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            // A meeting behind one address scans the page at once.
            rate: Rate {
                burst: 60.0,
                per_s: 1.0,
            },
            body_ms: 10_000,
            listeners: 64,
            secure: true,
            places: None,
            zone: None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    Changed(u64),
    Closing,
}

struct Inner {
    links: FeedbackLinks,
    store: Mutex<Store>,
    buckets: Mutex<Buckets>,
    outside: Outside,
    settings: Settings,
    policy: HeaderValue,
    news: watch::Sender<News>,
    listeners: Arc<Semaphore>,
}

/// Feedback over HTTP; a clone is the same one.
#[derive(Clone)]
pub struct Feedback(Arc<Inner>);

impl std::fmt::Debug for Feedback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feedback")
            .field("settings", &self.0.settings)
            .finish_non_exhaustive()
    }
}

impl Feedback {
    pub fn new(links: FeedbackLinks, store: Store, outside: Outside, settings: Settings) -> Self {
        // Of base64 and ASCII words: it is always a header's value.
        let policy = HeaderValue::from_str(&page::policy())
            .unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"));
        Self(Arc::new(Inner {
            links,
            store: Mutex::new(store),
            buckets: Mutex::new(Buckets::default()),
            outside,
            listeners: Arc::new(Semaphore::new(settings.listeners)),
            settings,
            policy,
            news: watch::Sender::new(News::Changed(0)),
        }))
    }

    /// `/feedback/{token}`: the form, for everyone who has a link.
    pub fn form_router(&self) -> Router {
        let policy = self.0.policy.clone();
        Router::new()
            .route("/feedback/{token}", get(show).post(take))
            .layer(from_fn(move |request: Request, next: Next| {
                guard(policy.clone(), request, next)
            }))
            .with_state(self.clone())
    }

    /// `/feedback/events`: the figures as server-sent events, for the dashboard. No texts.
    pub fn events_router(&self) -> Router {
        Router::new()
            .route("/feedback/events", get(events))
            .with_state(self.clone())
    }

    /// The launches that were answered for, by name.
    pub fn launches(&self) -> Vec<String> {
        self.0.store().launches().map(str::to_owned).collect()
    }

    /// Figures of a launch, section by section.
    pub fn figures(&self, launch: &str) -> Vec<Figures> {
        self.0.store().figures(launch)
    }

    /// Answers with a text, oldest first.
    pub fn texts(&self, launch: &str) -> Vec<Answer> {
        self.0.store().texts(launch).into_iter().cloned().collect()
    }

    /// Ends every stream of events, so that a server can stop.
    pub fn close(&self) {
        self.0.news.send_replace(News::Closing);
    }
}

impl Inner {
    /// A panic while the lock was held has left no half answer: the file is written before memory.
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(&self, address: Option<IpAddr>, now_ms: u64) -> bool {
        // Without an address all share one bucket.
        let address = address.unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.admit(address, self.settings.rate, now_ms)
    }

    fn all_figures(&self) -> serde_json::Value {
        let store = self.store();
        let launches: Vec<_> = store
            .launches()
            .map(|launch| json!({"launch": launch, "sections": store.figures(launch)}))
            .collect();
        json!({"launches": launches})
    }
}

async fn guard(policy: HeaderValue, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let fixed = [
        // The link is in the address: it must not travel on, nor stay in a shared cache.
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::VARY, "accept-language, cookie"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

/// Who asks, before the link is looked at.
struct Caller {
    language: Language,
    address: Option<IpAddr>,
    /// From the cookie, if it has the form of ours.
    browser: Option<String>,
    zone: Option<String>,
    done: bool,
}

impl Caller {
    fn of(inner: &Inner, request: &Request, query: Option<&str>) -> Self {
        let headers = request.headers();
        let text = |name| {
            headers
                .get(name)
                .and_then(|value: &HeaderValue| value.to_str().ok())
                .unwrap_or_default()
        };
        let asked = |name: &str| {
            let pairs = query
                .unwrap_or_default()
                .split('&')
                .filter_map(|pair| pair.split_once('='));
            pairs
                .filter(|(known, _)| *known == name)
                .map(|(_, value)| value.to_owned())
                .next()
        };
        let cookie = |name: &str| {
            let pairs = text(header::COOKIE)
                .split(';')
                .filter_map(|pair| pair.trim().split_once('='));
            pairs
                .filter(|(known, _)| *known == name)
                .map(|(_, value)| value.to_owned())
                .next()
        };
        let socket = request
            .extensions()
            .get::<ConnectInfo<SocketAddr>>()
            .map(|info| info.0);
        Self {
            language: asked("lang")
                .and_then(|tag| Language::of_tag(&tag))
                .unwrap_or_else(|| Language::accepted(text(header::ACCEPT_LANGUAGE))),
            address: (inner.outside.address)(headers, socket),
            browser: cookie(BROWSER_COOKIE).filter(|token| is_token(token)),
            zone: cookie(ZONE_COOKIE).map(|zone| zone.replace("%2F", "/")),
            done: asked("done").is_some(),
        }
    }
}

fn is_token(text: &str) -> bool {
    text.len() == 32
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// What stands in the file for a browser.
fn digest(launch: &str, browser: &str) -> String {
    let digest = Sha256::new()
        .chain_update(browser)
        .chain_update([0])
        .chain_update(launch)
        .finalize();
    hex::encode(&digest[..16])
}

fn refuse(
    status: StatusCode,
    language: Language,
    title: (&'static str, &'static str),
    text: (&'static str, &'static str),
) -> Response {
    (status, Html(page::message_in(language, title, text))).into_response()
}

/// The invitation, or the answer to somebody without one.
fn invited(inner: &Inner, token: &str, caller: &Caller) -> Result<Invitation, Box<Response>> {
    let now_ms = (inner.outside.clock)();
    if !inner.admit(caller.address, now_ms) {
        let mut response = refuse(
            StatusCode::TOO_MANY_REQUESTS,
            caller.language,
            ("请求太多", "Too many requests"),
            ("请稍等一分钟再试。", "Please wait a minute, then try again."),
        );
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
        return Err(Box::new(response));
    }
    inner.links.check(token, now_ms).ok_or_else(|| {
        Box::new(refuse(
            StatusCode::NOT_FOUND,
            caller.language,
            ("没有这个页面", "There is no such page"),
            (
                "链接不完整或已失效，请重新扫描二维码。",
                "The link is not whole, or too old. Please scan the code again.",
            ),
        ))
    })
}

async fn show(
    State(Feedback(inner)): State<Feedback>,
    Path(token): Path<String>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    let caller = Caller::of(&inner, &request, query.as_deref());
    let invitation = match invited(&inner, &token, &caller) {
        Ok(invitation) => invitation,
        Err(response) => return *response,
    };
    let known = caller.browser.is_some();
    let browser = caller
        .browser
        .clone()
        .unwrap_or_else(|| hex::encode((inner.outside.token)()));
    let before = inner
        .store()
        .answer(&invitation.launch, &digest(&invitation.launch, &browser))
        .cloned();
    let notice = match &before {
        Some(answer) if caller.done => Notice::Thanks(stamp(&inner, &caller, answer.at_ms)),
        _ => Notice::None,
    };
    let filled = Filled {
        browser: browser.clone(),
        scores: before
            .as_ref()
            .map(|answer| answer.scores.clone())
            .unwrap_or_default(),
        text: before.map(|answer| answer.text).unwrap_or_default(),
        zone: caller
            .zone
            .clone()
            .filter(|zone| Zone::named(zone).is_some())
            .unwrap_or_default(),
        ..Filled::default()
    };
    let mut response = Html(page::form(caller.language, &invitation, &filled, &notice)).into_response();
    if !known {
        set_cookie(&inner, &mut response, BROWSER_COOKIE, &browser);
    }
    response
}

fn stamp(inner: &Inner, caller: &Caller, at_ms: u64) -> String {
    let reader = Reader {
        address: caller.address,
        browser: caller.zone.as_deref(),
        configured: inner.settings.zone.as_ref(),
    };
    let zone = reader_zone(reader, inner.settings.places.as_deref());
    let at = i64::try_from(at_ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map(|at| two_zones(at, zone.as_ref())).unwrap_or_default()
}

/// `value` is of letters, digits and `/_+-`.
fn set_cookie(inner: &Inner, response: &mut Response, name: &str, value: &str) {
    let secure = if inner.settings.secure { "; Secure" } else { "" };
    let cookie =
        format!("{name}={value}; Path=/feedback; Max-Age={COOKIE_AGE_S}; HttpOnly; SameSite=Lax{secure}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}

async fn take(
    State(Feedback(inner)): State<Feedback>,
    Path(token): Path<String>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    let caller = Caller::of(&inner, &request, query.as_deref());
    let invitation = match invited(&inner, &token, &caller) {
        Ok(invitation) => invitation,
        Err(response) => return *response,
    };
    let kind = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    if !kind.is_some_and(form::is_form) {
        return refuse(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            caller.language,
            ("格式不支持", "Unsupported form"),
            (
                "请使用本页的表单，编码为 UTF-8。",
                "Please use the form of this page, in UTF-8.",
            ),
        );
    }
    let body = match body(request.into_body(), inner.settings.body_ms).await {
        Ok(body) => body,
        Err(status) => {
            return refuse(
                status,
                caller.language,
                ("没有收到", "Not received"),
                (
                    "表单太大或没有完整到达。",
                    "The form is too large, or did not arrive whole.",
                ),
            );
        }
    };
    let (mut filled, trouble) = form::read(&body, &invitation);
    let language = Language::of_tag(&filled.language).unwrap_or(caller.language);
    let browser = caller
        .browser
        .or_else(|| Some(filled.browser.clone()).filter(|token| is_token(token)));
    let browser = browser.unwrap_or_else(|| hex::encode((inner.outside.token)()));
    filled.browser.clone_from(&browser);
    if let Some(trouble) = trouble {
        let status = match trouble {
            FormTrouble::Form => StatusCode::BAD_REQUEST,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        let page = page::form(language, &invitation, &filled, &Notice::Trouble(trouble));
        return (status, Html(page)).into_response();
    }
    let answer = Answer {
        browser: digest(&invitation.launch, &browser),
        launch: invitation.launch,
        at_ms: (inner.outside.clock)(),
        scores: filled.scores,
        text: filled.text,
    };
    let writer = inner.clone();
    let stored = tokio::task::spawn_blocking(move || writer.store().append(answer)).await;
    if !matches!(stored, Ok(Ok(()))) {
        let full = matches!(stored, Ok(Err(StoreError::Full { .. })));
        return refuse(
            if full {
                StatusCode::INSUFFICIENT_STORAGE
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            },
            language,
            ("没有保存", "Not stored"),
            (
                "暂时无法保存，请告诉上线负责人。",
                "It cannot be stored at the moment. Please tell whoever leads the launch.",
            ),
        );
    }
    inner.news.send_modify(|news| {
        if let News::Changed(count) = news {
            *count += 1;
        }
    });
    let mut response = StatusCode::SEE_OTHER.into_response();
    // Relative to the same path: a reload of what follows sends nothing again.
    if let Ok(location) = HeaderValue::from_str(&format!("?done=1&lang={}", language.tag())) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    set_cookie(&inner, &mut response, BROWSER_COOKIE, &browser);
    if Zone::named(&filled.zone).is_some() {
        set_cookie(&inner, &mut response, ZONE_COOKIE, &filled.zone);
    }
    response
}

async fn body(body: Body, within_ms: u64) -> Result<Vec<u8>, StatusCode> {
    let whole = axum::body::to_bytes(body, form::BODY_BYTES_MAX);
    match tokio::time::timeout(Duration::from_millis(within_ms), whole).await {
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
        Ok(Err(_)) => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Ok(Ok(bytes)) => Ok(bytes.to_vec()),
    }
}

async fn events(State(Feedback(inner)): State<Feedback>) -> Response {
    let Ok(permit) = inner.listeners.clone().try_acquire_owned() else {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            "too many listeners; close another dashboard\n",
        )
            .into_response();
    };
    let mut news = inner.news.subscribe();
    news.mark_changed();
    let stream = figures_stream(inner, news, permit);
    let mut response = Sse::new(stream).keep_alive(KeepAlive::default()).into_response();
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The figures now and after each change; changes that come faster than a reader reads are told together.
fn figures_stream(
    inner: Arc<Inner>,
    news: watch::Receiver<News>,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold((inner, news, permit), |(inner, mut news, permit)| async move {
        news.changed().await.ok()?;
        let News::Changed(count) = *news.borrow_and_update() else {
            return None;
        };
        let figures = inner.all_figures().to_string();
        let event = Event::default()
            .event("figures")
            .id(count.to_string())
            .data(figures);
        Some((Ok(event), (inner, news, permit)))
    })
}
