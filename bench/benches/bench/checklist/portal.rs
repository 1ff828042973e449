//! A portal that hands a package out, and a thousand clients that want it at the same moment.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use clap::Args;
use futures_util::future::join_all;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use sha2::{Digest as _, Sha256};
use tminus_handoff::{DeliveryConfig, Listeners, RecordLog, SystemClock};
use tminus_record::SigningKey;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::ms;
use crate::process;
use crate::report::{Limit, Report, quantile, sorted};

const CLIENTS: usize = 1_000;
const TOKEN: &str = "token-of-a-bench";
const SEED: [u8; 32] = [5; 32];

/// See [`serve`].
#[derive(Debug, Clone, Args)]
pub struct PortalOptions {
    #[arg(long)]
    config: PathBuf,
    #[arg(long)]
    downloads: PathBuf,
    /// Told where it listens.
    #[arg(long)]
    ready_file: PathBuf,
    /// Given by cargo; means nothing here.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Serves until standard input closes.
pub fn serve(options: &PortalOptions) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let config = DeliveryConfig::load(&options.config)?;
        let listeners = Listeners::bind(&config).await?;
        let log = RecordLog::open(
            &options.downloads,
            "bench/downloads",
            &SigningKey::from_seed(SEED),
        )?;
        let stop = CancellationToken::new();
        let delivery = tminus_handoff::serve(
            config,
            Arc::new(SystemClock),
            listeners,
            stop.clone(),
            Arc::new(log),
        )
        .await?;
        let address = delivery.portal.context("no portal")?;
        std::fs::write(&options.ready_file, format!("{{\"address\":\"{address}\"}}"))?;
        let mut input = [0];
        while tokio::io::stdin().read(&mut input).await? > 0 {}
        stop.cancel();
        delivery.finished().await;
        Ok(())
    })
}

/// The whole of a package's PDF, by each client over a connection of its own.
pub fn measure(folder: &Path, pdf: &Path, report: &mut Report) -> anyhow::Result<()> {
    let packages = folder.join("packages");
    std::fs::create_dir_all(packages.join("ops"))?;
    std::fs::copy(pdf, packages.join("ops/checklist.pdf"))?;
    let config = folder.join("delivery.yaml");
    std::fs::write(
        &config,
        format!(
            "packages: packages\nportal:\n  listen: 127.0.0.1:0\n  public_url: http://127.0.0.1\n  limits: {{ requests_per_s: 100000, burst: 1000000 }}\n  \
             tokens:\n    - {{ id: bench, role: ops, sha256: {}, expires: 2999-01-01T00:00:00Z }}\n",
            hex::encode(Sha256::digest(TOKEN))
        ),
    )?;
    let downloads = folder.join("downloads");
    let own = std::env::current_exe().context("this program has no path")?;
    let portal = process::own_with(&own, "checklist-portal", |command| {
        command
            .arg("--config")
            .arg(&config)
            .arg("--downloads")
            .arg(&downloads);
    })?;
    let expected: [u8; 32] = Sha256::digest(std::fs::read(pdf)?).into();
    let (took, all) = crate::runtime()?.block_on(async {
        // All connections stand before the first one asks.
        let connections = join_all((0..CLIENTS).map(|_| connect(portal.address))).await;
        let began = Instant::now();
        let all = join_all(connections.into_iter().map(|connection| async {
            let got = download(connection?).await?;
            ensure!(got == expected, "other bytes than those of the package");
            Ok(ms(began.elapsed()))
        }))
        .await;
        (began.elapsed(), all)
    });
    drop(portal);
    let mut errors = all.iter().filter(|one| one.is_err()).count();
    if let Some(Err(first)) = all.iter().find(|one| one.is_err()) {
        report.note(format!(
            "of {errors} downloads that failed, the first one: {first:#}"
        ));
    }
    let on_record = tminus_record::verify(&downloads, Some(&SigningKey::from_seed(SEED).verifying_key()))
        .map_or(0, |verified| verified.entries.len());
    if on_record != CLIENTS {
        report.note(format!("{on_record} of {CLIENTS} downloads are on record"));
        errors = errors.max(1);
    }
    let waited = sorted(all.into_iter().flatten().collect());
    report.add(
        "downloads_1000_errors",
        errors as f64,
        "downloads",
        Limit::AtMost(0.0),
    );
    report.add("downloads_1000_s", took.as_secs_f64(), "s", Limit::None);
    report.add("downloads_1000_p50_ms", quantile(&waited, 0.5), "ms", Limit::None);
    report.add(
        "downloads_1000_p99_ms",
        quantile(&waited, 0.99),
        "ms",
        Limit::None,
    );
    report.note("downloads_1000: connections first, then all ask at once for the sealed checklist; bytes compared, each in the signed record of downloads");
    Ok(())
}

async fn connect(address: std::net::SocketAddr) -> anyhow::Result<SendRequest<Empty<Bytes>>> {
    let tcp = TcpStream::connect(address).await?;
    let (sender, connection) = http1::handshake(TokioIo::new(tcp)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// The digest of what came.
async fn download(mut connection: SendRequest<Empty<Bytes>>) -> anyhow::Result<[u8; 32]> {
    let request = Request::get("/files/ops/checklist.pdf")
        .header("host", "127.0.0.1")
        .header("authorization", format!("Bearer {TOKEN}"))
        .body(Empty::new())?;
    let answer = connection.send_request(request).await?;
    ensure!(answer.status() == 200, "the answer is {}", answer.status());
    let (mut digest, mut body) = (Sha256::new(), answer.into_body());
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            digest.update(&data);
        }
    }
    Ok(digest.finalize().into())
}
