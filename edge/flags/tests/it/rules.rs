//! What rules mean.

use serde_json::{Value, json};
use tminus_flags::{Context, FlagSet, Reason};

/// One flag `f` with string variants.
fn set_of(rule: &Value) -> FlagSet {
    let definition = json!({"flags": {"f": {
        "state": "ENABLED",
        "variants": {"yes": "y", "no": "n", "true": "t", "false": "f", "7": "seven", "own": "o"},
        "defaultVariant": "own",
        "targeting": rule,
    }}});
    FlagSet::parse(&definition.to_string()).unwrap_or_else(|problems| panic!("{rule}: {problems:?}"))
}

fn ada() -> Context {
    Context {
        now_s: 1_000,
        ..Context::of("ada")
    }
    .with("email", "ada@starvault.example")
    .with("level", 7)
    .with("score", 2.5)
    .with("beta", true)
    .with("nothing", Value::Null)
    .with("release", "v1.3.0-rc.1")
    .with("tags", json!(["new", "vip", 3]))
    .with("device", json!({"os": {"name": "linux"}}))
}

fn variant(rule: &Value, context: &Context) -> String {
    let set = set_of(rule);
    match set.evaluate("f", context) {
        Ok(resolution) => resolution.variant.unwrap_or("-").to_owned(),
        Err(error) => error.code().to_owned(),
    }
}

#[test]
fn conditions_hold_or_do_not() {
    let var = |name: &str| json!({ "var": name });
    for (condition, holds) in [
        (json!({"==": [var("level"), 7]}), true),
        (json!({"==": [var("level"), "7"]}), true),
        (json!({"===": [var("level"), "7"]}), false),
        (json!({"!=": [var("level"), "7"]}), false),
        (json!({"!==": [var("level"), "7"]}), true),
        (json!({"==": [var("missing"), null]}), true),
        (json!({"==": [var("nothing"), var("missing")]}), true),
        (json!({"<": [var("level"), 8]}), true),
        (json!({"<": [6, var("level"), 8]}), true),
        (json!({"<": [7, var("level"), 8]}), false),
        (json!({"<=": [7, var("level"), 7]}), true),
        (json!({">": [var("score"), 2]}), true),
        (json!({">=": [var("score"), 2.5, 2.5]}), true),
        (json!({">": ["b", "a"]}), true),
        (json!({"<": ["a", 1]}), false),
        (json!({"!": [var("beta")]}), false),
        (json!({"!": var("missing")}), true),
        (json!({"!!": [[]]}), false),
        (json!({"!!": [[0]]}), true),
        (json!({"and": [var("beta"), {"==": [1, 1]}]}), true),
        (json!({"and": [var("beta"), var("missing")]}), false),
        (json!({"or": [var("missing"), var("beta")]}), true),
        (json!({"or": [var("missing"), 0, ""]}), false),
        (json!({"in": ["vip", var("tags")]}), true),
        (json!({"in": [3, var("tags")]}), true),
        (json!({"in": ["3", var("tags")]}), false),
        (json!({"in": ["@starvault", var("email")]}), true),
        (json!({"in": ["x", var("missing")]}), false),
        (json!({"in": [var("level"), [1, {"+": [3, 4]}]]}), true),
        (json!({"==": [{"+": [1, "2", true]}, 4]}), true),
        (json!({"==": [{"-": [var("level"), 2]}, 5]}), true),
        (json!({"==": [{"-": [var("level")]}, -7]}), true),
        (json!({"==": [{"*": [var("score"), 2, 2]}, 10]}), true),
        (json!({"==": [{"/": [var("level"), 2]}, 3.5]}), true),
        (json!({"==": [{"%": [var("level"), 4]}, 3]}), true),
        (json!({"==": [{"%": [-7, 4]}, -3]}), true),
        (json!({"==": [{"/": [1, 0]}, null]}), true),
        (json!({"==": [{"%": [1, 0]}, null]}), true),
        (json!({"==": [{"+": ["a"]}, null]}), true),
        (
            json!({"===": [{"cat": ["a", 1, 2.0, true, null, var("level")]}, "a12true7"]}),
            true,
        ),
        (json!({"starts_with": [var("email"), "ada@"]}), true),
        (json!({"starts_with": [var("email"), "@"]}), false),
        (json!({"starts_with": [var("level"), "7"]}), false),
        (json!({"ends_with": [var("email"), ".example"]}), true),
        (json!({"sem_ver": [var("release"), "<", "1.3"]}), true),
        (
            json!({"sem_ver": [var("release"), "=", "1.3.0-rc.1+build"]}),
            true,
        ),
        (json!({"sem_ver": [var("release"), "!=", "1.3.0"]}), true),
        (json!({"sem_ver": [var("release"), "<=", "v1.3.0-rc.1"]}), true),
        (json!({"sem_ver": [var("release"), ">", "1.2.9"]}), true),
        (json!({"sem_ver": [var("release"), ">=", "1.3.0"]}), false),
        (json!({"sem_ver": [var("release"), "^", "1.9.9"]}), true),
        (json!({"sem_ver": [var("release"), "~", "1.4.0"]}), false),
        (json!({"sem_ver": [var("email"), "=", "1.0.0"]}), false),
        (json!({"==": [var("device.os.name"), "linux"]}), true),
        (json!({"==": [var("tags.1"), "vip"]}), true),
        (json!({"==": [var("tags.01"), "vip"]}), false),
        (json!({"==": [var("tags.9"), null]}), true),
        (json!({"==": [{"var": ["missing", 5]}, 5]}), true),
        (json!({"==": [{"var": ["nothing", {"+": [2, 3]}]}, 5]}), true),
        (json!({"==": [var("targetingKey"), "ada"]}), true),
        (json!({"==": [var("$flagd.flagKey"), "f"]}), true),
        (json!({"==": [var("$flagd.timestamp"), 1000]}), true),
    ] {
        let rule = json!({"if": [condition, "yes", "no"]});
        assert_eq!(
            variant(&rule, &ada()),
            if holds { "yes" } else { "no" },
            "{condition}"
        );
    }
}

#[test]
fn a_result_names_a_variant_and_nothing_is_the_default() {
    let adas = ada();
    for (rule, expected) in [
        (json!({"if": [true, "yes"]}), "yes"),
        (json!({"if": [false, "yes"]}), "own"),
        (json!({"if": [false, "yes", null]}), "own"),
        (json!({"if": [false, "yes", true, "no"]}), "no"),
        (json!({"if": [false, "yes", 0, "no", 7]}), "7"),
        (json!({"==": [1, 1]}), "true"),
        (json!({"in": ["x", "y"]}), "false"),
        (json!({"var": "level"}), "7"),
        (json!({"var": "missing"}), "own"),
        (json!({"var": "email"}), "GENERAL"),
        (json!({"or": [{"var": "missing"}, "yes"]}), "yes"),
        (json!({}), "own"),
    ] {
        assert_eq!(variant(&rule, &adas), expected, "{rule}");
    }
    let reason = |rule: Value| set_of(&rule).evaluate("f", &adas).unwrap().reason;
    assert_eq!(reason(json!({})), Reason::Static);
    assert_eq!(reason(json!({"if": [false, "yes"]})), Reason::Default);
    assert_eq!(reason(json!({"if": [true, "yes"]})), Reason::TargetingMatch);
}

#[test]
fn what_is_divided_by() {
    let shares = json!([["yes", 1], ["no", 1]]);
    let with = |by: Value| {
        let mut arguments = vec![by];
        arguments.extend(shares.as_array().unwrap().clone());
        json!({ "fractional": arguments })
    };
    let plain = json!({ "fractional": shares });
    assert_eq!(variant(&plain, &Context::default()), "TARGETING_KEY_MISSING");
    assert_eq!(variant(&plain, &Context::of("")), "TARGETING_KEY_MISSING");
    assert_eq!(
        variant(&with(json!({"var": "missing"})), &ada()),
        "own",
        "nothing to divide by"
    );
    // An attribute that is an array would choose its variant if it counted as a share.
    let cheat = Context::of("eve").with("email", json!(["yes"]));
    assert_eq!(variant(&with(json!({"var": "email"})), &cheat), "own");
    let deep = (0..40).fold(json!(1), |value, _| json!({ "a": value }));
    assert_eq!(
        variant(&with(json!({"var": "deep"})), &ada().with("deep", deep)),
        "INVALID_CONTEXT"
    );
    // 1 and 1.0 are one subject.
    for number in 0..50 {
        let of = |value: Value| variant(&with(json!({"var": "n"})), &Context::default().with("n", value));
        assert_eq!(of(json!(number)), of(json!(f64::from(number))));
    }
}

#[test]
fn weights_may_be_computed() {
    let rule = |weight: Value| json!({"fractional": [["yes", weight], ["no", {"var": "rest"}]]});
    let ask = |weight: Value, rest: Value| variant(&rule(weight), &ada().with("rest", rest));
    assert_eq!(ask(json!(5), json!(0)), "yes");
    assert_eq!(ask(json!(5), json!(-3)), "yes", "fewer than nothing is nothing");
    assert_eq!(ask(json!(0), json!(5)), "no");
    assert_eq!(ask(json!(0), json!(0)), "own");
    assert_eq!(ask(json!(5), json!(0.5)), "own", "no whole number");
    assert_eq!(ask(json!(5), json!("1")), "own");
    assert_eq!(ask(json!(2_147_483_647), json!(1)), "own", "too many");
    let since = json!({"-": [{"var": "$flagd.timestamp"}, 990]});
    assert_eq!(ask(since, json!(0)), "yes");
}

#[test]
fn raising_a_share_only_moves_subjects_towards_it() {
    let set = |weight: u32| set_of(&json!({"fractional": [["yes", weight], ["no", 100 - weight]]}));
    let chosen = |weight: u32| -> Vec<bool> {
        let set = set(weight);
        (0..2_000)
            .map(|number| {
                let context = Context::of(format!("p-{number}"));
                set.evaluate("f", &context).unwrap().variant == Some("yes")
            })
            .collect()
    };
    let mut before = chosen(0);
    assert!(!before.contains(&true));
    for weight in [1, 5, 30, 70, 100] {
        let after = chosen(weight);
        assert!(
            before.iter().zip(&after).all(|(before, after)| !before || *after),
            "{weight}"
        );
        let share = after.iter().filter(|chosen| **chosen).count() as f64 / 2_000.0;
        // Four standard deviations.
        let (p, n) = (f64::from(weight) / 100.0, 2_000.0);
        assert!(
            (share - p).abs() <= 4.0 * (p * (1.0 - p) / n).sqrt(),
            "{weight}: {share}"
        );
        before = after;
    }
}

#[test]
fn evaluators_stand_for_their_rules_in_each_other_too() {
    let definition = json!({
        "$evaluators": {
            "insider": {"or": [{"$ref": "staff"}, {"in": ["vip", {"var": "tags"}]}]},
            "staff": {"ends_with": [{"var": "email"}, "@starvault.example"]},
        },
        "flags": {"f": {
            "state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off",
            "targeting": {"if": [{"$ref": "insider"}, "on"]},
        }},
    });
    let set = FlagSet::parse(&definition.to_string()).unwrap();
    let value = |context: &Context| set.evaluate("f", context).unwrap().value.unwrap().clone();
    assert_eq!(value(&ada()), json!(true));
    assert_eq!(value(&Context::of("x").with("tags", json!(["vip"]))), json!(true));
    assert_eq!(value(&Context::of("x")), json!(false));
}

#[test]
fn a_text_that_grows_beyond_its_bound_is_an_error_and_no_memory() {
    let rule = json!({"if": [{"cat": [{"var": "a"}, {"var": "a"}, {"var": "a"}]}, "yes"]});
    assert_eq!(
        variant(&rule, &Context::default().with("a", "x".repeat(5_000))),
        "yes"
    );
    assert_eq!(
        variant(&rule, &Context::default().with("a", "x".repeat(6_000))),
        "INVALID_CONTEXT"
    );
}
