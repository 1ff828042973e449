use std::io::BufRead as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::bench::key_pair;

pub fn tminus() -> Command {
    Command::new(env!("CARGO_BIN_EXE_tminus"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn code(output: &Output) -> i32 {
    output
        .status
        .code()
        .unwrap_or_else(|| panic!("{}", text(&output.stderr)))
}

const PLAN: &str = r#"name: Small
version: v7
items:
  - id: checks
    number: 1
    title: { zh: 检查, en: Checks }
    window: { from_h: 0, to_h: 48 }
    owner: qa
    criterion: { zh: 通过, en: it passes }
    gates:
      - { id: works, kind: command, argv: ["true"] }
    sign_offs: [qa]
"#;

#[test]
fn a_malformed_plan_ends_with_2_and_names_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.yaml");
    std::fs::write(&file, PLAN.replace("kind: command", "kind: comand")).unwrap();
    let output = tminus().args(["plan", "check"]).arg(&file).output().unwrap();
    assert_eq!(code(&output), 2);
    let said = text(&output.stderr);
    assert!(said.contains(&format!("{}:11:", file.display())), "{said}");
    assert!(said.contains("comand"), "{said}");

    let output = tminus()
        .args(["plan", "check", "--json"])
        .arg(&file)
        .output()
        .unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (answer["error"]["kind"].as_str(), answer["exit_code"].as_i64()),
        (Some("plan"), Some(2))
    );

    std::fs::write(&file, PLAN).unwrap();
    let output = tminus().args(["plan", "check"]).arg(&file).output().unwrap();
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
}

#[test]
fn the_shipped_plans_are_good() {
    for plan in [
        "starvault.yaml",
        "http-service.yaml",
        "nginx.yaml",
        "kubernetes.yaml",
    ] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../plans")
            .join(plan);
        let output = tminus().args(["plan", "check"]).arg(file).output().unwrap();
        assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    }
}

#[test]
fn a_rehearsal_without_its_programs_names_them_and_how_to_build_them() {
    let folder = tempfile::tempdir().unwrap();
    let alone = folder.path().join("tminus");
    std::fs::hard_link(env!("CARGO_BIN_EXE_tminus"), &alone)
        .or_else(|_| std::fs::copy(env!("CARGO_BIN_EXE_tminus"), &alone).map(drop))
        .unwrap();
    let output = Command::new(&alone)
        .args(["rehearse", "--out"])
        .arg(folder.path().join("out"))
        .output()
        .unwrap();
    assert_eq!(code(&output), 2);
    let said = text(&output.stderr);
    assert!(
        said.contains("`starvault` is missing") && said.contains("`tminus-gateway` is missing"),
        "{said}"
    );
    assert!(
        said.contains("cargo build -p starvault-server -p tminus-gateway"),
        "{said}"
    );
    assert!(!folder.path().join("out").exists());
}

#[test]
fn an_unknown_variable_is_named_with_its_line_before_anything_begins() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.yaml");
    std::fs::write(&file, PLAN.replace("[\"true\"]", "[\"${program}\"]")).unwrap();
    let out = folder.path().join("out");
    let output = tminus()
        .arg("launch")
        .arg(&file)
        .arg("--out")
        .arg(&out)
        .output()
        .unwrap();
    assert_eq!(code(&output), 2);
    let said = text(&output.stderr);
    assert!(
        said.contains("plan.yaml:11:") && said.contains("${program}") && said.contains("--var"),
        "{said}"
    );
    assert!(!out.exists());
}

#[test]
fn a_role_without_a_key_is_told_before_anything_begins() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.yaml");
    std::fs::write(&file, PLAN).unwrap();
    let out = folder.path().join("out");
    let output = tminus()
        .arg("launch")
        .arg(&file)
        .arg("--out")
        .arg(&out)
        .output()
        .unwrap();
    assert_eq!(code(&output), 2);
    assert!(
        text(&output.stderr).contains("--role-key qa="),
        "{}",
        text(&output.stderr)
    );
}

/// A launch by the binary alone: keys, run, a signature while it runs, the checklist, its verification.
#[test]
fn a_launch_waits_for_its_signature_and_its_checklist_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.yaml");
    std::fs::write(&file, PLAN).unwrap();
    let out = folder.path().join("out");
    let (private, public) = key_pair(folder.path(), "qa");
    let mut launch = tminus()
        .arg("launch")
        .arg(&file)
        .arg("--out")
        .arg(&out)
        .args(["--json", "--role-key"])
        .arg(format!("qa={}", public.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(launch.stderr.take().unwrap()).lines();
    let passed = lines
        .by_ref()
        .map_while(Result::ok)
        .find(|line| line.contains("checks / works  passed"));
    assert!(passed.is_some());
    let rest = std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>());

    // A second launch does not get in.
    let second = tminus()
        .arg("launch")
        .arg(&file)
        .arg("--out")
        .arg(&out)
        .arg("--resume")
        .output()
        .unwrap();
    assert_eq!(code(&second), 2);
    assert!(
        text(&second.stderr).contains("another"),
        "{}",
        text(&second.stderr)
    );

    let sign = |item: &str| {
        tminus()
            .args(["sign-off", "--item", item, "--role", "qa", "--out"])
            .arg(&out)
            .arg("--key")
            .arg(&private)
            .output()
            .unwrap()
    };
    let refused = sign("nothing");
    assert_eq!(code(&refused), 2);
    assert!(
        text(&refused.stderr).contains("no item `nothing`"),
        "{}",
        text(&refused.stderr)
    );
    let signed = sign("checks");
    assert_eq!(code(&signed), 0, "{}", text(&signed.stderr));

    let ended = launch.wait_with_output().unwrap();
    let said = rest.join().unwrap().join("\n");
    assert_eq!(code(&ended), 0, "{said}");
    let answer: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(
        answer["totals"],
        serde_json::json!({ "ticked": 1, "crossed": 0, "not_checked": 0 })
    );

    let checklist = out.join("checklist.pdf");
    let verified = tminus().arg("verify").arg(&checklist).output().unwrap();
    assert_eq!(
        code(&verified),
        0,
        "{}{}",
        text(&verified.stdout),
        text(&verified.stderr)
    );
    let mut bytes = std::fs::read(&checklist).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&checklist, bytes).unwrap();
    let verified = tminus().arg("verify").arg(&checklist).output().unwrap();
    assert_eq!(code(&verified), 1);

    // A launch that has ended is never overwritten, and can be asked for its result.
    let role = format!("qa={}", public.display());
    let again = tminus()
        .arg("launch")
        .arg(&file)
        .arg("--out")
        .arg(&out)
        .args(["--role-key", &role])
        .output()
        .unwrap();
    assert_eq!(code(&again), 2);
    assert!(
        text(&again.stderr).contains("never overwritten"),
        "{}",
        text(&again.stderr)
    );
    let told = tminus()
        .arg("launch")
        .arg(&file)
        .arg("--out")
        .arg(&out)
        .arg("--resume")
        .output()
        .unwrap();
    assert_eq!(code(&told), 0);
    assert_eq!(
        text(&told.stdout).lines().last(),
        Some("1 ticked, 0 crossed, 0 not checked")
    );
}

#[test]
fn a_launch_can_be_signed_between_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.yaml");
    std::fs::write(&file, PLAN).unwrap();
    let out = folder.path().join("out");
    let (private, public) = key_pair(folder.path(), "qa");
    let mut launch = tminus()
        .arg("launch")
        .arg(&file)
        .arg("--out")
        .arg(&out)
        .args(["--no-dashboard", "--role-key"])
        .arg(format!("qa={}", public.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(launch.stderr.take().unwrap()).lines();
    assert!(
        lines
            .by_ref()
            .map_while(Result::ok)
            .any(|line| line.contains("checks / works  passed"))
    );
    launch.kill().unwrap();
    launch.wait().unwrap();

    let unfinished = tminus()
        .arg("launch")
        .arg(&file)
        .arg("--out")
        .arg(&out)
        .args(["--role-key", &format!("qa={}", public.display())])
        .output()
        .unwrap();
    assert_eq!(code(&unfinished), 2);
    assert!(
        text(&unfinished.stderr).contains("--resume"),
        "{}",
        text(&unfinished.stderr)
    );

    let signed = tminus()
        .args(["sign-off", "--item", "checks", "--role", "qa", "--out"])
        .arg(&out)
        .arg("--key")
        .arg(&private)
        .output()
        .unwrap();
    assert_eq!(code(&signed), 0, "{}", text(&signed.stderr));
    let ended = tminus()
        .arg("launch")
        .arg(&file)
        .arg("--out")
        .arg(&out)
        .arg("--resume")
        .output()
        .unwrap();
    assert_eq!(code(&ended), 0, "{}", text(&ended.stderr));
    assert_eq!(
        text(&ended.stdout).lines().last(),
        Some("1 ticked, 0 crossed, 0 not checked")
    );
}
