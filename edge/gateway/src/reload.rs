//! Another configuration for a running gateway: read, checked as a whole, and taken at once or not at all.

use std::io;
use std::path::Path;

use crate::config::{self, Config, ConfigError};
use crate::front::{self, Files};
use crate::state::{ChangeError, Reloaded, Shared};

/// Why the configuration that was there stays.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The file cannot be read.
    #[error("cannot read the configuration {file}: {source}")]
    Read {
        /// The file.
        file: String,
        /// What the system says.
        source: io::Error,
    },
    /// There is a mistake in it.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It changes what cannot change while the gateway runs.
    #[error("{file}: {source}")]
    Change {
        /// The file.
        file: String,
        /// What that is.
        source: ChangeError,
    },
}

/// Reads a configuration and the files that it names.
///
/// # Errors
/// It cannot be read, or there is a mistake in it.
pub fn read(file: &Path) -> Result<(Config, Files), ReloadError> {
    let name = file.display().to_string();
    let yaml = tminus_configuration::text(file).map_err(|source| ReloadError::Read {
        file: name.clone(),
        source,
    })?;
    let config = config::parse(&yaml, &name)?;
    let files = front::load(&config)?;
    Ok((config, files))
}

/// Reads the gateway's own file again and takes what it says.
///
/// # Errors
/// As above; then nothing has changed. It is logged and counted.
pub fn reload(shared: &Shared) -> Result<Reloaded, ReloadError> {
    let taken = read(&shared.file).and_then(|(config, files)| {
        shared
            .reload(&config, files)
            .map_err(|source| ReloadError::Change {
                file: shared.file.display().to_string(),
                source,
            })
    });
    match &taken {
        Ok(reloaded) => tracing::info!(?reloaded, "the configuration was read again"),
        Err(why) => {
            shared.reload_refused();
            tracing::error!(%why, "the configuration was read again and refused: the one before stays");
        }
    }
    taken
}
