//! What is taken and what is refused when a definition is loaded.

use proptest::prelude::*;
use serde_json::{Value, json};
use tminus_flags::{Context, FlagSet, Kind, Layer, Override, OverrideError, Reason, limits};

fn problems(text: &str) -> Vec<String> {
    match FlagSet::parse(text) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

/// A definition with one flag `f` with variants `on` and `off`, and its rule on a line of its own.
fn with_rule(rule: &str) -> String {
    format!(
        "{{\"flags\":{{\"f\":{{\"state\":\"ENABLED\",\"variants\":{{\"on\":true,\"off\":false}},\"defaultVariant\":\"off\",\
         \"targeting\":\n{rule}}}}}}}"
    )
}

#[test]
fn problems_have_their_places() {
    let text = r#"{
  "flags": {
    "a/b": {"state": "ON", "variants": {"x": 1}},
    "星": {"state": "ENABLED", "variants": {"x": 1, "y": "2"}, "defaultVariant": "x"},
    "c": {"state": "ENABLED", "variants": {"x": 1}, "defaultVariant": "z", "targetting": {}}
  }
}"#;
    assert_eq!(
        problems(text),
        [
            "3:22: /flags/a~1b/state: \"state\" is \"ENABLED\" or \"DISABLED\"",
            "5:76: /flags/c/targetting: unknown member \"targetting\"; a flag has state, variants, defaultVariant, \
             targeting and metadata",
            "5:71: /flags/c/defaultVariant: \"z\" is no variant of c; there is x",
            "4:57: /flags/星/variants/y: this variant is a string, the first one a number; all of a flag are of one kind",
        ]
    );
}

#[test]
fn documents_that_are_none() {
    for (text, expected) in [
        ("", "1:1: the text ends, expected a value"),
        (
            "{\"flags\":\n {\"a\": {}",
            "2:10: the text ends, expected ',' or '}'",
        ),
        ("[]", "1:1: a definition is an object, not an array"),
        ("{}", "1:1: \"flags\" is missing"),
        (
            "{\"flags\":[]}",
            "1:10: /flags: \"flags\" is an object, not an array",
        ),
        (
            "{\"flags\":{},\"flag\":1}",
            "1:13: /flag: unknown member \"flag\"; there is flags, $evaluators, metadata and $schema",
        ),
        (
            "{\"flags\":{},\"metadata\":{\"a\":[]}}",
            "1:29: /metadata/a: metadata is a boolean, a number or a string, not an array",
        ),
        ("{\"flags\":{\"\":{}}}", "1:11: /flags: a name has 1 to 256 bytes"),
        (
            "{\"flags\":{\"a\":1}}",
            "1:15: /flags/a: a flag is an object, not a number",
        ),
        ("{\"flags\":{\"a\":{}}}", "1:11: /flags/a: \"state\" is missing"),
        (
            "{\"flags\":{\"a\":{\"state\":\"ENABLED\"}}}",
            "1:11: /flags/a: \"variants\" is missing",
        ),
        (
            "{\"flags\":{\"a\":{\"state\":\"ENABLED\",\"variants\":{}}}}",
            "1:45: /flags/a/variants: a flag has 1 to 1000 variants, not 0",
        ),
        (
            "{\"flags\":{\"a\":{\"state\":\"ENABLED\",\"variants\":{\"x\":null}}}}",
            "1:50: /flags/a/variants/x: a variant is a boolean, a string, a number or an object, not null",
        ),
        (
            "{\"flags\":{\"a\":{\"state\":\"ENABLED\",\"variants\":{\"x\":1},\"defaultVariant\":3}}}",
            "1:70: /flags/a/defaultVariant: the name of a variant is a string, not a number",
        ),
    ] {
        let found = problems(text);
        assert!(found.contains(&expected.to_owned()), "{text}: {found:?}");
    }
}

#[test]
fn rules_that_mean_nothing_are_refused_where_they_stand() {
    let operators = "there is var, ==, !=, ===, !==, !, !!, and, or, if, in, <, <=, >, >=, +, -, *, /, %, cat, starts_with, \
                     ends_with, sem_ver, fractional, $ref";
    let unknown = |name: &str| format!("2:1: /flags/f/targeting: unknown operator {name:?}; {operators}");
    let table: Vec<(&str, String)> = [
        ("{\"map\":[[1],1]}", unknown("map")),
        (
            "{\"fractionalEvaluation\":[[\"on\",1]]}",
            unknown("fractionalEvaluation"),
        ),
    ]
    .into_iter()
    .chain(
        [
            (
                "{\"if\":[{\"regex\":[1]},\"on\"]}",
                "2:8: /flags/f/targeting/if/0: unknown operator \"regex\"",
            ),
            (
                "{\"if\":[true,\"onn\"]}",
                "2:13: /flags/f/targeting/if/1: \"onn\" is no variant of f; there is off, on",
            ),
            (
                "{\"if\":[true,\"on\",{\"if\":[true,4]}]}",
                "2:30: /flags/f/targeting/if/2/if/1: \"4\" is no variant of f",
            ),
            (
                "{\"if\":[true,[\"on\"]]}",
                "2:13: /flags/f/targeting/if/1: an array is no variant of f",
            ),
            ("\"onn\"", "2:1: /flags/f/targeting: \"onn\" is no variant of f"),
            (
                "{\"if\":[true]}",
                "2:7: /flags/f/targeting/if: \"if\" takes a condition, a result",
            ),
            (
                "{\"==\":[1]}",
                "2:7: /flags/f/targeting/==: \"==\" takes 2 arguments, not 1",
            ),
            ("{\"==\":[1,2,3]}", "\"==\" takes 2 arguments, not 3"),
            ("{\"<\":[1,2,3,4]}", "\"<\" takes 2 or 3 arguments, not 4"),
            ("{\"!\":[]}", "\"!\" takes 1 argument, not 0"),
            ("{\"cat\":[]}", "\"cat\" takes 1 or more arguments, not 0"),
            (
                "{\"==\":[1,2],\"!=\":[1,2]}",
                "an operation has one name, this object has 2",
            ),
            ("{\"!!\":[{}]}", "an operation has one name, this object has 0"),
            (
                "{\"var\":3}",
                "the name of an attribute is a string here, not a number",
            ),
            (
                "{\"var\":[{\"var\":\"a\"}]}",
                "the name of an attribute is a string here, not an object",
            ),
            (
                "{\"var\":[\"a\",1,2]}",
                "\"var\" takes a name and perhaps a value",
            ),
            ("{\"var\":\"\"}", "\"\" names no attribute"),
            ("{\"var\":\"a..b\"}", "\"a..b\" names no attribute"),
            (
                "{\"var\":\"$flagd.time\"}",
                "there is no $flagd.time; there is $flagd.flagKey and $flagd.timestamp",
            ),
            (
                "{\"$ref\":\"x\"}",
                "no evaluator is called \"x\"; there is none under \"$evaluators\"",
            ),
            (
                "{\"$ref\":[1]}",
                "\"$ref\" takes the name of an evaluator, not an array",
            ),
            (
                "{\"sem_ver\":[\"1\",\"==\",\"1\"]}",
                "2:17: /flags/f/targeting/sem_ver/1: the operator of \"sem_ver\" is one of",
            ),
            ("{\"sem_ver\":[\"1\",\"=\"]}", "not 2 arguments"),
            (
                "{\"sem_ver\":[{\"var\":\"v\"},\"=\",\"one\"]}",
                "/flags/f/targeting/sem_ver/2: \"one\" is no version",
            ),
            ("{\"fractional\":[]}", "\"fractional\" has no shares"),
            (
                "{\"fractional\":[{\"var\":\"a\"}]}",
                "\"fractional\" has no shares",
            ),
            (
                "{\"fractional\":{\"var\":\"a\"}}",
                "\"fractional\" takes an array",
            ),
            (
                "{\"fractional\":[\"email\",[\"on\",1]]}",
                "2:16: /flags/f/targeting/fractional/0: a string is the same for everybody",
            ),
            (
                "{\"fractional\":[[\"onn\",1]]}",
                "/flags/f/targeting/fractional/0/0: \"onn\" is no variant of f",
            ),
            (
                "{\"fractional\":[[\"on\",1,2]]}",
                "a share is [variant] or [variant, weight]",
            ),
            (
                "{\"fractional\":[[\"on\"],\"off\"]}",
                "/flags/f/targeting/fractional/1: a share is",
            ),
            (
                "{\"fractional\":[[\"on\",0.5],[\"off\",1]]}",
                "2:22: /flags/f/targeting/fractional/0/1: a weight is a whole number from 0 to 2147483647",
            ),
            (
                "{\"fractional\":[[\"on\",-1],[\"off\",2]]}",
                "a weight is a whole number from 0 to 2147483647",
            ),
            (
                "{\"fractional\":[[\"on\",\"1\"]]}",
                "a weight is a whole number, not a string",
            ),
            (
                "{\"fractional\":[[\"on\",0],[\"off\",0]]}",
                "the weights add up to 0; it must be from 1 to 2147483647",
            ),
            (
                "{\"fractional\":[[\"on\",2147483647],[\"off\",1]]}",
                "the weights add up to 2147483648",
            ),
        ]
        .map(|(rule, expected)| (rule, expected.to_owned())),
    )
    .collect();
    for (rule, expected) in table {
        let found = problems(&with_rule(rule));
        assert_eq!(found.len(), 1, "{rule}: {found:?}");
        assert!(
            found[0].contains(&expected),
            "{rule}: {found:?} is not {expected}"
        );
    }
}

#[test]
fn evaluators_are_checked_by_themselves_and_never_go_round() {
    let with = |evaluators: Value| json!({"flags": {}, "$evaluators": evaluators}).to_string();
    let unused = problems(&with(json!({"a": {"nope": 1}})));
    assert!(
        unused[0].contains("/$evaluators/a: unknown operator \"nope\""),
        "{unused:?}"
    );
    let circle = problems(&with(
        json!({"a": {"!": {"$ref": "b"}}, "b": {"!": {"$ref": "a"}}}),
    ));
    assert!(
        circle[0].contains("evaluators go round in a circle: a -> b -> a"),
        "{circle:?}"
    );
    // Each doubles the one before: few bytes that would be a billion operations.
    let mut bomb = serde_json::Map::new();
    bomb.insert("e0".into(), json!({"var": "x"}));
    for level in 1..30 {
        let inner = format!("e{}", level - 1);
        bomb.insert(
            format!("e{level}"),
            json!({"and": [{"$ref": inner}, {"$ref": inner}]}),
        );
    }
    let bomb = problems(&with(Value::Object(bomb)));
    assert!(bomb.iter().all(|problem| problem.contains("parts")), "{bomb:?}");
    assert!(
        bomb[0].contains("more than 50000 parts, references written out"),
        "{bomb:?}"
    );
    // A chain is as deep as its links together.
    let mut chain = serde_json::Map::new();
    chain.insert("e0".into(), json!({"var": "x"}));
    for level in 1..80 {
        chain.insert(
            format!("e{level}"),
            json!({"!": {"$ref": format!("e{}", level - 1)}}),
        );
    }
    let chain = problems(&with(Value::Object(chain)));
    assert!(
        chain[0].contains("more than 64 operations within each other"),
        "{chain:?}"
    );
}

#[test]
fn sizes_are_bounded() {
    let too_long = format!("{{\"flags\":{{}}}}{}", " ".repeat(limits::BYTES_MAX));
    assert!(
        problems(&too_long)[0].contains("at most 1048576"),
        "{:?}",
        problems(&too_long)
    );
    let flag = json!({"state": "ENABLED", "variants": {"x": 1}});
    let many = |count: usize| {
        let flags: serde_json::Map<_, _> = (0..count).map(|n| (format!("f{n}"), flag.clone())).collect();
        json!({ "flags": flags }).to_string()
    };
    assert_eq!(problems(&many(limits::FLAGS_MAX)), [""; 0]);
    assert!(problems(&many(limits::FLAGS_MAX + 1))[0].contains("there are 10001 flags; at most 10000"));
    let deep = with_rule(&format!("{}1{}", "{\"!\":".repeat(65), "}".repeat(65)));
    assert!(
        problems(&deep)[0].contains("more than 64 operations within each other"),
        "{:?}",
        problems(&deep)
    );
    let bad = json!({"state": 1, "variants": {"x": 1}});
    let flags: serde_json::Map<_, _> = (0..500).map(|n| (format!("f{n}"), bad.clone())).collect();
    let told = problems(&json!({ "flags": flags }).to_string());
    assert_eq!(told.len(), limits::PROBLEMS_MAX + 1);
    assert_eq!(told.last().unwrap(), "and 450 more problems");
}

#[test]
fn a_flag_without_a_default_or_a_state_leaves_the_value_to_who_asks() {
    let definition = json!({
        "metadata": {"team": "match", "x": 1},
        "flags": {
            "no-default": {"state": "ENABLED", "variants": {"a": "A"}, "metadata": {"x": 2}},
            "null-default": {"state": "ENABLED", "variants": {"a": "A"}, "defaultVariant": null},
            "disabled": {"state": "DISABLED", "variants": {"a": "A"}, "defaultVariant": "a", "targeting": {"if": [true, "a"]}},
            "boolean-name": {"state": "ENABLED", "variants": {"true": 1, "false": 2}, "defaultVariant": false},
        },
    });
    let set = FlagSet::parse(&definition.to_string()).unwrap();
    let asked = |key: &str| {
        let resolution = set.evaluate(key, &Context::default()).unwrap();
        (
            resolution.value.cloned(),
            resolution.variant.map(str::to_owned),
            resolution.reason,
        )
    };
    assert_eq!(asked("no-default"), (None, None, Reason::Default));
    assert_eq!(asked("null-default"), (None, None, Reason::Default));
    assert_eq!(asked("disabled"), (None, None, Reason::Disabled));
    assert_eq!(
        asked("boolean-name"),
        (Some(json!(2)), Some("false".into()), Reason::Static)
    );
    assert_eq!(
        set.evaluate("nope", &Context::default()).unwrap_err().code(),
        "FLAG_NOT_FOUND"
    );
    let metadata = set.evaluate("no-default", &Context::default()).unwrap().metadata;
    assert_eq!(
        (metadata[0]["team"].clone(), metadata[1]["x"].clone()),
        (json!("match"), json!(2))
    );
}

#[test]
fn a_later_layer_takes_the_place_of_what_has_the_same_name() {
    let flag = |value: &str, rule: Value| json!({"state": "ENABLED", "variants": {value: value, "insider": "i"}, "defaultVariant": value, "targeting": rule});
    let insider = json!({"if": [{"$ref": "who"}, "insider"]});
    let base = json!({
        "$evaluators": {"who": {"==": [{"var": "targetingKey"}, "ada"]}},
        "flags": {"a": flag("base", json!({})), "b": flag("base", insider)},
    })
    .to_string();
    let overlay = json!({
        "$evaluators": {"who": {"==": [{"var": "targetingKey"}, "bo"]}},
        "flags": {"a": flag("staging", json!({}))},
    })
    .to_string();
    let layers =
        [("flags.json", &base), ("flags.staging.json", &overlay)].map(|(name, text)| Layer { name, text });
    let set = FlagSet::parse_layers(&layers).unwrap();
    let variant = |key: &str, who: &str| {
        set.evaluate(key, &Context::of(who))
            .unwrap()
            .variant
            .unwrap()
            .to_owned()
    };
    assert_eq!(variant("a", "ada"), "staging");
    assert_eq!(
        variant("b", "ada"),
        "base",
        "the evaluator of the overlay is in force for flags of the base"
    );
    assert_eq!(variant("b", "bo"), "insider");
    // A problem names the layer that it is in.
    let broken = overlay.replace("targetingKey", "");
    let layers = [
        layers[0],
        Layer {
            name: "flags.staging.json",
            text: &broken,
        },
    ];
    let told = FlagSet::parse_layers(&layers).unwrap_err()[0].to_string();
    assert!(
        told.starts_with("flags.staging.json:1:") && told.contains(": /$evaluators/who/==/0/var:"),
        "{told}"
    );
}

#[test]
fn overrides_come_over_everything_and_keep_the_kind() {
    let definition = json!({"flags": {
        "b": {"state": "DISABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off"},
        "n": {"state": "ENABLED", "variants": {"one": 1, "two": 2}, "targeting": {"if": [true, "one"]}},
    }});
    let set = FlagSet::parse(&definition.to_string()).unwrap();
    let with = |texts: &[&str]| {
        let given: Vec<Override> = texts.iter().map(|text| text.parse().unwrap()).collect();
        set.clone().with_overrides(&given)
    };
    let set = with(&[
        "b=true",
        "n=1",
        "n=2.0",
        "s=hello world",
        "s2=\"7\"",
        "o={\"a\":1}",
    ])
    .unwrap();
    for (key, variant, value) in [
        ("b", "on", json!(true)),
        ("n", "two", json!(2)),
        ("s", "override", json!("hello world")),
        ("s2", "override", json!("7")),
        ("o", "override", json!({"a": 1})),
    ] {
        let found = set.evaluate(key, &Context::default()).unwrap();
        let expected = (Some(variant), Some(&value), Reason::Static);
        assert_eq!((found.variant, found.value, found.reason), expected, "{key}");
        assert!(set.get(key).unwrap().overridden);
    }
    assert_eq!(set.get("s").unwrap().kind, Kind::String);
    let mismatch = with(&["b=1"]).unwrap_err().to_string();
    assert_eq!(
        mismatch,
        "the override makes b a number, the definition says that it is a boolean; give a boolean"
    );
    for (text, error) in [
        ("b", OverrideError::Form),
        ("=true", OverrideError::Form),
        ("b=null", OverrideError::Kind),
        ("b=[1]", OverrideError::Kind),
    ] {
        assert_eq!(text.parse::<Override>(), Err(error), "{text}");
    }
}

#[test]
fn the_seeds_of_the_fuzz_target_are_definitions() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/flags");
    let mut seeds = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let loaded = FlagSet::parse(&text);
        let is_bad = path.file_name().unwrap().to_string_lossy().starts_with("bad");
        assert_eq!(loaded.is_err(), is_bad, "{}: {:?}", path.display(), loaded.err());
        seeds += 1;
    }
    assert!(seeds >= 4);
}

#[test]
fn the_shipped_example_can_be_used() {
    let read = |name: &str| {
        std::fs::read_to_string(format!("{}/../../plans/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    };
    let (base, staging) = (read("flags.json"), read("flags.staging.json"));
    let base_layer = Layer {
        name: "flags.json",
        text: &base,
    };
    let staging_layer = Layer {
        name: "flags.staging.json",
        text: &staging,
    };
    let value = |layers: &[Layer<'_>], region: &str, release: &str| {
        let context = Context::of(region)
            .with("region", region)
            .with("release", release);
        let set = FlagSet::parse_layers(layers).unwrap();
        set.evaluate("feature.match.v2", &context).unwrap().value.cloned()
    };
    assert_eq!(
        value(&[base_layer], "eu", "v1.2"),
        Some(json!(false)),
        "stable keeps the first policy"
    );
    assert_eq!(
        value(&[base_layer], "eu", "v1.3"),
        Some(json!(true)),
        "the canary has the second"
    );
    assert_eq!(
        value(&[base_layer, staging_layer], "eu", "v1.2"),
        Some(json!(true)),
        "staging has it everywhere"
    );
}

/// Any JSON at all, of operators and names that occur in rules.
fn any_rule() -> impl Strategy<Value = Value> {
    let names = prop_oneof![
        Just("on"),
        Just("off"),
        Just("a"),
        Just("targetingKey"),
        Just("$flagd.timestamp"),
        Just("e"),
        Just("1.2.3"),
        Just("=")
    ];
    let leaf = prop_oneof![
        names.prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    let operators = [
        "var",
        "==",
        "!=",
        "===",
        "!==",
        "!",
        "!!",
        "and",
        "or",
        "if",
        "in",
        "<",
        "<=",
        ">",
        ">=",
        "+",
        "-",
        "*",
        "/",
        "%",
        "cat",
        "starts_with",
        "ends_with",
        "sem_ver",
        "fractional",
        "$ref",
        "nope",
    ];
    leaf.prop_recursive(6, 60, 4, move |inner| {
        let arguments = proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array);
        let arguments = prop_oneof![3 => arguments, 1 => inner];
        prop_oneof![
            1 => arguments.clone(),
            6 => (proptest::sample::select(operators.to_vec()), arguments).prop_map(|(name, arguments)| json!({ name: arguments })),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn whatever_is_taken_can_be_asked(rule in any_rule(), evaluator in any_rule(), attribute in any_rule()) {
        let definition = json!({
            "$evaluators": {"e": evaluator},
            "flags": {"f": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off", "targeting": rule}},
        });
        if let Ok(set) = FlagSet::parse(&definition.to_string()) {
            for context in [Context::default(), Context::of("ada").with("a", attribute)] {
                match set.evaluate("f", &context) {
                    Ok(resolution) => prop_assert!(resolution.value.is_some_and(Value::is_boolean)),
                    Err(error) => prop_assert!(error.code() != "FLAG_NOT_FOUND" && error.code() != "TYPE_MISMATCH"),
                }
                // The same arguments, the same answer.
                prop_assert_eq!(set.evaluate("f", &context), set.evaluate("f", &context));
            }
        }
    }
}
