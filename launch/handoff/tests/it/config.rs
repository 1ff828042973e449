//! Configurations that are wrong, and what is said of them.

use tminus_handoff::{DeliveryConfig, DeliveryError, Listeners, RecordLog, SystemClock, serve};
use tminus_record::SigningKey;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ laptop";

fn good() -> String {
    format!(
        "packages: packages
sftp:
  listen: 127.0.0.1:2222
  host_key: host.key
  keys:
    - {{ role: ops, key: '{KEY}' }}
portal:
  listen: 127.0.0.1:8080
  public_url: http://127.0.0.1:8080
  oidc:
    issuer: https://id.example/realms/launch
    client_id: portal
    roles_claim: groups
    roles: {{ launch-ops: ops }}
  tokens:
    - {{ id: ci, role: ops, sha256: {}, expires: 2999-01-01T00:00:00Z }}
  links:
    state_file: links.json
    keys: [{{ id: k1, file: link.key }}]
",
        "0".repeat(64)
    )
}

#[test]
fn a_good_one_is_read_with_its_defaults() {
    let config = DeliveryConfig::parse(&good(), "etc/delivery.yaml").unwrap();
    assert_eq!(config.packages.to_str(), Some("etc/packages"));
    let (sftp, portal) = (config.sftp.unwrap(), config.portal.unwrap());
    assert_eq!(
        (sftp.limits.read_bytes_max, sftp.limits.auth_attempts_max),
        (32_768, 6)
    );
    assert_eq!(sftp.host_key.to_str(), Some("etc/host.key"));
    assert_eq!(portal.links.unwrap().lifetime.as_secs(), 24 * 3_600);
}

#[test]
fn a_mistake_is_told_with_its_line() {
    let twice = format!("    - {{ role: security, key: '{KEY} again' }}\nportal:");
    for (from, to, line, said) in [
        (
            "packages: packages",
            "packages: packages\npakages: x",
            2,
            "pakages",
        ),
        ("  host_key: host.key", "  host_keys: host.key", 4, "host_keys"),
        ("127.0.0.1:2222", "0.0.0.0:2222", 3, "allow_remote"),
        ("127.0.0.1:2222", "localhost", 3, "an address to listen on"),
        ("role: ops, key", "role: ../ops, key", 6, "a role is"),
        ("ssh-ed25519 AAAA", "ssh-ed25519 BBBB", 6, "a key is a line"),
        ("portal:", &twice, 7, "stands there already, for the role ops"),
        (
            "  listen: 127.0.0.1:8080",
            "  listen: '[::]:8080'",
            8,
            "allow_remote",
        ),
        (
            "http://127.0.0.1:8080",
            "http://portal.example",
            9,
            "https:// is needed",
        ),
        (
            "http://127.0.0.1:8080",
            "https://portal.example/under",
            9,
            "without a path",
        ),
        (
            "https://id.example",
            "http://id.example",
            11,
            "https:// is needed",
        ),
        ("launch-ops: ops", "launch-ops: Ops", 14, "a role is"),
        ("sha256: 0", "sha256: x", 16, "64 hexadecimal digits"),
        ("2999-01-01T00:00:00Z", "tomorrow", 16, "a time with its zone"),
        ("id: k1", "id: K 1", 19, "a key's id"),
        (
            "    state_file",
            "    lifetime_h: 25\n    state_file",
            18,
            "between 1 and 24",
        ),
        (
            "  host_key",
            "  limits: { read_bytes_max: 65536 }\n  host_key",
            4,
            "between 1024 and 32768",
        ),
    ] {
        assert!(good().contains(from), "{from}");
        let yaml = good().replacen(from, to, 1);
        let error = DeliveryConfig::parse(&yaml, "delivery.yaml").unwrap_err();
        assert_eq!(error.line, line, "{to}: {error}");
        let told = error.to_string();
        assert!(
            told.starts_with(&format!("delivery.yaml:{line}:")) && told.contains(said),
            "{to}: {told}"
        );
    }
    assert!(
        DeliveryConfig::parse("packages: x\n", "f")
            .unwrap_err()
            .to_string()
            .contains("nothing to serve")
    );
    let other = DeliveryConfig::parse(
        &good()
            .replace("127.0.0.1:2222", "0.0.0.0:2222")
            .replace("packages: p", "allow_remote: true\npackages: p"),
        "f",
    );
    assert!(other.unwrap().allow_remote);
}

async fn start(
    dir: &std::path::Path,
    config: DeliveryConfig,
    listeners: Listeners,
) -> Result<(), DeliveryError> {
    let log = RecordLog::open(
        &dir.join("record"),
        "launch-test",
        &SigningKey::from_seed([1; 32]),
    )
    .unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let started = serve(
        config,
        std::sync::Arc::new(SystemClock),
        listeners,
        stop.clone(),
        std::sync::Arc::new(log),
    )
    .await;
    stop.cancel();
    started?.finished().await;
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_served_safely_is_not_served() {
    let dir = tempfile::TempDir::new().unwrap();
    let here = dir.path();
    let file = here.join("delivery.yaml");
    std::fs::write(
        &file,
        good()
            .replace(":2222", ":0")
            .replace(":8080\n  public", ":0\n  public"),
    )
    .unwrap();
    let config = || DeliveryConfig::load(&file).unwrap();
    let listen = async || Listeners::bind(&config()).await.unwrap();
    let said = async |listeners| start(here, config(), listeners).await.unwrap_err().to_string();
    assert!(said(listen().await).await.contains("make the packages first"));
    std::fs::create_dir(here.join("packages")).unwrap();
    let none = Listeners {
        portal: None,
        ..listen().await
    };
    assert!(said(none).await.contains("a listener for portal"));
    let open = Listeners {
        sftp: Some(tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap()),
        ..listen().await
    };
    assert!(said(open).await.contains("allow_remote"));
    start(here, config(), listen().await).await.unwrap();
    for secret in ["host.key", "link.key"] {
        let (path, mode) = (here.join(secret), |mode| {
            std::os::unix::fs::PermissionsExt::from_mode(mode)
        });
        let made = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(made & 0o777, 0o600, "{secret}");
        std::fs::set_permissions(&path, mode(0o644)).unwrap();
        assert!(said(listen().await).await.contains("chmod 600"), "{secret}");
        std::fs::set_permissions(&path, mode(0o600)).unwrap();
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, "rubbish").unwrap();
        let told = said(listen().await).await;
        assert!(told.contains(secret) && !told.contains("rubbish"), "{told}");
        std::fs::write(&path, whole).unwrap();
    }
    start(here, config(), listen().await).await.unwrap();
    assert!(
        DeliveryConfig::load(&here.join("none.yaml"))
            .unwrap_err()
            .to_string()
            .contains("cannot read")
    );
}

#[test]
fn a_short_rsa_key_is_refused() {
    let dir = tempfile::TempDir::new().unwrap();
    let (openssl, keygen) = (
        crate::support::program("openssl", "openssl"),
        crate::support::program("ssh-keygen", "openssh-client"),
    );
    // ssh-keygen makes no key as short as that, and reads one.
    let pem = dir.path().join("short.pem");
    let made = std::process::Command::new(openssl)
        .args(["genrsa", "-traditional", "-out"])
        .arg(&pem)
        .arg("1024")
        .output();
    assert!(made.unwrap().status.success());
    let key = std::process::Command::new(keygen)
        .args(["-y", "-f"])
        .arg(&pem)
        .output()
        .unwrap();
    let key = String::from_utf8(key.stdout).unwrap();
    assert!(key.starts_with("ssh-rsa "), "{key}");
    let error = DeliveryConfig::parse(&good().replace(KEY, key.trim()), "f").unwrap_err();
    assert!(error.line == 6 && error.what.contains("2048 bits"), "{error}");
}
