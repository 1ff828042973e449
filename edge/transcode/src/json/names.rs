//! The names of an object's members.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Visitor};

use crate::schema::Message;

/// Which fields and oneofs an object has named already.
#[derive(Default)]
pub(crate) struct Seen {
    few: u128,
    many: BTreeSet<usize>,
}

impl Seen {
    pub(crate) fn insert(&mut self, index: usize) -> bool {
        if index < 128 {
            let bit = 1 << index;
            let new = self.few & bit == 0;
            self.few |= bit;
            new
        } else {
            self.many.insert(index)
        }
    }
}

/// A member's name: the field's index, or the name that no field has.
pub(crate) struct Name<'s> {
    pub(crate) message: &'s Message,
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Result<usize, String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Result<usize, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.message.index_named(name).ok_or_else(|| name.to_owned()))
    }
}
