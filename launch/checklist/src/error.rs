//! Why a checklist could not be made, or could not even be looked at.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum ChecklistError {
    #[error("record entry {index}: {why}")]
    Entry { index: u64, why: String },
    #[error(transparent)]
    Fold(#[from] tminus_plan::FoldError),
    #[error("the checkpoint does not fit the record's entries: {why}")]
    Checkpoint { why: String },
    #[error(
        "no font with Chinese characters was found (looked for {looked_for}); install one: apt-get install fonts-noto-cjk"
    )]
    NoCjkFont { looked_for: String },
    #[error("the template `{name}`: {why}")]
    Template { name: String, why: String },
    #[error("the checklist could not be typeset: {what}")]
    Typeset { what: String },
    #[error(
        "the checklist has {count} {what}, more than the {max} that one document may have; split the plan"
    )]
    TooMuch {
        what: &'static str,
        count: usize,
        max: usize,
    },
    #[error("the document has {there}, and {lacks}")]
    Code {
        there: &'static str,
        lacks: &'static str,
    },
    #[error("{}: {action}: {source}", path.display())]
    Io {
        path: PathBuf,
        action: &'static str,
        source: std::io::Error,
    },
    #[error("{}: has {bytes} bytes, more than the {max} of a checklist; give the PDF that `tminus` wrote", path.display())]
    TooLarge { path: PathBuf, bytes: u64, max: u64 },
    #[error("{}: is no folder; give the launch's record with --record DIR", path.display())]
    NoRecord { path: PathBuf },
}
