//! Seals by a key in a SoftHSM token.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use clap::Args;
use serde_json::json;
use tminus_seal::keys::SealKey;
use tminus_seal::{Certificate, Sealing, keys, seal};

use super::{launches, ms};

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const PIN: &str = "1234";

/// See [`seals`].
#[derive(Debug, Clone, Args)]
pub struct SealsOptions {
    #[arg(long)]
    pdf: PathBuf,
    #[arg(long)]
    out: PathBuf,
    #[arg(long)]
    certificate: PathBuf,
    /// Address of the key (`pkcs11:…`).
    #[arg(long)]
    key: String,
    #[arg(long)]
    count: usize,
    /// Given by cargo; means nothing here.
    #[arg(long, hide = true)]
    bench: bool,
}

pub struct Made {
    pub certificate: Certificate,
    pub open_ms: Vec<f64>,
    pub seal_ms: Vec<f64>,
}

/// Makes a token with a key and seals `pdf` with it so many times. The module asks the environment where its tokens
/// are, once: so the sealing is done by a process of its own.
pub fn measure(folder: &Path, pdf: &Path, out: &Path, count: usize) -> anyhow::Result<Made> {
    ensure!(
        Path::new(MODULE).is_file(),
        "{MODULE} is missing: apt-get install softhsm2"
    );
    let (tokens, config) = (folder.join("tokens"), folder.join("softhsm2.conf"));
    std::fs::create_dir_all(&tokens)?;
    std::fs::write(
        &config,
        format!("directories.tokendir = {}\nlog.level = ERROR\n", tokens.display()),
    )?;
    let certificate = key_and_certificate(folder)?;
    let util = |arguments: &[&str]| -> anyhow::Result<()> {
        let output = Command::new("softhsm2-util")
            .args(arguments)
            .env("SOFTHSM2_CONF", &config)
            .stdin(Stdio::null())
            .output()
            .context("cannot start softhsm2-util; apt-get install softhsm2")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "softhsm2-util {arguments:?}: {said}");
        Ok(())
    };
    util(&[
        "--init-token",
        "--free",
        "--label",
        "launch",
        "--so-pin",
        "87654321",
        "--pin",
        PIN,
    ])?;
    let key = folder.join("seal.key").display().to_string();
    util(&[
        "--import", &key, "--token", "launch", "--pin", PIN, "--label", "seal", "--id", "01",
    ])?;
    let pin = folder.join("pin");
    std::fs::write(&pin, PIN)?;
    let address = format!(
        "pkcs11:token=launch;object=seal?module-path={MODULE}&pin-source=file:{}",
        pin.display()
    );
    let output = Command::new(std::env::current_exe().context("this program has no path")?)
        .args([
            "checklist-seals",
            "--key",
            &address,
            "--count",
            &count.to_string(),
        ])
        .arg("--pdf")
        .arg(pdf)
        .arg("--out")
        .arg(out)
        .arg("--certificate")
        .arg(folder.join("seal.pem"))
        .env("SOFTHSM2_CONF", &config)
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "sealing: {}", output.status);
    let times: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let list = |name: &str| -> anyhow::Result<Vec<f64>> { Ok(serde_json::from_value(times[name].clone())?) };
    Ok(Made {
        certificate,
        open_ms: list("open_ms")?,
        seal_ms: list("seal_ms")?,
    })
}

/// P-256, good for signatures, signed by itself.
fn key_and_certificate(folder: &Path) -> anyhow::Result<Certificate> {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let mut parameters = rcgen::CertificateParams::new(Vec::new())?;
    parameters
        .distinguished_name
        .push(rcgen::DnType::CommonName, "Launch seal");
    parameters.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    let made = parameters.self_signed(&pair)?;
    std::fs::write(folder.join("seal.key"), pair.serialize_pem())?;
    std::fs::write(folder.join("seal.pem"), made.pem())?;
    Ok(Certificate::from_der(made.der())?)
}

/// Opens the key and seals, `count` times; prints how long each took.
pub fn seals(options: &SealsOptions) -> anyhow::Result<()> {
    let chain = Certificate::all_from_pem(&std::fs::read(&options.certificate)?)?;
    let pdf = std::fs::read(&options.pdf)?;
    let sealing = Sealing {
        at: launches::after_the_issue()?,
        name: Some("Launch control".to_owned()),
        reason: "verified against its record".to_owned(),
    };
    let (mut open_ms, mut seal_ms) = (Vec::new(), Vec::new());
    for _ in 0..options.count {
        let began = Instant::now();
        let key: Box<dyn SealKey> = keys::open(&options.key, chain.clone(), &|what| {
            Err(format!("nobody to ask for the {what}"))
        })?;
        open_ms.push(ms(began.elapsed()));
        let began = Instant::now();
        let sealed = seal(&pdf, &sealing, &*key, None)?;
        seal_ms.push(ms(began.elapsed()));
        std::fs::write(&options.out, sealed.pdf)?;
    }
    println!("{}", json!({ "open_ms": open_ms, "seal_ms": seal_ms }));
    Ok(())
}
