//! The admin listener: one page with the figures of the feedback and the state of the tickets. Reads only.
//!
//! It has no sign-in, so it is for loopback; there, other web pages are kept out by the `Host` and `Origin` checks.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tminus_after::feedback::{Address, Feedback, Language};
use tminus_after::stamps::{Places, Reader, ZONE_COOKIE, Zone, reader_zone};
use tminus_after::tickets::Clock;

use super::board::{Board, Seen};
use super::page::{self, View};
use crate::dashboard::is_local;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const COOKIE_AGE_S: u64 = 365 * 24 * 3600;

/// What the page is made from.
#[derive(Clone)]
pub(super) struct Admin {
    pub feedback: Feedback,
    pub board: Board,
    pub clock: Clock,
    pub address: Arc<Address>,
    pub places: Option<Arc<Places>>,
    pub zone: Option<Zone>,
    pub launch: String,
    pub sinks: Vec<&'static str>,
    /// Whether only this machine can reach it.
    pub only_local: bool,
}

pub(super) fn router(admin: Admin) -> Router {
    let events = admin.feedback.events_router();
    Router::new()
        .route("/", get(whole))
        .route("/live", get(live))
        .route("/api/status", get(status))
        .route(
            "/after.css",
            get(|| asset("text/css; charset=utf-8", include_str!("../../assets/after.css"))),
        )
        .route(
            "/after.js",
            get(|| {
                asset(
                    "text/javascript; charset=utf-8",
                    include_str!("../../assets/after.js"),
                )
            }),
        )
        .route(
            "/favicon.svg",
            get(|| asset("image/svg+xml", include_str!("../../assets/favicon.svg"))),
        )
        .with_state(admin.clone())
        .merge(events)
        .layer(from_fn_with_state(admin, guard))
}

async fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

async fn guard(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    if admin.only_local && !is_local(request.headers()) {
        return (StatusCode::FORBIDDEN, "this page is for http://127.0.0.1 only\n").into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "accept-language, cookie"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[derive(Debug, Default, Deserialize)]
struct Asked {
    lang: Option<String>,
    zone: Option<String>,
}

/// Who reads, and what that changes.
struct Reading {
    language: Language,
    zone: Option<Zone>,
    /// What was asked for by name; to be remembered.
    chosen: Option<Zone>,
    /// A name was given that no zone has.
    unknown: bool,
}

impl Reading {
    fn of(admin: &Admin, asked: &Asked, headers: &HeaderMap, peer: SocketAddr) -> Self {
        let given = asked
            .zone
            .as_deref()
            .map(str::trim)
            .filter(|zone| !zone.is_empty());
        let chosen = given.and_then(Zone::named);
        let cookie = cookie(headers, ZONE_COOKIE);
        let browser = chosen.as_ref().map(|zone| zone.name().to_owned()).or(cookie);
        let reader = Reader {
            address: (admin.address)(headers, Some(peer)),
            browser: browser.as_deref(),
            configured: admin.zone.as_ref(),
        };
        let accepted = headers
            .get(header::ACCEPT_LANGUAGE)
            .and_then(|value| value.to_str().ok());
        Self {
            language: asked
                .lang
                .as_deref()
                .and_then(Language::of_tag)
                .unwrap_or_else(|| Language::accepted(accepted.unwrap_or_default())),
            zone: reader_zone(reader, admin.places.as_deref()),
            unknown: given.is_some() && chosen.is_none(),
            chosen,
        }
    }

    fn view<'a>(&'a self, admin: &'a Admin, seen: &'a Seen) -> View<'a> {
        let mut launches = admin.feedback.launches();
        if !launches.contains(&admin.launch) {
            launches.insert(0, admin.launch.clone());
        }
        View {
            language: self.language,
            zone: self.zone.as_ref(),
            now_ms: (admin.clock)(),
            launch: &admin.launch,
            sinks: &admin.sinks,
            figures: launches
                .into_iter()
                .map(|launch| {
                    let (figures, texts) = (admin.feedback.figures(&launch), admin.feedback.texts(&launch));
                    page::Told {
                        launch,
                        figures,
                        texts,
                    }
                })
                .collect(),
            seen,
            unknown_zone: self.unknown,
        }
    }
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok());
    let mut pairs = lines
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    pairs
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value.replace("%2F", "/"))
}

async fn whole(
    State(admin): State<Admin>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    let reading = Reading::of(&admin, &asked, &headers, peer);
    let seen = admin.board.read(Clone::clone);
    let mut response = Html(page::whole(&reading.view(&admin, &seen))).into_response();
    if let Some(zone) = &reading.chosen {
        let cookie = format!(
            "{ZONE_COOKIE}={}; Path=/; Max-Age={COOKIE_AGE_S}; SameSite=Lax",
            zone.name()
        );
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
    response
}

/// The part that changes.
async fn live(
    State(admin): State<Admin>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    let reading = Reading::of(&admin, &asked, &headers, peer);
    let seen = admin.board.read(Clone::clone);
    Html(page::live(&reading.view(&admin, &seen))).into_response()
}

/// The same for machines; times in milliseconds since 1970-01-01 UTC.
async fn status(State(admin): State<Admin>) -> Json<Value> {
    let launches: Vec<Value> = admin
        .feedback
        .launches()
        .into_iter()
        .map(|launch| json!({ "sections": admin.feedback.figures(&launch), "launch": launch }))
        .collect();
    let seen = admin.board.read(Clone::clone);
    Json(json!({
        "launch": admin.launch, "now_ms": (admin.clock)(), "feedback": launches, "sinks": admin.sinks,
        "retrospectives": seen.retrospectives, "tickets": seen.tickets, "troubles": seen.troubles,
    }))
}
