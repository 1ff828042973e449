//! The access log: one JSON object per request, when its answer has ended.
//!
//! A thread of its own writes it. A request never waits for the log: when the disk is slower than the requests, lines
//! are left out and counted. Queries are left out, too: they may hold what must not lie in a log.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, SystemTime};

use http::{HeaderValue, Method, Request, Version};
use serde::Serialize;

use crate::headers::host;

/// Lines that wait for the disk.
const QUEUE_MAX: usize = 16 * 1024;
const PATH_BYTES_MAX: usize = 1024;

/// Where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// A file, appended to; opened anew with each reload, so that it can be moved away before.
    File(PathBuf),
}

/// Takes lines.
#[derive(Clone, Debug)]
pub struct AccessLog {
    sender: SyncSender<Order>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Order {
    Line(Box<Line>),
    Reopen,
}

/// What is known of a request when it arrives.
#[derive(Clone, Debug)]
pub struct Asked {
    at: SystemTime,
    client: IpAddr,
    method: Method,
    host: Option<String>,
    path: String,
    protocol: &'static str,
    request_id: HeaderValue,
}

impl Asked {
    /// Of a request.
    pub fn new<B>(request: &Request<B>, client: IpAddr, request_id: &HeaderValue) -> Self {
        let path = request.uri().path();
        let end = (0..=PATH_BYTES_MAX.min(path.len()))
            .rev()
            .find(|end| path.is_char_boundary(*end));
        Self {
            at: SystemTime::now(),
            client,
            method: request.method().clone(),
            host: host(request.uri(), request.headers()).map(str::to_owned),
            path: path[..end.unwrap_or_default()].to_owned(),
            protocol: match request.version() {
                Version::HTTP_2 => "HTTP/2",
                Version::HTTP_10 => "HTTP/1.0",
                _ => "HTTP/1.1",
            },
            request_id: request_id.clone(),
        }
    }
}

/// How it ended.
#[derive(Clone, Debug, Default)]
pub struct Answered {
    /// `None`: its caller left before.
    pub status: Option<u16>,
    /// Of gRPC.
    pub grpc_status: Option<u32>,
    /// Who answered.
    pub backend: Option<String>,
    /// Its release.
    pub version: Option<String>,
    /// From its arrival to the end of its answer.
    pub took: Duration,
}

#[derive(Debug)]
struct Line {
    asked: Asked,
    answered: Answered,
}

/// The form on disk.
#[derive(Serialize)]
struct Written<'a> {
    at: String,
    client: IpAddr,
    method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    path: &'a str,
    protocol: &'a str,
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grpc_status: Option<u32>,
    backend: Option<&'a str>,
    version: Option<&'a str>,
    took_ms: f64,
    request_id: &'a str,
}

impl AccessLog {
    /// Opens it and starts its thread, which ends with the last of those who hold the log.
    ///
    /// # Errors
    /// The file cannot be opened, or no thread can be started.
    pub fn start(target: &Target) -> io::Result<Self> {
        let output = open(target)?;
        let (sender, receiver) = sync_channel(QUEUE_MAX);
        let target = target.clone();
        std::thread::Builder::new()
            .name("gateway-access-log".to_owned())
            .spawn(move || write(&receiver, output, &target))?;
        Ok(Self {
            sender,
            dropped: Arc::default(),
        })
    }

    /// One line. Never waits.
    pub fn log(&self, asked: Asked, answered: Answered) {
        let line = Box::new(Line { asked, answered });
        if self.sender.try_send(Order::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Opens the file anew.
    pub fn reopen(&self) {
        // With a full queue the next reload does it.
        let _ = self.sender.try_send(Order::Reopen);
    }

    /// Lines that were left out.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

fn open(target: &Target) -> io::Result<Box<dyn Write + Send>> {
    Ok(match target {
        Target::Stdout => Box::new(io::stdout()),
        Target::File(path) => Box::new(append(path)?),
    })
}

fn append(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(path)
}

fn write(orders: &Receiver<Order>, output: Box<dyn Write + Send>, target: &Target) {
    let mut output = BufWriter::new(output);
    let mut failing = false;
    while let Ok(first) = orders.recv() {
        // All that waits is written in one go, and then lies in the file.
        let mut written = Ok(());
        for order in std::iter::once(first).chain(orders.try_iter()) {
            match order {
                Order::Line(line) => written = written.and(line.write(&mut output)),
                Order::Reopen => match open(target) {
                    Ok(opened) => {
                        let _ = output.flush();
                        output = BufWriter::new(opened);
                    }
                    Err(error) => tracing::error!(%error, "the access log cannot be opened anew"),
                },
            }
        }
        let written = written.and_then(|()| output.flush());
        if let Err(error) = &written
            && !failing
        {
            tracing::error!(%error, "the access log cannot be written");
        }
        failing = written.is_err();
        if failing {
            // What is stuck in the buffer is half a line: what follows begins afresh.
            let (inner, _) = output.into_parts();
            output = BufWriter::new(inner);
        }
    }
}

impl Line {
    fn write(&self, output: &mut impl Write) -> io::Result<()> {
        let Self { asked, answered } = self;
        let at = jiff::Timestamp::try_from(asked.at).map(|at| format!("{at:.3}"));
        let written = Written {
            at: at.unwrap_or_default(),
            client: asked.client,
            method: asked.method.as_str(),
            host: asked.host.as_deref(),
            path: &asked.path,
            protocol: asked.protocol,
            status: answered.status,
            grpc_status: answered.grpc_status,
            backend: answered.backend.as_deref(),
            version: answered.version.as_deref(),
            took_ms: (answered.took.as_secs_f64() * 1e6).round() / 1e3,
            request_id: asked.request_id.to_str().unwrap_or_default(),
        };
        serde_json::to_writer(&mut *output, &written)?;
        output.write_all(b"\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_object_without_the_query() {
        let request = Request::get("http://play.example/a%22b?token=secret")
            .body(())
            .unwrap();
        let client = "203.0.113.9".parse().unwrap();
        let mut asked = Asked::new(&request, client, &HeaderValue::from_static("id-1"));
        asked.at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_234);
        let line = Line {
            asked,
            answered: Answered {
                status: Some(200),
                grpc_status: None,
                backend: Some("canary".to_owned()),
                version: Some("v1.3".to_owned()),
                took: Duration::from_nanos(1_234_567),
            },
        };
        let mut text = Vec::new();
        line.write(&mut text).unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "{\"at\":\"1970-01-01T00:00:01.234Z\",\"client\":\"203.0.113.9\",\"method\":\"GET\",\
             \"host\":\"play.example\",\"path\":\"/a%22b\",\"protocol\":\"HTTP/1.1\",\"status\":200,\"backend\":\"canary\",\
             \"version\":\"v1.3\",\"took_ms\":1.235,\"request_id\":\"id-1\"}\n"
        );
    }

    #[test]
    fn a_long_path_is_cut() {
        let request = Request::get(format!("/{}", "a".repeat(5_000))).body(()).unwrap();
        let asked = Asked::new(&request, "::1".parse().unwrap(), &HeaderValue::from_static("1"));
        assert_eq!(asked.path.len(), PATH_BYTES_MAX);
    }
}
