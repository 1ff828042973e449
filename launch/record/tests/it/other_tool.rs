//! A record as another program reads it: aics-tlog, which knows C2SP's signed notes, checkpoints and tiles, and nothing of us.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tminus_record::{Record, SigningKey, VerifyingKey, note};

const ORIGIN: &str = "starvault/2026-11-22T14:00:00Z";

/// More than one tile, the last one in part.
const ENTRIES: u32 = 300;
const BEFORE: u32 = 100;

struct Log {
    folder: tempfile::TempDir,
}

impl Log {
    /// The checkpoint of the first entries is kept. `of` makes entries of their own.
    fn new(of: &str, key: &SigningKey) -> Self {
        let log = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let mut record = Record::create(&log.tiles(), ORIGIN, key).unwrap();
        let mut append = |numbers: std::ops::Range<u32>| {
            let entries: Vec<Vec<u8>> = numbers.map(|number| entry(of, number)).collect();
            record.append(&entries).unwrap();
        };
        append(0..BEFORE);
        fs::copy(log.tiles().join("checkpoint"), log.path("before")).unwrap();
        append(BEFORE..ENTRIES);
        let verifier = note::verifier_line(ORIGIN, &key.verifying_key());
        fs::write(log.path("key"), verifier).unwrap();
        log
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn tiles(&self) -> PathBuf {
        self.path("record")
    }

    /// What the program finds with this log's tiles and, unless another is named, its key.
    fn asked(&self, command: &str, arguments: &[&str], key: Option<&Path>) -> Value {
        let output = Command::new(starvault_testing::python())
            .args(["-m", "aics_tlog", command, "--tiles"])
            .arg(self.tiles())
            .arg("--vkey-file")
            .arg(key.map_or_else(|| self.path("key"), Path::to_owned))
            .args(arguments)
            .output()
            .unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)));
        assert_eq!(answer["ok"], output.status.success(), "{answer:#}");
        answer
    }
}

fn entry(of: &str, number: u32) -> Vec<u8> {
    format!("{of} {number}").into_bytes()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn checkpoint_tiles_and_proofs_hold_for_it() {
    let log = Log::new("entry", &SigningKey::from_seed([7; 32]));
    let answer = log.asked("verify-checkpoint", &["--origin", ORIGIN], None);
    assert_eq!(answer["ok"], true, "{answer:#}");
    assert_eq!(
        (&answer["size"], &answer["tiles_ok"]),
        (&ENTRIES.into(), &true.into()),
        "{answer:#}"
    );
    let checkpoint = fs::read_to_string(log.tiles().join("checkpoint")).unwrap();
    assert_eq!(answer["root"], checkpoint.lines().nth(2).unwrap());

    let leaf = log.path("leaf");
    for index in [0, 255, 256, ENTRIES - 1] {
        for (bytes, holds) in [(entry("entry", index), true), (entry("other", index), false)] {
            fs::write(&leaf, bytes).unwrap();
            let arguments = ["--leaf", text(&leaf), "--index", &index.to_string()];
            let answer = log.asked("verify-inclusion", &arguments, None);
            assert_eq!(answer["ok"], holds, "{answer:#}");
        }
    }

    let before = log.path("before");
    let answer = log.asked("verify-consistency", &["--old-checkpoint", text(&before)], None);
    assert_eq!(answer["ok"], true, "{answer:#}");
}

#[test]
fn a_fork_a_changed_tile_and_another_key_are_seen_by_it() {
    let key = SigningKey::from_seed([7; 32]);
    let (log, fork) = (Log::new("entry", &key), Log::new("other", &key));
    let answer = log.asked(
        "verify-consistency",
        &["--old-checkpoint", text(&fork.path("before"))],
        None,
    );
    assert_eq!(answer["ok"], false, "{answer:#}");

    let stranger: VerifyingKey = SigningKey::from_seed([8; 32]).verifying_key();
    let other_key = log.path("other-key");
    fs::write(&other_key, note::verifier_line(ORIGIN, &stranger)).unwrap();
    let answer = log.asked("verify-checkpoint", &[], Some(&other_key));
    assert_eq!(answer["ok"], false, "{answer:#}");

    let tile = log.tiles().join("tile/0/000");
    let mut bytes = fs::read(&tile).unwrap();
    bytes[100] ^= 1;
    fs::write(&tile, bytes).unwrap();
    let leaf = log.path("leaf");
    fs::write(&leaf, entry("entry", 3)).unwrap();
    let answer = log.asked("verify-inclusion", &["--leaf", text(&leaf), "--index", "3"], None);
    assert_eq!(answer["ok"], false, "{answer:#}");
}
