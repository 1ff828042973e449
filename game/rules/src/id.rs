//! Typed ids. Owns their one rule of form: 1 to 64 characters of `A-Z a-z 0-9 - _ . :`, so that
//! an id is safe in a URL, a header, a file of lines and a log without escaping.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The longest id, in characters (all of them ASCII, so also in bytes).
pub const ID_CHARS_MAX: usize = 64;

/// A text that is no id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    #[error("a {kind} id is empty; give 1 to {ID_CHARS_MAX} characters")]
    Empty { kind: &'static str },
    #[error("a {kind} id has {chars} characters; at most {ID_CHARS_MAX} are allowed")]
    TooLong { kind: &'static str, chars: usize },
    #[error("a {kind} id holds {found:?}; only letters, digits and - _ . : are allowed")]
    Character { kind: &'static str, found: char },
}

fn checked(kind: &'static str, text: &str) -> Result<Arc<str>, InvalidId> {
    if text.is_empty() {
        return Err(InvalidId::Empty { kind });
    }
    if text.len() > ID_CHARS_MAX {
        return Err(InvalidId::TooLong {
            kind,
            chars: text.chars().count(),
        });
    }
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    match text.chars().find(|c| !safe(*c)) {
        Some(found) => Err(InvalidId::Character { kind, found }),
        None => Ok(text.into()),
    }
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the form of `text` and takes it as an id.
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidId> {
                checked($kind, text.as_ref()).map(Self)
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(String::deserialize(deserializer)?).map_err(de::Error::custom)
            }
        }
    };
}

id_type!(
    /// Names one game for ever.
    GameId,
    "game"
);
id_type!(
    /// Names one player for ever.
    PlayerId,
    "player"
);
id_type!(
    /// Names one command of one player in one game. The client makes it.
    CommandId,
    "command"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_to_64_safe_characters() {
        let longest = "x".repeat(ID_CHARS_MAX);
        for good in [
            "a",
            "0",
            "A-b_c.d:e",
            "018f3f5e-7b7a-7000-8000-000000000000",
            longest.as_str(),
        ] {
            assert_eq!(GameId::new(good).unwrap().as_str(), good);
        }
        let too_long = "x".repeat(ID_CHARS_MAX + 1);
        assert_eq!(CommandId::new(""), Err(InvalidId::Empty { kind: "command" }));
        assert_eq!(
            CommandId::new(too_long),
            Err(InvalidId::TooLong {
                kind: "command",
                chars: 65
            })
        );
        for (bad, found) in [("a b", ' '), ("a/b", '/'), ("é", 'é'), ("a\n", '\n'), ("\"", '"')] {
            assert_eq!(
                PlayerId::new(bad),
                Err(InvalidId::Character {
                    kind: "player",
                    found
                })
            );
        }
    }

    #[test]
    fn an_id_is_a_checked_string_in_json() {
        let id = PlayerId::new("p-1").unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"p-1\"");
        assert_eq!(serde_json::from_str::<PlayerId>("\"p-1\"").unwrap(), id);
        assert!(serde_json::from_str::<PlayerId>("\"\"").is_err());
    }
}
