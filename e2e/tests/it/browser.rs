//! A real browser for tests: chromedriver on a free port, headless Chromium sessions with empty
//! profiles, and a page handle that waits for conditions. Knows nothing of what a page shows.

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::wd::Capabilities;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{Process, eventually, tool};

const STARTED: &str = "started successfully on port ";
const TAKEN: &str = "Address already in use";
const TRIES_MAX: u32 = 10;
const QUITS_WITHIN: Duration = Duration::from_secs(10);

/// Chromedriver; its browsers end with it, also when a test panics.
#[derive(Debug)]
pub struct Driver {
    process: Process,
    port: u16,
    // Last, so that profiles are removed after the browsers have ended.
    directory: TempDir,
}

/// What a browser looks like to the page.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    pub width: u32,
    pub height: u32,
    /// As `navigator.language`.
    pub language: &'static str,
    /// A phone: touch, and a viewport of exactly this width.
    pub phone: bool,
}

impl Driver {
    pub async fn start() -> Driver {
        let chromedriver = tool(&["chromedriver"], "chromium-driver");
        for _ in 0..TRIES_MAX {
            let directory = tempfile::tempdir().expect("a temporary directory");
            let mut process = Process::start(
                Command::new(&chromedriver).arg("--port=0"),
                directory.path().join("chromedriver.log"),
            );
            let port = eventually(
                "chromedriver to listen",
                async || {
                    let output = process.output();
                    if let Some((_, rest)) = output.split_once(STARTED) {
                        return rest.split_once('.')?.0.parse().ok().map(Some);
                    }
                    // It asks for a free port of IPv6, which another program may have for IPv4.
                    let taken = process.ended() && process.output().contains(TAKEN);
                    assert!(taken || !process.ended(), "chromedriver ended: {output}");
                    taken.then_some(None)
                },
                async || String::new(),
            )
            .await;
            if let Some(port) = port {
                return Driver {
                    process,
                    port,
                    directory,
                };
            }
        }
        panic!("chromedriver found no free port in {TRIES_MAX} tries");
    }

    /// A new browser with an empty profile, at `url`.
    pub async fn open(&self, url: &str, window: Window) -> Page {
        let profile = tempfile::Builder::new()
            .prefix("profile-")
            .tempdir_in(self.directory.path());
        let profile = profile.expect("a profile directory").keep();
        let Window {
            width,
            height,
            language,
            phone,
        } = window;
        let mut options = json!({
            "binary": tool(&["chromium", "chromium-browser", "google-chrome"], "chromium"),
            "args": [
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--disable-dev-shm-usage",
                format!("--window-size={width},{height}"),
                format!("--lang={language}"),
                format!("--user-data-dir={}", profile.display()),
            ],
            "prefs": { "intl.accept_languages": language },
        });
        if phone {
            options["mobileEmulation"] = json!({ "deviceMetrics": { "width": width, "height": height, "pixelRatio": 2, "touch": true } });
        }
        let mut capabilities = Capabilities::new();
        capabilities.insert("goog:chromeOptions".to_owned(), options);
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{}", self.port))
            .await
            .expect("chromedriver starts a browser");
        client.goto(url).await.expect("the page loads");
        Page { client }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Killing chromedriver would leave its browsers behind; asked to shut down, it ends them.
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) {
            let request = format!("GET /shutdown HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", self.port);
            let _ = stream.write_all(request.as_bytes());
            self.process.ends_within(QUITS_WITHIN);
        }
    }
}

/// One browser window.
#[derive(Debug)]
pub struct Page {
    client: Client,
}

impl Page {
    /// Runs `script` (a function body) in the page.
    pub async fn run(&self, script: &str, arguments: Vec<Value>) -> Value {
        self.client
            .execute(script, arguments)
            .await
            .unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Waits until the expression `script` is true in the page.
    pub async fn until(&self, what: &str, script: &str) {
        let body = format!("return Boolean({script})");
        eventually(
            what,
            // A page that is just loading has nothing to say yet.
            async || (self.client.execute(&body, vec![]).await.ok()? == Value::Bool(true)).then_some(()),
            async || {
                let shown = self
                    .client
                    .execute("return document.body.innerText", vec![])
                    .await;
                format!("not `{script}`; the page shows {shown:?}")
            },
        )
        .await;
    }

    /// Waits for the element with this `data-testid` to be shown and enabled, and gives it.
    pub async fn control(&self, id: &str) -> Element {
        let shown = format!(
            "(e => e && e.checkVisibility() && !e.disabled)(document.querySelector('[data-testid=\"{id}\"]'))"
        );
        self.until(&format!("the control {id}"), &shown).await;
        self.find(&format!("[data-testid=\"{id}\"]")).await
    }

    pub async fn click(&self, id: &str) {
        self.control(id)
            .await
            .click()
            .await
            .unwrap_or_else(|error| panic!("click on {id}: {error}"));
    }

    pub async fn find(&self, css: &str) -> Element {
        self.client
            .find(Locator::Css(css))
            .await
            .unwrap_or_else(|error| panic!("{css}: {error}"))
    }

    /// The visible text of the element with this `data-testid`.
    pub async fn text(&self, id: &str) -> String {
        self.find(&format!("[data-testid=\"{id}\"]"))
            .await
            .text()
            .await
            .expect("text")
    }

    pub async fn attribute(&self, id: &str, name: &str) -> String {
        let element = self.find(&format!("[data-testid=\"{id}\"]")).await;
        element
            .attr(name)
            .await
            .expect("an attribute")
            .unwrap_or_default()
    }

    pub fn client(&self) -> &Client {
        &self.client
    }
}
