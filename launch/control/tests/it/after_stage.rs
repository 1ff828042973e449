//! A launch that has ended, the process after it, and the ticket system's stand-in: what the tests of `tminus after` share.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use image::{GrayImage, Luma};
use tminus_after::feedback::{FeedbackLinks, Invitation, LinkKey};
use tminus_after::paper::Layout;
use tminus_control::after::{self, AfterConfig, Listeners, Outside, Serving};
use tminus_handoff::{Channel, Download, DownloadLog as _, RecordLog, Who};
use tminus_plan::{Evidence, Fact, Measurement};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::bench::{PLAN, begin, key, open, plan};
use crate::desk::{Desk, TOKEN};

pub const HOUR_MS: u64 = 3_600_000;
pub const FEEDBACK_KEY: [u8; 32] = [7; 32];
/// What must have happened long before.
const WAIT_MAX: Duration = Duration::from_secs(60);

pub struct Stage {
    pub folder: tempfile::TempDir,
    pub desk: Arc<Desk>,
    pub desk_address: SocketAddr,
    pub launch: String,
}

pub struct Running {
    pub serving: Serving,
    pub stop: CancellationToken,
}

pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

/// A record with one gate that ran and an end; a canary that was rolled back if so asked.
fn launch(folder: &Path, rolled_back: bool) -> String {
    begin(folder, &plan(PLAN), false);
    let mut book = open(folder);
    let started = book.state().unwrap();
    let at_ms = started.last_at_ms;
    let gate = ("later".to_owned(), "c".to_owned());
    book.append(Fact::GateStarted {
        item: gate.0.clone(),
        gate: gate.1.clone(),
        attempt: 1,
        at_ms,
    })
    .unwrap();
    let rolled_back = f64::from(u8::from(rolled_back));
    book.append(Fact::Evidence(Evidence {
        item: gate.0,
        gate: gate.1,
        kind: "command".into(),
        attempt: 1,
        started_at_ms: at_ms,
        ended_at_ms: at_ms,
        target: "here".into(),
        command: vec!["c".into()],
        inputs: Default::default(),
        measurements: [
            ("exit_code".to_owned(), Measurement::new(0.0, "1")),
            ("rolled_back".to_owned(), Measurement::new(rolled_back, "1")),
        ]
        .into(),
        notes: Vec::new(),
        series: Default::default(),
    }))
    .unwrap();
    let totals = book.state().unwrap().totals();
    book.append(Fact::LaunchFinished {
        at_ms,
        ticked: totals.ticked,
        crossed: totals.crossed,
        not_checked: totals.not_checked,
        feedback_url: None,
    })
    .unwrap();
    started.launch_id
}

pub fn private(file: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, text).unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
}

impl Stage {
    /// With Jira at an address where nobody listens yet.
    pub async fn new(rolled_back: bool) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let launch = launch(folder.path(), rolled_back);
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stage = Self {
            desk_address: free.local_addr().unwrap(),
            desk: Desk::new(now_ms()),
            folder,
            launch,
        };
        private(
            &stage.path("keys/feedback.key"),
            &(hex::encode(FEEDBACK_KEY) + "\n"),
        );
        private(&stage.path("sink.token"), TOKEN);
        stage.configure("");
        stage
    }

    /// With Jira there.
    pub async fn served(rolled_back: bool) -> Self {
        let stage = Self::new(rolled_back).await;
        stage.serve_desk().await;
        stage
    }

    pub async fn serve_desk(&self) {
        crate::desk::serve(&self.desk, Some(self.desk_address)).await;
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn config_file(&self) -> PathBuf {
        self.path("after.yaml")
    }

    /// Writes the configuration, with more lines at its end.
    pub fn configure(&self, more: &str) {
        let jira = format!(
            "tickets:\n  jira:\n    url: http://{}\n    email: ops@example.org\n    project: OPS\n    token_file: sink.token\n    \
             mentions: {{ sre: 5b10ac8d82e05b22cc7d4ef5 }}\n",
            self.desk_address
        );
        self.configure_with(&jira, more);
    }

    pub fn configure_with(&self, tickets: &str, more: &str) {
        let text = format!(
            "launch: .\nlisten: 127.0.0.1:0\nadmin: 127.0.0.1:0\nplain_http: true\nzone: Asia/Shanghai\ntrusted_proxies: [127.0.0.1]\n{tickets}{more}"
        );
        std::fs::write(self.config_file(), text).unwrap();
    }

    pub fn config(&self) -> AfterConfig {
        AfterConfig::load(&self.config_file()).unwrap()
    }

    pub fn outside(&self) -> Outside {
        let clock = self.desk.clock.clone();
        Outside {
            clock: Arc::new(move || clock.load(Ordering::SeqCst)),
            chance: Arc::new(|| 0.5),
            every: Duration::from_millis(5),
        }
    }

    pub async fn start(&self) -> Running {
        let config = self.config();
        let stop = CancellationToken::new();
        let listeners = Listeners::bind(&config).await.unwrap();
        let serving = after::serve(&config, self.outside(), listeners, stop.clone())
            .await
            .unwrap();
        Running { serving, stop }
    }

    pub fn later(&self, ms: u64) {
        self.desk.clock.fetch_add(ms, Ordering::SeqCst);
    }

    /// The ops package, taken by its reader.
    pub async fn download(&self, file: &str, who: &str, at_ms: u64) {
        let log = RecordLog::open(&self.path("downloads"), "bench/downloads", &key(1)).unwrap();
        log.append(Download {
            who: Who::Token(who.to_owned()),
            role: "ops".into(),
            file: file.to_owned(),
            sha256: [1; 32],
            offset: 0,
            bytes: 9,
            address: "127.0.0.1".parse().unwrap(),
            at_ms: i64::try_from(at_ms).unwrap(),
            channel: Channel::Portal,
        })
        .await
        .unwrap();
    }

    /// `tminus after …` as somebody types it; the configuration is added.
    pub fn tminus(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_tminus"))
            .arg("after")
            .args(words)
            .arg("--config")
            .arg(self.config_file())
            .output()
            .unwrap()
    }

    /// The same, expected to end with 0; its JSON.
    pub fn told(&self, words: &[&str]) -> serde_json::Value {
        let output = self.tminus(&[words, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What the ticket system was sent, in its order.
    pub fn bodies(&self) -> Vec<serde_json::Value> {
        let issues = self.desk.issues.lock().unwrap();
        issues.iter().map(|issue| issue.body.clone()).collect()
    }

    /// Three edits of a version of this name, at times of their own: a decision that comes after all before it.
    pub fn edited_thrice(&self, version: &str) {
        let now_ms = now_ms();
        for hours in [30, 20, 10] {
            self.edited(version, now_ms - hours * HOUR_MS);
        }
    }

    pub fn edited(&self, version: &str, at_ms: u64) {
        let at = rfc3339(at_ms);
        self.told(&["event", "edited-by-hand", "--version", version, "--at", &at]);
    }
}

pub fn rfc3339(at_ms: u64) -> String {
    jiff::Timestamp::from_millisecond(i64::try_from(at_ms).unwrap())
        .unwrap()
        .to_string()
}

pub fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Follows nothing.
pub fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap()
}

/// A page that is there.
pub async fn text(url: &str, headers: &[(&str, &str)]) -> String {
    let mut request = client().get(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200, "{url}");
    answer.text().await.unwrap()
}

/// The path of a form, as a checklist prints it.
pub fn link(launch: &str) -> String {
    let links = FeedbackLinks::new(vec![LinkKey::new("k1", &FEEDBACK_KEY).unwrap()]).unwrap();
    let invitation = Invitation {
        launch: launch.to_owned(),
        sections: vec!["预演 Rehearsal".into(), "<b>Canary</b>".into()],
        issued_at_ms: now_ms(),
    };
    format!("feedback/{}", links.token(&invitation).unwrap())
}

impl Running {
    /// Waits until what is known is so.
    pub async fn until(&self, what: &str, is: impl FnMut(&after::Seen) -> bool) {
        let mut seen = self.serving.watch();
        let waited = tokio::time::timeout(WAIT_MAX, seen.wait_for(is)).await;
        assert!(waited.is_ok(), "{what}: {:#?}", self.serving.watch().borrow());
    }

    /// Waits until so many tickets are made.
    pub async fn until_made(&self, count: usize) {
        self.until(&format!("{count} tickets are made"), |seen| {
            let entries = seen.tickets.values().flatten();
            let made = entries
                .filter(|entry| matches!(entry.state, tminus_after::tickets::State::Made(_)))
                .count();
            made >= count
        })
        .await;
    }

    pub fn admin(&self) -> String {
        format!("http://{}/", self.serving.admin)
    }

    pub fn public(&self) -> String {
        format!("http://{}/", self.serving.public)
    }

    pub async fn stop(self) {
        self.stop.cancel();
        self.serving.finished().await.unwrap();
    }
}

/// The page by hand as a scanner gives it at 200 dpi, drawn from the layout's table. A pen has been in the boxes of these
/// zones; in the one that is unclear a pale smear is left.
pub fn page(ticked: &[&str], unclear: &[&str]) -> GrayImage {
    const SCALE: f64 = 200.0 / 25.4;
    let table = Layout::of_a_checklist().table();
    let mut image = GrayImage::from_pixel(1654, 2339, Luma([255]));
    let number = |value: &serde_json::Value| value.as_f64().unwrap();
    let mut square = |x_mm: f64, y_mm: f64, side_mm: f64, grey: u8| {
        let range = |middle_mm: f64| {
            ((middle_mm - side_mm / 2.0) * SCALE).round() as u32
                ..((middle_mm + side_mm / 2.0) * SCALE).round() as u32
        };
        for y in range(y_mm) {
            for x in range(x_mm) {
                image.put_pixel(x, y, Luma([grey]));
            }
        }
    };
    for mark in table["marks"].as_array().unwrap() {
        let (x, y) = (number(&mark["x_mm"]), number(&mark["y_mm"]));
        square(x, y, number(&table["mark_mm"]), 0);
        if mark["hole"] == true {
            square(x, y, number(&table["hole_mm"]), 255);
        }
    }
    let (side, rim) = (number(&table["box_mm"]), number(&table["rim_mm"]));
    for place in table["boxes"].as_array().unwrap() {
        let (x, y) = (number(&place["x_mm"]), number(&place["y_mm"]));
        square(x, y, side + rim, 0);
        square(x, y, side - rim, 255);
        let zone = place["zone"].as_str().unwrap();
        if unclear.contains(&zone) {
            square(x, y, 1.0, 60);
        }
        if ticked.contains(&zone) {
            for step in 0..=80 {
                let along = f64::from(step) / 80.0 * 4.0 - 2.0;
                square(x + along, y + along, 0.6, 20);
                square(x + along, y - along, 0.6, 20);
            }
        }
    }
    image
}

pub fn png(image: &GrayImage) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// A PDF of pages of one picture each, as a scanner writes it; `None` is an empty page.
pub fn pdf(pages: &[Option<&GrayImage>]) -> Vec<u8> {
    let kids: Vec<String> = (0..pages.len()).map(|n| format!("{} 0 R", 3 + n * 3)).collect();
    let mut objects: Vec<Vec<u8>> = vec![
        b"<</Type/Catalog/Pages 2 0 R>>".to_vec(),
        format!("<</Type/Pages/Kids[{}]/Count {}>>", kids.join(" "), pages.len()).into_bytes(),
    ];
    for (n, page) in pages.iter().enumerate() {
        let (content, picture) = (4 + n * 3, 5 + n * 3);
        objects.push(
            format!(
                "<</Type/Page/Parent 2 0 R/MediaBox[0 0 595.28 841.89]/Contents {content} 0 R/Resources<</XObject<</I {picture} 0 R>>>>>>"
            )
            .into_bytes(),
        );
        let draw = if page.is_some() {
            "q 595.28 0 0 841.89 0 0 cm /I Do Q"
        } else {
            ""
        };
        objects.push(format!("<</Length {}>>stream\n{draw}\nendstream", draw.len()).into_bytes());
        let blank = GrayImage::from_pixel(1, 1, Luma([255]));
        let image = page.unwrap_or(&blank);
        let mut object = format!(
            "<</Type/XObject/Subtype/Image/Width {}/Height {}/ColorSpace/DeviceGray/BitsPerComponent 8/Length {}>>stream\n",
            image.width(),
            image.height(),
            image.as_raw().len()
        )
        .into_bytes();
        object.extend_from_slice(image.as_raw());
        object.extend_from_slice(b"\nendstream");
        objects.push(object);
    }
    let mut file = b"%PDF-1.4\n".to_vec();
    let mut offsets = Vec::new();
    for (n, object) in objects.iter().enumerate() {
        offsets.push(file.len());
        file.extend_from_slice(format!("{} 0 obj\n", n + 1).as_bytes());
        file.extend_from_slice(object);
        file.extend_from_slice(b"\nendobj\n");
    }
    let table = file.len();
    file.extend_from_slice(format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1).as_bytes());
    for offset in offsets {
        file.extend_from_slice(format!("{offset:010} 00000 n \n").as_bytes());
    }
    let trailer = format!(
        "trailer<</Size {}/Root 1 0 R>>\nstartxref\n{table}\n%%EOF\n",
        objects.len() + 1
    );
    file.extend_from_slice(trailer.as_bytes());
    file
}
