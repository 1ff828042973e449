//! What `tests/fixtures` holds.

use std::collections::BTreeMap;

use serde_json::Value;
use tminus_identity::{KeySet, NbfRule, TokenRules};

pub struct Tokens {
    pub now_s: i64,
    pub rules: TokenRules,
    pub keys: KeySet,
    pub newer: KeySet,
    pub documents: [Vec<u8>; 2],
    all: BTreeMap<String, String>,
}

impl Tokens {
    pub fn read() -> Self {
        let file: Value = serde_json::from_str(include_str!("../fixtures/tokens.json")).unwrap();
        let text = |name: &str| file[name].as_str().unwrap().to_owned();
        let documents = ["jwks", "jwks_newer"].map(|name| file[name].to_string().into_bytes());
        let [keys, newer] = documents
            .each_ref()
            .map(|document| KeySet::parse(document).unwrap());
        let all = file["tokens"].as_object().unwrap().iter();
        Self {
            now_s: file["now_s"].as_i64().unwrap(),
            rules: TokenRules {
                issuer: text("issuer"),
                audience: text("audience"),
                nbf: NbfRule::Optional,
            },
            keys,
            newer,
            documents,
            all: all
                .map(|(name, token)| (name.clone(), token.as_str().unwrap().to_owned()))
                .collect(),
        }
    }

    pub fn get(&self, name: &str) -> &str {
        self.all
            .get(name)
            .unwrap_or_else(|| panic!("there is a token {name}"))
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.all.keys().map(String::as_str)
    }
}

/// The bytes of a session.
pub fn session(name: &str) -> Vec<u8> {
    sessions()
        .remove(name)
        .unwrap_or_else(|| panic!("there is a session {name}"))
}

pub fn sessions() -> BTreeMap<String, Vec<u8>> {
    include_str!("../fixtures/sessions.hex")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (name, digits) = line.split_once(' ').unwrap();
            (name.to_owned(), hex::decode(digits).unwrap())
        })
        .collect()
}
