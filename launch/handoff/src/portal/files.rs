//! Files over HTTP: whole or in part, each after its entry in the record.

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::{IF_NONE_MATCH, IF_RANGE, RANGE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::Response;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

use super::answer::{self, Refusal};
use super::{App, Client, blocking, page};
use crate::range::Range;
use crate::shelf::{Name, Opened, ShelfError};
use crate::{Channel, Download, Who};

const CHUNK_BYTES: usize = 64 * 1024;

/// A file that somebody may have.
pub(super) struct Wanted {
    pub role: String,
    pub name: Name,
    pub address: std::net::IpAddr,
}

/// `GET /files`: what the caller may have, for machines.
pub(super) async fn list(State(app): State<App>, headers: HeaderMap) -> Result<Response, Refusal> {
    let identity = app.somebody(&headers)?;
    let mut files = Vec::new();
    for role in identity.roles {
        let listed = role.clone();
        let entries = blocking(&app, move |shared| shared.shelf.all_files(&listed)).await?;
        files.extend(entries.into_iter().map(|entry| {
            json!({
                "role": role,
                "path": entry.name,
                "bytes": entry.bytes,
                "modified_s": entry.modified_s,
                "url": format!("{}{}", app.config.public_url, page::file_url(&role, &entry.name)),
            })
        }));
    }
    Ok(answer::json(StatusCode::OK, &json!({ "files": files })))
}

/// `GET /files/{role}/{path}`.
pub(super) async fn download(
    State(app): State<App>,
    path: Result<Path<(String, String)>, PathRejection>,
    Extension(Client(address)): Extension<Client>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let identity = app.somebody(&headers)?;
    // What is no text names nothing of ours.
    let Path((role, path)) = path.map_err(|_| Refusal::NotFound)?;
    let name = Name::plain(&path)?;
    if !identity.has(&role) {
        return Err(Refusal::NotFound);
    }
    let wanted = Wanted { role, name, address };
    deliver(&app, wanted, &method, &headers, Channel::Portal, async || {
        Ok(identity.who)
    })
    .await
}

/// Answers with a file. `who` is asked once it is certain that bytes leave; what it refuses is answered so.
pub(super) async fn deliver(
    app: &App,
    wanted: Wanted,
    method: &Method,
    headers: &HeaderMap,
    channel: Channel,
    who: impl AsyncFnOnce() -> Result<Who, Refusal>,
) -> Result<Response, Refusal> {
    let now_ms = app.now_ms();
    let (role, name) = (wanted.role.clone(), wanted.name.clone());
    let found = blocking(app, move |shared| {
        let file = shared.shelf.open(&role, &name)?;
        let sha256 = shared.shelf.sha256(&file, now_ms)?;
        Ok((file, sha256))
    });
    let (file, sha256) = found.await?;
    let tag = format!("\"{}\"", hex::encode(sha256));
    let mut answer = Response::new(Body::empty());
    describe(answer.headers_mut(), &tag, &sha256, &wanted.name);
    if is_known(headers, &tag) {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(answer);
    }
    // A part of another state of the file is of no use.
    let is_same = headers
        .get(IF_RANGE)
        .is_none_or(|given| given.as_bytes() == tag.as_bytes());
    let range = headers.get(RANGE).filter(|_| is_same && *method == Method::GET);
    let range = range
        .and_then(|range| range.to_str().ok())
        .map_or(Range::Whole, |range| Range::parse(range, file.bytes()));
    let (offset, bytes) = match range {
        Range::Whole => (0, file.bytes()),
        Range::Part(offset, bytes) => {
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
            let part = format!("bytes {offset}-{}/{}", offset + bytes - 1, file.bytes());
            set(answer.headers_mut(), "content-range", &part);
            (offset, bytes)
        }
        Range::Unsatisfiable => {
            *answer.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            set(
                answer.headers_mut(),
                "content-range",
                &format!("bytes */{}", file.bytes()),
            );
            return Ok(answer);
        }
    };
    set(answer.headers_mut(), "content-length", &bytes.to_string());
    if *method == Method::HEAD {
        return Ok(answer);
    }
    let download = Download {
        who: who().await?,
        role: wanted.role,
        file: wanted.name.to_string(),
        sha256,
        offset,
        bytes,
        address: wanted.address,
        at_ms: now_ms,
        channel,
    };
    app.shared.log.append(download).await?;
    *answer.body_mut() = stream(file, offset, offset + bytes);
    Ok(answer)
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn describe(headers: &mut HeaderMap, tag: &str, sha256: &[u8; 32], name: &Name) {
    set(headers, "etag", tag);
    // RFC 9530.
    set(
        headers,
        "repr-digest",
        &format!("sha-256=:{}:", STANDARD.encode(sha256)),
    );
    set(headers, "accept-ranges", "bytes");
    set(headers, "content-type", "application/octet-stream");
    set(headers, "content-disposition", &disposition(name.file_name()));
}

/// RFC 6266: a name that every client understands, then the name itself.
fn disposition(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ' ' | '(' | ')');
    let plain: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    format!(
        "attachment; filename=\"{plain}\"; filename*=UTF-8''{}",
        page::url_part(name)
    )
}

fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let lists = headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|list| list.to_str().ok());
    let mut tags = lists.flat_map(|list| list.split(',')).map(str::trim);
    tags.any(|given| given == "*" || given.trim_start_matches("W/") == tag)
}

/// A file's bytes from `offset` to `end`. An answer breaks off when the file changes: what leaves is what is on record.
fn stream(file: Opened, offset: u64, end: u64) -> Body {
    Body::from_stream(futures_util::stream::try_unfold(offset, move |offset| {
        let file = file.clone();
        async move {
            if offset >= end {
                return Ok(None);
            }
            let length = usize::try_from(end - offset)
                .unwrap_or(usize::MAX)
                .min(CHUNK_BYTES);
            let read = tokio::task::spawn_blocking(move || file.read_at(offset, length)).await;
            let chunk = read.unwrap_or_else(|error| Err(std::io::Error::other(error).into()))?;
            let next = offset + chunk.len() as u64;
            Ok::<_, ShelfError>(Some((bytes::Bytes::from(chunk), next)))
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reaches_every_client_and_ends_no_header() {
        assert_eq!(
            disposition("a b.pdf"),
            "attachment; filename=\"a b.pdf\"; filename*=UTF-8''a%20b.pdf"
        );
        let odd = disposition("x\"; y=\u{202e}报.pdf");
        assert!(odd.is_ascii() && odd.matches('"').count() == 2, "{odd}");
    }
}
