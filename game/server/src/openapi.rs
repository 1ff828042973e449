//! The OpenAPI document of this server. Paths, schemas and descriptions are the contract's; what stands
//! here is what only the server knows: its errors (see [`error`](crate::error)), who may call, examples.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Query, rejection::QueryRejection},
    response::Response,
    routing::get,
};
use http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use starvault_rules::{ID_CHARS_MAX, NAME_CHARS_MAX};
use starvault_wire::{SUBPROTOCOL_JSON, SUBPROTOCOL_PROTO, v1};
use tminus_openapi::{
    DescriptorPool, Dialect, ErrorAnswer, GenerateError, Header, License, OperationNotes, SecurityKind,
    SecurityScheme, Settings, WebSocket, generate, to_json,
};
use tonic::Code;

use crate::{assets, error::AppError, identity::Credentials};

const BEARER: &str = "bearer";
const SESSION_HEADER: &str = "sessionHeader";
const SESSION_COOKIE: &str = "sessionCookie";

const DESCRIPTION: &str = "The backend of an online three-check chess. The same methods are served as gRPC on the \
same port, with reflection. A game is played over the WebSocket `/v1/play`; its frames are the messages below \
`x-websockets`. Every request may say how long its caller waits, with `x-request-timeout` or `grpc-timeout`. Sessions of \
an older system are taken beside tokens where the server is configured for them, in requests and upgrades alike; who \
sends both has to be one player.";

/// The ways to say who one is that a document speaks of, beside the server's own tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CredentialsShown {
    sessions: bool,
    cookie: Option<String>,
}

impl CredentialsShown {
    /// Everything that a server can be configured for; `sid` stands for the cookie's name.
    #[must_use]
    pub fn all() -> Self {
        Self {
            sessions: true,
            cookie: Some("sid".into()),
        }
    }

    /// What a server of this configuration takes.
    #[must_use]
    pub fn of(credentials: &Credentials) -> Self {
        Self {
            sessions: credentials.sessions.is_some(),
            cookie: credentials
                .sessions
                .as_ref()
                .and_then(|legacy| legacy.cookie.clone()),
        }
    }

    /// Each of them lets a caller in by itself.
    fn alternatives(&self) -> Vec<String> {
        self.schemes().into_iter().map(|scheme| scheme.name).collect()
    }

    fn schemes(&self) -> Vec<SecurityScheme> {
        let bearer = SecurityScheme {
            name: BEARER.into(),
            kind: SecurityKind::Bearer { format: "JWT".into() },
            description:
                "The token that `POST /v1/guests` answers; or one of another issuer, where the server takes \
                          those (`--jwks`)."
                    .into(),
        };
        let header = self.sessions.then(|| SecurityScheme {
            name: SESSION_HEADER.into(),
            kind: SecurityKind::Header {
                name: tminus_identity::X_SESSION_ID.as_str().into(),
            },
            description:
                "The id of a session that an older system made, byte for byte. Only a server that is \
                          configured for sessions takes it (`--sessions`)."
                    .into(),
        });
        let cookie = self.cookie.as_ref().map(|name| SecurityScheme {
            name: SESSION_COOKIE.into(),
            kind: SecurityKind::Cookie { name: name.clone() },
            description:
                "The same id in the older system's cookie. Only a server that is configured for it takes it, \
                          under the name of its `--session-cookie`."
                    .into(),
        });
        [Some(bearer), header, cookie].into_iter().flatten().collect()
    }
}

/// The document in one dialect, with the credentials that it is to speak of.
///
/// # Errors
/// What is said here and what the contract says do not fit together.
pub fn document(dialect: Dialect, shown: &CredentialsShown) -> Result<Value, GenerateError> {
    let pool = DescriptorPool::decode(v1::FILE_DESCRIPTOR_SET)?;
    generate(&pool, &settings(dialect, shown))
}

fn settings(dialect: Dialect, shown: &CredentialsShown) -> Settings {
    Settings {
        dialect,
        title: "Starvault 星穹棋局".into(),
        version: "v1".into(),
        description: DESCRIPTION.into(),
        license: Some(License {
            name: "MIT OR Apache-2.0".into(),
            spdx: "MIT OR Apache-2.0".into(),
        }),
        servers: vec!["/".into()],
        security_schemes: shown.schemes(),
        errors: errors_of_every_operation(),
        response_headers: vec![Header {
            name: "x-release".into(),
            description: "The release that answered, e.g. `v1.3`.".into(),
        }],
        operations: operations(shown),
        fields: fields(),
        takes_null: true,
        websockets: vec![WebSocket {
            path: "/v1/play".into(),
            description:
                "Lobby and games. The token goes into `Authorization` or is offered as the subprotocol \
                          `bearer.TOKEN`."
                    .into(),
            subprotocols: vec![SUBPROTOCOL_JSON.into(), SUBPROTOCOL_PROTO.into()],
            client_message: "starvault.v1.ClientFrame".into(),
            server_message: "starvault.v1.ServerFrame".into(),
        }],
    }
}

/// What the behaviour asks of fields beyond their types.
fn fields() -> BTreeMap<String, Map<String, Value>> {
    let field = |name: &str, keywords: &[(&str, Value)]| {
        let keywords = keywords
            .iter()
            .map(|(keyword, value)| ((*keyword).to_owned(), value.clone()));
        (format!("starvault.v1.{name}"), keywords.collect::<Map<_, _>>())
    };
    let player_id = json!(format!("^[A-Za-z0-9_.:-]{{1,{ID_CHARS_MAX}}}$"));
    // No control characters.
    let display_name = json!(r"^[^\u0000-\u001F\u007F-\u009F]*$");
    BTreeMap::from([
        field("GetProfileRequest.player_id", &[("pattern", player_id)]),
        field(
            "SignInAsGuestRequest.display_name",
            &[("maxLength", json!(NAME_CHARS_MAX)), ("pattern", display_name)],
        ),
    ])
}

fn error(status: u16, code: Code, when: &str, message: &str) -> ErrorAnswer {
    ErrorAnswer {
        status,
        code: code as i32,
        when: when.into(),
        message: message.into(),
        header: None,
    }
}

fn errors_of_every_operation() -> Vec<ErrorAnswer> {
    vec![
        error(
            400,
            Code::InvalidArgument,
            "a header names a time limit that cannot be read",
            "the header x-request-timeout is \"soon\": milliseconds such as 1500, or a unit, ms or s, are \
             expected, e.g. 1500ms or 1.5s",
        ),
        error(
            500,
            Code::Internal,
            "the server is at fault",
            "an internal error; try again",
        ),
        error(
            503,
            Code::Unavailable,
            "the store does not answer, what a credential is judged by cannot be reached, or there are too many \
             connections",
            "the store does not answer; try again",
        ),
        error(
            504,
            Code::DeadlineExceeded,
            "the answer was not ready within the time limit of the caller or of the server",
            "this release answered nothing in time; try again",
        ),
    ]
}

fn unauthenticated() -> ErrorAnswer {
    ErrorAnswer {
        header: Some(Header {
            name: header::WWW_AUTHENTICATE.as_str().into(),
            description: "`Bearer`".into(),
        }),
        ..error(
            401,
            Code::Unauthenticated,
            "there is no credential, one is not valid (any more), two name different players, or the player is not \
             known here",
            "the token is not valid (any more); sign in again",
        )
    }
}

fn too_large() -> ErrorAnswer {
    error(
        413,
        Code::InvalidArgument,
        "the body is too large",
        "the body is larger than 16384 bytes",
    )
}

fn of_another_type() -> ErrorAnswer {
    error(
        415,
        Code::InvalidArgument,
        "the body is no JSON by its content type, or has a coding other than gzip",
        "content type \"text/plain\" is not taken; send application/json",
    )
}

fn operations(shown: &CredentialsShown) -> BTreeMap<String, OperationNotes> {
    BTreeMap::from([
        (
            "starvault.v1.PlayerService.SignInAsGuest".to_owned(),
            sign_in_as_guest(),
        ),
        (
            "starvault.v1.PlayerService.GetProfile".to_owned(),
            get_profile(shown),
        ),
        (
            "starvault.v1.PlayerService.EquipItem".to_owned(),
            equip_item(shown),
        ),
        ("starvault.v1.SystemService.GetVersion".to_owned(), get_version()),
    ])
}

fn sign_in_as_guest() -> OperationNotes {
    OperationNotes {
        security: Vec::new(),
        errors: vec![
            error(
                400,
                Code::InvalidArgument,
                "the name is not allowed, or the body is no such message",
                "a name has at most 24 characters",
            ),
            too_large(),
            of_another_type(),
            error(
                429,
                Code::ResourceExhausted,
                "this address has signed in too many guests",
                "too many guests from this address; try again later",
            ),
        ],
        request_example: Some(json!({ "displayName": "Vega" })),
        response_example: Some(json!({
            "token": "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJwLTEifQ.c2lnbmF0dXJl",
            "expiresAtMs": "1764604800000",
            "profile": {
                "playerId": PLAYER, "displayName": "Vega", "rating": 1500, "version": "1",
                "ratingDeviation": 350, "level": 1, "xpNextLevel": "100", "stage": "first-light",
                "items": ["board-dusk", "pieces-classic"],
            },
        })),
    }
}

fn get_profile(shown: &CredentialsShown) -> OperationNotes {
    OperationNotes {
        security: shown.alternatives(),
        errors: vec![
            error(
                400,
                Code::InvalidArgument,
                "this can be nobody's id",
                "a player id holds '!'; only letters, digits and - _ . : are allowed",
            ),
            unauthenticated(),
            error(
                404,
                Code::NotFound,
                "there is no such player",
                "there is no player p-0",
            ),
        ],
        request_example: Some(json!({ "playerId": "me" })),
        response_example: Some(profile()),
    }
}

fn equip_item(shown: &CredentialsShown) -> OperationNotes {
    OperationNotes {
        security: shown.alternatives(),
        errors: vec![
            error(
                400,
                Code::InvalidArgument,
                "the body is no such message",
                "the body is no EquipItemRequest: expected value at line 1 column 1",
            ),
            error(
                400,
                Code::FailedPrecondition,
                "the caller does not own the item",
                "crest-vault is owned from level 40 on, and this player has level 3",
            ),
            unauthenticated(),
            error(
                404,
                Code::NotFound,
                "there is no such item",
                "there is no item \"crest-nothing\"",
            ),
            too_large(),
            of_another_type(),
        ],
        request_example: Some(json!({ "itemId": "board-dusk", "equip": true })),
        response_example: Some(profile()),
    }
}

fn get_version() -> OperationNotes {
    OperationNotes {
        response_example: Some(json!({
            "release": "v1.3",
            "executableSha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "commit": "da39a3ee5e6b4b0d3255bfef95601890afd80709",
            "packageVersion": "0.1.0",
        })),
        ..OperationNotes::default()
    }
}

const PLAYER: &str = "p-0199c0de5f007a1b8c2d3e4f50617283";

fn profile() -> Value {
    json!({
        "playerId": PLAYER, "displayName": "Vega", "rating": 1547,
        "gamesPlayed": 7, "wins": 4, "losses": 2, "draws": 1, "version": "9",
        "ratingDeviation": 171, "level": 3, "xp": "540", "xpNextLevel": "600", "stage": "first-light",
        "items": ["board-dusk", "board-nebula", "pieces-classic", "crest-spark"],
        "equipped": ["board-dusk"],
    })
}

/// Both dialects as a server serves them, made when somebody asks for the first time.
struct Documents {
    shown: CredentialsShown,
    made: OnceLock<Result<[Served; 2], GenerateError>>,
}

impl Documents {
    fn get(&self, dialect: Dialect) -> Result<&Served, AppError> {
        let make = || {
            Ok([
                Served::new(Dialect::V3_1, &self.shown)?,
                Served::new(Dialect::V3_0, &self.shown)?,
            ])
        };
        let [new, old] = self.made.get_or_init(make).as_ref().map_err(|error| {
            tracing::error!(%error, "there is no OpenAPI document");
            AppError::Internal
        })?;
        Ok(match dialect {
            Dialect::V3_1 => new,
            Dialect::V3_0 => old,
        })
    }
}

struct Served {
    text: Bytes,
    etag: HeaderValue,
}

impl Served {
    fn new(dialect: Dialect, shown: &CredentialsShown) -> Result<Self, GenerateError> {
        let text = Bytes::from(to_json(&document(dialect, shown)?)?);
        let etag = assets::etag(&text);
        Ok(Self { text, etag })
    }
}

/// `GET /openapi.json`, and `?v=3.0` for the older dialect.
pub fn routes<S: Clone + Send + Sync + 'static>(shown: CredentialsShown) -> Router<S> {
    let documents = Arc::new(Documents {
        shown,
        made: OnceLock::new(),
    });
    let answer = async move |which: Result<Query<Which>, QueryRejection>, headers: HeaderMap| {
        serve(&documents, which, &headers)
    };
    Router::new().route("/openapi.json", get(answer))
}

#[derive(Debug, Deserialize)]
struct Which {
    v: Option<String>,
}

fn serve(
    documents: &Documents,
    which: Result<Query<Which>, QueryRejection>,
    headers: &HeaderMap,
) -> Result<Response, AppError> {
    let no_dialect = || AppError::InvalidArgument("`v` is 3.1 or 3.0".into());
    let Query(which) = which.map_err(|_| no_dialect())?;
    let dialect = match which.v.as_deref() {
        None => Dialect::V3_1,
        Some(name) => Dialect::from_name(name).ok_or_else(no_dialect)?,
    };
    let served = documents.get(dialect)?;
    let content_type = HeaderValue::from_static("application/json");
    Ok(assets::answer(
        content_type,
        served.text.clone(),
        served.etag.clone(),
        headers,
    ))
}
