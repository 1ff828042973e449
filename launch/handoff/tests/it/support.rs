//! A delivery that runs, and what asks it.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tminus_handoff::{
    Clock, Delivery, DeliveryConfig, DownloadLog, Listeners, RecordLog, SystemClock, serve,
};
use tminus_record::SigningKey;
use tminus_record::dsse::Envelope;
use tokio_util::sync::CancellationToken;

pub const ORIGIN: &str = "launch-test/downloads";
/// Machines' tokens, one for each role.
pub const OPS_TOKEN: &str = "ops-token-of-a-test";
pub const SECURITY_TOKEN: &str = "security-token-of-a-test";
pub const EXPIRED_TOKEN: &str = "expired-token-of-a-test";
pub const RUNBOOK: &[u8] = b"what operations do at T-0";

/// Time that a test moves.
#[derive(Debug)]
pub struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl TestClock {
    pub fn advance_s(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000, Ordering::SeqCst);
    }
}

pub fn program(name: &str, package: &str) -> PathBuf {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = std::env::split_paths(&folders).collect();
    folders.push("/usr/sbin".into());
    let found = folders
        .iter()
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is missing: apt-get install {package}"))
}

pub async fn run(program: &Path, arguments: &[&str]) -> Output {
    let mut command = tokio::process::Command::new(program);
    command
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .env("LC_ALL", "C.UTF-8");
    command.output().await.unwrap()
}

pub fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).into_owned()
}

/// What a test wants otherwise.
#[derive(Default)]
pub struct Wishes {
    pub issuer: Option<String>,
    pub sftp_limits: &'static str,
    pub portal_limits: Option<&'static str>,
    pub log: Option<Arc<dyn DownloadLog>>,
    /// Of a delivery that has ended.
    pub dir: Option<Arc<TempDir>>,
}

/// A delivery that runs.
pub struct House {
    pub dir: Arc<TempDir>,
    pub clock: Arc<TestClock>,
    pub delivery: Delivery,
    pub stop: CancellationToken,
    pub client: reqwest::Client,
    key: SigningKey,
}

/// Packages of three roles, and keys of two.
fn furnish(dir: &Path) {
    let packages = dir.join("packages");
    for (path, bytes) in [
        ("ops/runbook.pdf", RUNBOOK),
        ("ops/sub/报告 🚀.txt", "中文".as_bytes()),
        ("ops/empty.txt", b""),
        ("ops/in\u{202e}fdp.exe", b"rtl"),
        ("security/sbom.json", b"{\"secret\": true}"),
        ("customer/letter.txt", b"dear customer"),
    ] {
        let path = packages.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    std::fs::write(dir.join("outside.txt"), "nobody's").unwrap();
    for (target, link) in [
        ("../../outside.txt", "ops/escape.txt"),
        ("../security", "ops/security"),
        ("/etc", "ops/etc"),
        ("runbook.pdf", "ops/inside.pdf"),
    ] {
        std::os::unix::fs::symlink(target, packages.join(link)).unwrap();
    }
    let keygen = program("ssh-keygen", "openssh-client");
    for (name, kind) in [("ops", "ed25519"), ("security", "rsa"), ("stranger", "ed25519")] {
        let file = dir.join(format!("{name}.key"));
        let made = std::process::Command::new(&keygen)
            .args(["-q", "-t", kind, "-N", "", "-C", name, "-f"])
            .arg(file)
            .status();
        assert!(made.unwrap().success());
    }
}

fn digest(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

impl House {
    pub async fn start() -> Self {
        Self::start_with(Wishes::default()).await
    }

    pub async fn start_with(wishes: Wishes) -> Self {
        let dir = wishes.dir.unwrap_or_else(|| {
            let dir = TempDir::new().unwrap();
            furnish(dir.path());
            Arc::new(dir)
        });
        let here = dir.path();
        let listeners = Listeners {
            sftp: Some(tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap()),
            portal: Some(tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap()),
        };
        let portal = listeners.portal.as_ref().unwrap().local_addr().unwrap();
        let key = |name: &str| std::fs::read_to_string(here.join(format!("{name}.key.pub"))).unwrap();
        let oidc = wishes.issuer.map_or_else(String::new, |issuer| {
            format!(
                "  oidc:\n    issuer: {issuer}\n    client_id: tminus-portal\n    client_secret_file: client-secret\n    roles_claim: realm.groups\n    roles: {{ launch-ops: ops, launch-security: security }}\n"
            )
        });
        std::fs::write(here.join("client-secret"), "s3cret:+ä").unwrap();
        std::fs::set_permissions(
            here.join("client-secret"),
            std::os::unix::fs::PermissionsExt::from_mode(0o600),
        )
        .unwrap();
        let portal_limits = wishes
            .portal_limits
            .unwrap_or("{ requests_per_s: 100000, burst: 1000000 }");
        let yaml = format!(
            "packages: packages\nsftp:\n  listen: 127.0.0.1:0\n  host_key: host.key\n  limits: {{ {} }}\n  keys:\n    - {{ role: ops, key: '{}' }}\n    - {{ role: security, key: '{}' }}\nportal:\n  listen: 127.0.0.1:0\n  public_url: http://{portal}\n  limits: {portal_limits}\n{oidc}  tokens:\n    - {{ id: ci, role: ops, sha256: {}, expires: 2999-01-01T00:00:00Z }}\n    - {{ id: scanner, role: security, sha256: {}, expires: 2999-01-01T00:00:00Z }}\n    - {{ id: old, role: ops, sha256: {}, expires: 2020-01-01T00:00:00Z }}\n  links:\n    state_file: links.json\n    keys: [{{ id: k1, file: link.key }}]\n",
            wishes.sftp_limits,
            key("ops").trim(),
            key("security").trim(),
            digest(OPS_TOKEN),
            digest(SECURITY_TOKEN),
            digest(EXPIRED_TOKEN),
        );
        let config = DeliveryConfig::parse(&yaml, here.join("delivery.yaml").to_str().unwrap()).unwrap();
        let signing = SigningKey::from_seed([5; 32]);
        let log = wishes
            .log
            .unwrap_or_else(|| Arc::new(RecordLog::open(&here.join("downloads"), ORIGIN, &signing).unwrap()));
        let clock = Arc::new(TestClock(AtomicI64::new(SystemClock.now_ms())));
        let stop = CancellationToken::new();
        let delivery = serve(config, clock.clone(), listeners, stop.clone(), log)
            .await
            .unwrap();
        Self {
            clock,
            delivery,
            stop,
            client: client(),
            key: signing,
            dir,
        }
    }

    /// Ends it, and gives its folder back.
    pub async fn end(self) -> Arc<TempDir> {
        self.stop.cancel();
        self.delivery.finished().await;
        self.dir
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.delivery.portal.unwrap())
    }

    pub fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url(path))
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.ask(Method::GET, path).bearer_auth(OPS_TOKEN)
    }

    pub async fn status(&self, request: RequestBuilder) -> StatusCode {
        request.send().await.unwrap().status()
    }

    /// What the record says of downloads, after it has proved itself and each entry's signature.
    pub fn recorded(&self) -> Vec<Value> {
        let verified = tminus_record::verify(
            &self.dir.path().join("downloads"),
            Some(&self.key.verifying_key()),
        );
        let entries = verified.unwrap().entries;
        let statement = |entry: &Vec<u8>| {
            let envelope = Envelope::from_bytes(entry).unwrap();
            envelope.verify(&self.key.verifying_key()).unwrap();
            let statement: Value = serde_json::from_slice(&envelope.payload).unwrap();
            assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
            assert_eq!(statement["predicateType"], "urn:tminus:download:v1");
            assert_eq!(
                statement["subject"][0]["digest"]["sha256"],
                statement["predicate"]["sha256"]
            );
            statement["predicate"].clone()
        };
        entries.iter().map(statement).collect()
    }
}

pub fn client() -> reqwest::Client {
    // Fails where a test before has done it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .unwrap()
}
