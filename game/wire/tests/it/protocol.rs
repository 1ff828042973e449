//! The examples of docs/protocol.md: each is a message of the contract and comes back as it stands there, from JSON and
//! from Protocol Buffers. The server's tests replay them.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use starvault_wire::v1::{
    ClientFrame, EquipItemRequest, ServerFrame, SignInAsGuestRequest, SignInAsGuestResponse,
};

use crate::page::{self, LEFT_OUT};

#[test]
fn every_frame_in_the_page_is_one() {
    let (mut from_clients, mut from_servers) = (0, 0);
    for shown in page::blocks().iter().flatten() {
        if shown.speaker.starts_with("client") {
            assert_kept::<ClientFrame>(&shown.frame);
            from_clients += 1;
        } else {
            assert_kept::<ServerFrame>(&shown.frame);
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
    let examples = page::in_prose();
    for example in &examples {
        let object = example.as_object().unwrap();
        if object.contains_key("requestId") {
            assert_kept::<ClientFrame>(example);
        } else if object.contains_key("token") {
            assert_kept::<SignInAsGuestResponse>(example);
        } else if object.contains_key("itemId") {
            assert_kept::<EquipItemRequest>(example);
        } else if object.contains_key("@type") {
            // A detail of an error; any message may be one.
            assert!(
                object.contains_key("reason") && object.contains_key("domain"),
                "{example}"
            );
        } else {
            // An error; the contract has no message for it.
            let keys: Vec<&String> = object.keys().collect();
            assert_eq!(keys, ["code", "message", "details"], "{example}");
        }
    }
    assert!(examples.len() >= 4, "{examples:?}");
    assert_kept::<SignInAsGuestRequest>(&page::sign_in_body());
}

fn assert_kept<M: DeserializeOwned + Serialize + prost::Message + Default>(shown: &Value) {
    let example = without_marks(shown);
    let read: M =
        serde_json::from_value(example.clone()).unwrap_or_else(|error| panic!("{example}: {error}"));
    let binary = M::decode(read.encode_to_vec().as_slice()).unwrap();
    for message in [read, binary] {
        let again = serde_json::to_value(message).unwrap();
        assert_eq!(again, example, "the contract has no such field, or leaves it out");
    }
}

/// What an example says, without saying that there is more.
fn without_marks(shown: &Value) -> Value {
    match shown {
        Value::Object(members) => members
            .iter()
            .filter(|(name, _)| *name != LEFT_OUT)
            .map(|(name, value)| (name.clone(), without_marks(value)))
            .collect(),
        Value::Array(elements) => elements
            .iter()
            .filter(|element| *element != LEFT_OUT)
            .map(without_marks)
            .collect(),
        other => other.clone(),
    }
}
