//! Scanned pages, from files to ticks: PNG and JPEG as they are, PDF through poppler's `pdftoppm`.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::Serialize;
use tminus_after::paper::{DetectError, FILE_BYTES_MAX, Layout, Tick, detect, read_scan};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use crate::error::{CliError, Kind, Result};

/// Pages of one PDF.
const PAGES_MAX: u32 = 100;
const PDF_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// One page, by a program of others.
const PAGE_MAX: Duration = Duration::from_secs(60);
const DPI: &str = "200";
const PACKAGE_HINT: &str =
    "install poppler-utils (Debian, Ubuntu; `poppler` elsewhere), or scan to PNG or JPEG";

/// One page of a file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Page {
    pub file: String,
    /// From 1.
    pub page: u32,
    #[serde(flatten)]
    pub read: Read,
}

/// What was read there.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Read {
    Ticks(Vec<Tick>),
    /// A page of a PDF without a single mark: another page of the checklist.
    Other,
    /// For a person to look at.
    Unreadable(String),
}

/// Reads the pages of one file.
///
/// # Errors
/// The file cannot be read, or `pdftoppm` is missing or does not open it.
pub async fn pages(file: &Path, layout: &Layout) -> Result<Vec<Page>> {
    let shown = file.display().to_string();
    let length = std::fs::metadata(file)
        .map_err(|e| CliError::file("read", file, &e))?
        .len();
    let page = |number, read| Page {
        file: shown.clone(),
        page: number,
        read,
    };
    if !is_pdf(file)? {
        if length > FILE_BYTES_MAX as u64 {
            let why = format!("{length} bytes, more than {FILE_BYTES_MAX}; scan in grey at 300 dpi at most");
            return Ok(vec![page(1, Read::Unreadable(why))]);
        }
        let bytes = std::fs::read(file).map_err(|e| CliError::file("read", file, &e))?;
        return Ok(vec![page(1, ticks(&bytes, layout, false))]);
    }
    if length > PDF_BYTES_MAX {
        return Err(
            CliError::usage(format!("{shown} has {length} bytes, more than {PDF_BYTES_MAX}"))
                .hint("give the page by hand alone"),
        );
    }
    let mut pages = Vec::new();
    let count = page_count(file).await?;
    for number in 1..=count {
        let read = match picture(file, number).await? {
            Ok(png) => ticks(&png, layout, count > 1),
            Err(why) => Read::Unreadable(why),
        };
        pages.push(page(number, read));
    }
    // Of a PDF at least one page is to be one.
    if pages.iter().all(|page| page.read == Read::Other)
        && let Some(first) = pages.first_mut()
    {
        first.read = Read::Unreadable(format!(
            "none of the {count} pages has the marks of the page by hand; scan that page whole and flat"
        ));
    }
    Ok(pages)
}

fn is_pdf(file: &Path) -> Result<bool> {
    use std::io::Read as _;
    let mut head = Vec::new();
    std::fs::File::open(file)
        .and_then(|opened| opened.take(1024).read_to_end(&mut head))
        .map_err(|e| CliError::file("read", file, &e))?;
    Ok(head.windows(5).any(|five| five == b"%PDF-"))
}

fn ticks(bytes: &[u8], layout: &Layout, among_others: bool) -> Read {
    let image = match read_scan(bytes) {
        Ok(image) => image,
        Err(error) => return Read::Unreadable(error.to_string()),
    };
    match detect(&image, layout) {
        Ok(ticks) => Read::Ticks(ticks),
        Err(DetectError::Marks { found: 0 }) if among_others => Read::Other,
        Err(error) => Read::Unreadable(error.to_string()),
    }
}

async fn page_count(file: &Path) -> Result<u32> {
    let (out, said) = output("pdfinfo", &[], file, 64 * 1024).await?;
    let out = out.map_err(|why| CliError::usage(format!("pdfinfo cannot read {}: {why}", file.display())))?;
    let out = String::from_utf8_lossy(&out);
    let count = out
        .lines()
        .find_map(|line| line.strip_prefix("Pages:"))
        .and_then(|count| count.trim().parse::<u32>().ok());
    match count {
        Some(count) if (1..=PAGES_MAX).contains(&count) => Ok(count),
        Some(count) => Err(CliError::usage(format!(
            "{} has {count} pages; 1 to {PAGES_MAX} are read",
            file.display()
        ))
        .hint("give the page by hand alone")),
        None => Err(CliError::usage(format!(
            "{} is no PDF that poppler opens: {}",
            file.display(),
            said.trim()
        ))),
    }
}

/// One page as PNG; in words when it could not be made.
async fn picture(file: &Path, page: u32) -> Result<std::result::Result<Vec<u8>, String>> {
    let page = page.to_string();
    let options = [
        "-gray",
        "-png",
        "-r",
        DPI,
        "-f",
        &page,
        "-l",
        &page,
        "-singlefile",
    ];
    let (out, _) = output("pdftoppm", &options, file, FILE_BYTES_MAX).await?;
    Ok(out)
}

/// What a program of poppler's writes on its standard output, up to a limit, and what it says besides.
async fn output(
    program: &str,
    options: &[&str],
    file: &Path,
    bytes_max: usize,
) -> Result<(std::result::Result<Vec<u8>, String>, String)> {
    // An absolute path is no option, whatever the file is called.
    let file = std::path::absolute(file).map_err(|e| CliError::file("find", file, &e))?;
    let mut child = Command::new(program)
        .args(options)
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => CliError::new(
                Kind::Environment,
                format!("`{program}` is missing, which turns a PDF into pixels"),
            )
            .hint(PACKAGE_HINT),
            _ => CliError::new(
                Kind::Environment,
                format!("cannot start `{program}`: {}", crate::error::io_words(&e)),
            ),
        })?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (mut bytes, mut said) = (Vec::new(), Vec::new());
    let reading = async {
        let out = async {
            if let Some(stdout) = stdout {
                let _ = stdout.take(bytes_max as u64 + 1).read_to_end(&mut bytes).await;
            }
        };
        let err = async {
            if let Some(stderr) = stderr {
                let _ = stderr.take(4096).read_to_end(&mut said).await;
            }
        };
        tokio::join!(out, err);
        child.wait().await
    };
    let ended = tokio::time::timeout(PAGE_MAX, reading).await;
    let said = String::from_utf8_lossy(&said).into_owned();
    let first = said.lines().next().unwrap_or("no reason given").to_owned();
    let out = match ended {
        Err(_) => Err(format!("{program} took longer than {} s", PAGE_MAX.as_secs())),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(_)) if bytes.len() > bytes_max => Err(format!("{program} made more than {bytes_max} bytes")),
        Ok(Ok(status)) if !status.success() => Err(first),
        Ok(Ok(_)) => Ok(bytes),
    };
    Ok((out, said))
}
