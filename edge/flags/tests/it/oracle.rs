//! Ours beside flagd's own provider for Python (openfeature-provider-flagd 0.6.1): who gets which variant.

use std::{
    io::Write as _,
    process::{Command, Stdio},
    thread,
};

use serde_json::{Value, json};
use starvault_testing::python;
use tminus_flags::{Context, FlagSet};

const SUBJECTS: usize = 10_000;

struct Ask {
    key: String,
    context: Context,
}

/// What the provider for Python answers: [variant, value, reason], or [code].
fn theirs(definition: &str, asks: &[Ask]) -> Vec<Vec<Value>> {
    let asks: Vec<Value> = asks
        .iter()
        .map(|ask| {
            json!({
                "key": ask.key,
                "targeting_key": ask.context.targeting_key,
                "attributes": ask.context.attributes,
            })
        })
        .collect();
    let question = json!({"definition": definition, "asks": asks}).to_string();
    let mut child = Command::new(python())
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the interpreter starts");
    let mut input = child.stdin.take().expect("a pipe");
    let writing = thread::spawn(move || input.write_all(question.as_bytes()));
    let output = child.wait_with_output().expect("it ends");
    writing
        .join()
        .expect("it does not panic")
        .expect("it reads everything");
    assert!(output.status.success(), "{}", output.status);
    serde_json::from_slice(&output.stdout).expect("a list of answers")
}

fn ours(set: &FlagSet, ask: &Ask) -> Vec<Value> {
    match set.evaluate(&ask.key, &ask.context) {
        Ok(found) => vec![
            found.variant.into(),
            found.value.cloned().unwrap_or_else(|| "own".into()),
            found.reason.as_str().into(),
        ],
        Err(error) => vec![error.code().into()],
    }
}

fn agree(definition: &Value, asks: &[Ask]) {
    let definition = definition.to_string();
    let set = FlagSet::parse(&definition).unwrap_or_else(|problems| panic!("{problems:?}"));
    let theirs = theirs(&definition, asks);
    assert_eq!(theirs.len(), asks.len());
    let differing: Vec<String> = asks
        .iter()
        .zip(&theirs)
        .filter(|(ask, theirs)| ours(&set, ask) != **theirs)
        .take(5)
        .map(|(ask, theirs)| {
            format!(
                "{} {:?}: ours {:?}, theirs {theirs:?}",
                ask.key,
                ask.context,
                ours(&set, ask)
            )
        })
        .collect();
    assert!(differing.is_empty(), "{differing:#?}");
}

fn flag(rule: &Value) -> Value {
    let names = ["a", "b", "c", "d", "true", "false", "3", "own"];
    let variants: serde_json::Map<_, _> = names
        .iter()
        .map(|name| ((*name).to_owned(), json!(name.to_uppercase())))
        .collect();
    json!({"state": "ENABLED", "variants": variants, "defaultVariant": "own", "targeting": rule})
}

/// Somebody, with attributes of every kind.
fn subject(number: usize) -> Context {
    let key = match number % 5 {
        0 => format!("p-{number}"),
        1 => format!("{number:032x}"),
        2 => format!("玩家-{number}"),
        3 => format!("{}@starvault.example", "x".repeat(number % 300)),
        _ => number.to_string(),
    };
    let signed = number as i64 - 5_000;
    let exponent = (number % 600) as i32 - 300;
    Context::of(key)
        .with("email", format!("player{number}@starvault.example"))
        .with("number", signed * 1_000_003)
        .with("large", u64::MAX - number as u64)
        .with("double", signed as f64 / 16.0)
        .with("tiny", signed as f64 * 10_f64.powi(exponent))
        .with("half", number as f64 / 8192.0)
        .with("flag", number.is_multiple_of(2))
        .with(
            "device",
            json!({"os": "linux", "id": number, "tags": [number, null, "x"], "a": {"bb": 1.5, "c": true}}),
        )
}

#[test]
fn every_subject_has_the_bucket_that_flagd_gives_it() {
    let by = |name: &str| json!({ "var": name });
    let halves = |by: Value| json!({"fractional": [by, ["a", 1], ["b", 1], ["c", 2]]});
    let rules = [
        ("half", json!({"fractional": [["a", 50], ["b", 50]]})),
        ("no-weights", json!({"fractional": [["a"], ["b"], ["c"]]})),
        ("one-percent", json!({"fractional": [["a", 1], ["b", 99]]})),
        (
            "with-nothing",
            json!({"fractional": [["a", 0], ["b", 7], ["c", 0], ["d", 13]]}),
        ),
        (
            "uneven",
            json!({"fractional": [["a", 333], ["b", 667], ["c", 12_345], ["d", 1]]}),
        ),
        (
            "most",
            json!({"fractional": [["a", 1_000_000_007], ["b", 1_147_483_640]]}),
        ),
        ("only", json!({"fractional": [["a", 100]]})),
        (
            "flag-and-key",
            json!({"fractional": [{"cat": [by("$flagd.flagKey"), by("targetingKey")]}, ["a", 25], ["b", 75]]}),
        ),
        ("key", halves(by("targetingKey"))),
        ("email", halves(by("email"))),
        ("number", halves(by("number"))),
        ("large", halves(by("large"))),
        ("double", halves(by("double"))),
        ("tiny", halves(by("tiny"))),
        ("small", halves(by("half"))),
        ("flag", halves(by("flag"))),
        ("device", halves(by("device"))),
        ("missing", halves(by("missing"))),
        (
            "nested",
            json!({"fractional": [["a", 50], [{"fractional": [by("email"), ["b", 1], ["c", 1]]}, 50]]}),
        ),
        (
            "computed",
            json!({"fractional": [["a", {"+": [10, 20]}], ["b", {"-": [100, 30]}], ["c", {"-": [0, 5]}]]}),
        ),
        (
            "no-whole-weight",
            json!({"fractional": [["a", {"/": [1, 2]}], ["b", 1]]}),
        ),
        (
            "within",
            json!({"if": [{"ends_with": [by("email"), "7@starvault.example"]}, "d", {"fractional": [["a", 5], ["b", 95]]}]}),
        ),
    ];
    let flags: serde_json::Map<_, _> = rules
        .iter()
        .map(|(key, rule)| ((*key).to_owned(), flag(rule)))
        .collect();
    let subjects: Vec<Context> = (0..SUBJECTS).map(subject).collect();
    let asks: Vec<Ask> = rules
        .iter()
        .flat_map(|(key, _)| {
            subjects
                .iter()
                .map(|context| ((*key).to_owned(), context.clone()))
        })
        .map(|(key, context)| Ask { key, context })
        .collect();
    agree(&json!({ "flags": flags }), &asks);
}

/// Rules whose meaning all implementations share. Those that they disagree on stand in docs/flags.md.
#[test]
fn rules_choose_as_flagd_chooses() {
    let var = |name: &str| json!({ "var": name });
    let conditions = [
        json!({"==": [var("level"), 7]}),
        json!({"==": [var("level"), "7"]}),
        json!({"===": [var("level"), "7"]}),
        json!({"!=": [var("name"), "ada"]}),
        json!({"!==": [var("name"), "ada"]}),
        json!({"==": [var("missing"), null]}),
        json!({"<": [var("level"), 8]}),
        json!({"<": [1, var("level"), 8]}),
        json!({"<=": [var("level"), var("score")]}),
        json!({">": [var("score"), 2]}),
        json!({">=": [var("name"), "b"]}),
        json!({"!": [var("beta")]}),
        json!({"!!": [var("tags")]}),
        json!({"and": [var("beta"), {">": [var("level"), 3]}]}),
        json!({"or": [var("missing"), var("beta")]}),
        json!({"in": [var("name"), ["ada", "bo"]]}),
        json!({"in": ["vip", var("tags")]}),
        json!({"in": ["da", var("name")]}),
        json!({"==": [{"+": [var("level"), 1]}, 8]}),
        json!({"==": [{"-": [var("level"), 1]}, 6]}),
        json!({"==": [{"*": [var("level"), var("score")]}, 17.5]}),
        json!({"==": [{"/": [var("level"), 2]}, 3.5]}),
        json!({"==": [{"%": [var("level"), 4]}, 3]}),
        json!({"==": [{"cat": [var("name"), "-", var("level")]}, "ada-7"]}),
        json!({"starts_with": [var("name"), "a"]}),
        json!({"ends_with": [var("name"), "a"]}),
        json!({"starts_with": [var("level"), "7"]}),
        json!({"sem_ver": [var("release"), "<", "1.3.0"]}),
        json!({"sem_ver": [var("release"), ">=", "v1.2"]}),
        json!({"sem_ver": [var("release"), "=", "1.3.0-rc.1+build.5"]}),
        json!({"sem_ver": [var("release"), "^", "1.0.0"]}),
        json!({"sem_ver": [var("release"), "~", "1.3.9"]}),
        json!({"sem_ver": [var("release"), "!=", "1.3"]}),
        json!({"sem_ver": [var("name"), "=", "1.0.0"]}),
        json!({"==": [var("device.os.name"), "linux"]}),
        json!({"==": [{"var": ["missing", 5]}, 5]}),
        json!({"==": [var("tags.1"), "vip"]}),
        json!({"==": [var("$flagd.flagKey"), "f3"]}),
        json!({"==": [var("targetingKey"), "ada"]}),
        json!({"$ref": "insider"}),
    ];
    let results = [
        json!({"if": [false, "a"]}),
        json!({"if": [false, "a", null]}),
        json!({"if": [{"==": [1, 2]}, "a", {"==": [1, 1]}, "b", "c"]}),
        json!({"==": [1, 1]}),
        json!({"var": "level"}),
        json!({"var": "name"}),
        json!({"var": "missing"}),
        json!({"or": [{"var": "missing"}, "d"]}),
        json!({"and": [true, "d"]}),
        json!({"if": [true, 3]}),
        json!({}),
    ];
    let rules: Vec<Value> = conditions
        .into_iter()
        .map(|condition| json!({"if": [condition, "a", "b"]}))
        .chain(results)
        .collect();
    let mut flags: serde_json::Map<_, _> = rules
        .iter()
        .enumerate()
        .map(|(number, rule)| (format!("f{number}"), flag(rule)))
        .collect();
    flags.insert("none".into(), json!({"state": "ENABLED", "variants": {"a": "A"}}));
    flags.insert(
        "off".into(),
        json!({"state": "DISABLED", "variants": {"a": "A"}, "defaultVariant": "a"}),
    );
    flags.insert(
        "number".into(),
        json!({"state": "ENABLED", "variants": {"a": "1"}, "defaultVariant": "a"}),
    );
    let evaluators = json!({"insider": {"in": ["@starvault.example", var("email")]}});
    let contexts = [
        Context::of("ada")
            .with("name", "ada")
            .with("level", 7)
            .with("score", 2.5)
            .with("beta", true)
            .with("tags", json!(["new", "vip"]))
            .with("release", "v1.3.0-rc.1")
            .with("email", "ada@starvault.example")
            .with("device", json!({"os": {"name": "linux"}})),
        Context::of("bo")
            .with("name", "bo")
            .with("level", 3)
            .with("score", 3)
            .with("beta", false)
            .with("tags", json!([]))
            .with("release", "1.3"),
        Context::of("cy")
            .with("name", "3")
            .with("level", 0)
            .with("score", 0.5)
            .with("beta", "")
            .with("release", "2")
            .with("email", "x"),
    ];
    let asks: Vec<Ask> = flags
        .keys()
        .map(String::as_str)
        .chain(["unknown"])
        .flat_map(|key| contexts.iter().map(move |context| (key, context)))
        .map(|(key, context)| Ask {
            key: key.to_owned(),
            context: context.clone(),
        })
        .collect();
    agree(&json!({"flags": flags, "$evaluators": evaluators}), &asks);
}
