//! The examples of docs/protocol.md: each is a message of the contract and comes back as it stands there.
//! `…` stands for what is left out.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Deserializer, Value};
use starvault_wire::v1::{
    ClientFrame, EquipItemRequest, ServerFrame, SignInAsGuestRequest, SignInAsGuestResponse,
};

const PAGE: &str = include_str!("../../../../docs/protocol.md");

#[test]
fn every_frame_in_the_page_is_one() {
    let (mut from_clients, mut from_servers) = (0, 0);
    let lines: Vec<&str> = PAGE.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let frame = || first_value(&lines[at..].join("\n")[line.find('{').unwrap()..], at);
        if line.starts_with("client") && line.contains('{') {
            assert_kept::<ClientFrame>(&frame());
            from_clients += 1;
        } else if line.starts_with("server") && line.contains('{') {
            assert_kept::<ServerFrame>(&frame());
            from_servers += 1;
        }
    }
    assert!(
        from_clients >= 6 && from_servers >= 10,
        "{from_clients} {from_servers}"
    );
}

#[test]
fn every_message_in_the_text_is_one() {
    let mut count = 0;
    // Outside of fenced blocks every other part is code.
    let prose: String = PAGE.split("```").step_by(2).collect();
    for code in prose
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|code| code.starts_with("{\""))
    {
        let example = first_value(code, 0);
        let object = example.as_object().unwrap();
        if object.contains_key("requestId") {
            assert_kept::<ClientFrame>(&example);
        } else if object.contains_key("token") {
            assert_kept::<SignInAsGuestResponse>(&example);
        } else if object.contains_key("itemId") {
            assert_kept::<EquipItemRequest>(&example);
        } else if object.contains_key("@type") {
            // A detail of an error; any message may be one.
            assert!(
                object.contains_key("reason") && object.contains_key("domain"),
                "{code}"
            );
        } else {
            // An error; the contract has no message for it.
            let keys: Vec<&String> = object.keys().collect();
            assert_eq!(keys, ["code", "message", "details"], "{code}");
        }
        count += 1;
    }
    assert!(count >= 4, "{count}");
    let body = PAGE
        .split("-d '")
        .nth(1)
        .and_then(|rest| rest.split('\'').next())
        .unwrap();
    assert_kept::<SignInAsGuestRequest>(&first_value(body, 0));
}

fn assert_kept<M: DeserializeOwned + Serialize>(example: &Value) {
    let read: M =
        serde_json::from_value(example.clone()).unwrap_or_else(|error| panic!("{example}: {error}"));
    let again = serde_json::to_value(read).unwrap();
    assert_eq!(
        again, *example,
        "the contract has no such field, or leaves it out"
    );
}

/// The JSON value that a text begins with; what follows it is for people.
fn first_value(text: &str, line: usize) -> Value {
    let text = without_ellipses(text);
    match Deserializer::from_str(&text).into_iter::<Value>().next() {
        Some(Ok(value)) => value,
        other => panic!("line {}: {other:?}", line + 1),
    }
}

/// Takes out `…` between values, with the comma before or after it; within strings it is text.
fn without_ellipses(text: &str) -> String {
    let mut kept = String::new();
    let (mut in_string, mut escaped) = (false, false);
    for character in text.chars() {
        match character {
            '"' if !escaped => in_string = !in_string,
            '…' if !in_string => {
                let shorter = kept.trim_end().trim_end_matches(',').len();
                kept.truncate(shorter);
                continue;
            }
            _ => {}
        }
        escaped = in_string && character == '\\' && !escaped;
        kept.push(character);
    }
    kept
}
