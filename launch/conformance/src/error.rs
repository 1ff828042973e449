/// A document that cannot be checked against.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    #[error("the document has {bytes} bytes; at most {max} are read")]
    TooLarge { bytes: usize, max: usize },
    #[error("the document is neither JSON nor YAML: {why}")]
    Unreadable { why: String },
    #[error("{pointer}: {what}")]
    Invalid {
        /// JSON pointer (RFC 6901) into the document.
        pointer: String,
        what: String,
    },
}

impl SpecError {
    pub(crate) fn at(pointer: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Invalid {
            pointer: pointer.into(),
            what: what.into(),
        }
    }
}
