//! The same through OpenFeature's client.

use std::sync::Arc;

use open_feature::{
    Client, EvaluationContext, EvaluationContextFieldValue, EvaluationErrorCode, EvaluationReason,
    FlagMetadataValue, OpenFeature, StructValue, Value as Outward,
};
use serde_json::json;
use tminus_flags::{FileOptions, FlagProvider, FlagSet, Flags};

async fn client_of(flags: Flags) -> Client {
    let mut api = OpenFeature::default();
    api.set_provider(FlagProvider::new(flags, || 1_000)).await;
    api.create_client()
}

async fn client() -> Client {
    let definition = json!({
        "metadata": {"team": "match"},
        "flags": {
            "bool": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off",
                     "targeting": {"if": [{"==": [{"var": "device.os"}, "linux"]}, "on"]}, "metadata": {"ticket": 7}},
            "text": {"state": "ENABLED", "variants": {"a": "A"}, "defaultVariant": "a"},
            "whole": {"state": "ENABLED", "variants": {"a": 3}, "defaultVariant": "a"},
            "round": {"state": "ENABLED", "variants": {"a": 3.0}, "defaultVariant": "a"},
            "broken": {"state": "ENABLED", "variants": {"a": 3.5}, "defaultVariant": "a"},
            "object": {"state": "ENABLED", "variants": {"a": {"x": [1, "y", null], "z": null, "n": {"m": 0.5}}}, "defaultVariant": "a"},
            "split": {"state": "ENABLED", "variants": {"a": "A"}, "targeting": {"fractional": [["a", 1]]}},
            "none": {"state": "ENABLED", "variants": {"a": "A"}},
            "disabled": {"state": "DISABLED", "variants": {"a": "A"}, "defaultVariant": "a"},
            "later": {"state": "ENABLED", "variants": {"a": "A", "b": "B"}, "defaultVariant": "a",
                      "targeting": {"if": [{">=": [{"var": "$flagd.timestamp"}, {"var": "since"}]}, "b"]}},
            "stray": {"state": "ENABLED", "variants": {"a": "A"}, "targeting": {"var": "device"}},
        },
    });
    client_of(Flags::fixed(FlagSet::parse(&definition.to_string()).unwrap())).await
}

#[tokio::test]
async fn values_come_in_the_type_that_is_asked_for() {
    let client = client().await;
    assert_eq!(client.get_string_value("text", None, None).await.unwrap(), "A");
    assert_eq!(client.get_int_value("whole", None, None).await.unwrap(), 3);
    assert_eq!(
        client.get_int_value("round", None, None).await.unwrap(),
        3,
        "JSON has one kind of number"
    );
    assert!((client.get_float_value("whole", None, None).await.unwrap() - 3.0).abs() < f64::EPSILON);
    assert!((client.get_float_value("broken", None, None).await.unwrap() - 3.5).abs() < f64::EPSILON);
    let object = client
        .get_struct_value::<StructValue>("object", None, None)
        .await
        .unwrap();
    let expected = StructValue::default()
        .with_field(
            "x",
            Outward::Array(vec![Outward::Int(1), Outward::String("y".into())]),
        )
        .with_field("n", StructValue::default().with_field("m", 0.5));
    assert_eq!(object, expected, "OpenFeature has no null");
}

#[tokio::test]
async fn details_say_why() {
    let client = client().await;
    let device = StructValue::default().with_field("os", "linux");
    let context = EvaluationContext::default()
        .with_custom_field("device", EvaluationContextFieldValue::new_struct(device));
    let details = client
        .get_bool_details("bool", Some(&context), None)
        .await
        .unwrap();
    assert!(details.value);
    assert_eq!(
        (details.variant.as_deref(), details.reason),
        (Some("on"), Some(EvaluationReason::TargetingMatch))
    );
    assert_eq!(
        details.flag_metadata.values["team"],
        FlagMetadataValue::String("match".into())
    );
    assert_eq!(details.flag_metadata.values["ticket"], FlagMetadataValue::Int(7));
    let json = EvaluationContextFieldValue::new_struct(json!({"os": "plan9"}));
    let context = EvaluationContext::default().with_custom_field("device", json);
    let details = client
        .get_bool_details("bool", Some(&context), None)
        .await
        .unwrap();
    assert_eq!(
        (details.value, details.reason),
        (false, Some(EvaluationReason::Default))
    );
    let details = client.get_string_details("text", None, None).await.unwrap();
    assert_eq!(details.reason, Some(EvaluationReason::Static));
    let since = |since: i64| EvaluationContext::default().with_custom_field("since", since);
    assert_eq!(
        client
            .get_string_value("later", Some(&since(1_000)), None)
            .await
            .unwrap(),
        "B"
    );
    assert_eq!(
        client
            .get_string_value("later", Some(&since(1_001)), None)
            .await
            .unwrap(),
        "A"
    );
}

#[tokio::test]
async fn whoever_gets_no_value_is_told_why() {
    let client = client().await;
    let code = async |key: &str, context: Option<&EvaluationContext>| {
        let error = client.get_string_value(key, context, None).await.unwrap_err();
        assert!(
            error.message.is_some_and(|message| message.contains(key)),
            "{key}"
        );
        error.code
    };
    assert_eq!(code("unknown", None).await, EvaluationErrorCode::FlagNotFound);
    assert_eq!(code("none", None).await, EvaluationErrorCode::FlagNotFound);
    assert_eq!(code("whole", None).await, EvaluationErrorCode::TypeMismatch);
    assert_eq!(
        code("split", None).await,
        EvaluationErrorCode::TargetingKeyMissing
    );
    assert_eq!(
        code("disabled", None).await,
        EvaluationErrorCode::General("FLAG_DISABLED".into())
    );
    let with =
        |value: EvaluationContextFieldValue| EvaluationContext::default().with_custom_field("device", value);
    let somebody = with("somebody".into());
    assert_eq!(
        code("stray", Some(&somebody)).await,
        EvaluationErrorCode::General("GENERAL".into())
    );
    assert_eq!(
        client.get_bool_value("text", None, None).await.unwrap_err().code,
        EvaluationErrorCode::TypeMismatch
    );
    assert_eq!(
        client.get_int_value("broken", None, None).await.unwrap_err().code,
        EvaluationErrorCode::TypeMismatch
    );
    // What rules cannot look at is not passed over in silence.
    for strange in [
        EvaluationContextFieldValue::Struct(Arc::new(String::from("no structure"))),
        EvaluationContextFieldValue::Float(f64::NAN),
    ] {
        let context = with(strange);
        let error = client
            .get_string_value("text", Some(&context), None)
            .await
            .unwrap_err();
        assert_eq!(error.code, EvaluationErrorCode::InvalidContext);
    }
}

#[tokio::test]
async fn without_a_good_definition_every_answer_is_what_is_wrong_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flags.json");
    std::fs::write(&file, "{\"flags\": {\n  \"f\": {}}}").unwrap();
    let options = FileOptions {
        file: Some(file),
        environment: None,
        overrides: Vec::new(),
        poll_every: std::time::Duration::from_millis(10),
        now_ms: Arc::new(|| 0),
    };
    let (flags, _task) = Flags::open(options).await;
    let error = client_of(flags)
        .await
        .get_bool_value("f", None, None)
        .await
        .unwrap_err();
    assert_eq!(error.code, EvaluationErrorCode::ParseError);
    let message = error.message.unwrap();
    assert!(
        message.ends_with("flags.json:2:3: /flags/f: \"state\" is missing"),
        "{message}"
    );
}
