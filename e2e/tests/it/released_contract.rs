//! The contract as it was released, beside the one that is built: HTTP/JSON by `tminus contract diff`, messages and methods
//! by buf. Neither looks at the snapshot of the day, which whoever changes the contract also writes.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde::Deserialize;
use serde_json::Value;
use starvault_testing::python;

use crate::common::{binary, root};

const RELEASED_DOCUMENT: &str = "game/wire/released/starvault.v1.json";
const RELEASED_DESCRIPTORS: &str = "game/wire/released/starvault.v1.binpb";
/// The protos of the day, with their buf.yaml.
const WIRE: &str = "game/wire";
const DECISIONS: &str = "game/wire/released/decisions.yaml";
const WIRE_DECISIONS: &str = "game/wire/released/decisions-wire.yaml";
const HELP: &str = "docs/contract.md says how to change the API safely, and how to break it on purpose";

fn run(program: &Path, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap_or_else(|error| panic!("{} does not start: {error}", program.display()))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// One line of a file, as both sides of a finding are shown.
fn quoted(sign: char, file: &str, line: u64) -> String {
    let content = fs::read_to_string(root().join(file)).unwrap_or_default();
    let index = usize::try_from(line.saturating_sub(1)).unwrap_or_default();
    let quote = content.lines().nth(index).unwrap_or_default();
    format!("  {sign} {file}:{line} | {}\n", quote.trim())
}

/// Why clients of `base` cannot live with `revision` (paths from the workspace's root); empty if they can.
fn document_breaks(base: &str, revision: &str) -> String {
    let tminus = binary("tminus", "tminus-control");
    // No field is required in the contract, so a lost one is a warning. Clients pass over names that they do not know.
    let arguments = [
        "contract",
        "diff",
        base,
        revision,
        "--fail-on",
        "warning",
        "--severity",
        "response-property-enum-value-added=info",
        "--ignore",
        DECISIONS,
        "--json",
    ];
    let output = run(&tminus, &arguments);
    let told = text(&output.stdout);
    match output.status.code() {
        Some(0) => return String::new(),
        Some(1) => {}
        _ => panic!(
            "the documents could not be compared: {told}{}",
            text(&output.stderr)
        ),
    }
    let report: Value = serde_json::from_str(&told).expect("a report in JSON");
    let mut breaks = String::new();
    let findings = report["findings"].as_array().expect("findings");
    for finding in findings.iter().filter(|finding| finding["level"] != "info") {
        let field = |name: &str| finding[name].as_str().unwrap_or_default();
        let (rule, sentence) = (field("rule"), field("text"));
        let place = format!("{} {}", field("method"), field("path"));
        let _ = writeln!(breaks, "{rule}\n  {}: {sentence}", place.trim());
        for (sign, side) in [('-', "base"), ('+', "revision")] {
            let at = &finding[side];
            if let (Some(file), Some(line)) = (at["file"].as_str(), at["line"].as_u64()) {
                breaks += &quoted(sign, file, line);
            }
        }
    }
    for entry in report["expired_ignores"].as_array().into_iter().flatten() {
        let _ = writeln!(breaks, "{DECISIONS}: expired: {entry}");
    }
    assert!(!breaks.is_empty(), "{told}");
    breaks
}

/// A break of messages that was decided on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Decision {
    rule: String,
    /// A part of buf's sentence.
    contains: String,
    reason: String,
    /// Its last day.
    expires: jiff::civil::Date,
}

fn decisions(text: &str) -> Vec<Decision> {
    let list: Option<Vec<Decision>> = serde_saphyr::from_str(text).unwrap_or_else(|error| {
        panic!("{WIRE_DECISIONS}: {error}; expected a list of rule, contains, reason, expires")
    });
    let list = list.unwrap_or_default();
    for decision in &list {
        let is_said = !decision.contains.trim().is_empty() && !decision.reason.trim().is_empty();
        assert!(
            is_said,
            "{WIRE_DECISIONS}: {}: contains or reason is empty",
            decision.rule
        );
    }
    list
}

/// Why clients of `against` (descriptors, or a folder of protos) cannot live with the protos in `module` (a folder with a
/// buf.yaml); empty if they can.
fn wire_breaks(against: &str, module: &Path, decided: &[Decision], today: jiff::civil::Date) -> String {
    let buf = python().with_file_name("buf");
    let module_path = module.display().to_string();
    let arguments = [
        "breaking",
        &module_path,
        "--against",
        against,
        "--error-format",
        "json",
    ];
    let output = run(&buf, &arguments);
    match output.status.code() {
        Some(0) => return String::new(),
        // A break was found; everything else is a failure of its own.
        Some(100) => {}
        _ => panic!(
            "buf could not compare: {}{}",
            text(&output.stdout),
            text(&output.stderr)
        ),
    }
    let mut breaks = String::new();
    for line in text(&output.stdout).lines() {
        let finding: Value = serde_json::from_str(line).expect("a finding in JSON");
        let field = |name: &str| finding[name].as_str().unwrap_or_default();
        let (rule, sentence) = (field("type"), field("message"));
        let decision = decided
            .iter()
            .find(|one| one.rule == rule && sentence.contains(&one.contains));
        match decision {
            Some(one) if today <= one.expires => continue,
            Some(one) => {
                let _ = writeln!(
                    breaks,
                    "{WIRE_DECISIONS}: expired on {}: {}",
                    one.expires, one.reason
                );
            }
            None => {}
        }
        let _ = writeln!(breaks, "{rule}\n  {sentence}");
        // As from the workspace's root, wherever the module lies.
        let file = Path::new(field("path"));
        let file = file.strip_prefix(root()).unwrap_or(file).display().to_string();
        breaks += &quoted('+', &file, finding["start_line"].as_u64().unwrap_or_default());
    }
    breaks
}

/// A place that outlives the test: a finding names lines of what is written there.
fn kept(name: &str) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    path.display().to_string()
}

#[test]
fn clients_of_the_released_http_interface_can_live_with_this_one() {
    let document = run(&binary("starvault", "starvault-server"), &["openapi"]);
    assert!(document.status.success(), "{}", text(&document.stderr));
    let revision = kept("starvault.v1.json");
    fs::write(&revision, &document.stdout).expect("a document");
    let breaks = document_breaks(RELEASED_DOCUMENT, &revision);
    assert!(breaks.is_empty(), "released clients break:\n{breaks}\n{HELP}");
}

#[test]
fn clients_of_the_released_messages_can_live_with_these() {
    let decided = decisions(&fs::read_to_string(root().join(WIRE_DECISIONS)).expect("decisions"));
    let module = root().join(WIRE);
    let breaks = wire_breaks(RELEASED_DESCRIPTORS, &module, &decided, jiff::Zoned::now().date());
    assert!(breaks.is_empty(), "released clients break:\n{breaks}\n{HELP}");
}

/// A released document that promised more, and one that asked for less.
#[test]
fn a_broken_promise_over_http_is_told_with_its_rule_and_both_lines() {
    let released: Value =
        serde_json::from_str(&fs::read_to_string(root().join(RELEASED_DOCUMENT)).expect("a document"))
            .expect("JSON");
    let schemas = "/components/schemas";
    let cases: [(&str, &str, Value, &str); 2] = [
        (
            "starvault.v1.Profile",
            "properties",
            serde_json::json!({ "victories": { "type": "integer" } }),
            "response-optional-property-removed",
        ),
        (
            "starvault.v1.Version",
            "properties",
            serde_json::json!({ "release": { "type": "integer" } }),
            "response-property-type-changed",
        ),
    ];
    for (schema, member, patch, rule) in cases {
        let mut base = released.clone();
        let target = base
            .pointer_mut(&format!("{schemas}/{schema}/{member}"))
            .expect("a schema");
        let (name, value) = patch
            .as_object()
            .and_then(|patch| patch.iter().next())
            .expect("one");
        target[name] = value.clone();
        let path = kept(&format!("{rule}.json"));
        fs::write(&path, serde_json::to_string_pretty(&base).expect("JSON")).expect("a document");
        let breaks = document_breaks(&path, RELEASED_DOCUMENT);
        assert!(breaks.contains(rule), "{rule}: {breaks}");
        for line in [format!("- {path}:"), format!("+ {RELEASED_DOCUMENT}:")] {
            assert!(breaks.contains(&line), "{line} in {breaks}");
        }
    }
}

/// A copy of the protos with one edit.
fn edited(folder: &Path, file: &str, from: &str, to: &str) -> PathBuf {
    let module = folder.join("wire");
    let _ = fs::remove_dir_all(&module);
    copy(&root().join("game/wire/proto"), &module.join("proto"));
    fs::copy(root().join("game/wire/buf.yaml"), module.join("buf.yaml")).expect("buf.yaml");
    let path = module.join("proto/starvault/v1").join(file);
    let content = fs::read_to_string(&path).expect("a proto");
    assert!(content.contains(from), "{file} has no {from:?}");
    fs::write(&path, content.replacen(from, to, 1)).expect("a proto");
    module
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

/// Beside the protos of the day, so that what was decided on is no news here.
#[test]
fn what_openapi_cannot_see_is_told_with_rule_and_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let today = jiff::civil::date(2026, 1, 1);
    let cases = [
        (
            "player.proto",
            "uint32 wins = 5;",
            "uint32 victories = 5;",
            "FIELD_SAME_NAME",
        ),
        (
            "player.proto",
            "uint32 losses = 6;",
            "",
            "FIELD_NO_DELETE_UNLESS_NUMBER_RESERVED",
        ),
        (
            "player.proto",
            "bool equip = 2;",
            "bool equip = 3;",
            "FIELD_NO_DELETE",
        ),
        (
            "player.proto",
            "int64 version = 8;",
            "uint64 version = 8;",
            "FIELD_SAME_TYPE",
        ),
        (
            "play.proto",
            "repeated string regions = 7;",
            "string regions = 7;",
            "FIELD_SAME_CARDINALITY",
        ),
        ("play.proto", "OOPS = 4;", "OUCH = 4;", "ENUM_VALUE_SAME_NAME"),
        ("play.proto", "Ping ping = 9;", "", "FIELD_NO_DELETE"),
        ("player.proto", "rpc EquipItem", "rpc WearItem", "RPC_NO_DELETE"),
        (
            "play.proto",
            "message SendEmote {",
            "message Emoted {",
            "PACKAGE_MESSAGE_NO_DELETE",
        ),
    ];
    for (file, from, to, rule) in cases {
        let mut module = edited(folder.path(), file, from, to);
        if rule == "PACKAGE_MESSAGE_NO_DELETE" {
            module = rename_again(module, file);
        }
        let breaks = wire_breaks(WIRE, &module, &[], today);
        assert!(breaks.lines().any(|line| line == rule), "{rule} in {breaks}");
        assert!(breaks.contains(&format!("starvault/v1/{file}:")), "{breaks}");
    }
    // A new field and a new frame break nobody.
    let grown = edited(
        folder.path(),
        "player.proto",
        "message GetVersionRequest {}",
        "message GetVersionRequest { bool all = 1; } message Later { string why = 1; }",
    );
    assert_eq!(wire_breaks(WIRE, &grown, &[], today), "");
}

/// Whoever uses the message, too.
fn rename_again(module: PathBuf, file: &str) -> PathBuf {
    let path = module.join("proto/starvault/v1").join(file);
    let content = fs::read_to_string(&path).expect("a proto");
    fs::write(
        &path,
        content.replace("SendEmote send_emote", "Emoted send_emote"),
    )
    .expect("a proto");
    module
}

#[test]
fn a_decision_holds_until_its_last_day() {
    let folder = tempfile::tempdir().expect("a folder");
    let module = edited(folder.path(), "play.proto", "OOPS = 4;", "OUCH = 4;");
    let decided = decisions(
        "- {rule: ENUM_VALUE_SAME_NAME, contains: OUCH, reason: no client shows it, expires: 2026-03-31}",
    );
    assert_eq!(
        wire_breaks(WIRE, &module, &decided, jiff::civil::date(2026, 3, 31)),
        ""
    );
    let late = wire_breaks(WIRE, &module, &decided, jiff::civil::date(2026, 4, 1));
    assert!(
        late.contains("expired on 2026-03-31: no client shows it") && late.contains("OOPS"),
        "{late}"
    );
    let nothing = decisions("# none\n");
    assert!(nothing.is_empty());
}
