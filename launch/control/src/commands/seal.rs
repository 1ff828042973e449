//! `tminus seal`: a checklist that verifies gets a signature that PDF readers show.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tminus_plan::Fact;
use tminus_seal::keys::SealKey;
use tminus_seal::{Authority, Certificate, Roots, Sealed, Sealing};

use super::verify::record_of;
use crate::cli::Seal;
use crate::error::{CliError, Exit, Kind, Result, from_part};
use crate::layout::{Layout, write_whole};

const CERTIFICATE_BYTES_MAX: u64 = 1024 * 1024;
const STAMP_ANSWER_MAX: Duration = Duration::from_secs(15);
const STAMP_ANSWER_BYTES_MAX: u64 = 64 * 1024;

pub(super) async fn run(args: &Seal) -> Result<Exit> {
    let record = record_of(&args.file, args.record.as_ref());
    let report = tminus_checklist::verify(&args.file, &record, None).map_err(|e| {
        from_part(Kind::Checklist, "cannot verify what is to be sealed", &e)
            .hint("give the PDF, and with --record the folder of its launch record")
    })?;
    if let Some(fault) = report.lines.iter().find(|line| !line.ok) {
        return Err(CliError::new(
            Kind::Checklist,
            format!(
                "only a checklist that verifies is sealed: {} {}",
                fault.part, fault.says
            ),
        )
        .hint("`tminus verify` says all that is wrong"));
    }
    let now = Timestamp::now();
    not_before_the_record(&record, now)?;
    let certificates = args.certificate.as_deref().map(certificates).transpose()?;
    let key = open(args, certificates.unwrap_or_default())?;
    let sealing = Sealing {
        // Documents say seconds.
        at: Timestamp::from_second(now.as_second()).unwrap_or(now),
        name: args.name.clone(),
        reason: args.reason.clone(),
    };
    let pdf = std::fs::read(&args.file).map_err(|e| CliError::file("read", &args.file, &e))?;
    let sealed = sealed(pdf, sealing, key, args.tsa.clone()).await?;
    let out = args.out.as_ref().unwrap_or(&args.file);
    write_whole(out, &sealed.pdf)?;
    if args.json {
        println!(
            "{}",
            json!({
                "ok": true, "file": out, "seal": sealed.number, "bytes": sealed.pdf.len(),
                "level": level(args, &sealed), "without_stamp": sealed.without_stamp,
            })
        );
    } else {
        println!(
            "{} carries seal {} ({})",
            out.display(),
            sealed.number,
            level(args, &sealed)
        );
        if let Some(why) = &sealed.without_stamp {
            println!(
                "  no time stamp: {why}; the seal holds without it, its time is the word of this machine's clock"
            );
        }
    }
    Ok(Exit::Ok)
}

fn level(args: &Seal, sealed: &Sealed) -> &'static str {
    if args.tsa.is_some() && sealed.without_stamp.is_none() {
        "PAdES B-T"
    } else {
        "PAdES B-B"
    }
}

/// Seals away from the threads that serve: a token or an authority may take its time.
async fn sealed(
    pdf: Vec<u8>,
    sealing: Sealing,
    key: Box<dyn SealKey>,
    tsa: Option<String>,
) -> Result<Sealed> {
    let handle = tokio::runtime::Handle::current();
    let client = crate::gates::http::client().map_err(|e| CliError::new(Kind::Environment, e.why))?;
    tokio::task::spawn_blocking(move || {
        let authority = tsa.map(|url| HttpAuthority { url, client, handle });
        let authority = authority.as_ref().map(|authority| authority as &dyn Authority);
        tminus_seal::seal(&pdf, &sealing, &*key, authority)
    })
    .await
    .map_err(|e| CliError::new(Kind::Checklist, format!("the seal could not be made: {e}")))?
    .map_err(|e| from_part(Kind::Checklist, "the seal", &e))
}

/// A seal of a time before the record's last entry would be of another document.
fn not_before_the_record(record: &Path, now: Timestamp) -> Result<()> {
    let unreadable = |why: String| CliError::new(Kind::Record, why);
    let verified = tminus_record::verify(record, None)
        .map_err(|faults| unreadable(faults.first().map(ToString::to_string).unwrap_or_default()))?;
    let Some(last) = verified.entries.last() else {
        return Err(unreadable("the record is empty".to_owned()));
    };
    let (fact, _): (Fact, _) = crate::engine::book::read_entry(last).map_err(unreadable)?;
    let last = Timestamp::from_millisecond(i64::try_from(fact.at_ms()).unwrap_or(i64::MAX))
        .unwrap_or(Timestamp::MAX);
    if now < last {
        return Err(CliError::new(
            Kind::Environment,
            format!("this machine's clock says {now}, the record's last entry is of {last}"),
        )
        .hint("set the clock: a seal with that time would not verify"));
    }
    Ok(())
}

fn open(args: &Seal, certificates: Vec<Certificate>) -> Result<Box<dyn SealKey>> {
    let ask = |what: &str| -> std::result::Result<String, String> {
        match &args.password_file {
            Some(file) if !args.key.starts_with("pkcs11:") => {
                let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
                Ok(text.lines().next().unwrap_or_default().to_owned())
            }
            _ => rpassword::prompt_password(format!("{what}: ")).map_err(|_| {
                format!("there is no terminal to ask for the {what}; give it in a file (pin-source=file:… or --password-file)")
            }),
        }
    };
    tminus_seal::keys::open(&args.key, certificates, &ask)
        .map_err(|e| from_part(Kind::Environment, "the key", &e))
}

/// Certificates of a PEM file.
pub(super) fn certificates(path: &Path) -> Result<Vec<Certificate>> {
    let mut pem = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(CERTIFICATE_BYTES_MAX).read_to_end(&mut pem))
        .map_err(|e| CliError::file("read", path, &e))?;
    Certificate::all_from_pem(&pem).map_err(|e| from_part(Kind::Environment, &path.display().to_string(), &e))
}

/// Those that a reader trusts.
pub(super) fn roots(path: &Path) -> Result<Roots> {
    Ok(Roots::new(certificates(path)?))
}

/// A time stamp authority behind a URL.
struct HttpAuthority {
    url: String,
    client: reqwest::Client,
    handle: tokio::runtime::Handle,
}

impl Authority for HttpAuthority {
    fn answer(&self, request: &[u8]) -> std::result::Result<Vec<u8>, String> {
        let words =
            |e: reqwest::Error| format!("{} does not answer: {}", self.url, crate::gates::http::words(&e));
        self.handle.block_on(async {
            let answer = self
                .client
                .post(&self.url)
                .header("content-type", "application/timestamp-query")
                .timeout(STAMP_ANSWER_MAX)
                .body(request.to_vec())
                .send()
                .await
                .map_err(words)?;
            if !answer.status().is_success() {
                return Err(format!("{} answers {}", self.url, answer.status()));
            }
            if answer
                .content_length()
                .is_some_and(|length| length > STAMP_ANSWER_BYTES_MAX)
            {
                return Err(format!("{} answers with too much", self.url));
            }
            answer.bytes().await.map(|bytes| bytes.to_vec()).map_err(words)
        })
    }
}

/// What a rehearsal seals with: a key and a certificate of its own, made once; nobody vouches for it, and it says so.
pub(crate) fn rehearsal_key(folder: &Path) -> Result<(PathBuf, PathBuf)> {
    let (key, certificate) = (folder.join("seal.key.pem"), folder.join("seal.cert.pem"));
    if key.exists() && certificate.exists() {
        return Ok((key, certificate));
    }
    let failed =
        |e: rcgen::Error| CliError::new(Kind::Environment, format!("no certificate for the seal: {e}"));
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).map_err(failed)?;
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters
        .distinguished_name
        .push(rcgen::DnType::CommonName, "REHEARSAL, a generated key");
    parameters.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    let made = parameters.self_signed(&pair).map_err(failed)?;
    write_whole(&certificate, made.pem().as_bytes())?;
    crate::keys::write_private(&key, pair.serialize_pem().as_bytes())?;
    Ok((key, certificate))
}

/// Seals with a rehearsal's own key.
///
/// # Errors
/// The key cannot be made or read.
pub(crate) fn rehearsal_sealer(layout: &Layout) -> Result<impl Fn(Vec<u8>) -> Result<Vec<u8>> + use<>> {
    let (key, certificate) = rehearsal_key(&layout.keys())?;
    let certificates = certificates(&certificate)?;
    let key = tminus_seal::keys::open(&key.display().to_string(), certificates, &|what| {
        Err(what.to_owned())
    })
    .map_err(|e| from_part(Kind::Environment, "the rehearsal's seal", &e))?;
    Ok(move |pdf: Vec<u8>| {
        let now = Timestamp::now();
        let sealing = Sealing {
            at: Timestamp::from_second(now.as_second()).unwrap_or(now),
            name: Some("REHEARSAL".to_owned()),
            reason: "rehearsal: sealed by a generated key, for which nobody vouches".to_owned(),
        };
        tminus_seal::seal(&pdf, &sealing, &*key, None)
            .map(|sealed| sealed.pdf)
            .map_err(|e| from_part(Kind::Checklist, "the seal", &e))
    })
}

/// Seals a rehearsal's checklist, unless it carries a seal already.
pub(crate) fn rehearsal(layout: &Layout, issued_bytes: u64) -> Result<()> {
    let file = layout.checklist();
    let pdf = std::fs::read(&file).map_err(|e| CliError::file("read", &file, &e))?;
    if pdf.len() as u64 != issued_bytes {
        return Ok(());
    }
    write_whole(&file, &rehearsal_sealer(layout)?(pdf)?)
}
