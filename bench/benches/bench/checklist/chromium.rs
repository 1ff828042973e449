//! Chromium as a printer: a process per page, and a browser that stays.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_websockets::{ClientBuilder, Limits, Message, WebSocketStream};

const PROGRAM: &str = "chromium";
/// For a start, and for a page.
const PATIENCE: Duration = Duration::from_secs(60);

/// As little of a browser as there is.
fn command(profile: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
        ])
        .arg(format!("--user-data-dir={}", profile.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// `chromium --print-to-pdf`, with a profile that is made by the first page.
pub struct Printer {
    folder: TempDir,
}

impl Printer {
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self {
            folder: tempfile::tempdir()?,
        })
    }

    /// How long the whole process took.
    pub fn print(&self, page: &Path) -> anyhow::Result<Duration> {
        let pdf = self.folder.path().join("printed.pdf");
        let mut chromium = command(&self.folder.path().join("profile"));
        chromium
            .arg("--no-pdf-header-footer")
            .arg(format!("--print-to-pdf={}", pdf.display()))
            .arg(format!("file://{}", page.display()));
        let began = Instant::now();
        let status = chromium
            .status()
            .with_context(|| format!("cannot start {PROGRAM}; apt-get install chromium"))?;
        let took = began.elapsed();
        ensure!(status.success(), "{PROGRAM} --print-to-pdf: {status}");
        ensure!(
            std::fs::metadata(&pdf)?.len() > 10_000,
            "{PROGRAM} printed nothing"
        );
        std::fs::remove_file(&pdf)?;
        Ok(took)
    }
}

/// A browser with one empty page, spoken to over its devtools protocol.
pub struct Browser {
    child: Child,
    socket: WebSocketStream<TcpStream>,
    page: String,
    number: u64,
    _profile: TempDir,
}

impl Browser {
    pub async fn start() -> anyhow::Result<Self> {
        let profile = tempfile::tempdir()?;
        let mut child = command(profile.path())
            .arg("--remote-debugging-port=0")
            .arg("about:blank")
            .spawn()
            .with_context(|| format!("cannot start {PROGRAM}; apt-get install chromium"))?;
        let connected = connect(&mut child, &profile.path().join("DevToolsActivePort")).await;
        let socket = match connected {
            Ok(socket) => socket,
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        };
        let mut browser = Self {
            child,
            socket,
            page: String::new(),
            number: 0,
            _profile: profile,
        };
        let made = browser
            .ask("Target.createTarget", json!({ "url": "about:blank" }))
            .await?;
        let attach = json!({ "targetId": made["targetId"], "flatten": true });
        let attached = browser.ask("Target.attachToTarget", attach).await?;
        attached["sessionId"]
            .as_str()
            .context("no session with the page")?
            .clone_into(&mut browser.page);
        browser.ask("Page.enable", json!({})).await?;
        Ok(browser)
    }

    /// Loads the page and prints it; the bytes of the PDF.
    pub async fn print(&mut self, page: &Path) -> anyhow::Result<(Duration, usize)> {
        let began = Instant::now();
        let url = format!("file://{}", page.display());
        let asked = self.send("Page.navigate", json!({ "url": url })).await?;
        let (mut answered, mut loaded) = (false, false);
        while !(answered && loaded) {
            let said = self.next().await?;
            loaded |= said["method"] == "Page.loadEventFired";
            if said["id"] == asked {
                ensure!(said["result"]["errorText"].is_null(), "the page: {said}");
                answered = true;
            }
        }
        let options =
            json!({ "printBackground": true, "displayHeaderFooter": false, "preferCSSPageSize": true });
        let printed = self.ask("Page.printToPDF", options).await?;
        let took = began.elapsed();
        let digits = printed["data"].as_str().context("no PDF in the answer")?.len();
        Ok((took, digits / 4 * 3))
    }

    async fn ask(&mut self, method: &str, parameters: Value) -> anyhow::Result<Value> {
        let number = self.send(method, parameters).await?;
        loop {
            let mut said = self.next().await?;
            if said["id"] == number {
                ensure!(said["error"].is_null(), "{method}: {}", said["error"]);
                return Ok(said["result"].take());
            }
        }
    }

    async fn send(&mut self, method: &str, parameters: Value) -> anyhow::Result<u64> {
        self.number += 1;
        let mut call = json!({ "id": self.number, "method": method, "params": parameters });
        if !self.page.is_empty() {
            call["sessionId"] = self.page.as_str().into();
        }
        self.socket.send(Message::text(call.to_string())).await?;
        Ok(self.number)
    }

    async fn next(&mut self) -> anyhow::Result<Value> {
        let message = tokio::time::timeout(PATIENCE, self.socket.next())
            .await
            .context("the browser says nothing more")?
            .context("the browser went away")??;
        Ok(serde_json::from_slice(message.as_payload())?)
    }
}

async fn connect(child: &mut Child, port_file: &Path) -> anyhow::Result<WebSocketStream<TcpStream>> {
    let began = Instant::now();
    let (port, path) = loop {
        let text = std::fs::read_to_string(port_file).unwrap_or_default();
        if let Some((port, path)) = text.split_once('\n') {
            break (port.trim().parse::<u16>()?, path.trim().to_owned());
        }
        if let Some(status) = child.try_wait()? {
            bail!("{PROGRAM} ended at its start: {status}");
        }
        ensure!(
            began.elapsed() < PATIENCE,
            "{PROGRAM} was not ready after {PATIENCE:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let tcp = TcpStream::connect(("127.0.0.1", port)).await?;
    tcp.set_nodelay(true)?;
    let uri = format!("ws://127.0.0.1:{port}{path}").parse()?;
    // A page of some megabytes comes as one message.
    let limits = Limits::default().max_payload_len(Some(512 * 1024 * 1024));
    let (socket, _) = ClientBuilder::from_uri(uri)
        .limits(limits)
        .connect_on(tcp)
        .await?;
    Ok(socket)
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
