//! The gate `sessions`: sends each request with a player's token, then with the player's session, then with both, and
//! compares the answers. Serves any backend: requests and credentials come from the plan, from files or from a program.
//!
//! Credentials go nowhere but into the requests: evidence names players and what differs, never a value.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use reqwest::Client;
use reqwest::header::HeaderMap;
use tminus_plan::{
    HEADERS_IGNORED, Ignored, ReplayAnswer, ReplayCredentials, ReplayPlayer, ReplayRequest, SessionsSpec,
    answer_differences,
};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use super::command::Group;
use super::http::{client, words};
use super::prepared::{Prepared, header_map, target};
use super::{CouldNotRun, Hands, Measured, shorten, unless_stopped};

/// Pairs of player and request that are under way at once.
const CONCURRENT_MAX: usize = 8;
/// An answer's body is read up to this length.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Files and outputs are read up to this length.
const LINES_BYTES_MAX: u64 = 8 << 20;
const REQUESTS_MAX: usize = 10_000;
const PLAYERS_MAX: usize = 10_000;
/// Players times requests.
const PAIRS_MAX: usize = 100_000;
/// Differences that go into the evidence word by word.
const NOTED_MAX: usize = 20;
/// Differences that are told apart while counting.
const KINDS_MAX: usize = 1000;

/// What one player's credentials led to at one request.
#[derive(Default)]
struct Outcome {
    requests: u32,
    refused: u32,
    no_answer: u32,
    differences: Vec<String>,
    /// Both players' credentials in one request: whether it was answered at all, and whether it was let in.
    mixed: Option<bool>,
}

/// # Errors
/// A file or the program that says what to send gives nothing that can be sent, or nothing answered at all.
pub async fn run(spec: &SessionsSpec, hands: &Hands) -> Result<Measured, CouldNotRun> {
    let client = client()?;
    let target = target(&spec.target)?;
    let mut requests = spec.requests.clone();
    if let Some(path) = &spec.recorded {
        requests.extend(recorded(path).await?);
    }
    let players = match &spec.credentials {
        ReplayCredentials::Listed(players) => players.clone(),
        ReplayCredentials::Command { argv, timeout_s } => printed(argv, *timeout_s, hands).await?,
    };
    let pairs = requests.len() * players.len();
    if pairs == 0 || requests.len() > REQUESTS_MAX || players.len() > PLAYERS_MAX || pairs > PAIRS_MAX {
        return Err(CouldNotRun::new(format!(
            "{} requests for {} players: at least one of each, at most {PAIRS_MAX} together",
            requests.len(),
            players.len()
        )));
    }
    let requests: Vec<Prepared> = requests
        .iter()
        .map(|request| Prepared::new(request, &target))
        .collect::<Result<_, _>>()?;
    let shown: Vec<Shown> = players.iter().map(Shown::new).collect::<Result<_, _>>()?;
    let replay = Replay {
        client: &client,
        timeout: Duration::from_millis(u64::from(spec.timeout_ms)),
        ignored: Ignored {
            headers: spec.ignore_headers.iter().cloned().collect(),
            json: spec.ignore_json.clone(),
        },
        together: spec.together,
    };

    let work = (0..pairs).map(|n| {
        let (request, player) = (n % requests.len(), n / requests.len());
        // Once per player is enough to see whether two players at once are let in.
        let other = (request == 0 && shown.len() > 1).then(|| &shown[(player + 1) % shown.len()]);
        replay.one(&requests[request], &shown[player], other)
    });
    let mut outcomes = stream::iter(work).buffer_unordered(CONCURRENT_MAX);
    let mut total = Outcome::default();
    let (mut done, mut differences, mut mixed, mut mixed_accepted) = (0_usize, 0_u64, 0_u32, 0_u32);
    let mut notes: BTreeMap<String, u32> = BTreeMap::new();
    while let Some(outcome) = unless_stopped(&hands.stop, outcomes.next()).await? {
        done += 1;
        total.requests += outcome.requests;
        total.refused += outcome.refused;
        total.no_answer += outcome.no_answer;
        differences += outcome.differences.len() as u64;
        mixed += u32::from(outcome.mixed.is_some());
        mixed_accepted += u32::from(outcome.mixed == Some(true));
        for difference in outcome.differences {
            if notes.len() < KINDS_MAX || notes.contains_key(&difference) {
                *notes.entry(difference).or_default() += 1;
            }
        }
        if done.is_multiple_of(16) || done == pairs {
            hands.progress(
                Some(done as f64 / pairs as f64),
                format!("{done} of {pairs} replayed, {differences} differences"),
            );
        }
    }
    if total.no_answer == total.requests {
        return Err(CouldNotRun::new(format!("{} gives no answer", spec.target))
            .hint("is it running, and is the address in the plan (or in --var) right?"));
    }

    let mut measured = Measured {
        target: spec.target.clone(),
        ..Measured::default()
    };
    if let ReplayCredentials::Command { argv, .. } = &spec.credentials {
        measured.command = argv.iter().map(|word| shorten(word, 1_000)).collect();
    }
    if let Some(path) = &spec.recorded {
        measured.input("recorded", path);
    }
    measured.input("together", spec.together);
    measured.input("ignored_headers", not_compared(&spec.ignore_headers));
    measured.input("ignored_json", spec.ignore_json.join(" "));
    for (name, value) in [
        ("requests", f64::from(total.requests)),
        ("pairs", pairs as f64),
        ("players", players.len() as f64),
        ("differences", differences as f64),
        ("refused", f64::from(total.refused)),
        ("no_answer", f64::from(total.no_answer)),
    ] {
        measured.measure(name, value, "1");
    }
    if spec.together {
        measured.measure("mixed", f64::from(mixed), "1");
        measured.measure("mixed_accepted", f64::from(mixed_accepted), "1");
        if players.len() == 1 {
            measured
                .notes
                .push("one player only: nothing was sent with two players' credentials".to_owned());
        }
    }
    let mut told: Vec<(String, u32)> = notes.into_iter().collect();
    told.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
    for (what, times) in told.into_iter().take(NOTED_MAX) {
        measured.notes.push(format!("{times} × {}", shorten(&what, 400)));
    }
    Ok(measured)
}

fn not_compared(more: &[String]) -> String {
    HEADERS_IGNORED
        .iter()
        .copied()
        .chain(more.iter().map(String::as_str))
        .collect::<Vec<_>>()
        .join(" ")
}

/// One player's credentials.
struct Shown {
    player: String,
    token: HeaderMap,
    session: HeaderMap,
}

impl Shown {
    fn new(player: &ReplayPlayer) -> Result<Self, CouldNotRun> {
        let name = shorten(&player.player, 100);
        let token = header_map(&player.token, &name)?;
        let session = header_map(&player.session, &name)?;
        if token.is_empty() || session.is_empty() {
            return Err(CouldNotRun::new(format!(
                "{name} has not both a token and a session"
            )));
        }
        if token.keys().any(|header| session.contains_key(header)) {
            return Err(CouldNotRun::new(format!(
                "{name} shows token and session in the same header: they cannot be told apart"
            )));
        }
        Ok(Self {
            player: name,
            token,
            session,
        })
    }
}

struct Replay<'a> {
    client: &'a Client,
    timeout: Duration,
    ignored: Ignored,
    together: bool,
}

impl Replay<'_> {
    async fn one(&self, request: &Prepared, player: &Shown, other: Option<&Shown>) -> Outcome {
        let mut outcome = Outcome::default();
        let name = &request.name;
        let with_token = self.counted(request, &[&player.token], &mut outcome).await;
        let with_session = self.counted(request, &[&player.session], &mut outcome).await;
        let told = |what: &str, player: &str, difference: &dyn std::fmt::Display| {
            format!("{name}, token and {what}: {difference} ({player})")
        };
        if let (Some(one), Some(two)) = (&with_token, &with_session) {
            let found = answer_differences(&self.ignored, one, two);
            outcome
                .differences
                .extend(found.iter().map(|found| told("session", &player.player, found)));
        }
        if !self.together {
            return outcome;
        }
        let with_both = self
            .counted(request, &[&player.token, &player.session], &mut outcome)
            .await;
        if let (Some(one), Some(two)) = (&with_token, &with_both) {
            let found = answer_differences(&self.ignored, one, two);
            outcome
                .differences
                .extend(found.iter().map(|found| told("both", &player.player, found)));
        }
        if let Some(other) = other {
            match self.send(request, &[&player.token, &other.session]).await {
                Ok(answer) => {
                    let accepted = !is_refusal(answer.status);
                    outcome.mixed = Some(accepted);
                    if accepted {
                        outcome.differences.push(format!(
                            "{name}: let in with the token of {} and the session of {}",
                            player.player, other.player
                        ));
                    }
                }
                Err(why) => outcome.differences.push(format!("{name}: no answer: {why}")),
            }
        }
        outcome
    }

    async fn counted(
        &self,
        request: &Prepared,
        credentials: &[&HeaderMap],
        outcome: &mut Outcome,
    ) -> Option<ReplayAnswer> {
        outcome.requests += 1;
        match self.send(request, credentials).await {
            Ok(answer) => {
                outcome.refused += u32::from(is_refusal(answer.status));
                Some(answer)
            }
            Err(why) => {
                outcome.no_answer += 1;
                outcome
                    .differences
                    .push(format!("{}: no answer: {why}", request.name));
                None
            }
        }
    }

    async fn send(&self, request: &Prepared, credentials: &[&HeaderMap]) -> Result<ReplayAnswer, String> {
        let mut headers = request.headers.clone();
        for credential in credentials {
            for (name, value) in *credential {
                headers.insert(name.clone(), value.clone());
            }
        }
        let mut sending = self
            .client
            .request(request.method.clone(), request.url.clone())
            .timeout(self.timeout)
            .headers(headers);
        if let Some(body) = &request.body {
            sending = sending.body(body.clone());
        }
        let mut response = sending.send().await.map_err(|e| words(&e))?;
        let mut answer = ReplayAnswer {
            status: response.status().as_u16(),
            headers: BTreeMap::new(),
            body: Vec::new(),
        };
        for (name, value) in response.headers() {
            let values: &mut Vec<String> = answer.headers.entry(name.as_str().to_owned()).or_default();
            values.push(String::from_utf8_lossy(value.as_bytes()).into_owned());
        }
        while let Some(piece) = response.chunk().await.map_err(|e| words(&e))? {
            if answer.body.len() + piece.len() > BODY_BYTES_MAX {
                return Err(format!("the body is longer than {BODY_BYTES_MAX} bytes"));
            }
            answer.body.extend_from_slice(&piece);
        }
        Ok(answer)
    }
}

const fn is_refusal(status: u16) -> bool {
    matches!(status, 401 | 403)
}

async fn recorded(path: &str) -> Result<Vec<ReplayRequest>, CouldNotRun> {
    let told = |e: std::io::Error| {
        CouldNotRun::new(format!(
            "the recorded requests {path} cannot be read: {}",
            crate::error::io_words(&e)
        ))
    };
    let file = tokio::fs::File::open(path).await.map_err(told)?;
    let mut text = Vec::new();
    file.take(LINES_BYTES_MAX + 1)
        .read_to_end(&mut text)
        .await
        .map_err(told)?;
    lines(
        &text,
        path,
        REQUESTS_MAX,
        r#"{"method":"GET","path":"/…"}, with "headers" and "body" where needed"#,
    )
}

/// What the program prints: credentials, so none of it is told.
async fn printed(argv: &[String], timeout_s: f64, hands: &Hands) -> Result<Vec<ReplayPlayer>, CouldNotRun> {
    let Some((program, arguments)) = argv.split_first() else {
        return Err(CouldNotRun::new("the command that prints credentials is empty"));
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .process_group(0);
    let mut child = command.spawn().map_err(|e| {
        CouldNotRun::new(format!(
            "`{program}` cannot be started: {}",
            crate::error::io_words(&e)
        ))
        .hint("give the program's full path, or install it")
    })?;
    let group = Group(child.id());
    let stdout = child.stdout.take();
    let running = async {
        let mut text = Vec::new();
        if let Some(stdout) = stdout {
            stdout.take(LINES_BYTES_MAX + 1).read_to_end(&mut text).await?;
        }
        if text.len() as u64 > LINES_BYTES_MAX {
            // Nobody reads on: it would wait for ever.
            return Ok((None, text));
        }
        Ok::<_, std::io::Error>((Some(child.wait().await?), text))
    };
    let limit = Duration::try_from_secs_f64(timeout_s).unwrap_or(Duration::MAX);
    let ended = unless_stopped(&hands.stop, tokio::time::timeout(limit, running)).await?;
    drop(group);
    let (status, text) = match ended {
        Ok(Ok(ended)) => ended,
        Ok(Err(e)) => {
            return Err(CouldNotRun::new(format!(
                "`{program}` cannot be read from: {}",
                crate::error::io_words(&e)
            )));
        }
        Err(_) => {
            return Err(CouldNotRun::new(format!(
                "`{program}` did not end within {timeout_s} s and was stopped"
            ))
            .hint("raise `command_timeout_s` in the plan if it needs longer"));
        }
    };
    if let Some(status) = status.filter(|status| !status.success()) {
        return Err(CouldNotRun::new(format!(
            "`{program}` gave no credentials: {status}"
        )));
    }
    lines(
        &text,
        "the output of the command",
        PLAYERS_MAX,
        r#"{"player":"…","token":{"authorization":"Bearer …"},"session":{"x-session-id":"…"}}"#,
    )
}

/// JSON objects, one a line; what is wrong is told by its line alone.
fn lines<T: serde::de::DeserializeOwned>(
    text: &[u8],
    whose: &str,
    lines_max: usize,
    expected: &str,
) -> Result<Vec<T>, CouldNotRun> {
    if text.len() as u64 > LINES_BYTES_MAX {
        return Err(CouldNotRun::new(format!(
            "{whose} is longer than {LINES_BYTES_MAX} bytes"
        )));
    }
    let mut all = Vec::new();
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        if all.len() == lines_max {
            return Err(CouldNotRun::new(format!(
                "{whose} has more than {lines_max} lines"
            )));
        }
        all.push(
            serde_json::from_slice(line)
                .map_err(|_| CouldNotRun::new(format!("line {} of {whose} is not {expected}", index + 1)))?,
        );
    }
    Ok(all)
}
