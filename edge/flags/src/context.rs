//! Who asks, and when.

use serde_json::{Map, Value};

/// What a rule may look at.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Context {
    /// The subject: a player, a region. What `fractional` puts into buckets unless told otherwise.
    pub targeting_key: Option<String>,
    pub attributes: Map<String, Value>,
    /// Seconds since 1970-01-01 UTC, which rules see as `$flagd.timestamp`.
    pub now_s: i64,
}

impl Context {
    #[must_use]
    pub fn of(targeting_key: impl Into<String>) -> Self {
        Self {
            targeting_key: Some(targeting_key.into()),
            ..Self::default()
        }
    }

    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.attributes.insert(name.into(), value.into());
        self
    }
}
