//! Configuration files in YAML: read within bounds, and every mistake told with file, line and column.
//!
//! Owns how a file becomes values and how a mistake in it is told; what may stand in a file, and what that means, is its
//! program's.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_saphyr::Location;

/// Bytes of a file.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// A mistake in a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {what}")]
pub struct ConfigError {
    /// The file as it was named.
    pub file: String,
    /// Line, from 1.
    pub line: u64,
    /// Column, from 1.
    pub column: u64,
    /// What is wrong and what would be right.
    pub what: String,
}

impl ConfigError {
    /// A mistake at this place of the file.
    pub fn at(file: &str, place: Location, what: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: place.line(),
            column: place.column(),
            what: what.into(),
        }
    }
}

/// The text of a file.
///
/// # Errors
/// It is not there, is no text, may not be read, or is longer than [`FILE_BYTES_MAX`].
pub fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    // A device or a file that grows has no length to ask for.
    File::open(path)?
        .take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("longer than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}

/// The text of a file, for those to whom one that cannot be read is a mistake like any other.
///
/// # Errors
/// As [`text`], told at the file's beginning.
pub fn read(path: &Path) -> Result<String, ConfigError> {
    text(path).map_err(|error| {
        let why = error.to_string();
        let why = why.split(" (os error").next().unwrap_or(&why);
        ConfigError {
            file: path.display().to_string(),
            line: 1,
            column: 1,
            what: format!("cannot read the configuration: {why}"),
        }
    })
}

/// What a text says; `file` is where it lies, for messages.
///
/// # Errors
/// The first place at which it is no YAML, or not what a `T` is.
pub fn parse<T: DeserializeOwned>(yaml: &str, file: &str) -> Result<T, ConfigError> {
    serde_saphyr::from_str(yaml).map_err(|error| {
        let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
        ConfigError {
            file: file.to_owned(),
            line,
            column,
            what: plain(&error),
        }
    })
}

/// The parser's sentence without its drawing of the place, which the message names.
fn plain(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    let line = text.lines().next().unwrap_or_default();
    let line = line.split(" at line ").next().unwrap_or(line);
    line.trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Shop {
        #[allow(dead_code, reason = "only whether it reads matters")]
        listen: String,
    }

    #[test]
    fn a_mistake_is_told_with_its_place_in_one_sentence() {
        let error = parse::<Shop>("listen: a\nlisten_at: b\n", "shop.yaml").unwrap_err();
        assert_eq!((error.line, error.column), (2, 1));
        let said = error.to_string();
        assert!(
            said.starts_with("shop.yaml:2:1: ") && said.contains("listen_at") && !said.contains(" at line "),
            "{said}"
        );
        let torn = parse::<Shop>("listen: [a", "shop.yaml").unwrap_err().to_string();
        assert!(torn.starts_with("shop.yaml:1:") && !torn.contains('\n'), "{torn}");
    }

    #[test]
    fn a_file_that_is_missing_too_long_or_endless_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("shop.yaml");
        let said = read(&file).unwrap_err().to_string();
        assert!(
            said.contains("shop.yaml:1:1: cannot read the configuration: No such file")
                && !said.contains("os error"),
            "{said}"
        );
        let fits = usize::try_from(FILE_BYTES_MAX).unwrap();
        std::fs::write(&file, "x".repeat(fits)).unwrap();
        assert_eq!(read(&file).unwrap().len(), fits);
        std::fs::write(&file, "x".repeat(fits + 1)).unwrap();
        assert!(read(&file).unwrap_err().what.contains("longer than"));
        assert!(text(Path::new("/dev/zero")).is_err());
    }
}
