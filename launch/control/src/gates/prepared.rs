//! Requests of a plan, made ready to be sent.

use std::collections::BTreeMap;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use tminus_plan::ReplayRequest;

use super::{CouldNotRun, shorten};

/// # Errors
/// The text is no URL.
pub(super) fn target(text: &str) -> Result<Url, CouldNotRun> {
    Url::parse(text).map_err(|e| CouldNotRun::new(format!("`{text}` is not a URL: {e}")))
}

/// A request that can be sent as it is.
pub(super) struct Prepared {
    /// For the evidence.
    pub name: String,
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Option<String>,
}

impl Prepared {
    pub fn new(request: &ReplayRequest, target: &Url) -> Result<Self, CouldNotRun> {
        let name = format!("{} {}", request.method, shorten(&request.path, 200));
        let method = Method::from_bytes(request.method.as_bytes())
            .map_err(|_| CouldNotRun::new(format!("`{}` is not an HTTP method", request.method)))?;
        // Not `join`: a path such as `//host/x` would lead elsewhere, with the credentials.
        let text = format!("{}{}", target.as_str().trim_end_matches('/'), request.path);
        let url = Url::parse(&text)
            .ok()
            .filter(|url| request.path.starts_with('/') && url.origin() == target.origin())
            .ok_or_else(|| CouldNotRun::new(format!("`{}` is no path of {target}", request.path)))?;
        Ok(Self {
            name,
            method,
            url,
            headers: header_map(&request.headers, "a request")?,
            body: request.body.clone(),
        })
    }
}

pub(super) fn header_map(headers: &BTreeMap<String, String>, whose: &str) -> Result<HeaderMap, CouldNotRun> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            CouldNotRun::new(format!("{whose}: `{}` is not a header name", shorten(name, 100)))
        })?;
        // The value may be a secret: only its header is named.
        let mut value = HeaderValue::from_str(value).map_err(|_| {
            CouldNotRun::new(format!(
                "{whose}: the value of `{name}` cannot be sent in a header"
            ))
        })?;
        value.set_sensitive(true);
        map.insert(header, value);
    }
    Ok(map)
}
