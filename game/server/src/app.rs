//! What can be asked of a server without a socket: the same functions answer gRPC and HTTP/JSON.
//! Knows no protocol.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use starvault_rules::{EquipError, NAME_CHARS_MAX, PlayerId, RATING_INITIAL};
use starvault_store::{EquipOutcome, Journal as _, NewPlayer, Profile, Store, StoreError};
use starvault_wire::v1;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    address::Addresses,
    build_info,
    config::Config,
    error::AppError,
    flags::Switches,
    game_copies::GameCopies,
    identity::{Caller, Gatekeeper},
    inject::Injector,
    lobby::Lobby,
    metrics::GameMetrics,
    nodes::Nodes,
    rooms::Rooms,
    session::SessionId,
    snapshots::NamedFigures,
    view,
};

/// A good token of another store's player.
const NOT_KNOWN_HERE: AppError = AppError::Unauthenticated("this player is not known here; sign in again");

/// Everything that a request may need.
#[derive(Debug)]
pub struct App {
    pub config: Config,
    pub addresses: Addresses,
    pub journal: Store,
    pub gatekeeper: Gatekeeper,
    pub lobby: Lobby,
    pub rooms: Rooms,
    /// The other nodes of this release, if there may be any.
    pub nodes: Option<Arc<Nodes>>,
    /// Feature flags.
    pub switches: Arc<Switches>,
    pub metrics: Arc<GameMetrics>,
    /// Of the copies of games, if there are any.
    pub copies: Option<GameCopies>,
    /// Of the copies of profiles; empty where there are none.
    pub snapshots: Vec<NamedFigures>,
    pub injector: Injector,
    /// Cancelled once the process is going down: no new socket, and the open ones close.
    pub draining: CancellationToken,
    /// The sockets that are still open. Closed once the process is going down.
    pub sessions: TaskTracker,
    pub executable_sha256: String,
    pub session_ids: AtomicU64,
}

impl App {
    /// Makes a player and a token for it.
    ///
    /// # Errors
    /// The name is not allowed, or the store fails.
    pub async fn sign_in_as_guest(
        &self,
        request: v1::SignInAsGuestRequest,
    ) -> Result<v1::SignInAsGuestResponse, AppError> {
        let display_name = display_name(&request.display_name)?;
        let player_id =
            PlayerId::new(format!("p-{}", uuid::Uuid::now_v7().simple())).map_err(|_| AppError::Internal)?;
        let player = NewPlayer {
            player_id,
            display_name,
            rating: RATING_INITIAL,
            created_at_ms: self.config.time.now_ms(),
        };
        let profile = self.journal.create_player(player).await?;
        let (token, expires_at_ms) = self.gatekeeper.issue(&profile.player_id, &profile.display_name)?;
        Ok(v1::SignInAsGuestResponse {
            token,
            expires_at_ms,
            profile: Some(view::profile(&profile)),
        })
    }

    /// `me`, or another player by id.
    ///
    /// # Errors
    /// There is no such player, or the store fails.
    pub async fn get_profile(
        &self,
        caller: &Caller,
        request: &v1::GetProfileRequest,
    ) -> Result<v1::Profile, AppError> {
        if request.player_id == "me" {
            return Ok(view::profile(&self.own_profile(caller).await?));
        }
        let player_id = PlayerId::new(&request.player_id)
            .map_err(|error| AppError::InvalidArgument(error.to_string()))?;
        match self.journal.get_profile(&player_id).await? {
            Some(profile) => Ok(view::profile(&profile)),
            None => Err(AppError::NotFound(format!("there is no player {player_id}"))),
        }
    }

    /// Puts an item of the caller on or takes it off.
    ///
    /// # Errors
    /// There is no such item, the caller does not own it, or the store fails.
    pub async fn equip_item(
        &self,
        caller: &Caller,
        request: &v1::EquipItemRequest,
    ) -> Result<v1::Profile, AppError> {
        if caller.is_from_outside {
            // The store may not know the player yet.
            self.own_profile(caller).await?;
        }
        let now_ms = self.config.time.now_ms();
        let outcome = self
            .journal
            .equip(&caller.player_id, &request.item_id, request.equip, now_ms)
            .await?;
        match outcome {
            EquipOutcome::Done(profile) => Ok(view::profile(&profile)),
            EquipOutcome::Refused(refusal @ EquipError::Unknown { .. }) => {
                Err(AppError::NotFound(refusal.to_string()))
            }
            EquipOutcome::Refused(refusal @ EquipError::NotOwned { .. }) => {
                Err(AppError::FailedPrecondition(refusal.to_string()))
            }
            EquipOutcome::Unknown => Err(NOT_KNOWN_HERE),
        }
    }

    /// The profile of whoever holds a valid credential. Whom somebody outside vouches for gets one with the first request.
    ///
    /// # Errors
    /// The token is ours and of another store's player, or the store fails.
    pub async fn own_profile(&self, caller: &Caller) -> Result<Profile, AppError> {
        match self.journal.get_profile(&caller.player_id).await? {
            Some(profile) => Ok(profile),
            None if caller.is_from_outside => self.welcome(caller).await,
            None => Err(NOT_KNOWN_HERE),
        }
    }

    /// Makes the profile of a player who has played elsewhere until now. Of several requests that come at once one makes it.
    async fn welcome(&self, caller: &Caller) -> Result<Profile, AppError> {
        let wished = caller.display_name.as_deref().unwrap_or_default();
        let player = NewPlayer {
            player_id: caller.player_id.clone(),
            display_name: display_name(wished).or_else(|_| display_name(""))?,
            rating: RATING_INITIAL,
            created_at_ms: self.config.time.now_ms(),
        };
        match self.journal.create_player(player).await {
            Err(StoreError::PlayerExists { .. }) => {
                let profile = self.journal.get_profile(&caller.player_id).await?;
                profile.ok_or(NOT_KNOWN_HERE)
            }
            made => Ok(made?),
        }
    }

    /// As [`Self::own_profile`], for a player who is connected.
    ///
    /// # Errors
    /// The token is of another store's player, or the store fails.
    pub async fn own_recent_profile(&self, caller: &PlayerId) -> Result<Profile, AppError> {
        let profile = self.journal.get_recent_profile(caller).await?;
        profile.ok_or(NOT_KNOWN_HERE)
    }

    #[must_use]
    pub fn version(&self) -> v1::Version {
        v1::Version {
            release: self.config.release.to_string(),
            executable_sha256: self.executable_sha256.clone(),
            commit: build_info::COMMIT.to_owned(),
            package_version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// A name for a new connection, unique in this process.
    #[must_use]
    pub fn next_session_id(&self) -> SessionId {
        SessionId(self.session_ids.fetch_add(1, Ordering::Relaxed))
    }
}

fn display_name(wished: &str) -> Result<String, AppError> {
    let name = wished.trim();
    if name.len() > 4 * NAME_CHARS_MAX || name.chars().count() > NAME_CHARS_MAX {
        return Err(AppError::InvalidArgument(format!(
            "a name has at most {NAME_CHARS_MAX} characters"
        )));
    }
    // At its ends as well: what is refused does not depend on where it stands.
    if wished.chars().any(char::is_control) {
        return Err(AppError::InvalidArgument(
            "a name has no control characters".into(),
        ));
    }
    if name.is_empty() {
        return Ok(format!("Guest {:04}", rand::random_range(0..10_000)));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_trimmed_bounded_and_printable() {
        assert_eq!(display_name("  星穹 ").unwrap(), "星穹");
        assert!(display_name("").unwrap().starts_with("Guest "));
        assert_eq!(display_name(&"星".repeat(24)).unwrap().chars().count(), 24);
        assert!(display_name(&"x".repeat(25)).is_err());
        assert!(display_name("a\u{7}b").is_err());
        assert!(display_name("ab\n").is_err());
        assert!(display_name("\u{7f}").is_err());
    }
}
