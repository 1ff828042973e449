//! The published schema of the data, against the data.

use jsonschema::Validator;
use serde_json::Value;
use tminus_checklist::{ChecklistData, DATA_SCHEMA, for_customers};

use crate::launch::{Launch, PLAN, asking_launch, long_launch, whole_launch};

fn validator() -> Validator {
    let schema: Value = serde_json::from_str(DATA_SCHEMA).unwrap();
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    jsonschema::draft202012::new(&schema).unwrap()
}

/// No field is allowed that the schema does not name: what is valid is described.
#[test]
fn what_any_launch_says_is_valid() {
    let validator = validator();
    let mut open = Launch::start(PLAN, "plans/test.yaml");
    open.gate("load-test", "players", &[("move_p99_ms", 200.5, "ms")]);
    let own = crate::own_template::launch("= Hi");
    for launch in [whole_launch(), asking_launch(), long_launch(9), open, own] {
        let full = launch.model().data;
        let shown = for_customers(&full, "\u{25ae}");
        for data in [full, shown] {
            let value = serde_json::to_value(&data).unwrap();
            let wrong: Vec<String> = validator
                .iter_errors(&value)
                .map(|e| format!("{}: {e}", e.instance_path()))
                .collect();
            assert_eq!(wrong, [""; 0]);
        }
    }
}

/// What the schema does not ask for is what the reader of older data does without.
#[test]
fn a_field_that_may_lack_in_the_schema_may_lack_for_the_reader_and_no_other() {
    let validator = validator();
    let value = serde_json::to_value(asking_launch().model().data).unwrap();
    for place in [
        "",
        "/items/2",
        "/items/2/gates/0",
        "/items/2/gates/0/evidence",
        "/timeline/rows/0",
        "/record",
    ] {
        let names: Vec<String> = value
            .pointer(place)
            .unwrap()
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        for name in names {
            let mut without = value.clone();
            without
                .pointer_mut(place)
                .unwrap()
                .as_object_mut()
                .unwrap()
                .remove(&name);
            let read = serde_json::from_value::<ChecklistData>(without.clone());
            // Serde lets every option lack.
            let is_option = ["not_covered", "evidence", "holds", "signed"].contains(&name.as_str());
            assert_eq!(
                validator.is_valid(&without),
                read.is_ok() && !is_option,
                "{place}/{name}"
            );
        }
    }
}

#[test]
fn another_mark_a_digest_that_is_none_and_a_field_too_many_are_not_valid() {
    let validator = validator();
    let value = serde_json::to_value(whole_launch().model().data).unwrap();
    for (place, wrong) in [
        ("/items/0/status", Value::from("perhaps")),
        ("/items/0/gates/0/evidence/sha256", Value::from("12ab")),
        ("/items/0/gates/0/evidence/started/ms", Value::from(-1)),
        ("/items/0/window", serde_json::json!({"hours": "T+0"})),
        ("/format", Value::from("tminus-checklist/2")),
    ] {
        let mut other = value.clone();
        *other.pointer_mut(place).unwrap() = wrong;
        assert!(!validator.is_valid(&other), "{place}");
    }
    let mut more = value;
    more["items"][0]["note"] = Value::from("mine");
    assert!(!validator.is_valid(&more));
}
