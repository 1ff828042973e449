//! Whole rehearsals, as a person starts them: real processes, real players, a real checklist.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::{binary, text_of_pdf, tminus};

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

fn rehearse_command(plan: &Path, out: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary("tminus", "tminus-control"));
    command
        .args(["rehearse", "--json", "--plan"])
        .arg(plan)
        .arg("--out")
        .arg(out)
        .args(arguments);
    command
}

fn rehearse(plan: &Path, out: &Path, arguments: &[&str]) -> Rehearsal {
    let output = rehearse_command(plan, out, arguments)
        .output()
        .expect("tminus starts");
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

/// How late an answer may be for a canary to pass or fail.
enum Patience {
    /// As the shipped plan has it.
    AsShipped,
    /// No answer is too late: a healthy launch must end well on a machine of any speed.
    Endless,
}

/// The shipped plan without its bounds on speed, in `folder`.
///
/// What a launch proves must not hang on how much of this machine its host gives to others: bounds
/// on latency are measured where they are asked for, by `cargo xtask rehearse` and by the benches.
/// Bounds on what is lost, doubled or mismatched stay.
fn plan_without_bounds_on_speed(folder: &Path, patience: Patience) -> PathBuf {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plans/starvault.yaml");
    let mut plan = fs::read_to_string(&shipped).expect("the shipped plan");
    let mut replace = |from: &str, to: &str| {
        assert_eq!(
            plan.matches(from).count(),
            1,
            "the shipped plan says once: {from}"
        );
        plan = plan.replace(from, to);
    };
    replace("\nitems:\n", "\nchecklist: { customer_language: en }\nitems:\n");
    replace("          - move_p99_ms <= 200\n", "");
    // A command that is not answered in time counts as an error.
    replace("          - error_rate <= 0.001\n", "");
    replace(
        "        duration_s: 900\n",
        "        duration_s: 900\n        generator_lag_max_ms: 60000\n",
    );
    replace("step_s: 40 }", "step_s: 300 }");
    if let Patience::Endless = patience {
        replace("slow_ms: 250", "slow_ms: 60000");
        replace("alpha: 0.01", "alpha: 0.000001");
        replace("fast_kill_share: 0.2", "fast_kill_share: 1");
    }
    let file = folder.join("plan.yaml");
    fs::write(&file, plan).expect("the plan is written");
    file
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

#[test]
fn a_rehearsal_ends_with_a_checklist_in_which_every_byte_counts() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("out");
    let plan = plan_without_bounds_on_speed(folder.path(), Patience::Endless);
    let rehearsal = rehearse(&plan, &out, &["--seed", "7", "--players", "200"]);
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
    assert!(said.contains("seal 1"), "the checklist is not sealed: {said}");
    assert_handed_out(&out);
}

/// Three packages that verify by themselves, a way back that was run, and every download on a record of its own.
fn assert_handed_out(out: &Path) {
    for (role, holds, says) in [
        ("ops", "rollback.sh", "exit 0: rolled back"),
        ("security", "verification.md", "not checked: the build"),
        ("customer", "checklist-customer.html", "left out"),
    ] {
        let zip = out.join(format!("packages/{role}/{role}.zip"));
        let (code, said) = tminus(&["package", "verify"], &zip);
        assert_eq!(code, 0, "{role}: {said}");
        assert!(said.contains(holds) && said.contains(says), "{role}: {said}");
        let whole = fs::read(&zip).expect("a package");
        let mut bad = whole.clone();
        bad[whole.len() / 2] ^= 1;
        fs::write(&zip, bad).expect("a package");
        let (code, said) = tminus(&["package", "verify"], &zip);
        assert_ne!(code, 0, "{role}: a flipped bit is accepted: {said}");
        fs::write(&zip, whole).expect("a package");
    }
    for role in ["security", "customer"] {
        let schema = out.join(format!("packages/{role}/checklist-data.schema.json"));
        assert!(
            schema.exists(),
            "{role}: nothing says what the fields of the data are"
        );
    }
    // The record that security gets is enough to check the checklist that it gets.
    let security = out.join("packages/security");
    let (code, said) = verify(&security.join("checklist.pdf"));
    assert_eq!(code, 0, "{said}");
    // One package for each role, over SFTP and over the portal; another role's was not given out.
    assert_eq!(record_size(&out.join("downloads")), 6);
    // What comes after it can be served as it lies there, and nothing is due: the rehearsal took its packages itself.
    let (code, said) = tminus(&["after", "check"], &out.join("after.yaml"));
    assert_eq!(code, 0, "{said}");
    let ignored = fs::read_to_string(out.join("after.yaml")).expect("the configuration");
    assert_eq!(
        (
            ignored.matches("token:").count(),
            ignored.matches("key:SHA256:").count()
        ),
        (3, 3),
        "{ignored}"
    );
    let customers = text_of_pdf(&out.join("packages/customer/checklist-customer.pdf"));
    assert!(
        customers.contains("move_p99") || customers.contains("error_rate") || customers.contains("lost == 0")
    );
    assert!(!customers.contains("127.0.0.1"), "{customers}");
    // The plan wants theirs in English.
    assert!(
        customers.contains("Ticked") && !customers.contains("已核"),
        "{customers}"
    );
    assert!(text_of_pdf(&security.join("checklist.pdf")).contains("已核"));
}

fn assert_rolled_back(fault: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("out");
    let plan = plan_without_bounds_on_speed(folder.path(), Patience::AsShipped);
    let rehearsal = rehearse(&plan, &out, &["--players", "200", "--fault", fault]);
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
fn kill_in_the_middle(plan: &Path, out: &Path) {
    let log = out.with_extension("log");
    let mut killed = rehearse_command(plan, out, &["--players", "100"])
        .stdout(Stdio::null())
        .stderr(fs::File::create(&log).expect("a log"))
        .spawn()
        .expect("tminus starts");
    // Two entries are written when the first gate starts; ten mean that some gates have run.
    let started = Instant::now();
    while record_size(&out.join("record")) < 10 {
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
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("out");
    let plan = plan_without_bounds_on_speed(folder.path(), Patience::Endless);
    kill_in_the_middle(&plan, &out);
    let resumed = rehearse(&plan, &out, &RESUME);
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
    let size = record_size(&out.join("record"));
    let ops = fs::read(out.join("packages/ops/ops.zip")).expect("the package");
    rehearse(&plan, &out, &RESUME).assert_exit(0);
    assert_eq!(record_size(&out.join("record")), size);
    let again = fs::read(out.join("packages/ops/ops.zip")).expect("the package");
    assert!(again == ops, "the way back in it was tried: it stays");
    what_was_cut_off_after_the_last_entry_is_made_good(&plan, &out);
    assert_eq!(record_size(&out.join("record")), size);
}

/// As if it had been killed after its checklist was issued: once before its packages were handed out, once while they were made.
fn what_was_cut_off_after_the_last_entry_is_made_good(plan: &Path, out: &Path) {
    let customer = out.join("packages/customer/customer.zip");
    let (delivery, after) = (out.join("delivery.yaml"), out.join("after.yaml"));
    for file in [&delivery, &after] {
        fs::remove_file(file).expect("it was there");
    }
    rehearse(plan, out, &RESUME).assert_exit(0);
    assert!(delivery.exists() && after.exists());

    for file in [&customer, &delivery, &after] {
        fs::remove_file(file).expect("it was there");
    }
    rehearse(plan, out, &RESUME).assert_exit(0);
    assert!(delivery.exists() && after.exists());
    for role in ["ops", "security", "customer"] {
        let zip = out.join(format!("packages/{role}/{role}.zip"));
        let (code, said) = tminus(&["package", "verify"], &zip);
        assert_eq!(code, 0, "{said}");
        assert_eq!(
            role == "ops",
            said.contains("cut off before its packages were made"),
            "{said}"
        );
    }
}

/// Entries that the record's checkpoint vouches for; 0 while there is none.
fn record_size(record: &Path) -> u64 {
    let checkpoint = fs::read_to_string(record.join("checkpoint")).unwrap_or_default();
    checkpoint
        .lines()
        .nth(1)
        .and_then(|line| line.parse().ok())
        .unwrap_or(0)
}
