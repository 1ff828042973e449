//! A stand-in for the OpenID provider: real keys, and it lies where it is told to.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::pkcs8::EncodePrivateKey as _;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::program;

/// How ID tokens are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signing {
    EdDsa,
    Rsa,
    /// With a key that is not in the set, under the name of one that is.
    Stranger,
    /// `alg: none`, without a signature.
    None,
    /// HMAC with the public key's bytes.
    Hmac,
}

type Lie = Arc<dyn Fn(&mut Value) + Send + Sync>;

struct Inner {
    issuer: String,
    /// What was asked for, by code.
    codes: HashMap<String, HashMap<String, String>>,
    signing: Signing,
    lie: Lie,
    claims: Value,
}

#[derive(Clone)]
pub struct Provider(Arc<Mutex<Inner>>);

fn ed25519(seed: u8) -> ed25519_dalek::SigningKey {
    ed25519_dalek::SigningKey::from_bytes(&[seed; 32])
}

/// A fixed size, made once: PEM, and the modulus.
fn rsa() -> &'static (String, Vec<u8>) {
    static KEY: std::sync::OnceLock<(String, Vec<u8>)> = std::sync::OnceLock::new();
    KEY.get_or_init(|| {
        let openssl = program("openssl", "openssl");
        let made = std::process::Command::new(&openssl)
            .args(["genrsa", "-traditional", "2048"])
            .output()
            .unwrap();
        let mut asked = std::process::Command::new(&openssl)
            .args(["rsa", "-noout", "-modulus"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut asked.stdin.take().unwrap(), &made.stdout).unwrap();
        let modulus = String::from_utf8(asked.wait_with_output().unwrap().stdout).unwrap();
        let modulus = hex::decode(modulus.trim().strip_prefix("Modulus=").unwrap()).unwrap();
        (String::from_utf8(made.stdout).unwrap(), modulus)
    })
}

impl Provider {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}/realms/launch", listener.local_addr().unwrap());
        let provider = Self(Arc::new(Mutex::new(Inner {
            issuer,
            codes: HashMap::new(),
            signing: Signing::EdDsa,
            lie: Arc::new(|_| {}),
            claims: json!({ "sub": "user-1", "realm": { "groups": ["everybody", "launch-ops"] } }),
        })));
        let router = Router::new()
            .route(
                "/realms/launch/.well-known/openid-configuration",
                get(configuration),
            )
            .route("/keys", get(keys))
            .route("/token", post(token))
            .with_state(provider.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        provider
    }

    pub fn issuer(&self) -> String {
        self.0.lock().unwrap().issuer.clone()
    }

    pub fn sign_by(&self, signing: Signing) {
        self.0.lock().unwrap().signing = signing;
    }

    /// Changes each ID token before it is signed.
    pub fn lie(&self, lie: impl Fn(&mut Value) + Send + Sync + 'static) {
        self.0.lock().unwrap().lie = Arc::new(lie);
    }

    pub fn claims(&self, claims: Value) {
        self.0.lock().unwrap().claims = claims;
    }

    /// A person signs in: the code for what the portal asked.
    pub fn authorise(&self, asked: HashMap<String, String>) -> String {
        let mut inner = self.0.lock().unwrap();
        let code = format!("code-{}", inner.codes.len());
        inner.codes.insert(code.clone(), asked);
        code
    }
}

async fn configuration(State(provider): State<Provider>) -> Json<Value> {
    let issuer = provider.issuer();
    let base = issuer.trim_end_matches("/realms/launch");
    Json(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{base}/authorise?theme=dark"),
        "token_endpoint": format!("{base}/token"),
        "jwks_uri": format!("{base}/keys"),
    }))
}

async fn keys() -> Json<Value> {
    let public = ed25519(1).verifying_key().to_bytes();
    Json(json!({ "keys": [
        { "kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": "ed", "x": URL_SAFE_NO_PAD.encode(public) },
        { "kty": "RSA", "use": "sig", "alg": "RS256", "kid": "rsa", "n": URL_SAFE_NO_PAD.encode(&rsa().1), "e": "AQAB" },
    ] }))
}

async fn token(
    State(provider): State<Provider>,
    headers: HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> Result<Json<Value>, StatusCode> {
    let mut inner = provider.0.lock().unwrap();
    let asked = inner.codes.remove(&form["code"]).ok_or(StatusCode::BAD_REQUEST)?;
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&form["code_verifier"]));
    let secret = format!("Basic {}", STANDARD.encode("tminus-portal:s3cret%3A%2B%C3%A4"));
    let is_right = asked["code_challenge"] == challenge
        && asked["redirect_uri"] == form["redirect_uri"]
        && form["grant_type"] == "authorization_code"
        && headers
            .get("authorization")
            .is_some_and(|given| *given == *secret);
    if !is_right {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let now_s = tminus_handoff::Clock::now_ms(&tminus_handoff::SystemClock) / 1_000;
    let mut claims = inner.claims.clone();
    claims["iss"] = inner.issuer.as_str().into();
    claims["aud"] = "tminus-portal".into();
    claims["exp"] = (now_s + 300).into();
    claims["iat"] = now_s.into();
    claims["nonce"] = asked["nonce"].as_str().into();
    (inner.lie)(&mut claims);
    Ok(Json(
        json!({ "access_token": "x", "token_type": "Bearer", "id_token": sign(inner.signing, &claims) }),
    ))
}

fn sign(signing: Signing, claims: &Value) -> String {
    let with = |algorithm, kid: &str, key: &EncodingKey| {
        let mut header = Header::new(algorithm);
        header.kid = Some(kid.to_owned());
        jsonwebtoken::encode(&header, claims, key).unwrap()
    };
    let ed = |seed| EncodingKey::from_ed_der(ed25519(seed).to_pkcs8_der().unwrap().as_bytes());
    match signing {
        Signing::EdDsa => with(Algorithm::EdDSA, "ed", &ed(1)),
        Signing::Stranger => with(Algorithm::EdDSA, "ed", &ed(2)),
        Signing::Rsa => with(
            Algorithm::RS256,
            "rsa",
            &EncodingKey::from_rsa_pem(rsa().0.as_bytes()).unwrap(),
        ),
        Signing::Hmac => {
            let public = ed25519(1).verifying_key().to_bytes();
            with(Algorithm::HS256, "ed", &EncodingKey::from_secret(&public))
        }
        Signing::None => {
            let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            format!(
                "{}.{}.",
                part(&json!({ "alg": "none", "kid": "ed" })),
                part(claims)
            )
        }
    }
}
