//! Links over HTTP: made and revoked by whoever has the role, used by whoever has the link.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::answer::{self, Refusal, plain};
use super::files::{Wanted, deliver};
use super::{App, Client, blocking, page};
use crate::links::{BookError, Grant, LinkEntry};
use crate::shelf::Name;
use crate::{Channel, Who};

const DOWNLOADS_MAX: u64 = 1_000_000;

/// `POST /links`, as JSON; a form has the same fields.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    role: String,
    path: String,
    downloads_max: Option<u64>,
}

impl Order {
    fn read(headers: &HeaderMap, body: &[u8]) -> Option<Self> {
        let kind = headers
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or_default();
        let order = if kind.starts_with("application/json") {
            serde_json::from_slice(body).ok()?
        } else {
            Self::of_form(body)?
        };
        order
            .downloads_max
            .is_none_or(|max| (1..=DOWNLOADS_MAX).contains(&max))
            .then_some(order)
    }

    /// A field that is left empty says nothing.
    fn of_form(body: &[u8]) -> Option<Self> {
        let mut order = Self {
            role: String::new(),
            path: String::new(),
            downloads_max: None,
        };
        // A query of a URL is written as a form's values are.
        let mut url = reqwest::Url::parse("http://localhost").ok()?;
        url.set_query(Some(std::str::from_utf8(body).ok()?));
        for (name, value) in url.query_pairs() {
            match &*name {
                "role" => order.role = value.into_owned(),
                "path" => order.path = value.into_owned(),
                "downloads_max" if value.is_empty() => {}
                "downloads_max" => order.downloads_max = Some(value.parse().ok()?),
                _ => return None,
            }
        }
        Some(order)
    }
}

fn wants_json(headers: &HeaderMap) -> bool {
    headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_none_or(|accept| !accept.contains("text/html"))
}

/// `POST /links`: a link for one of the caller's files.
pub(super) async fn make(
    State(app): State<App>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let identity = app.somebody_who_writes(&headers)?;
    let (Some((keys, book)), Some(config)) = (&app.links, &app.config.links) else {
        return Err(Refusal::NotFound);
    };
    let order = Order::read(&headers, &body).ok_or(Refusal::Order)?;
    let file = Name::plain(&order.path)?;
    if !identity.has(&order.role) {
        return Err(Refusal::NotFound);
    }
    let (role, wanted) = (order.role.clone(), file.clone());
    blocking(&app, move |shared| shared.shelf.open(&role, &wanted)).await?;
    let now_ms = app.now_ms();
    let grant = Grant {
        role: order.role,
        file,
        expires_at_ms: now_ms.saturating_add(i64::try_from(config.lifetime.as_millis()).unwrap_or(i64::MAX)),
        nonce: rand::random(),
    };
    let entry = LinkEntry {
        role: grant.role.clone(),
        file: grant.file.to_string(),
        made_by: identity.who.to_string(),
        made_at_ms: now_ms,
        expires_at_ms: grant.expires_at_ms,
        downloads: 0,
        downloads_max: order.downloads_max,
        revoked: false,
    };
    let id = grant.id();
    book.add(&id, entry, now_ms).await?;
    tracing::info!(link = id, role = grant.role, file = %grant.file, by = %identity.who, "a link was made");
    let url = format!("{}/l/{}", app.config.public_url, keys.token(&grant));
    if wants_json(&headers) {
        let made = json!({ "id": id, "url": url, "expires_at_ms": grant.expires_at_ms });
        return Ok(answer::json(StatusCode::CREATED, &made));
    }
    Ok(page::link_made(&headers, &url, &grant))
}

/// `DELETE /links/{id}`, or `POST /links/{id}/revoke` by a form.
pub(super) async fn revoke(
    State(app): State<App>,
    id: Result<Path<String>, PathRejection>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let identity = app.somebody_who_writes(&headers)?;
    let (Some((_, book)), Ok(Path(id))) = (&app.links, id) else {
        return Err(Refusal::NotFound);
    };
    book.revoke(&id, &identity.roles).await?;
    tracing::info!(link = id, by = %identity.who, "a link was revoked");
    let is_form = method == Method::POST && !wants_json(&headers);
    Ok(if is_form {
        answer::see_other("/")
    } else {
        plain(StatusCode::NO_CONTENT, "")
    })
}

/// `GET /l/{token}`.
pub(super) async fn download(
    State(app): State<App>,
    token: Result<Path<String>, PathRejection>,
    Extension(Client(address)): Extension<Client>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (keys, book) = app.links.as_ref().ok_or(Refusal::NotFound)?;
    let token = token.as_ref().map_or("", |Path(token)| token.as_str());
    let grant = keys.read(token).ok_or(Refusal::NotFound)?;
    let (id, now_ms) = (grant.id(), app.now_ms());
    if now_ms >= grant.expires_at_ms || !book.is_good(&id, now_ms) {
        return Err(BookError::Ended.into());
    }
    let wanted = Wanted {
        role: grant.role,
        name: grant.file,
        address,
    };
    // Counted when it is certain that bytes leave: a question about the file takes nothing from the link.
    let who = async || {
        let made_by = book.count(&id, now_ms).await?;
        Ok(Who::Link { id, made_by })
    };
    deliver(&app, wanted, &method, &headers, Channel::Link, who).await
}
