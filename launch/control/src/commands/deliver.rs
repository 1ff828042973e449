//! `tminus deliver`: serves a launch's packages by SFTP and portal; and how a rehearsal tries that out.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tminus_handoff::{Delivery, DeliveryConfig, Listeners, RecordLog, SystemClock, Who};
use tminus_record::SigningKey;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::cli::Deliver;
use crate::error::{CliError, Exit, Kind, Result, from_part};
use crate::layout::{Layout, write_whole};
use crate::packages::ROLES;
use crate::{keys, session};

/// A client of the rehearsal may take so long for one package.
const FETCH_MAX: Duration = Duration::from_secs(30);

pub(super) async fn run(args: &Deliver) -> Result<Exit> {
    let config =
        DeliveryConfig::load(&args.config).map_err(|e| from_part(Kind::Usage, "the configuration", &e))?;
    let key = keys::load(&args.key)?;
    let listeners = Listeners::bind(&config)
        .await
        .map_err(|e| from_part(Kind::Environment, "cannot serve", &e))?;
    let stop = CancellationToken::new();
    let delivery = started(config, listeners, &args.record, &key, &stop).await?;
    tell(&delivery, args.json);
    let _ = session::signalled().await;
    stop.cancel();
    delivery.finished().await;
    Ok(Exit::Ok)
}

fn tell(delivery: &Delivery, as_json: bool) {
    if as_json {
        println!(
            "{}",
            json!({
                "ok": true, "sftp": delivery.sftp, "host_key": delivery.host_key_fingerprint, "portal": delivery.portal,
            })
        );
        return;
    }
    if let Some(address) = delivery.sftp {
        let key = delivery.host_key_fingerprint.as_deref().unwrap_or_default();
        println!("sftp    {address}  host key {key}");
    }
    if let Some(address) = delivery.portal {
        println!("portal  http://{address}/");
    }
}

async fn started(
    config: DeliveryConfig,
    listeners: Listeners,
    record: &Path,
    key: &SigningKey,
    stop: &CancellationToken,
) -> Result<Delivery> {
    let log = RecordLog::open(record, &origin(record), key)
        .map_err(|e| from_part(Kind::Record, "the record of downloads", &e))?;
    tminus_handoff::serve(
        config,
        Arc::new(SystemClock),
        listeners,
        stop.clone(),
        Arc::new(log),
    )
    .await
    .map_err(|e| from_part(Kind::Environment, "cannot serve the packages", &e))
}

/// A name for a new record of downloads; one that is there keeps its own.
fn origin(record: &Path) -> String {
    let whose = record
        .parent()
        .and_then(Path::file_name)
        .map_or_else(|| "launch".to_owned(), |name| name.to_string_lossy().into_owned());
    let whose: String = whose
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "-_.".contains(c) {
                c
            } else {
                '-'
            }
        })
        .collect();
    format!("{whose}/downloads")
}

/// What a rehearsal found when it handed its packages out to itself.
pub(crate) struct HandedOut {
    pub config: PathBuf,
    /// Each way that was tried, with what came of it.
    pub tried: Vec<String>,
    /// Who took them, as the record of downloads calls it.
    pub taken_by: Vec<String>,
}

/// Serves the packages on loopback and takes each of them, as its reader would: over the portal with a token and, where
/// OpenSSH's client is at hand, over SFTP with a key. The configuration stays, to serve them again.
///
/// # Errors
/// A package did not arrive as it was packed, or a role got another role's.
pub(crate) async fn handed_out(layout: &Layout) -> Result<HandedOut> {
    let environment =
        |what: &str, e: &dyn std::fmt::Display| CliError::new(Kind::Environment, format!("{what}: {e}"));
    let bind = async || {
        TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .map_err(|e| environment("no port to hand the packages out", &e))
    };
    let (portal, sftp) = (bind().await?, bind().await?);
    let port = |listener: &TcpListener| {
        listener
            .local_addr()
            .map(|address| address.port())
            .map_err(|e| environment("no port to hand the packages out", &e))
    };
    let (portal_port, sftp_port) = (port(&portal)?, port(&sftp)?);
    let folder = layout.keys();
    let (mut tokens, mut sftp_keys) = (BTreeMap::new(), BTreeMap::new());
    for role in ROLES {
        tokens.insert(role, token(&folder.join(format!("deliver-{role}.token")))?);
        if let Some(public) = ssh_key(&folder.join(format!("deliver-{role}"))).await {
            sftp_keys.insert(role, public);
        }
    }
    let yaml = yaml(portal_port, sftp_port, &tokens, &sftp_keys);
    let config_file = layout.delivery();
    write_whole(&config_file, yaml.as_bytes())?;
    let config =
        DeliveryConfig::load(&config_file).map_err(|e| from_part(Kind::Environment, "the delivery", &e))?;
    let stop = CancellationToken::new();
    let _guard = stop.clone().drop_guard();
    let key = keys::load(&layout.launch_key())?;
    let with_sftp = !sftp_keys.is_empty();
    let listeners = Listeners {
        portal: Some(portal),
        sftp: with_sftp.then_some(sftp),
    };
    let delivery = started(config, listeners, &layout.downloads(), &key, &stop).await?;
    let mut tried = Vec::new();
    let mut taken_by: Vec<String> = tokens
        .keys()
        .map(|id| Who::Token((*id).to_owned()).to_string())
        .collect();
    taken_by.extend(
        sftp_keys
            .values()
            .filter_map(|key| fingerprint(key))
            .map(|key| Who::Key(key).to_string()),
    );
    for role in ROLES {
        let packed = layout.package(role);
        let expected =
            crate::engine::book::file_sha256(&packed).map_err(|e| CliError::file("read", &packed, &e))?;
        over_portal(portal_port, role, &tokens[role], &expected).await?;
        if with_sftp {
            over_sftp(layout, sftp_port, role, &expected).await?;
        }
    }
    tried.push(format!(
        "portal: {} packages taken with a token each, as they were packed; another role's: 404",
        ROLES.len()
    ));
    tried.push(if with_sftp {
        format!(
            "sftp: {} packages taken with a key each by OpenSSH's client, as they were packed",
            ROLES.len()
        )
    } else {
        "sftp: not tried, there is no ssh-keygen (Debian package openssh-client)".to_owned()
    });
    stop.cancel();
    delivery.finished().await;
    Ok(HandedOut {
        config: config_file,
        tried,
        taken_by,
    })
}

/// As `ssh-keygen -l` writes it.
fn fingerprint(public: &str) -> Option<String> {
    let blob = base64::engine::general_purpose::STANDARD
        .decode(public.split(' ').nth(1)?)
        .ok()?;
    let digest = base64::engine::general_purpose::STANDARD_NO_PAD.encode(Sha256::digest(blob));
    Some(format!("SHA256:{digest}"))
}

async fn over_portal(port: u16, role: &str, token: &str, expected: &str) -> Result<()> {
    let failed = |why: String| {
        CliError::new(
            Kind::Environment,
            format!("the portal does not hand `{role}` out: {why}"),
        )
    };
    let client = crate::gates::http::client().map_err(|e| failed(e.why))?;
    let get = async |of: &str| {
        client
            .get(format!("http://127.0.0.1:{port}/files/{of}/{of}.zip"))
            .bearer_auth(token)
            .timeout(FETCH_MAX)
            .send()
            .await
            .map_err(|e| failed(crate::gates::http::words(&e)))
    };
    let answer = get(role).await?;
    let status = answer.status();
    let bytes = answer
        .bytes()
        .await
        .map_err(|e| failed(crate::gates::http::words(&e)))?;
    let found = hex::encode(Sha256::digest(&bytes));
    if !status.is_success() || found != expected {
        return Err(failed(format!(
            "status {status}, SHA-256 {found}, packed was {expected}"
        )));
    }
    let other = ROLES
        .iter()
        .find(|other| **other != role)
        .copied()
        .unwrap_or_default();
    let status = get(other).await?.status();
    if status.as_u16() != 404 {
        return Err(failed(format!(
            "it gives the package `{other}` too: status {status}"
        )));
    }
    Ok(())
}

async fn over_sftp(layout: &Layout, port: u16, role: &str, expected: &str) -> Result<()> {
    let failed = |why: String| {
        CliError::new(
            Kind::Environment,
            format!("SFTP does not hand `{role}` out: {why}"),
        )
    };
    let key = absolute(&layout.keys().join(format!("deliver-{role}")));
    let taken = absolute(&layout.state().join(format!("taken-{role}.zip")));
    let mut client = tokio::process::Command::new("sftp");
    client
        .args([
            "-q",
            "-o",
            "BatchMode=yes",
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
        ])
        .args(["-o", "IdentitiesOnly=yes", "-i"])
        .arg(&key)
        .args(["-P", &port.to_string()])
        .arg(format!("{role}@127.0.0.1:{role}.zip"))
        .arg(&taken)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = match tokio::time::timeout(FETCH_MAX, client.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(e)) => return Err(failed(e.to_string())),
        Err(_) => return Err(failed(format!("not within {} s", FETCH_MAX.as_secs()))),
    };
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    let found = crate::engine::book::file_sha256(&taken).map_err(|e| CliError::file("read", &taken, &e))?;
    let _ = std::fs::remove_file(&taken);
    if found == expected {
        Ok(())
    } else {
        Err(failed(format!("SHA-256 {found}, packed was {expected}")))
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// A random token, made once, for its owner alone.
fn token(file: &Path) -> Result<String> {
    if !file.exists() {
        keys::write_private(file, hex::encode(keys::seed()).as_bytes())?;
    }
    let text = std::fs::read_to_string(file).map_err(|e| CliError::file("read", file, &e))?;
    Ok(text.trim().to_owned())
}

/// An SSH key pair of OpenSSH's own making; the public half in one line. None without `ssh-keygen`.
async fn ssh_key(file: &Path) -> Option<String> {
    let public = file.with_extension("pub");
    if !public.exists() {
        let made = tokio::process::Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "rehearsal", "-f"])
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .await;
        if !made.is_ok_and(|status| status.success()) {
            return None;
        }
    }
    let line = std::fs::read_to_string(public).ok()?;
    Some(line.trim().to_owned())
}

fn yaml(
    portal: u16,
    sftp: u16,
    tokens: &BTreeMap<&str, String>,
    sftp_keys: &BTreeMap<&str, String>,
) -> String {
    let mut yaml = format!(
        "# Serve this rehearsal's packages again: tminus deliver delivery.yaml --record downloads --key keys/launch.pem\n\
         packages: packages\nportal:\n  listen: 127.0.0.1:{portal}\n  public_url: http://127.0.0.1:{portal}\n  tokens:\n"
    );
    for (role, token) in tokens {
        let digest = hex::encode(Sha256::digest(token.as_bytes()));
        yaml += &format!(
            "    - {{ id: {role}, role: {role}, sha256: {digest}, expires: 2099-12-31T00:00:00Z }}   # keys/deliver-{role}.token\n"
        );
    }
    yaml += "  links:\n    state_file: state/links.json\n    keys: [{ id: k1, file: keys/links }]\n    lifetime_h: 24\n";
    if !sftp_keys.is_empty() {
        yaml += &format!("sftp:\n  listen: 127.0.0.1:{sftp}\n  host_key: keys/sftp_host\n  keys:\n");
        for (role, public) in sftp_keys {
            yaml += &format!("    - {{ role: {role}, key: \"{public}\" }}\n");
        }
    }
    yaml
}
