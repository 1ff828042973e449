//! Values given from outside, for tests and for one process: over whatever the definition says.

use std::{collections::BTreeMap, str::FromStr};

use serde_json::{Map, Value};

use crate::{
    limits::{BYTES_MAX, NAME_BYTES_MAX},
    set::{Flag, FlagSet, Kind},
    value::is_same,
};

/// `KEY=VALUE`: a flag with one value for everybody. What is JSON counts as such, all else as a string.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    pub key: String,
    pub value: Value,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverrideError {
    #[error("an override is KEY=VALUE, e.g. feature.match.v2=true")]
    Form,
    #[error("a flag is a boolean, a string, a number or an object; this is null or an array")]
    Kind,
    #[error("the override makes {key} {given}, the definition says that it is {is}; give {is}")]
    Mismatch {
        key: String,
        given: &'static str,
        is: &'static str,
    },
}

impl FromStr for Override {
    type Err = OverrideError;

    fn from_str(text: &str) -> Result<Self, OverrideError> {
        let (key, value) = text.split_once('=').ok_or(OverrideError::Form)?;
        if !(1..=NAME_BYTES_MAX).contains(&key.len()) || value.len() > BYTES_MAX {
            return Err(OverrideError::Form);
        }
        let value = match crate::json::parse(value) {
            Ok(node) => node.to_value(),
            Err(_) => Value::from(value),
        };
        let kind = Kind::of(&value).ok_or(OverrideError::Kind)?;
        Ok(Self {
            key: key.to_owned(),
            value,
            kind,
        })
    }
}

impl FlagSet {
    /// The same set with these values in force; of two for one flag the later. A flag that is not defined is added.
    ///
    /// # Errors
    /// A value is not of its flag's kind.
    pub fn with_overrides(mut self, overrides: &[Override]) -> Result<Self, OverrideError> {
        const OWN_VARIANT: &str = "override";
        for given in overrides {
            let defined = self.flags.remove(&given.key);
            if let Some(flag) = &defined
                && flag.kind != given.kind
            {
                return Err(OverrideError::Mismatch {
                    key: given.key.clone(),
                    given: given.kind.as_str(),
                    is: flag.kind.as_str(),
                });
            }
            let (mut variants, metadata) = match defined {
                Some(flag) => (flag.variants, flag.metadata),
                None => (BTreeMap::new(), Map::new()),
            };
            let same = |value: &Value| is_same(value, &given.value) || *value == given.value;
            let named = variants.iter().find(|(_, value)| same(value));
            let variant = match named {
                Some((name, _)) => name.clone(),
                None => {
                    variants.insert(OWN_VARIANT.to_owned(), given.value.clone());
                    OWN_VARIANT.to_owned()
                }
            };
            let flag = Flag {
                enabled: true,
                kind: given.kind,
                variants,
                default_variant: Some(variant),
                metadata,
                overridden: true,
                rule: None,
            };
            self.flags.insert(given.key.clone(), flag);
        }
        Ok(self)
    }
}
