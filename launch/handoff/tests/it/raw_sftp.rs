//! SFTP requests that OpenSSH's client would not send, with the status of each answer.

use std::sync::Arc;

use russh::client::{Config, Handle, Handler};
use russh::keys::{HashAlg, PrivateKeyWithHashAlg, PublicKeyOrCertificate, load_secret_key};
use russh_sftp::client::RawSftpSession;
use russh_sftp::client::error::Error;
use russh_sftp::protocol::{FileAttributes, OpenFlags, StatusCode};

use crate::support::{House, RUNBOOK, Wishes};

/// Takes the host key that the delivery has told.
struct Trusting(String);

impl Handler for Trusting {
    type Error = russh::Error;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = key else {
            return Ok(false);
        };
        Ok(key.fingerprint(HashAlg::Sha256).to_string() == self.0)
    }
}

async fn connect(house: &House) -> Handle<Trusting> {
    let trusting = Trusting(house.delivery.host_key_fingerprint.clone().unwrap());
    let address = house.delivery.sftp.unwrap();
    russh::client::connect(Arc::new(Config::default()), address, trusting)
        .await
        .unwrap()
}

async fn sign_in(house: &House, connection: &mut Handle<Trusting>, key: &str) -> bool {
    let key = load_secret_key(house.dir.path().join(format!("{key}.key")), None).unwrap();
    let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
    connection
        .authenticate_publickey("anybody", key)
        .await
        .is_ok_and(|done| done.success())
}

async fn session(connection: &Handle<Trusting>) -> Option<RawSftpSession> {
    let channel = connection.channel_open_session().await.ok()?;
    channel.request_subsystem(true, "sftp").await.unwrap();
    let session = RawSftpSession::new(channel.into_stream());
    session.init().await.unwrap();
    Some(session)
}

#[track_caller]
fn is<T: std::fmt::Debug>(answer: Result<T, Error>, status: StatusCode) {
    match answer {
        Err(Error::Status(told)) => assert_eq!(told.status_code, status, "{told:?}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_denied_by_its_status() {
    let house = House::start().await;
    let mut connection = connect(&house).await;
    assert!(sign_in(&house, &mut connection, "ops").await);
    let sftp = session(&connection).await.unwrap();
    let none = FileAttributes::empty;
    for flags in 0..64_u32 {
        let answer = sftp
            .open("runbook.pdf", OpenFlags::from_bits_retain(flags), none())
            .await;
        if flags != OpenFlags::READ.bits() {
            is(answer, StatusCode::PermissionDenied);
        }
    }
    is(sftp.remove("runbook.pdf").await, StatusCode::PermissionDenied);
    is(
        sftp.rename("runbook.pdf", "x").await,
        StatusCode::PermissionDenied,
    );
    is(sftp.mkdir("x", none()).await, StatusCode::PermissionDenied);
    is(sftp.rmdir("sub").await, StatusCode::PermissionDenied);
    is(
        sftp.setstat("runbook.pdf", none()).await,
        StatusCode::PermissionDenied,
    );
    is(sftp.fsetstat("0", none()).await, StatusCode::PermissionDenied);
    is(
        sftp.symlink("x", "/etc/passwd").await,
        StatusCode::PermissionDenied,
    );
    is(sftp.readlink("escape.txt").await, StatusCode::PermissionDenied);
    is(sftp.write("0", 0, vec![1]).await, StatusCode::PermissionDenied);
    let long = "a/".repeat(600);
    for path in [
        "/../x",
        "../../etc/passwd",
        "sub/../../security/sbom.json",
        "a\\b",
        "run\0book.pdf",
        &long,
        "escape.txt",
        "inside.pdf",
        "etc/passwd",
    ] {
        is(
            sftp.open(path, OpenFlags::READ, none()).await,
            StatusCode::PermissionDenied,
        );
        is(sftp.stat(path).await, StatusCode::PermissionDenied);
        is(sftp.lstat(path).await, StatusCode::PermissionDenied);
        is(sftp.opendir(path).await, StatusCode::PermissionDenied);
    }
    is(
        sftp.open("missing", OpenFlags::READ, none()).await,
        StatusCode::NoSuchFile,
    );
    is(
        sftp.open("sub", OpenFlags::READ, none()).await,
        StatusCode::PermissionDenied,
    );
    assert_eq!(sftp.realpath("/sub/..").await.unwrap().files[0].filename, "/");
    assert!(house.recorded().is_empty(), "nothing was read");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_handles_and_reads_are_limited() {
    let house = House::start_with(Wishes {
        sftp_limits: "sessions_max: 2, handles_max: 3, read_bytes_max: 1024",
        ..Wishes::default()
    })
    .await;
    std::fs::write(house.dir.path().join("packages/ops/long.bin"), vec![7; 5_000]).unwrap();
    let mut connection = connect(&house).await;
    assert!(sign_in(&house, &mut connection, "ops").await);
    let (sftp, _other) = (
        session(&connection).await.unwrap(),
        session(&connection).await.unwrap(),
    );
    assert!(session(&connection).await.is_none(), "a third one");
    let open = async || {
        sftp.open("long.bin", OpenFlags::READ, FileAttributes::empty())
            .await
    };
    let handles = [
        open().await.unwrap(),
        open().await.unwrap(),
        open().await.unwrap(),
    ];
    is(open().await, StatusCode::Failure);
    is(sftp.opendir("/").await, StatusCode::Failure);
    let handle = handles[0].handle.as_str();
    assert_eq!(sftp.read(handle, 4_500, 100_000).await.unwrap().data.len(), 500);
    assert_eq!(sftp.read(handle, 0, 100_000).await.unwrap().data.len(), 1_024);
    is(sftp.read(handle, 5_000, 1).await, StatusCode::Eof);
    is(sftp.read("77", 0, 1).await, StatusCode::Failure);
    assert_eq!(house.recorded().len(), 1);
    sftp.close(handle).await.unwrap();
    is(sftp.read(handle, 0, 1).await, StatusCode::Failure);
    open().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_tries_so_many_keys_and_no_more() {
    let house = House::start_with(Wishes {
        sftp_limits: "auth_attempts_max: 3",
        ..Wishes::default()
    })
    .await;
    let mut connection = connect(&house).await;
    for _ in 0..3 {
        assert!(!sign_in(&house, &mut connection, "stranger").await);
    }
    assert!(
        !sign_in(&house, &mut connection, "ops").await,
        "the right one comes too late"
    );
    let mut connection = connect(&house).await;
    assert!(
        !connection
            .authenticate_password("ops", "x")
            .await
            .unwrap()
            .success()
    );
    assert!(
        connection.channel_open_session().await.is_err(),
        "before signing in"
    );
}

/// A file that changes under its reader: what leaves is what is on record.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_is_read_no_further() {
    let house = House::start().await;
    let mut connection = connect(&house).await;
    assert!(sign_in(&house, &mut connection, "ops").await);
    let sftp = session(&connection).await.unwrap();
    let handle = sftp
        .open("runbook.pdf", OpenFlags::READ, FileAttributes::empty())
        .await
        .unwrap()
        .handle;
    assert_eq!(sftp.read(&handle, 0, 4).await.unwrap().data, RUNBOOK[..4]);
    std::fs::write(
        house.dir.path().join("packages/ops/runbook.pdf"),
        "another text of some length",
    )
    .unwrap();
    is(sftp.read(&handle, 4, 4).await, StatusCode::Failure);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_says_nothing_is_closed() {
    let house = House::start_with(Wishes {
        sftp_limits: "idle_s: 2",
        ..Wishes::default()
    })
    .await;
    let mut connection = connect(&house).await;
    assert!(sign_in(&house, &mut connection, "ops").await);
    let closed = tokio::time::timeout(std::time::Duration::from_secs(60), connection).await;
    assert!(closed.is_ok(), "still open");
}
