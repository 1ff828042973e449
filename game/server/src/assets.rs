//! The play page and the reference page, built into the executable.

use axum::{
    Router,
    body::Bytes,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use sha2::{Digest as _, Sha256};

struct Asset {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

macro_rules! asset {
    ($name:literal, $content_type:literal) => {
        asset!("assets", $name, $content_type)
    };
    ($folder:literal, $name:literal, $content_type:literal) => {
        Asset {
            name: $name,
            content_type: $content_type,
            bytes: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $folder, "/", $name)),
        }
    };
}

/// The first is the page itself, served at `/`; it names the others relative to itself.
const ASSETS: &[Asset] = &[
    asset!("index.html", "text/html; charset=utf-8"),
    asset!("style.css", "text/css; charset=utf-8"),
    asset!("account.js", "text/javascript; charset=utf-8"),
    asset!("app.js", "text/javascript; charset=utf-8"),
    asset!("board.js", "text/javascript; charset=utf-8"),
    asset!("commands.js", "text/javascript; charset=utf-8"),
    asset!("emotes.js", "text/javascript; charset=utf-8"),
    asset!("items.js", "text/javascript; charset=utf-8"),
    asset!("keep.js", "text/javascript; charset=utf-8"),
    asset!("link.js", "text/javascript; charset=utf-8"),
    asset!("lobby.js", "text/javascript; charset=utf-8"),
    asset!("parts.js", "text/javascript; charset=utf-8"),
    asset!("shapes.js", "text/javascript; charset=utf-8"),
    asset!("speech.js", "text/javascript; charset=utf-8"),
    asset!("touch.js", "text/javascript; charset=utf-8"),
    asset!("view.js", "text/javascript; charset=utf-8"),
    asset!("words.js", "text/javascript; charset=utf-8"),
    asset!("favicon.svg", "image/svg+xml"),
];

/// The first is the page itself, served at `/docs`; the others lie below it.
const REFERENCE: &[Asset] = &[
    asset!("reference", "index.html", "text/html; charset=utf-8"),
    asset!("reference", "reference.css", "text/css; charset=utf-8"),
    asset!("reference", "reference.js", "text/javascript; charset=utf-8"),
    asset!("reference", "schemas.js", "text/javascript; charset=utf-8"),
    asset!("reference", "words.js", "text/javascript; charset=utf-8"),
];

/// The pages load nothing from elsewhere, run nothing inline and are framed by nobody.
const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'";

/// Routes of both pages and of all that they load.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let play = ASSETS.iter().enumerate().map(|(position, asset)| match position {
        0 => ("/".to_owned(), asset),
        _ => (format!("/{}", asset.name), asset),
    });
    let reference = REFERENCE
        .iter()
        .enumerate()
        .map(|(position, asset)| match position {
            0 => ("/docs".to_owned(), asset),
            _ => (format!("/docs/{}", asset.name), asset),
        });
    play.chain(reference)
        .fold(Router::new(), |router, (path, asset)| {
            let etag = etag(asset.bytes);
            let content_type = HeaderValue::from_static(asset.content_type);
            let bytes = Bytes::from_static(asset.bytes);
            router.route(
                &path,
                get(move |headers: HeaderMap| async move { answer(content_type, bytes, etag, &headers) }),
            )
        })
}

/// The name of these bytes in a cache.
pub fn etag(bytes: &[u8]) -> HeaderValue {
    let digest = hex::encode(&Sha256::digest(bytes)[..16]);
    HeaderValue::from_str(&format!("\"{digest}\"")).expect("quotes and hexadecimal digits")
}

/// The bytes, or that the client has them already.
pub fn answer(content_type: HeaderValue, bytes: Bytes, etag: HeaderValue, request: &HeaderMap) -> Response {
    let known = request
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let unchanged = known
        .flat_map(|list| list.split(','))
        .map(|tag| tag.trim().trim_start_matches("W/"));
    let unchanged = { unchanged }.any(|tag| tag == "*" || tag.as_bytes() == etag.as_bytes());
    let headers: [(HeaderName, HeaderValue); 6] = [
        (header::ETAG, etag),
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    if unchanged {
        (StatusCode::NOT_MODIFIED, headers).into_response()
    } else {
        (headers, bytes).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_pages_is_served() {
        for (folder, assets) in [("assets", ASSETS), ("reference", REFERENCE)] {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
            let mut there: Vec<String> = std::fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            let mut served: Vec<String> = assets.iter().map(|asset| asset.name.to_owned()).collect();
            there.sort();
            served.sort();
            assert_eq!(there, served);
        }
    }
}
