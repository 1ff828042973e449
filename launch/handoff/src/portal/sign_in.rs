//! Signing in and out.

use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use serde::Deserialize;

use super::answer::Refusal;
use super::{App, Portal, answer, cookie, page, sessions};

const LOGIN_COOKIE: &str = "tminus-sign-in";

impl Portal {
    fn set_cookie(&self, name: &str, value: &str, seconds: u64) -> Option<HeaderValue> {
        let secure = if self.config.is_plain { "" } else { "; Secure" };
        let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}");
        HeaderValue::from_str(&cookie).ok()
    }
}

fn with_cookies(mut answer: Response, cookies: impl IntoIterator<Item = Option<HeaderValue>>) -> Response {
    for cookie in cookies.into_iter().flatten() {
        answer.headers_mut().append("set-cookie", cookie);
    }
    answer
}

/// `GET /login`: on to the provider.
pub(super) async fn login(State(app): State<App>, headers: HeaderMap) -> Response {
    let Some(provider) = &app.provider else {
        return answer::not_found();
    };
    let [state, nonce, verifier, browser] = [(); 4].map(|()| sessions::secret());
    let now_ms = app.now_ms();
    let url = match provider
        .authorisation_url(&state, &nonce, &verifier, now_ms)
        .await
    {
        Ok(url) => url,
        Err(error) => {
            tracing::warn!(%error, "nobody can sign in");
            return page::message(&headers, StatusCode::BAD_GATEWAY, page::Message::ProviderAway);
        }
    };
    if !app.sessions.begin(&state, &browser, nonce, verifier, now_ms) {
        return page::message(&headers, StatusCode::SERVICE_UNAVAILABLE, page::Message::TooMany);
    }
    with_cookies(
        answer::see_other(&url),
        [app.set_cookie(LOGIN_COOKIE, &browser, 600)],
    )
}

#[derive(Deserialize)]
pub(super) struct Callback {
    code: Option<String>,
    state: Option<String>,
    iss: Option<String>,
}

/// `GET /callback`: back from the provider.
pub(super) async fn callback(
    State(app): State<App>,
    Query(query): Query<Callback>,
    headers: HeaderMap,
) -> Response {
    let Some(provider) = &app.provider else {
        return answer::not_found();
    };
    let now_ms = app.now_ms();
    let begun = query.state.as_deref().zip(cookie(&headers, LOGIN_COOKIE));
    let begun = begun.and_then(|(state, browser)| app.sessions.resume(state, browser, now_ms));
    let (Some(begun), Some(code), false) =
        (begun, &query.code, provider.is_other_issuer(query.iss.as_deref()))
    else {
        return page::message(&headers, StatusCode::BAD_REQUEST, page::Message::BeginAgain);
    };
    let person = match provider.finish(code, &begun.verifier, &begun.nonce, now_ms).await {
        Ok(person) => person,
        Err(error) => {
            tracing::warn!(%error, "a sign-in was refused");
            return page::message(&headers, StatusCode::FORBIDDEN, page::Message::NotAccepted);
        }
    };
    if person.roles.is_empty() {
        tracing::info!(subject = person.subject, "signed in without a role");
        return page::message(&headers, StatusCode::FORBIDDEN, page::Message::NoRole);
    }
    let life = app.config.limits.session;
    let expires_at_ms = now_ms.saturating_add(i64::try_from(life.as_millis()).unwrap_or(i64::MAX));
    let Some(id) = app
        .sessions
        .open(person.subject, person.roles, expires_at_ms, now_ms)
    else {
        return page::message(&headers, StatusCode::SERVICE_UNAVAILABLE, page::Message::TooMany);
    };
    let cookies = [
        app.set_cookie(app.session_cookie(), &id, life.as_secs()),
        app.set_cookie(LOGIN_COOKIE, "", 0),
    ];
    with_cookies(answer::see_other("/"), cookies)
}

/// `POST /logout`.
pub(super) async fn logout(State(app): State<App>, headers: HeaderMap) -> Result<Response, Refusal> {
    if !app.is_own_origin(&headers) {
        return Err(Refusal::OtherOrigin);
    }
    if let Some(id) = cookie(&headers, app.session_cookie()) {
        app.sessions.close(id);
    }
    Ok(with_cookies(
        answer::see_other("/"),
        [app.set_cookie(app.session_cookie(), "", 0)],
    ))
}
