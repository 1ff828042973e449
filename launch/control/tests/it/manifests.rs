//! The manifests of docs/routers.md, and the role that an error prints, read by a real kubectl: it asks a stand-in
//! for the kinds of the cluster and their fields, and refuses on its own side what does not fit.

use std::path::Path;
use std::process::Command;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use serde_json::{Value, json};
use starvault_testing::kubectl;

const ROUTERS: &str = include_str!("../../../../docs/routers.md");

fn text() -> Value {
    json!({ "type": "string" })
}

fn list(of: Value) -> Value {
    json!({ "type": "array", "items": of })
}

fn object(required: &[&str], properties: Value) -> Value {
    json!({ "type": "object", "required": required, "properties": properties })
}

/// (group, kind, resource, its fields besides `metadata`): those that our manifests use, as the definitions of the
/// Gateway API 1.4 and of RBAC have them.
fn kinds() -> [(&'static str, &'static str, &'static str, Value); 3] {
    let number = json!({ "type": "integer" });
    let backend = object(
        &["name"],
        json!({ "name": text(), "namespace": text(), "kind": text(), "group": text(), "port": number, "weight": number }),
    );
    let header = object(
        &["name", "value"],
        json!({ "type": text(), "name": text(), "value": text() }),
    );
    let path = object(&[], json!({ "type": text(), "value": text() }));
    let rule = object(
        &[],
        json!({ "name": text(), "backendRefs": list(backend),
                "matches": list(object(&[], json!({ "headers": list(header), "path": path, "method": text() }))) }),
    );
    let parent = object(
        &["name"],
        json!({ "name": text(), "namespace": text(), "sectionName": text(), "port": number, "kind": text(), "group": text() }),
    );
    let route = object(
        &[],
        json!({ "parentRefs": list(parent), "hostnames": list(text()), "rules": list(rule) }),
    );
    let right = object(
        &["verbs"],
        json!({ "apiGroups": list(text()), "resources": list(text()), "resourceNames": list(text()), "verbs": list(text()) }),
    );
    let role_ref = object(
        &["apiGroup", "kind", "name"],
        json!({ "apiGroup": text(), "kind": text(), "name": text() }),
    );
    let subject = object(
        &["kind", "name"],
        json!({ "apiGroup": text(), "kind": text(), "name": text(), "namespace": text() }),
    );
    let rbac = "rbac.authorization.k8s.io";
    [
        (
            "gateway.networking.k8s.io",
            "HTTPRoute",
            "httproutes",
            json!({ "spec": route }),
        ),
        (rbac, "Role", "roles", json!({ "rules": list(right) })),
        (
            rbac,
            "RoleBinding",
            "rolebindings",
            json!({ "roleRef": role_ref, "subjects": list(subject) }),
        ),
    ]
}

/// A field of a message in protobuf's encoding, with bytes in it.
fn field(tag: u32, bytes: &[u8]) -> Vec<u8> {
    let varint = |mut number: usize| {
        let mut out = Vec::new();
        while number > 127 {
            out.push((number % 128) as u8 | 128);
            number /= 128;
        }
        out.push(number as u8);
        out
    };
    [varint(tag as usize * 8 + 2), varint(bytes.len()), bytes.to_vec()].concat()
}

/// A schema as the messages of gnostic's OpenAPI 2 have it, in which kubectl takes it from a cluster.
fn schema(of: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    for name in of["required"].as_array().into_iter().flatten() {
        out.extend(field(19, name.as_str().unwrap().as_bytes()));
    }
    out.extend(field(22, &field(1, of["type"].as_str().unwrap().as_bytes())));
    if let Some(items) = of.get("items") {
        out.extend(field(23, &field(1, &schema(items))));
    }
    let properties: Vec<u8> = of["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .flat_map(|(n, v)| named(n, &schema(v)))
        .collect();
    out.extend(field(25, &properties));
    out
}

fn named(name: &str, value: &[u8]) -> Vec<u8> {
    field(1, &[field(1, name.as_bytes()), field(2, value)].concat())
}

fn openapi() -> Vec<u8> {
    let definitions: Vec<u8> = kinds()
        .into_iter()
        .flat_map(|(group, kind, _, mut fields)| {
            fields["apiVersion"] = text();
            fields["kind"] = text();
            fields["metadata"] = object(&[], json!({ "name": text(), "namespace": text() }));
            let who = format!("- group: {group}\n  kind: {kind}\n  version: v1\n");
            let extension = [
                field(1, b"x-kubernetes-group-version-kind"),
                field(2, &field(2, who.as_bytes())),
            ]
            .concat();
            named(
                kind,
                &[schema(&object(&[], fields)), field(31, &extension)].concat(),
            )
        })
        .collect();
    let info = [field(1, b"stand-in"), field(2, b"v1")].concat();
    [
        field(1, b"2.0"),
        field(2, &info),
        field(8, b""),
        field(9, &definitions),
    ]
    .concat()
}

/// A cluster as far as kubectl asks before it would send anything.
async fn cluster() -> String {
    let group = |name: &str| {
        let version = json!({ "groupVersion": format!("{name}/v1"), "version": "v1" });
        json!({ "name": name, "versions": [version], "preferredVersion": version })
    };
    let groups = json!({ "kind": "APIGroupList", "apiVersion": "v1",
        "groups": [group("gateway.networking.k8s.io"), group("rbac.authorization.k8s.io")] });
    let answer = |value: Value| get(move || async move { axum::Json(value) });
    let mut app = Router::new()
        .route(
            "/version",
            answer(json!({ "major": "1", "minor": "35", "gitVersion": "v1.35.0" })),
        )
        .route(
            "/api",
            answer(json!({ "kind": "APIVersions", "versions": ["v1"] })),
        )
        .route(
            "/api/v1",
            answer(json!({ "kind": "APIResourceList", "groupVersion": "v1", "resources": [] })),
        )
        .route("/apis", answer(groups))
        .route("/openapi/v3", answer(json!({ "paths": {} })))
        .route("/openapi/v2", get(|| async { openapi() }))
        .fallback(|| async {
            (
                StatusCode::NOT_FOUND,
                axum::Json(json!({ "kind": "Status", "code": 404 })),
            )
        });
    for name in ["gateway.networking.k8s.io", "rbac.authorization.k8s.io"] {
        let resources: Vec<Value> = kinds()
            .iter()
            .filter(|(group, ..)| *group == name)
            .map(|(_, kind, resource, _)| {
                json!({ "name": resource, "singularName": kind.to_lowercase(), "namespaced": true, "kind": kind,
                        "verbs": ["create", "get", "patch"] })
            })
            .collect();
        let list = json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": format!("{name}/v1"), "resources": resources });
        app = app.route(&format!("/apis/{name}/v1"), answer(list));
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}

/// What kubectl says of a manifest: that it would create it, or why not.
async fn read_by_kubectl(server: &str, manifest: &str) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("manifest.yaml");
    std::fs::write(&file, manifest).unwrap();
    let output = run(folder.path(), server, &file).await;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(said(&output.stdout))
    } else {
        Err(said(&output.stderr))
    }
}

async fn run(home: &Path, server: &str, file: &Path) -> std::process::Output {
    let mut command = Command::new(kubectl());
    command
        .env("HOME", home)
        .env_remove("KUBECONFIG")
        .arg(format!("--server={server}"))
        .args(["create", "--dry-run=client", "--validate=true", "-f"])
        .arg(file);
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

fn manifests() -> Vec<&'static str> {
    ROUTERS
        .split("```yaml\n")
        .skip(1)
        .map(|part| part.split("```").next().unwrap())
        .filter(|block| block.contains("kind: "))
        .collect()
}

#[tokio::test]
async fn the_manifests_of_the_documentation_are_taken_by_kubectl() {
    let server = cluster().await;
    let manifests = manifests();
    assert_eq!(manifests.len(), 2);
    let mut taken = String::new();
    for manifest in &manifests {
        taken += &read_by_kubectl(&server, manifest)
            .await
            .unwrap_or_else(|why| panic!("{why}\n{manifest}"));
    }
    for created in [
        "httproute.gateway.networking.k8s.io/shop created",
        "role.rbac.authorization.k8s.io/tminus-canary created",
        "rolebinding.rbac.authorization.k8s.io/tminus-canary created",
    ] {
        assert!(taken.contains(created), "{taken}");
    }
    // What does not fit is refused, so being taken means something.
    for (from, to, told) in [
        ("backendRefs:", "backends:", "unknown field \"backends\""),
        ("weight: 100", "weight: all", "weight"),
        ("- { name: shop-stable, ", "- { ", "name"),
    ] {
        assert!(manifests[0].contains(from));
        let why = read_by_kubectl(&server, &manifests[0].replace(from, to))
            .await
            .unwrap_err();
        assert!(why.contains(told), "{why}");
    }
}

#[tokio::test]
async fn the_role_that_an_error_prints_is_taken_by_kubectl() {
    let (cluster_of_routes, folder) = crate::api_server::cluster().await;
    cluster_of_routes.lock().unwrap().forbids = Some("get");
    let hint = crate::http_route::hint_when_forbidden(&folder).await;
    let role = &hint[hint.find("apiVersion:").unwrap()..];
    let taken = read_by_kubectl(&cluster().await, role).await.unwrap();
    assert!(
        taken.contains("role.rbac.authorization.k8s.io/tminus-canary created"),
        "{taken}"
    );
}
