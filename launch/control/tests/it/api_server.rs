//! A stand-in for a cluster's API server: one HTTPRoute with versions, generations and conflicts as the real one
//! has them, and a gateway's controller that reports on it.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

pub const TOKEN: &str = "hush-0123456789";

/// When the controller reports the present generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reports {
    AtOnce,
    /// With the so-many-th request after the change.
    After(u32),
    Never,
    /// That it cannot be.
    Refuses,
}

#[derive(Debug)]
pub struct Cluster {
    pub route: Option<Value>,
    /// Whether the kind is known at all.
    pub knows_routes: bool,
    pub reports: Reports,
    waited: u32,
    pub forbids: Option<&'static str>,
    /// So often somebody else writes just before a patch is applied.
    pub others: u32,
    /// So often a patch that fits ends in a conflict all the same.
    pub conflicts: u32,
    /// What was asked, e.g. `patch`.
    pub asked: Vec<String>,
}

pub type Shared = Arc<Mutex<Cluster>>;

/// A cluster that is running, and a kubeconfig for it.
pub async fn cluster() -> (Shared, tempfile::TempDir) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let shared: Shared = Arc::new(Mutex::new(Cluster {
        route: Some(route()),
        knows_routes: true,
        reports: Reports::AtOnce,
        waited: 0,
        forbids: None,
        others: 0,
        conflicts: 0,
        asked: Vec::new(),
    }));
    let app = Router::new()
        .route(
            "/apis/gateway.networking.k8s.io/v1/namespaces/{namespace}/httproutes/{name}",
            get(answer).patch(answer),
        )
        .with_state(Arc::clone(&shared));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("config"),
        kubeconfig(&format!("http://{address}")),
    )
    .unwrap();
    (shared, folder)
}

pub fn kubeconfig(server: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: here\n\
         contexts: [{{ name: here, context: {{ cluster: here, user: me }} }}]\n\
         clusters: [{{ name: here, cluster: {{ server: \"{server}\" }} }}]\n\
         users: [{{ name: me, user: {{ token: {TOKEN} }} }}]\n"
    )
}

fn route() -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {
            "name": "shop", "namespace": "games", "resourceVersion": "100", "generation": 1,
            "annotations": { "owner": "edge-team" },
        },
        "spec": {
            "parentRefs": [{ "name": "edge" }],
            "hostnames": ["shop.example"],
            "rules": [
                {
                    "name": "static",
                    "matches": [{ "path": { "type": "PathPrefix", "value": "/static" } }],
                    "backendRefs": [{ "name": "files", "port": 80, "weight": 1 }],
                },
                {
                    "name": "play",
                    "matches": [{ "path": { "type": "PathPrefix", "value": "/" } }],
                    "backendRefs": [
                        { "name": "stable", "port": 8080, "weight": 60 },
                        { "name": "canary", "port": 8080, "weight": 40 },
                    ],
                },
            ],
        },
    })
}

impl Cluster {
    /// The canary's weight.
    pub fn weight(&self) -> u64 {
        self.route.as_ref().unwrap()["spec"]["rules"][1]["backendRefs"][1]["weight"]
            .as_u64()
            .unwrap()
    }

    fn bump(&mut self, path: &str) {
        let metadata = &mut self.route.as_mut().unwrap()["metadata"];
        let value = metadata[path].clone();
        metadata[path] = match value.as_str() {
            Some(text) => json!((text.parse::<u64>().unwrap() + 1).to_string()),
            None => json!(value.as_u64().unwrap() + 1),
        };
    }

    fn somebody_else_writes(&mut self) {
        self.bump("resourceVersion");
        let route = self.route.as_mut().unwrap();
        let version = route["metadata"]["resourceVersion"].clone();
        route["metadata"]["annotations"]["touched"] = version;
    }

    /// Applies it, or says why not.
    fn patch(&mut self, patch: &Value) -> Option<Response> {
        if self.others > 0 {
            self.others -= 1;
            self.somebody_else_writes();
        }
        let mut patched = self.route.clone().unwrap();
        for op in patch.as_array().unwrap() {
            let path = op["path"].as_str().unwrap();
            let (above, last) = path.rsplit_once('/').unwrap();
            if op["op"] == "test" {
                if patched.pointer(path) != Some(&op["value"]) {
                    let words = "the server rejected our request due to an error in our request";
                    return Some(failure(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", words));
                }
            } else {
                assert_eq!(op["op"], "add");
                let object = patched.pointer_mut(above).and_then(Value::as_object_mut).unwrap();
                object.insert(last.to_owned(), op["value"].clone());
            }
        }
        if self.conflicts > 0 {
            self.conflicts -= 1;
            self.somebody_else_writes();
            let words = "Operation cannot be fulfilled on httproutes.gateway.networking.k8s.io \"shop\": \
                         the object has been modified; please apply your changes to the latest version and try again";
            return Some(failure(StatusCode::CONFLICT, "Conflict", words));
        }
        let before = self.route.replace(patched);
        if before.unwrap()["spec"] != self.route.as_ref().unwrap()["spec"] {
            self.bump("generation");
            self.bump("resourceVersion");
            self.waited = 0;
        }
        None
    }

    /// The controller at work.
    fn report(&mut self) {
        self.waited += 1;
        let is_due = match self.reports {
            Reports::AtOnce | Reports::Refuses => true,
            Reports::After(requests) => self.waited > requests,
            Reports::Never => false,
        };
        let refuses = self.reports == Reports::Refuses;
        let route = self.route.as_mut().unwrap();
        let generation = route["metadata"]["generation"].clone();
        let observed = if is_due { generation } else { json!(0) };
        let condition = |kind: &str, holds: bool| {
            json!({ "type": kind, "status": if holds { "True" } else { "False" }, "observedGeneration": observed,
                    "reason": if holds { "Accepted" } else { "BackendNotFound" },
                    "message": if holds { "" } else { "service canary is not there" } })
        };
        route["status"] = json!({ "parents": [{
            "controllerName": "example.test/controller",
            "parentRef": { "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "edge" },
            "conditions": [condition("Accepted", true), condition("ResolvedRefs", !refuses)],
        }] });
    }
}

async fn answer(
    State(cluster): State<Shared>,
    method: Method,
    Path((namespace, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut cluster = cluster.lock().unwrap();
    if headers.get("authorization").and_then(|v| v.to_str().ok()) != Some(&format!("Bearer {TOKEN}")) {
        return failure(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized");
    }
    let verb = method.as_str().to_lowercase();
    cluster.asked.push(verb.clone());
    if !cluster.knows_routes {
        return (StatusCode::NOT_FOUND, "404 page not found\n").into_response();
    }
    if cluster.forbids == Some(verb.as_str()) {
        let words = format!(
            "httproutes.gateway.networking.k8s.io \"{name}\" is forbidden: User \"me\" cannot {verb} resource \
             \"httproutes\" in API group \"gateway.networking.k8s.io\" in the namespace \"{namespace}\""
        );
        return failure(StatusCode::FORBIDDEN, "Forbidden", &words);
    }
    let is_there = cluster.route.as_ref().is_some_and(|route| {
        route["metadata"]["name"] == json!(name) && route["metadata"]["namespace"] == json!(namespace)
    });
    if !is_there {
        let words = format!("httproutes.gateway.networking.k8s.io \"{name}\" not found");
        return failure(StatusCode::NOT_FOUND, "NotFound", &words);
    }
    if verb == "patch" {
        assert_eq!(headers["content-type"], "application/json-patch+json");
        if let Some(refusal) = cluster.patch(&serde_json::from_slice(&body).unwrap()) {
            return refusal;
        }
    }
    cluster.report();
    axum::Json(cluster.route.clone().unwrap()).into_response()
}

fn failure(code: StatusCode, reason: &str, words: &str) -> Response {
    let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                         "message": words, "reason": reason, "code": code.as_u16() });
    (code, axum::Json(status)).into_response()
}
