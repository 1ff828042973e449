//! Files that change while they are in force. Changes are awaited, never slept for.

use std::{fs, path::Path, sync::Arc, time::Duration};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tminus_flags::{Context, FileOptions, Flags, State};
use tokio::task::JoinHandle;

struct Watched {
    folder: TempDir,
    flags: Flags,
    task: JoinHandle<()>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn definition(variant: &str) -> String {
    json!({"flags": {
        "f": {"state": "ENABLED", "variants": {"a": "A", "b": "B", "c": "C"}, "defaultVariant": variant},
    }})
    .to_string()
}

impl Watched {
    async fn start(text: &str, adjust: impl FnOnce(&Path, &mut FileOptions)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("flags.json");
        fs::write(&file, text).unwrap();
        let mut options = FileOptions {
            file: Some(file),
            environment: None,
            overrides: Vec::new(),
            poll_every: Duration::from_millis(2),
            now_ms: Arc::new(|| 1_700_000_000_000),
        };
        adjust(folder.path(), &mut options);
        let (flags, following) = Flags::open(options).await;
        let task = tokio::spawn(following);
        Self { folder, flags, task }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    async fn until(&mut self, what: &str, holds: impl FnMut(&State) -> bool) -> Arc<State> {
        let waiting = self.flags.until(holds);
        tokio::time::timeout(Duration::from_secs(30), waiting)
            .await
            .unwrap_or_else(|_| panic!("this never happened: {what}"))
    }
}

fn value(state: &State) -> Value {
    let set = state.set.as_ref().unwrap();
    set.evaluate("f", &Context::default())
        .unwrap()
        .value
        .unwrap()
        .clone()
}

fn sha256(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

#[tokio::test]
async fn a_newer_file_comes_into_force_and_its_version_is_its_digest() {
    let (old, new) = (definition("a"), definition("b"));
    let mut watched = Watched::start(&old, |_, _| {}).await;
    let state = watched.flags.state();
    assert_eq!(
        (value(&state), &state.version, state.reloads),
        (json!("A"), &sha256(&old), 0)
    );
    assert_eq!(state.loaded_at_ms, 1_700_000_000_000);
    watched.write("flags.json", &new);
    let state = watched
        .until("the newer version", |state| state.reloads == 1)
        .await;
    assert_eq!((value(&state), &state.version), (json!("B"), &sha256(&new)));
    assert_eq!(
        (state.files.len(), &state.files[0].sha256, state.files[0].bytes),
        (1, &sha256(&new), new.len())
    );
    // Moved into its place, as careful writers and mounted configurations do.
    watched.write("next.json", &definition("c"));
    fs::rename(
        watched.folder.path().join("next.json"),
        watched.folder.path().join("flags.json"),
    )
    .unwrap();
    let state = watched
        .until("the one that was moved there", |state| state.reloads == 2)
        .await;
    assert_eq!(value(&state), json!("C"));
}

#[tokio::test]
async fn what_cannot_be_used_leaves_the_last_good_one_in_force_and_is_told() {
    let good = definition("a");
    let mut watched = Watched::start(&good, |_, _| {}).await;
    let torn = &definition("b")[..40];
    let mut failures = 0;
    for (bad, expected) in [
        (torn.as_bytes(), "the text ends"),
        (b"", "the text ends, expected a value"),
        (b"{\"flags\":{\"f\":{\"state\":\"ON\"}}}", "/flags/f/state"),
        (b"\n{\"\xff", "2:3: this is not UTF-8"),
        (&[b' '; 1_100_000], "the definition has 1048577 bytes"),
    ] {
        fs::write(watched.folder.path().join("flags.json"), bad).unwrap();
        failures += 1;
        let state = watched
            .until(expected, |state| {
                // A write may be seen half done: more failures than files, but in the end this problem.
                state.failures >= failures
                    && state
                        .failing
                        .iter()
                        .flat_map(|failing| &failing.problems)
                        .any(|problem| problem.to_string().contains(expected))
            })
            .await;
        failures = state.failures;
        assert_eq!(
            (value(&state), &state.version, state.reloads),
            (json!("A"), &sha256(&good), 0)
        );
    }
    // Gone, a folder, back again.
    let path = watched.folder.path().join("flags.json");
    fs::remove_file(&path).unwrap();
    let told = |state: &State, words: &str| {
        state
            .failing
            .iter()
            .flat_map(|failing| &failing.problems)
            .any(|problem| problem.message.contains(words))
    };
    watched
        .until("it is gone", |state| told(state, "No such file"))
        .await;
    fs::create_dir(&path).unwrap();
    let state = watched
        .until("it is a folder", |state| told(state, "it is no regular file"))
        .await;
    assert_eq!(value(&state), json!("A"));
    fs::remove_dir(&path).unwrap();
    watched.write("flags.json", &good);
    let state = watched
        .until("all is well", |state| state.failing.is_none())
        .await;
    assert_eq!(
        (state.reloads, &state.version),
        (0, &sha256(&good)),
        "it is the version of before"
    );
    watched.write("flags.json", &definition("b"));
    let state = watched.until("and goes on", |state| state.reloads == 1).await;
    assert_eq!(value(&state), json!("B"));
}

#[tokio::test]
async fn an_environment_comes_over_the_file_and_has_to_be_there() {
    let (base, staging) = (definition("a"), definition("b"));
    let mut watched = Watched::start(&base, |folder, options| {
        fs::write(folder.join("flags.staging.json"), &staging).unwrap();
        fs::write(folder.join("flags.production.json"), definition("c")).unwrap();
        options.environment = Some("staging".into());
    })
    .await;
    let state = watched.flags.state();
    assert_eq!(value(&state), json!("B"));
    assert_eq!(
        state.version,
        sha256(&format!("{base}{staging}")),
        "cat FILES | sha256sum"
    );
    let names: Vec<_> = state
        .files
        .iter()
        .map(|file| file.path.file_name().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["flags.json", "flags.staging.json"]);
    watched.write("flags.staging.json", "{\"flags\":{}}");
    let state = watched
        .until("the overlay says nothing", |state| state.reloads == 1)
        .await;
    assert_eq!(value(&state), json!("A"));
    fs::remove_file(watched.folder.path().join("flags.staging.json")).unwrap();
    let state = watched
        .until("the overlay is gone", |state| state.failing.is_some())
        .await;
    let problem = state.failing.as_ref().unwrap().problems[0].to_string();
    assert!(
        problem.contains("flags.staging.json: cannot be read: No such file"),
        "{problem}"
    );
    let missing = Watched::start(&base, |_, options| options.environment = Some("stagng".into())).await;
    assert!(
        missing.flags.state().set.is_none(),
        "a misspelt environment is no environment"
    );
}

#[tokio::test]
async fn overrides_stay_over_every_version() {
    let mut watched = Watched::start(&definition("a"), |_, options| {
        options.overrides = vec!["f=C".parse().unwrap()];
    })
    .await;
    assert_eq!(value(&watched.flags.state()), json!("C"));
    watched.write("flags.json", &definition("b"));
    let state = watched.until("a newer version", |state| state.reloads == 1).await;
    assert_eq!(value(&state), json!("C"));
    assert_eq!(state.overrides["f"], json!("C"));
    // The flag has become another kind: the override cannot be meant for it.
    watched.write(
        "flags.json",
        &json!({"flags": {"f": {"state": "ENABLED", "variants": {"a": 1}}}}).to_string(),
    );
    let state = watched
        .until("it does not fit", |state| state.failing.is_some())
        .await;
    let problem = state.failing.as_ref().unwrap().problems[0].to_string();
    assert!(problem.contains("the override makes f a string"), "{problem}");
    assert_eq!(value(&state), json!("C"));
}

#[tokio::test]
async fn without_a_file_there_are_the_overrides() {
    let watched = Watched::start("", |_, options| {
        options.file = None;
        options.overrides = vec!["f=A".parse().unwrap()];
    })
    .await;
    let state = watched.flags.state();
    assert_eq!(
        (value(&state), state.version.as_str(), state.files.len()),
        (json!("A"), "", 0)
    );
}

#[test]
fn the_file_of_an_environment_lies_beside_its_base() {
    let files = |file: &str, environment: &str| {
        let options = FileOptions {
            file: Some(file.into()),
            environment: Some(environment.into()),
            overrides: Vec::new(),
            poll_every: Duration::ZERO,
            now_ms: Arc::new(|| 0),
        };
        options.files().pop().unwrap().display().to_string()
    };
    assert_eq!(
        files("/etc/starvault/flags.json", "staging"),
        "/etc/starvault/flags.staging.json"
    );
    assert_eq!(files("flags", "staging"), "flags.staging");
    assert_eq!(files("a.b/c.d.json", "x"), "a.b/c.d.x.json");
    assert!(FileOptions::is_environment("gray-v2"));
    for wrong in ["", "../etc", "a/b", "a.b", "灰度", &"x".repeat(65)] {
        assert!(!FileOptions::is_environment(wrong), "{wrong}");
    }
}
