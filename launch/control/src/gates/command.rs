//! The gate `command`: runs a program, without a shell, and takes its exit code and its numbers.
//!
//! Output is bounded in memory and digested whole, so that the evidence names what was seen.

use std::collections::{BTreeMap, VecDeque};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tminus_plan::{CommandSpec, Measurement};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use super::{CouldNotRun, Hands, Measured, shorten};

/// The last bytes of each output stream that are kept; everything is digested.
const OUTPUT_BYTES_KEPT: usize = 256 * 1024;
/// At most this many numbers of the output become measurements.
const NUMBERS_MAX: usize = 200;
/// Lines of standard error that go into the evidence.
const LINES_NOTED: usize = 10;
/// How long to wait for output after the program has ended (a grandchild may hold the pipe).
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// Runs the command to its end.
///
/// # Errors
/// It could not be started, or did not end in time.
pub async fn run(spec: &CommandSpec, hands: &Hands) -> Result<Measured, CouldNotRun> {
    let Some((program, arguments)) = spec.argv.split_first() else {
        return Err(CouldNotRun::new("the command is empty"));
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command.process_group(0);
    if let Some(folder) = &spec.cwd {
        command.current_dir(folder);
    }
    let started = Instant::now();
    let mut child = command.spawn().map_err(|e| {
        CouldNotRun::new(format!(
            "`{program}` cannot be started: {}",
            crate::error::io_words(&e)
        ))
        .hint("give the program's full path, or install it")
    })?;
    let group = Group(child.id());
    let stdout = tokio::spawn(take_in(child.stdout.take()));
    let stderr = tokio::spawn(take_in(child.stderr.take()));

    let limit = Duration::try_from_secs_f64(spec.timeout_s).unwrap_or(Duration::MAX);
    let status = tokio::select! {
        () = hands.stop.cancelled() => {
            return Err(CouldNotRun::new("the launch was stopped while the command ran"));
        }
        ended = tokio::time::timeout(limit, child.wait()) => match ended {
            Ok(Ok(status)) => status,
            Ok(Err(e)) => return Err(CouldNotRun::new(format!("`{program}` cannot be waited for: {e}"))),
            Err(_) => {
                return Err(CouldNotRun::new(format!("`{program}` did not end within {} s and was stopped", spec.timeout_s))
                    .hint("raise `timeout_s` in the plan if it needs longer"));
            }
        },
    };
    let took = started.elapsed();
    let stdout = drained(stdout).await;
    let stderr = drained(stderr).await;
    drop(group);

    let mut measured = Measured {
        target: program.clone(),
        command: spec.argv.iter().map(|a| shorten(a, 1_000)).collect(),
        ..Measured::default()
    };
    if let Some(folder) = &spec.cwd {
        measured.input("cwd", folder);
    }
    measured.input("timeout_s", spec.timeout_s);
    measured.input("stdout_sha256", &stdout.sha256);
    measured.input("stderr_sha256", &stderr.sha256);
    if spec.json_measurements {
        match last_object(&stdout.text()) {
            Some(object) => measured.measurements = numbers(&object),
            None => measured
                .notes
                .push("standard output holds no JSON object: no numbers taken".to_owned()),
        }
    }
    // After the numbers of the output: a program cannot make up its own exit code.
    measured.measure("exit_code", f64::from(exit_code(status)), "1");
    measured.measure("duration_ms", took.as_secs_f64() * 1_000.0, "ms");
    measured.measure("stdout_bytes", stdout.bytes as f64, "bytes");
    for line in last_lines(&stderr.text()) {
        measured.notes.push(format!("stderr: {}", shorten(line, 300)));
    }
    if !status.success() {
        for line in last_lines(&stdout.text()) {
            measured.notes.push(format!("stdout: {}", shorten(line, 300)));
        }
    }
    Ok(measured)
}

/// The program and all that it started: ended when this is dropped.
pub(super) struct Group(pub(super) Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        let group = self
            .0
            .and_then(|id| i32::try_from(id).ok())
            .and_then(rustix::process::Pid::from_raw);
        if let Some(group) = group {
            // No such group any more is the good case.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

fn exit_code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

#[derive(Default)]
struct Output {
    kept: VecDeque<u8>,
    bytes: u64,
    sha256: String,
}

impl Output {
    fn text(&self) -> String {
        let (a, b) = self.kept.as_slices();
        String::from_utf8_lossy(&[a, b].concat()).into_owned()
    }
}

async fn take_in(stream: Option<impl AsyncRead + Unpin>) -> Output {
    let mut output = Output::default();
    let mut digest = Sha256::new();
    if let Some(mut stream) = stream {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            digest.update(&buffer[..read]);
            output.bytes += read as u64;
            output.kept.extend(&buffer[..read]);
            let over = output.kept.len().saturating_sub(OUTPUT_BYTES_KEPT);
            output.kept.drain(..over);
        }
    }
    output.sha256 = hex::encode(digest.finalize());
    output
}

async fn drained(task: tokio::task::JoinHandle<Output>) -> Output {
    match tokio::time::timeout(DRAIN_MAX, task).await {
        Ok(Ok(output)) => output,
        _ => Output {
            sha256: "incomplete: a background process held the stream open".to_owned(),
            ..Output::default()
        },
    }
}

fn last_lines(text: &str) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LINES_NOTED)..].to_vec()
}

/// The last JSON object of a text that starts at the beginning of a line.
fn last_object(text: &str) -> Option<serde_json::Map<String, Value>> {
    let mut starts: Vec<usize> = text.match_indices("\n{").map(|(at, _)| at + 1).collect();
    if text.starts_with('{') {
        starts.insert(0, 0);
    }
    starts.into_iter().rev().find_map(|at| {
        match serde_json::Deserializer::from_str(&text[at..])
            .into_iter::<Value>()
            .next()
        {
            Some(Ok(Value::Object(object))) => Some(object),
            _ => None,
        }
    })
}

/// Every number of the object; those of inner objects under `outer_inner`.
fn numbers(object: &serde_json::Map<String, Value>) -> BTreeMap<String, Measurement> {
    let mut found = BTreeMap::new();
    collect(object, "", &mut found);
    found
}

fn collect(object: &serde_json::Map<String, Value>, before: &str, found: &mut BTreeMap<String, Measurement>) {
    for (name, value) in object {
        if found.len() == NUMBERS_MAX {
            return;
        }
        let name: String = name
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() {
                    c.to_ascii_lowercase()
                } else {
                    '_'
                }
            })
            .take(60)
            .collect();
        let name = if before.is_empty() {
            name
        } else {
            format!("{before}_{name}")
        };
        match value {
            Value::Number(number) => {
                if let Some(number) = number.as_f64().filter(|n| n.is_finite()) {
                    found.insert(name.clone(), Measurement::new(number, unit_of(&name)));
                }
            }
            Value::Object(inner) => collect(inner, &name, found),
            _ => {}
        }
    }
}

/// The unit that a name ends in, as the house writes names.
fn unit_of(name: &str) -> &'static str {
    match name.rsplit_once('_').map(|(_, last)| last) {
        Some("ms") => "ms",
        Some("us") => "us",
        Some("s") => "s",
        Some("bytes") => "bytes",
        Some("percent") => "percent",
        _ => "1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &[(&str, f64)]) {
        let found: Vec<(String, f64)> = last_object(text)
            .map(|o| numbers(&o))
            .unwrap_or_default()
            .into_iter()
            .map(|(n, m)| (n, m.value))
            .collect();
        let expect: Vec<(String, f64)> = expect.iter().map(|(n, v)| ((*n).to_owned(), *v)).collect();
        assert_eq!(found, expect, "{text}");
    }

    #[test]
    fn the_numbers_of_the_last_json_object_are_taken() {
        check(
            "{\"lost\":1}\n{\"lost\":0,\"games\":7,\"ok\":true}\n",
            &[("games", 7.0), ("lost", 0.0)],
        );
        check(
            "progress 1\n{\n  \"a\": {\n    \"p99-ms\": 2.5\n  },\n  \"b\": [\n    {\"c\": 1}\n  ]\n}\nbye",
            &[("a_p99_ms", 2.5)],
        );
        check("nothing here", &[]);
        check("{\"cut\": ", &[]);
    }
}
