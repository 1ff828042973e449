//! Showing a part of a document and proving that it is a part of it.
//!
//! Every leaf of the full document's JSON (a path and a value) is hashed with a salt of its own; the hashes are the
//! leaves of an RFC 6962 tree, whose root is in the signed manifest of every package of the launch. A reader gets path, value and salt of
//! what is shown, and only the hash of what is left out: neither its value nor its name, and without the salt no guess
//! can be tried. A single leaf can be shown later, to anybody who holds the root.

use std::collections::BTreeMap;

use ring::hmac;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tminus_record::{Hash, merkle};

/// Stands in the shown document where a text was left out.
pub const LEFT_OUT: &str = "\u{25ae}";
/// Leaves of one document: 10,000 items have some hundred thousand.
const LEAVES_MAX: usize = 5_000_000;
const DEPTH_MAX: u32 = 64;

/// The proof that goes with a shown document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disclosure {
    /// Of the tree over all leaves, lower-case hexadecimal.
    pub root: String,
    /// In the order of the tree.
    pub leaves: Vec<Leaf>,
}

/// One leaf of the full document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Leaf {
    Shown {
        /// A JSON pointer (RFC 6901).
        path: String,
        value: Value,
        /// 32 bytes, lower-case hexadecimal.
        salt: String,
    },
    LeftOut {
        hash: String,
    },
}

impl Disclosure {
    /// The disclosure of `shown`, a copy of `full` with texts replaced by [`LEFT_OUT`], lists emptied or options set to
    /// null. `secret` is the launch's own, and the same in all its packages.
    ///
    /// # Errors
    /// `shown` says something that `full` does not.
    pub fn new(full: &Value, shown: &Value, secret: &[u8; 32]) -> Result<Self, String> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let all = leaves(full)?;
        let shown = leaves(shown)?;
        if let Some((path, _)) = shown
            .iter()
            .find(|(path, value)| !is_blank(value) && all.get(*path) != Some(*value))
        {
            return Err(format!("{path} is not what the full document says"));
        }
        let mut hashes = Vec::with_capacity(all.len());
        let mut list = Vec::with_capacity(all.len());
        for (path, value) in &all {
            let salt = hmac::sign(&key, path.as_bytes());
            let hash = hash(path, value, salt.as_ref());
            hashes.push(hash);
            list.push(if shown.get(path) == Some(value) {
                Leaf::Shown {
                    path: path.clone(),
                    value: value.clone(),
                    salt: hex::encode(salt.as_ref()),
                }
            } else {
                Leaf::LeftOut {
                    hash: hex::encode(hash),
                }
            });
        }
        Ok(Self {
            root: hex::encode(merkle::root(&hashes)),
            leaves: list,
        })
    }

    /// How many leaves are shown, and how many left out.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let shown = self
            .leaves
            .iter()
            .filter(|leaf| matches!(leaf, Leaf::Shown { .. }))
            .count();
        (shown, self.leaves.len() - shown)
    }

    /// Checks that the tree has this root and that `shown` says nothing but what is disclosed.
    ///
    /// # Errors
    /// In words, with the path.
    pub fn verify(&self, root: &str, shown: &Value) -> Result<(), String> {
        if self.leaves.len() > LEAVES_MAX {
            return Err(format!("it has {} leaves", self.leaves.len()));
        }
        let mut hashes = Vec::with_capacity(self.leaves.len());
        let mut disclosed = BTreeMap::new();
        for leaf in &self.leaves {
            hashes.push(match leaf {
                Leaf::Shown { path, value, salt } => {
                    let salt = hex::decode(salt).ok().filter(|salt| salt.len() == 32);
                    let salt = salt.ok_or_else(|| format!("{path}: the salt is not 32 bytes"))?;
                    if disclosed.insert(path.as_str(), value).is_some() {
                        return Err(format!("{path} is disclosed twice"));
                    }
                    hash(path, value, &salt)
                }
                Leaf::LeftOut { hash } => {
                    let mut bytes: Hash = [0; 32];
                    hex::decode_to_slice(hash, &mut bytes)
                        .map_err(|_| "a hash is not 32 bytes".to_owned())?;
                    bytes
                }
            });
        }
        let found = hex::encode(merkle::root(&hashes));
        if found != root || self.root != root {
            return Err(format!(
                "its leaves have the root {found}, the signed one is {root}"
            ));
        }
        for (path, value) in leaves(shown)? {
            if !is_blank(&value) && disclosed.get(path.as_str()) != Some(&&value) {
                return Err(format!("{path} says what was not disclosed"));
            }
        }
        Ok(())
    }
}

/// What stands for something that was left out; an empty list or object may be one, too.
fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text == LEFT_OUT,
        Value::Array(values) => values.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn hash(path: &str, value: &Value, salt: &[u8]) -> Hash {
    let mut bytes = salt.to_vec();
    // The length keeps path and value apart.
    bytes.extend_from_slice(&(path.len() as u64).to_be_bytes());
    bytes.extend_from_slice(path.as_bytes());
    bytes.extend_from_slice(value.to_string().as_bytes());
    merkle::leaf_hash(&bytes)
}

/// All leaves by their path, in the order of the paths; empty lists and objects are leaves.
fn leaves(document: &Value) -> Result<BTreeMap<String, Value>, String> {
    let mut found = BTreeMap::new();
    gather(document, String::new(), 0, &mut found)?;
    Ok(found)
}

fn gather(
    value: &Value,
    path: String,
    depth: u32,
    found: &mut BTreeMap<String, Value>,
) -> Result<(), String> {
    if depth > DEPTH_MAX || found.len() > LEAVES_MAX {
        return Err("the document is too large or nested too deep".to_owned());
    }
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (name, each) in map {
                let name = name.replace('~', "~0").replace('/', "~1");
                gather(each, format!("{path}/{name}"), depth + 1, found)?;
            }
        }
        Value::Array(values) if !values.is_empty() => {
            for (i, each) in values.iter().enumerate() {
                gather(each, format!("{path}/{i}"), depth + 1, found)?;
            }
        }
        leaf => {
            found.insert(path, leaf.clone());
        }
    }
    Ok(())
}
