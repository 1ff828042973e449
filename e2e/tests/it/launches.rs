//! Whole rehearsals, as a person starts them: real processes, real players, a real checklist.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::{alone_blocking, binary, tool};

/// What a finished `tminus rehearse --json` left behind.
struct Rehearsal {
    exit_code: i32,
    report: Value,
    progress: String,
}

impl Rehearsal {
    /// The item whose gates include the canary.
    fn canary_item(&self) -> &Value {
        let items = self.report["items"].as_array().expect("items");
        items
            .iter()
            .find(|item| gates(item).iter().any(|gate| gate["kind"] == "canary"))
            .unwrap_or_else(|| panic!("no item has a canary gate: {}", self.report))
    }

    fn assert_exit(&self, code: i32) {
        assert_eq!(self.exit_code, code, "{}\n{:#}", self.progress, self.report);
    }
}

fn gates(item: &Value) -> &[Value] {
    item["gates"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn rehearse_command(out: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary("tminus", "tminus-control"));
    command
        .args(["rehearse", "--json", "--out"])
        .arg(out)
        .args(arguments);
    command
}

fn rehearse(out: &Path, arguments: &[&str]) -> Rehearsal {
    let output = rehearse_command(out, arguments).output().expect("tminus starts");
    let progress = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!(
            "not JSON ({error}): {}\n{progress}",
            String::from_utf8_lossy(&output.stdout)
        )
    });
    Rehearsal {
        exit_code: output.status.code().expect("an exit code"),
        report,
        progress,
    }
}

/// The share of the CPU, in percent, that a virtual machine's host may take away before figures of
/// latency say more of the host than of us.
const STOLEN_PERCENT_MAX: f64 = 3.0;
/// Measurements that no machine, however slow, excuses.
const DAMAGE: [&str; 7] = [
    "lost",
    "twice",
    "diverged",
    "broken",
    "games_lost",
    "lost_moves",
    "mismatches",
];
/// How often a rehearsal is tried on a machine that is taken away from us.
pub const TRIES: u32 = 3;

impl Rehearsal {
    fn was_disturbed(&self) -> bool {
        was_disturbed(self.exit_code, &self.report, &self.progress)
    }
}

/// Whether a launch failed and its own evidence says that the machine was not ours meanwhile: the
/// host took CPU away, or the load generator could not keep its own schedule. A slow host explains
/// late answers; it never explains a lost or doubled move, so such a run is no disturbed one.
pub fn was_disturbed(exit_code: i32, report: &Value, progress: &str) -> bool {
    let items = report["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let stolen = items
        .iter()
        .flat_map(gates)
        .filter_map(|gate| gate["measurements"]["cpu_stolen_percent"]["value"].as_f64())
        .fold(0.0, f64::max);
    let late = progress.contains("the load generator was late in every run");
    let is_damage = |name: &str| {
        let counted = |gate: &Value| gate["measurements"][name]["value"].as_f64();
        items
            .iter()
            .flat_map(gates)
            .filter_map(counted)
            .any(|count| count > 0.0)
    };
    let damaged = DAMAGE.iter().any(|name| is_damage(name));
    exit_code != 0 && !damaged && (stolen > STOLEN_PERCENT_MAX || late)
}

/// Runs `scenario` in a fresh folder, and again if the machine was taken away from it.
fn undisturbed(scenario: impl Fn(&Path) -> Rehearsal) -> (tempfile::TempDir, Rehearsal) {
    for attempt in 1.. {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let rehearsal = scenario(&folder.path().join("out"));
        if attempt == TRIES || !rehearsal.was_disturbed() {
            return (folder, rehearsal);
        }
        eprintln!("attempt {attempt} was disturbed:\n{}", rehearsal.progress);
    }
    unreachable!("the last attempt returns")
}

/// Exit code and output of `tminus verify`.
fn verify(checklist: &Path) -> (i32, String) {
    let output = Command::new(binary("tminus", "tminus-control"))
        .arg("verify")
        .arg(checklist)
        .output()
        .expect("tminus starts");
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    (output.status.code().expect("an exit code"), text)
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
    {
        if entry.is_dir() {
            found.extend(files_below(&entry));
        } else {
            found.push(entry);
        }
    }
    found.sort();
    found
}

/// Flips one bit, asks `tminus verify`, and puts the bit back.
fn assert_a_flip_is_named(checklist: &Path, file: &Path, offset: usize) {
    let good = fs::read(file).expect("a file");
    let mut bad = good.clone();
    bad[offset] ^= 1;
    fs::write(file, &bad).expect("written");
    let (code, text) = verify(checklist);
    fs::write(file, &good).expect("written");
    assert_eq!(
        code,
        1,
        "byte {offset} of {} was flipped and nobody noticed:\n{text}",
        file.display()
    );
    let name = file.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(
        text.contains(&name),
        "byte {offset} of {name} was flipped; the answer does not name it:\n{text}"
    );
}

fn text_of_pdf(file: &Path) -> String {
    let output = Command::new(tool(&["pdftotext"], "poppler-utils"))
        .arg(file)
        .arg("-")
        .output()
        .expect("pdftotext starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_rehearsal_ends_with_a_checklist_in_which_every_byte_counts() {
    let _alone = alone_blocking();
    let (folder, rehearsal) = undisturbed(|out| rehearse(out, &["--seed", "7"]));
    let out = folder.path().join("out");
    rehearsal.assert_exit(0);
    let report = &rehearsal.report;

    // What ran has passed, the canary finished, and what cannot run yet is open, not ticked.
    assert_eq!(report["totals"]["crossed"], 0);
    assert!(
        report["totals"]["ticked"].as_u64().expect("a number") >= 1,
        "{report:#}"
    );
    assert!(
        report["totals"]["not_checked"].as_u64().expect("a number") >= 1,
        "{report:#}"
    );
    assert_eq!(report["canary_final_weight_percent"], 100.0);
    assert_eq!(report["games_lost"], 0.0);
    for item in report["items"]
        .as_array()
        .expect("items")
        .iter()
        .filter(|item| item["status"] == "ticked")
    {
        assert!(!gates(item).is_empty(), "a tick without a gate: {item:#}");
        for gate in gates(item) {
            assert_eq!(gate["verdict"], "passed", "{item:#}");
            assert!(
                gate["evidence_entry"].is_u64(),
                "a tick without evidence: {item:#}"
            );
        }
    }

    let checklist = out.join("checklist.pdf");
    let text = text_of_pdf(&checklist);
    assert!(text.contains("INCOMPLETE"), "{text}");
    let pages = text.split('\u{c}').filter(|page| !page.trim().is_empty());
    for (number, page) in pages.enumerate() {
        assert!(
            page.contains("REHEARSAL"),
            "page {} does not say REHEARSAL:\n{page}",
            number + 1
        );
    }

    let (code, said) = verify(&checklist);
    assert_eq!(code, 0, "{said}");
    let size = fs::metadata(&checklist).expect("the checklist").len() as usize;
    for offset in [0, 9, size / 7, size / 3, size / 2, size - 1000, size - 1] {
        assert_a_flip_is_named(&checklist, &checklist, offset);
    }
    for file in files_below(&out.join("record")) {
        let size = fs::metadata(&file).expect("a file of the record").len() as usize;
        for offset in [0, size / 2, size - 1] {
            assert_a_flip_is_named(&checklist, &file, offset);
        }
    }
    let (code, said) = verify(&checklist);
    assert_eq!(code, 0, "put back as it was: {said}");
}

/// A canary with a fault goes back to 0 %, its item is crossed, no game is lost.
fn assert_rolled_back(fault: &str) {
    let _alone = alone_blocking();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("out");
    let rehearsal = rehearse(&out, &["--players", "200", "--fault", fault]);
    rehearsal.assert_exit(1);
    assert_eq!(
        rehearsal.report["canary_final_weight_percent"], 0.0,
        "{:#}",
        rehearsal.report
    );
    assert_eq!(rehearsal.report["games_lost"], 0.0, "{:#}", rehearsal.report);
    assert_eq!(
        rehearsal.canary_item()["status"],
        "crossed",
        "{:#}",
        rehearsal.report
    );
    let (code, said) = verify(&out.join("checklist.pdf"));
    assert_eq!(code, 0, "a crossed item is proven as well: {said}");
}

#[test]
fn a_canary_that_fails_requests_is_rolled_back_without_losing_a_game() {
    assert_rolled_back("errors");
}

#[test]
fn a_canary_that_answers_late_is_rolled_back_without_losing_a_game() {
    assert_rolled_back("latency");
}

#[test]
fn a_canary_that_stops_answering_is_rolled_back_without_losing_a_game() {
    assert_rolled_back("stall");
}

const RESUME: [&str; 3] = ["--players", "100", "--resume"];

/// Starts a rehearsal and kills it, without a word, once some of its gates have run.
fn kill_in_the_middle(out: &Path) {
    let log = out.with_extension("log");
    let mut killed = rehearse_command(out, &["--players", "100"])
        .stdout(Stdio::null())
        .stderr(fs::File::create(&log).expect("a log"))
        .spawn()
        .expect("tminus starts");
    // Two entries are written when the first gate starts; ten mean that some gates have run.
    let started = Instant::now();
    while record_size(out) < 10 {
        let ended = killed.try_wait().expect("its state");
        assert!(
            ended.is_none(),
            "it ended before it was killed: {}",
            fs::read_to_string(&log).unwrap_or_default()
        );
        assert!(
            started.elapsed() < Duration::from_secs(300),
            "the record does not grow"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    killed.kill().expect("killed");
    killed.wait().expect("gone");
}

#[test]
fn a_rehearsal_that_was_killed_goes_on_and_runs_no_gate_twice() {
    let _alone = alone_blocking();
    let (folder, resumed) = undisturbed(|out| {
        kill_in_the_middle(out);
        rehearse(out, &RESUME)
    });
    let out = folder.path().join("out");
    resumed.assert_exit(0);
    assert_eq!(resumed.report["canary_final_weight_percent"], 100.0);
    assert_eq!(resumed.report["games_lost"], 0.0);
    let (code, said) = verify(&out.join("checklist.pdf"));
    assert_eq!(code, 0, "{said}");
    for item in resumed.report["items"].as_array().expect("items") {
        for gate in gates(item) {
            let attempts = gate["attempts"].as_u64().expect("attempts");
            assert!(
                attempts <= 2,
                "one kill, at most one gate that is started again: {gate:#}"
            );
        }
    }
    // Once more: a finished rehearsal that is resumed has nothing left to do and changes nothing.
    let size = record_size(&out);
    rehearse(&out, &RESUME).assert_exit(0);
    assert_eq!(record_size(&out), size);
}

/// Entries that the record's checkpoint vouches for; 0 while there is none.
fn record_size(out: &Path) -> u64 {
    let checkpoint = fs::read_to_string(out.join("record/checkpoint")).unwrap_or_default();
    checkpoint
        .lines()
        .nth(1)
        .and_then(|line| line.parse().ok())
        .unwrap_or(0)
}
