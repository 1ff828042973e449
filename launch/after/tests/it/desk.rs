//! One server that answers like four: Jira Cloud v3, GitHub, GitLab v4 and a receiver of our webhook, as their
//! public documents describe them. It can be down, slow of memory, and lose its answers.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tminus_after::tickets::{
    Accounts, GitHub, GitLab, Jira, JiraSetup, Secret, SetupError, SinkSetup, TicketSink, Webhook, signature,
};
use tokio::sync::Notify;

pub const TOKEN: &str = "tok-3f9a-do-not-print";
/// Jira's search knows of an issue after so long.
pub const JIRA_LAG_MS: u64 = 120_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    Jira,
    GitHub,
    GitLab,
    Webhook,
}

pub const ALL: [Api; 4] = [Api::Jira, Api::GitHub, Api::GitLab, Api::Webhook];

#[derive(Debug, Clone)]
pub enum Trouble {
    /// The next request gets this and nothing else happens.
    Answer(u16, &'static [(&'static str, &'static str)]),
    /// The next creation happens, and the connection breaks without an answer.
    LoseAnswer,
    /// The next creation happens, and its answer breaks off in the body.
    BreakAnswer,
    /// The next creation happens, and the server says 502.
    GatewayFails,
    /// The next creation happens, is told to `held`, and is never answered.
    Hold,
}

#[derive(Debug)]
pub struct Issue {
    pub labels: Vec<String>,
    pub body: Value,
    made_at_ms: u64,
}

#[derive(Debug, Default)]
pub struct Desk {
    pub issues: Mutex<Vec<Issue>>,
    pub troubles: Mutex<VecDeque<Trouble>>,
    pub requests: Mutex<Vec<String>>,
    pub held: Notify,
    pub clock: Arc<AtomicU64>,
}

type Shared = State<Arc<Desk>>;

impl Desk {
    pub fn new(start_ms: u64) -> Arc<Self> {
        Arc::new(Self {
            clock: Arc::new(AtomicU64::new(start_ms)),
            ..Self::default()
        })
    }

    pub fn now_ms(&self) -> u64 {
        self.clock.load(Ordering::SeqCst)
    }

    pub fn trouble(&self, troubles: &[Trouble]) {
        self.troubles.lock().unwrap().extend(troubles.iter().cloned());
    }

    pub fn issue_count(&self) -> usize {
        self.issues.lock().unwrap().len()
    }

    pub fn request_count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    fn has(&self, label: &str, lag_ms: u64) -> Option<usize> {
        let now_ms = self.now_ms();
        self.issues
            .lock()
            .unwrap()
            .iter()
            .position(|issue| issue.labels.iter().any(|l| l == label) && issue.made_at_ms + lag_ms <= now_ms)
    }

    /// Makes the issue, then does to the answer what trouble says.
    async fn make(&self, labels: Vec<String>, body: Value, answer: impl FnOnce(usize) -> Value) -> Response {
        let number = {
            let mut issues = self.issues.lock().unwrap();
            issues.push(Issue {
                labels,
                body,
                made_at_ms: self.now_ms(),
            });
            issues.len()
        };
        let trouble = self.troubles.lock().unwrap().pop_front();
        match trouble {
            // The connection's task ends, and with it the connection.
            Some(Trouble::LoseAnswer) => std::panic::resume_unwind(Box::new("answer lost")),
            Some(Trouble::BreakAnswer) => {
                let broken = futures_util::stream::iter([
                    Ok(Bytes::from_static(b"{\"key\"")),
                    Err(std::io::Error::other("cut")),
                ]);
                (StatusCode::CREATED, Body::from_stream(broken)).into_response()
            }
            Some(Trouble::GatewayFails) => StatusCode::BAD_GATEWAY.into_response(),
            Some(Trouble::Hold) => {
                self.held.notify_one();
                std::future::pending().await
            }
            Some(other) => panic!("{other:?} is no trouble of a creation"),
            None => (StatusCode::CREATED, Json(answer(number))).into_response(),
        }
    }
}

/// Serves until the test ends. A fixed address is one that was refused before.
pub async fn serve(desk: &Arc<Desk>, at: Option<SocketAddr>) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind(at.unwrap_or(([127, 0, 0, 1], 0).into()))
        .await
        .unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new()
        .route("/rest/api/3/search/jql", post(jira_search))
        .route("/rest/api/3/issue", post(jira_create))
        .route(
            "/repos/{owner}/{name}/issues",
            get(github_list).post(github_create),
        )
        .route(
            "/api/v4/projects/{id}/issues",
            get(gitlab_list).post(gitlab_create),
        )
        .route("/hook/secret-path", post(webhook))
        .layer(from_fn_with_state(desk.clone(), answer_trouble))
        .with_state(desk.clone());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

async fn answer_trouble(State(desk): Shared, request: Request, next: Next) -> Response {
    let line = format!("{} {}", request.method(), request.uri());
    desk.requests.lock().unwrap().push(line);
    let answer = {
        let mut troubles = desk.troubles.lock().unwrap();
        let now = matches!(troubles.front(), Some(Trouble::Answer(..)));
        if now { troubles.pop_front() } else { None }
    };
    let Some(Trouble::Answer(status, headers)) = answer else {
        return next.run(request).await;
    };
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    // A careless server repeats what it was sent.
    let said = json!({"message": format!("no: {TOKEN}")}).to_string();
    response.body(Body::from(said)).unwrap()
}

fn refuse(status: StatusCode, body: Value) -> Response {
    (status, Json(body)).into_response()
}

fn header_is(headers: &HeaderMap, name: &str, expected: &str) -> bool {
    headers.get(name).is_some_and(|value| value == expected)
}

fn jira_user(headers: &HeaderMap) -> bool {
    use base64::Engine as _;
    let expected = base64::engine::general_purpose::STANDARD.encode(format!("ops@example.org:{TOKEN}"));
    header_is(headers, "authorization", &format!("Basic {expected}"))
}

async fn jira_search(State(desk): Shared, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    if !jira_user(&headers) {
        return (StatusCode::UNAUTHORIZED, "Client must be authenticated").into_response();
    }
    const KNOWN: [&str; 7] = [
        "expand",
        "fields",
        "fieldsByKeys",
        "jql",
        "maxResults",
        "nextPageToken",
        "reconcileIssues",
    ];
    let known = body
        .as_object()
        .unwrap()
        .keys()
        .all(|name| KNOWN.contains(&name.as_str()));
    let jql = body["jql"].as_str().unwrap_or_default();
    let parts: Vec<&str> = jql.split('"').collect();
    if !known || parts.len() != 5 || parts[0] != "project = " || parts[2] != " AND labels = " {
        let said = "Invalid request payload. Refer to the REST API documentation and try again.";
        return refuse(
            StatusCode::BAD_REQUEST,
            json!({"errorMessages": [said], "errors": {}}),
        );
    }
    let found = if parts[1] == "OPS" {
        desk.has(parts[3], JIRA_LAG_MS)
    } else {
        None
    };
    let issues: Vec<Value> = found
        .into_iter()
        .map(|at| json!({"id": format!("{}", 10_001 + at), "key": format!("OPS-{}", at + 1), "fields": {}}))
        .collect();
    Json(json!({"issues": issues, "isLast": true})).into_response()
}

/// What the document format's schema demands of the nodes that we use.
fn adf_is_good(node: &Value, parent: &str) -> bool {
    let children = || node["content"].as_array().is_some_and(|c| !c.is_empty());
    let kind = node["type"].as_str().unwrap_or_default();
    let good = match (parent, kind) {
        ("", "doc") => node["version"] == 1 && node["content"].is_array(),
        ("doc" | "listItem", "paragraph") => node["content"].is_array(),
        ("doc", "bulletList") | ("bulletList", "listItem") => children(),
        ("paragraph", "text") => node["text"].as_str().is_some_and(|text| !text.is_empty()),
        ("paragraph", "mention") => node["attrs"]["id"].as_str().is_some_and(|id| !id.is_empty()),
        _ => false,
    };
    let nested = node["content"].as_array().cloned().unwrap_or_default();
    good && nested.iter().all(|child| adf_is_good(child, kind))
}

async fn jira_create(State(desk): Shared, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    if !jira_user(&headers) {
        return (StatusCode::UNAUTHORIZED, "Client must be authenticated").into_response();
    }
    let fields = &body["fields"];
    let summary = fields["summary"].as_str().unwrap_or_default();
    let labels: Vec<String> = serde_json::from_value(fields["labels"].clone()).unwrap_or_default();
    let mut errors = serde_json::Map::new();
    let mut demand = |good: bool, name: &str, said: &str| {
        if !good {
            errors.insert(name.to_owned(), json!(said));
        }
    };
    demand(
        fields["project"]["key"] == "OPS",
        "project",
        "valid project is required",
    );
    demand(
        fields["issuetype"]["name"] == "Task",
        "issuetype",
        "Specify a valid issue type",
    );
    demand(
        !summary.is_empty() && !summary.contains('\n') && summary.encode_utf16().count() <= 255,
        "summary",
        "Summary must be one line of at most 255 characters.",
    );
    demand(
        !labels.iter().any(|l| l.contains(' ')),
        "labels",
        "The label contains spaces which is invalid.",
    );
    demand(
        adf_is_good(&fields["description"], ""),
        "description",
        "Operation value must be an Atlassian Document",
    );
    if !errors.is_empty() {
        return refuse(
            StatusCode::BAD_REQUEST,
            json!({"errorMessages": [], "errors": errors}),
        );
    }
    let answer =
        |number| json!({"id": format!("{}", 10_000 + number), "key": format!("OPS-{number}"), "self": ""});
    desk.make(labels, body, answer).await
}

fn github_user(headers: &HeaderMap) -> Option<Response> {
    if !headers.contains_key(header::USER_AGENT) {
        return Some((StatusCode::FORBIDDEN, "Request forbidden by administrative rules").into_response());
    }
    let good = header_is(headers, "authorization", &format!("Bearer {TOKEN}"));
    (!good).then(|| {
        refuse(
            StatusCode::UNAUTHORIZED,
            json!({"message": "Bad credentials", "status": "401"}),
        )
    })
}

#[derive(serde::Deserialize)]
struct ListQuery {
    labels: String,
    state: String,
}

async fn github_list(
    State(desk): Shared,
    Path((owner, name)): Path<(String, String)>,
    headers: HeaderMap,
    Query(query): Query<ListQuery>,
) -> Response {
    if let Some(refused) = github_user(&headers) {
        return refused;
    }
    if (owner.as_str(), name.as_str()) != ("ours", "ops") {
        return refuse(
            StatusCode::NOT_FOUND,
            json!({"message": "Not Found", "status": "404"}),
        );
    }
    assert_eq!(query.state, "all", "closed ones count too");
    let found = desk.has(&query.labels, 0).into_iter();
    Json(
        found
            .map(|at| json!({"number": at + 1, "html_url": "https://github.com/x"}))
            .collect::<Vec<_>>(),
    )
    .into_response()
}

async fn github_create(
    State(desk): Shared,
    Path((owner, name)): Path<(String, String)>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    if let Some(refused) = github_user(&headers) {
        return refused;
    }
    if (owner.as_str(), name.as_str()) != ("ours", "ops") {
        return refuse(
            StatusCode::NOT_FOUND,
            json!({"message": "Not Found", "status": "404"}),
        );
    }
    let labels: Vec<String> = serde_json::from_value(body["labels"].clone()).unwrap();
    if body["title"].as_str().is_none_or(str::is_empty) || labels.iter().any(|l| l.chars().count() > 50) {
        return refuse(
            StatusCode::UNPROCESSABLE_ENTITY,
            json!({"message": "Validation Failed", "errors": [{}]}),
        );
    }
    let answer = |number| json!({"number": number, "html_url": format!("https://github.com/ours/ops/issues/{number}")});
    desk.make(labels, body, answer).await
}

fn gitlab_user(headers: &HeaderMap, project: &str) -> Option<Response> {
    if !header_is(headers, "private-token", TOKEN) {
        return Some(refuse(
            StatusCode::UNAUTHORIZED,
            json!({"message": "401 Unauthorized"}),
        ));
    }
    (project != "ours/deep/ops")
        .then(|| refuse(StatusCode::NOT_FOUND, json!({"message": "404 Project Not Found"})))
}

async fn gitlab_list(
    State(desk): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
    Query(query): Query<ListQuery>,
) -> Response {
    if let Some(refused) = gitlab_user(&headers, &id) {
        return refused;
    }
    assert_eq!(query.state, "all", "closed ones count too");
    let found = desk.has(&query.labels, 0).into_iter();
    Json(
        found
            .map(|at| json!({"iid": at + 1, "web_url": "https://gitlab.com/x"}))
            .collect::<Vec<_>>(),
    )
    .into_response()
}

async fn gitlab_create(
    State(desk): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    if let Some(refused) = gitlab_user(&headers, &id) {
        return refused;
    }
    let description = body["description"].as_str().unwrap_or_default();
    if description.lines().any(|line| line.starts_with('/')) {
        return refuse(
            StatusCode::BAD_REQUEST,
            json!({"message": "a quick action came through"}),
        );
    }
    let labels = body["labels"]
        .as_str()
        .unwrap_or_default()
        .split(',')
        .map(str::to_owned)
        .collect();
    desk.make(
        labels,
        body,
        |number| json!({"iid": number, "web_url": format!("https://gitlab.com/ours/-/issues/{number}")}),
    )
    .await
}

async fn webhook(State(desk): Shared, headers: HeaderMap, bytes: Bytes) -> Response {
    let text = |name: &str| {
        headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    let timestamp_s: u64 = text("x-tminus-timestamp").parse().unwrap_or_default();
    let expected = signature(&Secret::new(TOKEN, "test").unwrap(), timestamp_s, &bytes);
    if text("x-tminus-signature") != expected || timestamp_s != desk.now_ms() / 1000 {
        return refuse(StatusCode::UNAUTHORIZED, json!({"message": "bad signature"}));
    }
    let key = text("idempotency-key");
    if let Some(at) = desk.has(&key, 0) {
        return Json(json!({"key": format!("{}", at + 1)})).into_response();
    }
    let body = serde_json::from_slice(&bytes).unwrap();
    desk.make(vec![key], body, |number| json!({"key": format!("{number}")}))
        .await
}

/// Our side of it.
pub fn sink(
    api: Api,
    desk: &Desk,
    address: SocketAddr,
    token: &str,
) -> Result<Arc<dyn TicketSink>, SetupError> {
    let path = if api == Api::Webhook {
        "/hook/secret-path"
    } else {
        ""
    };
    let accounts: Accounts = [("sre".to_owned(), "5b10ac8d82e05b22cc7d4ef5".to_owned())].into();
    let setup = SinkSetup {
        base_url: format!("http://{address}{path}"),
        accounts,
        ..SinkSetup::default()
    };
    let token = Secret::new(token, "test").unwrap();
    let jira = JiraSetup {
        email: "ops@example.org".into(),
        project_key: "OPS".into(),
        issue_type: "Task".into(),
    };
    let clock = desk.clock.clone();
    Ok(match api {
        Api::Jira => Arc::new(Jira::new(setup, jira, token)?),
        Api::GitHub => Arc::new(GitHub::new(setup, "ours/ops", token)?),
        Api::GitLab => Arc::new(GitLab::new(setup, "ours/deep/ops", token)?),
        Api::Webhook => Arc::new(Webhook::new(
            setup,
            token,
            Arc::new(move || clock.load(Ordering::SeqCst)),
        )?),
    })
}
