//! The OpenID provider (OpenID Connect Core 1.0, section 3.1; PKCE as in RFC 7636, S256 only). Owns what is asked of it and
//! what an ID token must be: signed by one of its keys, issued by it, for us, in time, and for this very sign-in.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::{Client, Url};
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tminus_identity::{KeySet, NbfRule, Revocations, Rotation, Token, TokenError, TokenRules};

use crate::config::OidcConfig;
use crate::{DeliveryError, secret};

const CALL: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = tminus_identity::JWKS_BYTES_MAX;
/// The provider's addresses are asked for again after this long.
const DISCOVERY_MS: i64 = 60 * 60 * 1_000;
/// Its keys are not asked for more often.
const KEYS_MS: i64 = 10_000;
const GROUPS_MAX: usize = 1_000;

/// Why a sign-in came to nothing. The text is for the log.
#[derive(Debug, thiserror::Error)]
pub(super) enum SignInError {
    #[error("the provider: {0}")]
    Provider(String),
    #[error("the ID token: {0}")]
    Token(#[from] TokenError),
    #[error("the ID token: {0}")]
    Claim(&'static str),
}

#[derive(Debug, Clone, Deserialize)]
struct Discovery {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct TokenAnswer {
    id_token: String,
}

/// A person who has signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Person {
    pub subject: String,
    pub roles: Vec<String>,
}

pub(super) struct Provider {
    config: OidcConfig,
    client: Client,
    client_secret: Option<String>,
    redirect_uri: String,
    discovery: tokio::sync::Mutex<Option<(i64, Discovery)>>,
    keys: Mutex<Rotation>,
}

impl Provider {
    pub(super) fn new(config: OidcConfig, public_url: &str) -> Result<Self, DeliveryError> {
        // Fails where somebody has chosen one already, and that one is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(CALL)
            .user_agent(concat!("tminus/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| DeliveryError::Client(error.to_string()))?;
        Ok(Self {
            client,
            client_secret: config.client_secret.as_deref().map(secret::line).transpose()?,
            redirect_uri: format!("{public_url}/callback"),
            config,
            discovery: tokio::sync::Mutex::new(None),
            keys: Mutex::new(Rotation::new(KEYS_MS)),
        })
    }

    /// Where a browser goes to sign in.
    pub(super) async fn authorisation_url(
        &self,
        state: &str,
        nonce: &str,
        verifier: &str,
        now_ms: i64,
    ) -> Result<String, SignInError> {
        let discovery = self.discovery(now_ms).await?;
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
        let scopes = self.config.scopes.join(" ");
        let query = [
            ("response_type", "code"),
            ("client_id", &self.config.client_id),
            ("redirect_uri", &self.redirect_uri),
            ("scope", &scopes),
            ("state", state),
            ("nonce", nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        let mut url = checked(&discovery.authorization_endpoint)?;
        url.query_pairs_mut().extend_pairs(query);
        Ok(url.into())
    }

    /// Whether an answer names another provider (RFC 9207).
    pub(super) fn is_other_issuer(&self, issuer: Option<&str>) -> bool {
        issuer.is_some_and(|issuer| issuer != self.config.issuer)
    }

    /// Exchanges a code, and says who has signed in.
    pub(super) async fn finish(
        &self,
        code: &str,
        verifier: &str,
        nonce: &str,
        now_ms: i64,
    ) -> Result<Person, SignInError> {
        let discovery = self.discovery(now_ms).await?;
        let body_text = form(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect_uri),
            ("client_id", &self.config.client_id),
            ("code_verifier", verifier),
        ]);
        let mut request = self.client.post(checked(&discovery.token_endpoint)?);
        if let Some(secret) = &self.client_secret {
            // Both are encoded like a form's values first (RFC 6749, section 2.3.1).
            let encoded = |text: &str| form(&[("", text)]).trim_start_matches('=').to_owned();
            request = request.basic_auth(encoded(&self.config.client_id), Some(encoded(secret)));
        }
        let request = request
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body_text);
        let answer = body(request.header("accept", "application/json")).await?;
        let answer: TokenAnswer =
            serde_json::from_slice(&answer).map_err(|_| provider("its answer holds no ID token"))?;
        self.person(&answer.id_token, nonce, &discovery, now_ms).await
    }

    async fn person(
        &self,
        id_token: &str,
        nonce: &str,
        discovery: &Discovery,
        now_ms: i64,
    ) -> Result<Person, SignInError> {
        let token = Token::parse(id_token)?;
        let mut keys = self.known_keys();
        if keys.as_ref().is_none_or(|keys| token.wants_newer(keys)) {
            self.fetch_keys(discovery, now_ms).await?;
            keys = self.known_keys();
        }
        let keys = keys.ok_or_else(|| provider("its keys are not there"))?;
        let rules = TokenRules {
            issuer: self.config.issuer.clone(),
            audience: self.config.client_id.clone(),
            nbf: NbfRule::Optional,
        };
        let verified = token.verify(&keys, &rules, &Revocations::default(), now_ms / 1_000)?;
        let claims = claims(id_token).ok_or(SignInError::Claim("it cannot be read again"))?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let is_this: bool =
            text("nonce").is_some_and(|given| given.as_bytes().ct_eq(nonce.as_bytes()).into());
        if !is_this {
            return Err(SignInError::Claim("it is for another sign-in (`nonce`)"));
        }
        // Core, section 3.1.3.7, 4 and 5: whoever it was issued to is us.
        let is_shared = claims
            .get("aud")
            .and_then(Value::as_array)
            .is_some_and(|aud| aud.len() > 1);
        match (text("azp"), claims.contains_key("azp") || is_shared) {
            (Some(party), _) if party == self.config.client_id => {}
            (_, false) => {}
            _ => return Err(SignInError::Claim("it was issued to another client (`azp`)")),
        }
        Ok(Person {
            subject: verified.subject,
            roles: self.roles(&claims),
        })
    }

    /// Roles of the groups that the configured claim names, each once.
    fn roles(&self, claims: &Map<String, Value>) -> Vec<String> {
        let name = &self.config.roles_claim;
        let claim = claims.get(name).or_else(|| {
            let mut parts = name.split('.');
            let first = claims.get(parts.next()?)?;
            parts.try_fold(first, |value, part| value.get(part))
        });
        let groups: Vec<&str> = match claim {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(all)) => all.iter().take(GROUPS_MAX).filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let mut roles: Vec<String> = groups
            .into_iter()
            .filter_map(|group| self.config.roles.get(group).cloned())
            .collect();
        roles.sort_unstable();
        roles.dedup();
        roles
    }

    fn rotation(&self) -> std::sync::MutexGuard<'_, Rotation> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_keys(&self) -> Option<std::sync::Arc<KeySet>> {
        self.rotation().keys()
    }

    async fn fetch_keys(&self, discovery: &Discovery, now_ms: i64) -> Result<(), SignInError> {
        if !self.rotation().begin_fetch(now_ms) {
            return Ok(());
        }
        let document = body(self.client.get(checked(&discovery.jwks_uri)?)).await;
        let document = document.inspect_err(|_| self.rotation().failed())?;
        let fetched = self.rotation().fetched(&document, now_ms);
        fetched.map_err(|error| SignInError::Provider(error.to_string()))
    }

    async fn discovery(&self, now_ms: i64) -> Result<Discovery, SignInError> {
        let mut known = self.discovery.lock().await;
        if let Some((fetched_ms, discovery)) = &*known
            && (*fetched_ms..fetched_ms.saturating_add(DISCOVERY_MS)).contains(&now_ms)
        {
            return Ok(discovery.clone());
        }
        let url = format!(
            "{}/.well-known/openid-configuration",
            self.config.issuer.trim_end_matches('/')
        );
        let document = body(self.client.get(checked(&url)?)).await?;
        let discovery: Discovery = serde_json::from_slice(&document)
            .map_err(|error| SignInError::Provider(format!("its configuration cannot be read: {error}")))?;
        // Discovery, section 4.3.
        if discovery.issuer != self.config.issuer {
            return Err(provider("its configuration is another issuer's"));
        }
        *known = Some((now_ms, discovery.clone()));
        Ok(discovery)
    }
}

fn provider(what: &str) -> SignInError {
    SignInError::Provider(what.to_owned())
}

/// An address of the provider's: over TLS, or on this machine.
fn checked(url: &str) -> Result<Url, SignInError> {
    let url = Url::parse(url).map_err(|_| provider("an address of its configuration is no URL"))?;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_here = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if url.scheme() == "https" || (url.scheme() == "http" && is_here) {
        return Ok(url);
    }
    Err(provider("an address of its configuration is not https"))
}

fn form(pairs: &[(&str, &str)]) -> String {
    // A URL's query is written as a form's values are.
    let url = Url::parse_with_params("http://localhost", pairs);
    url.ok()
        .and_then(|url| url.query().map(str::to_owned))
        .unwrap_or_default()
}

async fn body(request: reqwest::RequestBuilder) -> Result<Vec<u8>, SignInError> {
    let failed = |error: reqwest::Error| SignInError::Provider(error.without_url().to_string());
    let mut answer = request.send().await.map_err(failed)?;
    if !answer.status().is_success() {
        return Err(SignInError::Provider(format!(
            "it answered {}",
            answer.status().as_u16()
        )));
    }
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(failed)? {
        if body.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err(provider("its answer is too long"));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// The claims of a token that was verified.
fn claims(id_token: &str) -> Option<Map<String, Value>> {
    let claims = URL_SAFE_NO_PAD.decode(id_token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&claims).ok()
}
