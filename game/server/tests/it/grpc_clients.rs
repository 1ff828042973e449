//! Clients of others over gRPC, which know of the contract what the server tells them by reflection.

use std::{collections::BTreeSet, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use serde_json::{Value, json};
use starvault_server::{FaultKind, Injection, SessionFormat};
use starvault_testing::{RedisServer, python};

use crate::{
    conformance::{output, succeeds},
    credentials::{legacy, put},
    support::{Running, bearer, folder, soon},
};

/// `UNAUTHENTICATED`.
const NOBODY: i32 = 16;

/// grpcio, with messages made at run time from the descriptors that reflection (v1alpha) answers. It compares each call
/// with all HTTP routes of its method by itself; what is left to look at here is that it made them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_in_python_gets_the_same_over_grpc_as_over_http() {
    let (folder, redis) = (folder(), RedisServer::start());
    let server = Running::start(&folder, "v1.2", |config| {
        config.credentials.sessions = Some(legacy(&redis, SessionFormat::Json, None));
    })
    .await;
    let stalled = Running::start(&folder, "v1.3", |config| {
        config.injection = Some(Injection {
            stall_after: Duration::ZERO,
            ..Injection::new(FaultKind::Stall, 1.0)
        });
    })
    .await;
    let (ada, bo) = (server.sign_in("Ada").await, server.sign_in("Bo").await);
    for (id, player) in [("of-ada", &ada), ("of-bo", &bo)] {
        let value = json!({ "player_id": player.player_id }).to_string();
        put(&redis, &format!("sess:{id}"), value.as_bytes());
    }
    let question = json!({
        "address": server.address.to_string(), "stalled": stalled.address.to_string(),
        "token": ada.token, "session": "of-ada", "other_session": "of-bo",
    });
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/grpc_client.py");
    let (interpreter, question) = (python(), question.to_string());
    let talking = succeeds(&interpreter, [program], folder.path(), &question);
    let said = soon("the client ends", talking).await;
    let told: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        told["services"],
        json!([
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
            "starvault.v1.PlayerService",
            "starvault.v1.SystemService"
        ])
    );
    let calls: BTreeSet<(&str, u64, &str)> = told["calls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| {
            (
                call[0].as_str().unwrap(),
                call[1].as_u64().unwrap(),
                call[2][0].as_str().unwrap_or_default(),
            )
        })
        .collect();
    let expected = [
        ("grpc.health.v1.Health/Check", 0, ""),
        ("grpc.health.v1.Health/Check", 5, ""),
        ("grpc.health.v1.Health/Watch", 0, ""),
        ("starvault.v1.PlayerService/EquipItem", 0, ""),
        ("starvault.v1.PlayerService/EquipItem", 5, ""),
        ("starvault.v1.PlayerService/EquipItem", 9, ""),
        ("starvault.v1.PlayerService/EquipItem", 16, "CREDENTIALS_MISSING"),
        ("starvault.v1.PlayerService/GetProfile", 0, ""),
        ("starvault.v1.PlayerService/GetProfile", 3, ""),
        ("starvault.v1.PlayerService/GetProfile", 4, ""),
        ("starvault.v1.PlayerService/GetProfile", 5, ""),
        (
            "starvault.v1.PlayerService/GetProfile",
            16,
            "CREDENTIALS_DISAGREE",
        ),
        ("starvault.v1.PlayerService/GetProfile", 16, "CREDENTIALS_MISSING"),
        ("starvault.v1.PlayerService/GetProfile", 16, "SESSION_UNKNOWN"),
        ("starvault.v1.PlayerService/GetProfile", 16, "TOKEN_INVALID"),
        ("starvault.v1.PlayerService/SignInAsGuest", 0, ""),
        ("starvault.v1.PlayerService/SignInAsGuest", 3, ""),
        ("starvault.v1.SystemService/GetVersion", 0, ""),
    ];
    assert_eq!(calls, BTreeSet::from(expected));
    server.stop().await;
    stalled.stop().await;
}

/// buf, by reflection (v1), with the gRPC stack of Go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buf_curl_calls_and_is_refused_as_over_http() {
    let folder = folder();
    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let ada = server.sign_in("Ada").await;
    let authorization = bearer(&ada.token);
    let buf = python().with_file_name("buf");
    let call = async |method: &str, data: &str, header: &str| {
        let url = format!("http://{}/starvault.v1.{method}", server.address);
        let arguments = [
            "curl",
            "--http2-prior-knowledge",
            "--protocol",
            "grpc",
            "--reflect",
            "--data",
            data,
            "--header",
            header,
            &url,
        ];
        soon("buf ends", output(&buf, arguments, folder.path(), "")).await
    };
    let header = format!("authorization: {authorization}");

    for (method, data, path) in [
        ("SystemService/GetVersion", "{}", "/v1/version"),
        (
            "PlayerService/GetProfile",
            r#"{"playerId":"me"}"#,
            "/v1/players/me",
        ),
    ] {
        let told = call(method, data, &header).await;
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        let over_grpc: Value = serde_json::from_slice(&told.stdout).unwrap();
        let over_http = server.get(path, &[("authorization", &authorization)]).await;
        assert_eq!(over_grpc, over_http.json(), "{method}");
    }

    let refused = call(
        "PlayerService/GetProfile",
        r#"{"playerId":"me"}"#,
        "authorization: Bearer x",
    )
    .await;
    // What the call's own code is, buf puts three bits higher.
    assert_eq!(refused.status.code(), Some(NOBODY << 3));
    let over_grpc: Value = serde_json::from_slice(&refused.stderr).unwrap();
    let over_http = server
        .get("/v1/players/me", &[("authorization", "Bearer x")])
        .await
        .json();
    assert_eq!(
        (&over_grpc["code"], &over_http["code"]),
        (&json!("unauthenticated"), &json!(NOBODY))
    );
    assert_eq!(over_grpc["message"], over_http["message"]);
    let detail = &over_grpc["details"][0];
    assert_eq!(detail["type"], "google.rpc.ErrorInfo");
    let bytes = STANDARD_NO_PAD.decode(detail["value"].as_str().unwrap()).unwrap();
    let reason = over_http["details"][0]["reason"].as_str().unwrap();
    // The first field, a short text.
    let encoded = [&[0x0a, u8::try_from(reason.len()).unwrap()], reason.as_bytes()].concat();
    assert!(bytes.starts_with(&encoded), "{bytes:?} {reason}");
    server.stop().await;
}
