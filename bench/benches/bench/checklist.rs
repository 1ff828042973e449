//! A checklist of 40 items: typeset beside Chromium's print of its HTML edition, sealed with a key in a SoftHSM token,
//! verified, and downloaded by a thousand clients at the same time.
//!
//! Chromium is measured twice: as `chromium --print-to-pdf`, a process per document, and as a browser that is there
//! already and prints over its devtools protocol. Ours is measured in this process and as a process per document, too.
//! The rounds take turns, so that a busy machine touches all four alike. Chromium prints only: no PDF/A, no attachments.

mod chromium;
mod launches;
mod portal;
mod token;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;
use tminus_checklist::{DocumentModel, FontSource, Limits, Reader, html, read_back, render, verify_with};
use tminus_seal::Roots;

use crate::report::{Limit, Report, quantile, sorted};
use launches::Launch;

pub use portal::{PortalOptions, serve};
pub use token::{SealsOptions, seals};

/// Documents that take turns: no two in a row have a figure in common.
const DOCUMENTS: u32 = 4;
/// Warm documents of a round; Chromium prints one.
const WARM_PER_ROUND: usize = 3;
const SEALS: usize = 21;
const VERIFICATIONS: usize = 15;
const READ_BACKS: usize = 3;

#[derive(Debug, Clone, Args)]
pub struct ChecklistOptions {
    /// Items of the checklist.
    #[arg(long, default_value_t = 40)]
    items: u32,
    /// Rounds of ours and Chromium's, after one that does not count.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
    /// Given by cargo; means nothing here.
    #[arg(long, hide = true)]
    bench: bool,
}

/// One document in a process of its own; see [`once`].
#[derive(Debug, Clone, Args)]
pub struct OnceOptions {
    #[arg(long)]
    record: PathBuf,
    #[arg(long)]
    out: PathBuf,
    /// Given by cargo; means nothing here.
    #[arg(long, hide = true)]
    bench: bool,
}

struct Document {
    launch: Launch,
    model: DocumentModel,
    html: PathBuf,
}

pub fn run(options: &ChecklistOptions) -> anyhow::Result<Report> {
    ensure!(options.rounds > 0 && options.items > 0, "nothing to measure");
    let folder = tempfile::tempdir()?;
    let mut report = Report::default();
    let began = Instant::now();
    let fonts = FontSource::system()?;
    report.add("fonts_ms_once", ms(began.elapsed()), "ms", Limit::None);
    let mut documents = Vec::new();
    for seed in 0..DOCUMENTS {
        let launch = launches::of(options.items, seed);
        let model = launch.model();
        let page = folder.path().join(format!("{seed}.html"));
        std::fs::write(&page, html(&model)?)?;
        documents.push(Document {
            launch,
            model,
            html: page,
        });
    }
    typeset(options, folder.path(), &documents, &fonts, &mut report)?;
    let issued = launches::issued(options.items, DOCUMENTS, &fonts);
    let sealed = sealed(folder.path(), &issued, &mut report)?;
    verified(&issued, &sealed, &mut report)?;
    portal::measure(folder.path(), &sealed.pdf, &mut report)?;
    report.note(format!(
        "{} items; {} rounds that take turns, {WARM_PER_ROUND} of ours to one of Chromium's; medians; load {}",
        options.items,
        options.rounds,
        load()
    ));
    report.note("ms_per_document_warm: data to PDF/A-3a and PDF/UA-1 with attachments and XMP, fonts read before; each document is another one");
    report.note("chromium_print_to_pdf_ms: start of the process, load, layout, print and its end, from a profile that is there; ratio_vs_chromium is with this");
    report.note("chromium_warm_ms: a browser that is there, navigation and Page.printToPDF over the devtools protocol, without its start");
    Ok(report)
}

fn typeset(
    options: &ChecklistOptions,
    folder: &Path,
    documents: &[Document],
    fonts: &FontSource,
    report: &mut Report,
) -> anyhow::Result<()> {
    let runtime = crate::runtime()?;
    let printer = chromium::Printer::new()?;
    let mut browser = runtime.block_on(chromium::Browser::start())?;
    let own = std::env::current_exe().context("this program has no path")?;
    let (mut warm, mut cold, mut printed, mut printed_warm) = (vec![], vec![], vec![], vec![]);
    let (mut ratios, mut ratios_warm, mut ratios_cold) = (vec![], vec![], vec![]);
    let mut turn = documents.iter().cycle();
    for round in 0..=options.rounds {
        let mut next = || turn.next().context("there is a document");
        let mut ours = Vec::new();
        for _ in 0..WARM_PER_ROUND {
            let model = &next()?.model;
            let began = Instant::now();
            let pdf = render(model, fonts)?;
            ours.push(ms(began.elapsed()));
            ensure!(pdf.starts_with(b"%PDF"), "no PDF");
        }
        let document = next()?;
        let print = ms(printer.print(&document.html)?);
        let began = Instant::now();
        let status = Command::new(&own)
            .arg("checklist-once")
            .arg("--record")
            .arg(document.launch.record_dir())
            .arg("--out")
            .arg(folder.join("cold.pdf"))
            .status()?;
        let process = ms(began.elapsed());
        ensure!(status.success(), "one document in a process of its own: {status}");
        let (took, bytes) = runtime.block_on(browser.print(&document.html))?;
        ensure!(bytes > 10_000, "the browser printed {bytes} bytes");
        if round == 0 {
            continue;
        }
        let (print_warm, median) = (ms(took), quantile(&sorted(ours.clone()), 0.5));
        ratios.push(median / print);
        ratios_warm.push(median / print_warm);
        ratios_cold.push(process / print);
        warm.extend(ours);
        cold.push(process);
        printed.push(print);
        printed_warm.push(print_warm);
    }
    let median = |all: Vec<f64>| quantile(&sorted(all), 0.5);
    let p90 = quantile(&sorted(warm.clone()), 0.9);
    report.add("ms_per_document_warm", median(warm), "ms", Limit::AtMost(60.0));
    report.add("ms_per_document_warm_p90", p90, "ms", Limit::None);
    report.add("ms_per_document_process", median(cold), "ms", Limit::None);
    report.add("chromium_print_to_pdf_ms", median(printed), "ms", Limit::None);
    report.add("chromium_warm_ms", median(printed_warm), "ms", Limit::None);
    report.add("ratio_vs_chromium", median(ratios), "times", Limit::AtMost(0.1));
    report.add(
        "ratio_vs_chromium_warm",
        median(ratios_warm),
        "times",
        Limit::None,
    );
    report.add(
        "ratio_process_vs_process",
        median(ratios_cold),
        "times",
        Limit::None,
    );

    let Some(first) = documents.first() else {
        return Ok(());
    };
    let pdf = render(&first.model, fonts)?;
    report.add("document_kb", pdf.len() as f64 / 1e3, "kB", Limit::None);
    let (mut took, mut pages) = (Vec::new(), 0);
    for _ in 0..READ_BACKS {
        let began = Instant::now();
        let read = read_back(&pdf, &first.model, fonts, &Limits::default())?;
        took.push(ms(began.elapsed()));
        ensure!(!read.blocks(), "read back: {:?}", read.findings);
        pages = read.pages.len();
    }
    report.add("document_pages", pages as f64, "pages", Limit::None);
    report.add("read_back_ms", median(took), "ms", Limit::None);
    Ok(())
}

/// From a record to a PDF, once: what a process per document costs.
pub fn once(options: &OnceOptions) -> anyhow::Result<()> {
    let record = tminus_record::verify(&options.record, None).map_err(|faults| {
        let first = faults.first().map(ToString::to_string).unwrap_or_default();
        anyhow::anyhow!("the record: {first}")
    })?;
    let checkpoint = std::fs::read(options.record.join("checkpoint"))?;
    let model = DocumentModel::from_record(&record.entries, &checkpoint, &record.key)?;
    std::fs::write(&options.out, render(&model, &FontSource::system()?)?)?;
    Ok(())
}

struct Sealed {
    pdf: PathBuf,
    roots: Roots,
}

fn sealed(folder: &Path, issued: &Launch, report: &mut Report) -> anyhow::Result<Sealed> {
    let out = folder.join("sealed.pdf");
    let made = token::measure(folder, &issued.pdf(), &out, SEALS)?;
    let median = |all: &[f64]| quantile(&sorted(all.to_vec()), 0.5);
    report.add("seal_ms", median(&made.seal_ms), "ms", Limit::AtMost(40.0));
    report.add("open_token_ms", median(&made.open_ms), "ms", Limit::None);
    report.note("seal_ms: PAdES B-B, P-256 in SoftHSM over PKCS #11, without open_token_ms (module, PIN, key); no time stamp authority is asked");
    Ok(Sealed {
        pdf: out,
        roots: Roots::new(vec![made.certificate]),
    })
}

fn verified(issued: &Launch, sealed: &Sealed, report: &mut Report) -> anyhow::Result<()> {
    let reader = Reader {
        key: Some(issued.key()),
        roots: sealed.roots.clone(),
        ..Reader::default()
    };
    let mut took = Vec::new();
    for _ in 0..VERIFICATIONS {
        let began = Instant::now();
        let found = verify_with(&sealed.pdf, issued.record_dir(), &reader)?;
        took.push(ms(began.elapsed()));
        let wrong = found.lines.iter().find(|line| !line.ok);
        ensure!(found.ok, "the sealed checklist does not verify: {wrong:?}");
    }
    let median = quantile(&sorted(took), 0.5);
    report.add("verify_ms", median, "ms", Limit::AtMost(150.0));
    report.add(
        "record_entries",
        issued.record.size() as f64,
        "entries",
        Limit::None,
    );
    Ok(())
}

fn ms(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

/// Of the whole machine, over 1, 5 and 15 minutes.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}
