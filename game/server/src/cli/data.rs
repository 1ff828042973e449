//! `starvault migrate` and `starvault data verify`: the stores of snapshots.

use std::{
    convert::Infallible,
    fmt,
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
    str::FromStr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use starvault_snapshots::{
    Progress, Repair, Report, SnapshotError, Store, StoreUrl, VerifyOptions, compare::Difference, repair,
    verify,
};
use starvault_store::{StoreAddress, StoreOutbox};
use tminus_telemetry::{LogFormat, install};

/// A URL that is read later: what the command line's parser says of a bad one would show the password in it.
#[derive(Clone)]
pub(super) struct UrlText(String);

impl FromStr for UrlText {
    type Err = Infallible;
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for UrlText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UrlText(..)")
    }
}

impl UrlText {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// As the address of a journal.
    ///
    /// # Errors
    /// It is none; the message does not show it.
    pub(super) fn store(&self) -> anyhow::Result<StoreAddress> {
        self.0.parse().context("--store")
    }
}

/// Both URLs, read.
///
/// # Errors
/// One of them is none, or both are the same: a store compared with itself proves nothing.
pub(super) fn two_stores(primary: &UrlText, secondary: &UrlText) -> anyhow::Result<[StoreUrl; 2]> {
    let read = |name: &str, text: &UrlText| -> anyhow::Result<StoreUrl> {
        text.0.parse().with_context(|| format!("--{name}"))
    };
    let (primary, secondary) = (read("primary", primary)?, read("secondary", secondary)?);
    if primary.to_string() == secondary.to_string() {
        bail!("--primary and --secondary are both {primary}; name two stores");
    }
    Ok([primary, secondary])
}

/// Each is `mysql://USER:PASSWORD@HOST:PORT/DATABASE?ssl-mode=…`, `tidb://…` or `sqlite:PATH`. In the environment
/// a password is not seen in the list of processes.
#[derive(Debug, Args)]
pub(super) struct TwoStores {
    /// The primary store of snapshots: mysql://USER:PASSWORD@HOST:PORT/DATABASE, tidb://… or sqlite:PATH.
    #[arg(long, value_name = "URL", env = "STARVAULT_PRIMARY", hide_env_values = true)]
    primary: UrlText,
    /// The secondary store.
    #[arg(long, value_name = "URL", env = "STARVAULT_SECONDARY", hide_env_values = true)]
    secondary: UrlText,
}

impl TwoStores {
    pub(super) fn urls(&self) -> anyhow::Result<[StoreUrl; 2]> {
        two_stores(&self.primary, &self.secondary)
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum DataCommand {
    /// Compare both stores row by row, also while they are written to; exits with 1 if a row differs.
    Verify(VerifyArgs),
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    stores: TwoStores,
    /// Both must have everything up to this position of the journal, else exit with 2.
    #[arg(long, value_name = "POSITION")]
    watermark: Option<i64>,
    /// Compare digests of ranges and read only what differs: for stores at the end of a slow link.
    #[arg(long)]
    digests: bool,
    /// How long a store that is behind may stand still before its rows count as different, in milliseconds.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 10_000)]
    lag_max: u64,
    /// Mend rows that differ, from the journal given by --store. Compare again afterwards: this run exits with 1.
    #[arg(long, requires = "store")]
    repair: bool,
    /// The journal: sqlite:PATH or redis://HOST:PORT.
    #[arg(long, value_name = "STORE", env = "STARVAULT_STORE", hide_env_values = true)]
    store: Option<UrlText>,
    /// Note here how far the comparison is; if the file exists, go on from there. Removed at the end.
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// Brings the schema of both stores up to date.
pub(super) fn migrate(stores: &TwoStores) -> anyhow::Result<ExitCode> {
    let urls = stores.urls()?;
    runtime()?.block_on(async {
        for url in &urls {
            let made = Store::migrate(url).await?;
            println!("{url}: {made} steps made, up to date");
        }
        Ok(ExitCode::SUCCESS)
    })
}

pub(super) fn data(command: &DataCommand) -> anyhow::Result<ExitCode> {
    let DataCommand::Verify(arguments) = command;
    let _no_traces = install(LogFormat::Text, None)?;
    runtime()?.block_on(compare(arguments))
}

pub(super) fn runtime() -> io::Result<tokio::runtime::Runtime> {
    // One thread per store; the comparison shares them.
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
}

async fn compare(arguments: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let urls = arguments.stores.urls()?;
    let [primary, secondary] = urls.each_ref().map(Store::new);
    let options = VerifyOptions {
        watermark: arguments.watermark,
        digests: arguments.digests,
        lag_max: Duration::from_millis(arguments.lag_max),
        resume: arguments.resume.clone(),
        ..VerifyOptions::default()
    };
    let mut bar = Bar::new(&primary).await?;
    let compared = verify(&primary, &secondary, &options, &mut |progress| bar.tell(progress)).await;
    bar.clear();
    let report = compared?;
    let mut repairs = Vec::new();
    if let (true, Some(journal)) = (arguments.repair, &arguments.store) {
        repairs = repair(
            &StoreOutbox::open(&journal.store()?).await?,
            &primary,
            &secondary,
            &report.differences,
        )
        .await?;
    }
    print(&report, &repairs, arguments)?;
    if report.differences.is_empty() && report.in_motion > 0 {
        bail!(
            "{} rows changed faster than they could be read again; compare when there is less to write",
            report.in_motion
        );
    }
    Ok(ExitCode::from(u8::from(!report.is_identical())))
}

fn print(report: &Report, repairs: &[Repair], arguments: &VerifyArgs) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if arguments.json {
        let mut json = serde_json::to_value(report)?;
        if arguments.repair {
            json["repairs"] = serde_json::to_value(repairs)?;
        }
        writeln!(out, "{}", serde_json::to_string_pretty(&json)?)?;
        return Ok(());
    }
    let Report {
        rows,
        differences,
        rows_per_s,
        watermark,
        ..
    } = report;
    writeln!(
        out,
        "rows {rows}, differences {}, up to position {watermark}, {rows_per_s} rows/s",
        differences.len()
    )?;
    let version = |version: Option<i64>| version.map_or("none".into(), |version| version.to_string());
    for Difference {
        player_id,
        kind,
        store,
        primary_version,
        secondary_version,
    } in differences
    {
        let store = store.map_or("either store", |side| side.name());
        let (primary, secondary) = (version(*primary_version), version(*secondary_version));
        let kind = kind.name();
        writeln!(
            out,
            "{kind} {player_id}: {store}; version {primary} in primary, {secondary} in secondary"
        )?;
    }
    for repair in repairs {
        let (from, to) = (version(repair.from_version), version(repair.to_version));
        let store = repair.store.name();
        let player_id = &repair.player_id;
        match &repair.why {
            None => writeln!(out, "repaired {player_id} in {store}: version {from} -> {to}")?,
            Some(why) => writeln!(out, "not repaired {player_id} in {store}: {why}")?,
        }
    }
    Ok(())
}

/// Where the comparison is, for somebody who looks; nothing where nobody does.
struct Bar {
    expected: Option<u64>,
    began: Instant,
    told: Option<Instant>,
}

const TELL_EVERY: Duration = Duration::from_millis(200);

impl Bar {
    async fn new(primary: &Store) -> Result<Bar, SnapshotError> {
        // To count a large table takes a while: only for somebody who looks.
        let expected = if io::stderr().is_terminal() {
            primary.check_schema().await?;
            Some(primary.count().await?)
        } else {
            None
        };
        Ok(Bar {
            expected,
            began: Instant::now(),
            told: None,
        })
    }

    fn tell(&mut self, progress: Progress) {
        let Some(expected) = self.expected else { return };
        if self.told.is_some_and(|told| told.elapsed() < TELL_EVERY) {
            return;
        }
        self.told = Some(Instant::now());
        let Progress { rows, differences } = progress;
        let percent = (rows * 100 / expected.max(1)).min(100);
        let filled = "#".repeat(percent as usize / 5);
        let seconds = self.began.elapsed().as_secs();
        eprint!("\r[{filled:<20}] {percent} %, {rows} rows, {differences} differences, {seconds} s ");
    }

    fn clear(&self) {
        if self.told.is_some() {
            eprintln!();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_none_is_refused_without_its_password() {
        for wrong in [
            "redis://anna:geheim@:::",
            "rediss://anna:geheim@host?sni=a",
            "anna:geheim",
        ] {
            let Ok(text) = wrong.parse::<UrlText>();
            let error = format!("{:#}", text.store().unwrap_err());
            assert!(
                error.starts_with("--store: not the address of a journal"),
                "{error}"
            );
            assert!(
                !error.contains("geheim") && !format!("{text:?}").contains("geheim"),
                "{error}"
            );
        }
    }
}
