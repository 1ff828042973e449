//! Who a request comes from: tokens of our own, tokens of an issuer outside, sessions that an older system made. Fetches
//! what the judgement of `tminus-identity` needs, counts what it says, and never logs a credential.

mod keys;
mod revoked;
mod sessions;

use std::path::PathBuf;

use http::HeaderMap;
use starvault_nodes::RedisUrl;
use starvault_rules::PlayerId;
use tminus_identity::{
    AuthCompat, NbfRule, Presented, Refusal, RotationFigures, SessionFinding, SessionSource, Source, Token,
    TokenError, TokenFinding, TokenRules, Verified, decide,
    session::{SessionError, SessionFormat},
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    error::{AppError, StartError},
    time::TimeSource,
    tokens::{self, Tokens},
};
use keys::Keys;
use revoked::Revoked;
use sessions::Sessions;

pub use keys::JwksAddress;

/// What is accepted besides our own tokens.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    pub outside: Option<OutsideTokens>,
    pub sessions: Option<LegacySessions>,
    /// The file that lists revoked tokens; ours are looked up in it as well.
    pub revocations: Option<PathBuf>,
}

/// Tokens of another issuer.
#[derive(Debug, Clone)]
pub struct OutsideTokens {
    pub jwks: JwksAddress,
    pub issuer: String,
    pub audience: String,
}

/// Sessions of an older system.
#[derive(Debug, Clone)]
pub struct LegacySessions {
    pub redis: RedisUrl,
    pub format: SessionFormat,
    /// What stands before a session's id in its key.
    pub key_prefix: String,
    /// The name under which a session holds its player.
    pub player_field: String,
    pub cookie: Option<String>,
}

/// Who sent a request.
#[derive(Debug, Clone)]
pub struct Caller {
    pub player_id: PlayerId,
    /// Whether somebody else than this store vouches for the player, whom it then may not know yet.
    pub is_from_outside: bool,
    pub display_name: Option<String>,
}

/// Decides who gets in.
#[derive(Debug)]
pub struct Gatekeeper {
    tokens: Tokens,
    outside: Option<(TokenRules, Keys)>,
    sessions: Option<(SessionSource, Sessions)>,
    revoked: Revoked,
    time: TimeSource,
    pub counts: AuthCompat,
}

impl Gatekeeper {
    /// Reads what has to be there and begins to watch what may change.
    ///
    /// # Errors
    /// A file cannot be read or holds something else. An issuer or a Redis that does not answer is no error: our own
    /// tokens go on without them.
    pub async fn new(
        tokens: Tokens,
        credentials: &Credentials,
        time: &TimeSource,
        tasks: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) -> Result<Self, StartError> {
        let outside = match &credentials.outside {
            None => None,
            Some(outside) if outside.issuer == tokens::ISSUER => {
                return Err(StartError::Credentials(format!(
                    "--jwt-issuer is `{}`, as in the tokens of this server; an issuer outside has its own name",
                    tokens::ISSUER
                )));
            }
            Some(outside) => {
                let rules = TokenRules {
                    issuer: outside.issuer.clone(),
                    audience: outside.audience.clone(),
                    nbf: NbfRule::Optional,
                };
                Some((rules, Keys::start(&outside.jwks, time, tasks, stop).await?))
            }
        };
        let sessions = match &credentials.sessions {
            None => None,
            Some(legacy) => {
                let source = SessionSource {
                    cookie: legacy.cookie.clone(),
                    cookie_base64: legacy.format == SessionFormat::Spring,
                };
                Some((source, Sessions::new(legacy)?))
            }
        };
        Ok(Self {
            tokens,
            outside,
            sessions,
            revoked: Revoked::start(credentials.revocations.as_deref(), tasks, stop).await?,
            time: time.clone(),
            counts: AuthCompat::default(),
        })
    }

    /// A token of our own for the player; see [`Tokens::issue`].
    ///
    /// # Errors
    /// Signing failed, which no input causes.
    pub fn issue(&self, player_id: &PlayerId, name: &str) -> Result<(String, i64), AppError> {
        self.tokens.issue(player_id, name, self.time.now_ms())
    }

    /// Of the key set of the issuer outside, if there is one.
    #[must_use]
    pub fn key_figures(&self) -> Option<RotationFigures> {
        self.outside.as_ref().map(|(_, keys)| keys.figures())
    }

    /// Who the headers name. `offered`: a token that came as a subprotocol of a WebSocket.
    ///
    /// # Errors
    /// Nobody, by the table of `tminus_identity::decide`.
    pub async fn identify(&self, headers: &HeaderMap, offered: Option<&str>) -> Result<Caller, AppError> {
        let source = self.sessions.as_ref().map(|(source, _)| source);
        let presented = Presented::read(headers, offered, source)
            .inspect_err(|malformed| self.counts.count_malformed(*malformed))
            .map_err(Refusal::from)?;
        let token = match presented.token {
            None => TokenFinding::Absent,
            Some(text) => self.judge_token(text).await,
        };
        let session = match (&presented.session, &self.sessions) {
            (Some(id), Some((_, sessions))) => sessions.find(id, self.time.now_ms()).await,
            _ => SessionFinding::Absent,
        };
        let decision = decide(&token, &session);
        self.counts.count(&token, &session, &decision);
        let identity = decision?;
        let own = identity.issuer.as_deref() == Some(tokens::ISSUER) && identity.source != Source::Session;
        Ok(Caller {
            // The findings hold such ids only.
            player_id: PlayerId::new(&identity.player_id).map_err(|_| AppError::Internal)?,
            is_from_outside: !own,
            display_name: identity.display_name,
        })
    }

    async fn judge_token(&self, text: &str) -> TokenFinding {
        let judged = match Token::parse(text) {
            Err(error) => Err(error),
            Ok(token) => match &self.outside {
                Some((rules, keys)) if token.claimed_issuer() == Some(rules.issuer.as_str()) => {
                    let mut known = keys.now();
                    if known.as_deref().is_none_or(|known| token.wants_newer(known)) {
                        known = keys.newer().await;
                    }
                    let Some(known) = known else {
                        return TokenFinding::Unavailable;
                    };
                    self.verify(&token, &known, rules)
                }
                _ => self.verify(&token, self.tokens.keys(), self.tokens.rules()),
            },
        };
        match judged {
            Ok(verified) => TokenFinding::Valid(verified),
            Err(error) => TokenFinding::Invalid(error),
        }
    }

    fn verify(
        &self,
        token: &Token<'_>,
        keys: &tminus_identity::KeySet,
        rules: &TokenRules,
    ) -> Result<Verified, TokenError> {
        let now_s = self.time.now_ms().div_euclid(1000);
        let verified = token.verify(keys, rules, &self.revoked.now(), now_s)?;
        // Ids that no player of this store can have.
        PlayerId::new(&verified.subject).map_err(|_| TokenError::Subject)?;
        Ok(verified)
    }
}

/// A session's player, if this store can have one of that id.
fn session_player(player_id: String) -> SessionFinding {
    match PlayerId::new(&player_id) {
        Ok(_) => SessionFinding::Valid(player_id),
        Err(_) => SessionFinding::Unreadable(SessionError::PlayerId),
    }
}
