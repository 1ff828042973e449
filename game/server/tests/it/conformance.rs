//! The OpenAPI document before programs of others: whether it is one, and whether the server does as it says.

use std::{
    ffi::OsStr,
    path::Path,
    process::{Output, Stdio},
};

use starvault_server::{CredentialsShown, SessionFormat, openapi_document};
use starvault_testing::{RedisServer, python};
use tminus_openapi::{Dialect, to_json};
use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::{
    credentials::legacy,
    support::{Running, bearer, folder, soon},
};

/// Runs a program with `input` on its standard input, and waits until it is done.
pub async fn output(
    program: &Path,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    folder: &Path,
    input: &str,
) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).kill_on_drop(true);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // Its pictures are UTF-8 wherever this runs.
    command.env("PYTHONIOENCODING", "utf-8");
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writing = async move {
        // One that reads nothing may be gone already.
        let _ = stdin.write_all(input.as_bytes()).await;
    };
    tokio::join!(writing, child.wait_with_output()).1.unwrap()
}

/// As [`output`]; fails with all that the program said, unless it succeeds.
pub async fn succeeds(
    program: &Path,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    folder: &Path,
    input: &str,
) -> String {
    let output = output(program, arguments, folder, input).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

#[tokio::test]
async fn a_validator_of_others_takes_both_dialects() {
    let folder = folder();
    for (name, dialect) in [("3.0", Dialect::V3_0), ("3.1", Dialect::V3_1)] {
        let path = folder.path().join(format!("openapi-{name}.json"));
        let document = openapi_document(dialect, &CredentialsShown::all()).unwrap();
        std::fs::write(&path, to_json(&document).unwrap()).unwrap();
        let arguments = [
            "-m",
            "openapi_spec_validator",
            "--schema",
            name,
            path.to_str().unwrap(),
        ];
        let interpreter = python();
        let validating = succeeds(&interpreter, arguments, folder.path(), "");
        let said = soon("the validator ends", validating).await;
        assert!(said.trim_end().ends_with("OK"), "{said}");
        // It does refuse what is none.
        let damaged = std::fs::read_to_string(&path)
            .unwrap()
            .replace("\"description\": \"OK\"", "\"no\": 1");
        std::fs::write(&path, damaged).unwrap();
        let status = Command::new(python())
            .args(arguments)
            .output()
            .await
            .unwrap()
            .status;
        assert!(!status.success(), "{name}");
    }
}

/// Every phase and every check of schemathesis, against the served document: examples, borders of every
/// schema, random and wrong data; with every credential that the document may speak of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_does_as_its_document_says() {
    let folder = folder();
    let redis = RedisServer::start();
    let server = Running::start(&folder, "v1.2", |config| {
        config.credentials.sessions = Some(legacy(&redis, SessionFormat::Json, Some("sid")));
    })
    .await;
    let ada = server.sign_in("Ada").await;
    let program = python().with_file_name("schemathesis");
    let document = format!("http://{}/openapi.json", server.address);
    let header = format!("Authorization: {}", bearer(&ada.token));
    let arguments = [
        "run",
        &document,
        "--header",
        &header,
        "--phases",
        "examples,coverage,fuzzing,stateful",
        "--checks",
        "all",
        "--max-examples",
        "40",
        "--seed",
        "7",
        "--generation-database",
        "none",
    ];
    let said = soon(
        "schemathesis ends",
        succeeds(&program, arguments, folder.path(), ""),
    )
    .await;
    assert!(
        said.contains("8 selected / 8 total") && said.contains("No issues found"),
        "{said}"
    );
    server.stop().await;
}
