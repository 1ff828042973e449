//! A profile as its copies have it: canonical JSON, and its digest.

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use starvault_rules::{Equipment, PlayerId, Progress};

use crate::{Profile, StoreError};

/// What is published of a profile. The running game is not: it changes with every game and concerns this
/// journal alone.
#[derive(Serialize)]
pub(crate) struct Snapshot<'p> {
    player_id: &'p PlayerId,
    display_name: &'p str,
    #[serde(flatten)]
    progress: Progress,
    equipped: &'p Equipment,
    version: i64,
}

impl Snapshot<'_> {
    /// The JSON, by the order of fields, and its SHA-256.
    pub(crate) fn of(profile: &Profile) -> Result<(String, [u8; 32]), StoreError> {
        let Profile {
            player_id,
            display_name,
            progress,
            equipped,
            version,
            active_game_id: _,
        } = profile;
        let snapshot = Snapshot {
            player_id,
            display_name,
            progress: *progress,
            equipped,
            version: *version,
        };
        digested(&snapshot)
    }
}

pub(crate) fn digested(snapshot: &impl Serialize) -> Result<(String, [u8; 32]), StoreError> {
    let body = to_json(snapshot)?;
    let digest = Sha256::digest(body.as_bytes()).into();
    Ok((body, digest))
}

pub(crate) fn to_json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Invalid {
        what: error.to_string(),
    })
}
