//! Feature flags of this process: what they are asked with, and what hangs on them.
//!
//! Flags are asked through OpenFeature, so nothing here knows where they come from but [`Switches::open`]. Whatever goes
//! wrong with a flag, the server goes on with its own default.

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use open_feature::{Client, EvaluationContext, EvaluationErrorCode, OpenFeature};
use starvault_matchmaking::Policy;
use tminus_flags::{FileOptions, FlagProvider, Flags, Override};

use crate::{
    config::{Config, Region},
    error::StartError,
};

/// Which policy makes the matches of a pool: true for the second, false for the first.
pub const MATCH_V2: &str = "feature.match.v2";
/// Without a flag.
const MATCH_V2_DEFAULT: bool = true;

/// Where flags come from.
#[derive(Debug, Clone)]
pub struct FlagsConfig {
    /// A definition in flagd's JSON. `None`: there is none.
    pub file: Option<PathBuf>,
    /// Whose definitions in `NAME.ENVIRONMENT.json` beside the file come over it.
    pub environment: Option<String>,
    /// Over all definitions.
    pub overrides: Vec<Override>,
    /// Between two looks at the files.
    pub poll_every: Duration,
}

impl Default for FlagsConfig {
    fn default() -> Self {
        Self {
            file: None,
            environment: None,
            overrides: Vec::new(),
            poll_every: Duration::from_secs(1),
        }
    }
}

/// Asks flags for the server.
pub struct Switches {
    flags: Flags,
    client: Client,
    release: String,
    environment: Option<String>,
    failed: AtomicU64,
}

impl fmt::Debug for Switches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Switches")
            .field("flags", &self.flags)
            .finish_non_exhaustive()
    }
}

impl Switches {
    /// The switches, and the task that follows the files.
    ///
    /// # Errors
    /// The files cannot be used: a server does not start on a definition that nobody has checked.
    pub async fn open(
        config: &Config,
    ) -> Result<(Self, impl Future<Output = ()> + Send + 'static), StartError> {
        let time = config.time.clone();
        let options = FileOptions {
            file: config.flags.file.clone(),
            environment: config.flags.environment.clone(),
            overrides: config.flags.overrides.clone(),
            poll_every: config.flags.poll_every,
            now_ms: Arc::new(move || time.now_ms()),
        };
        let (flags, task) = Flags::open(options).await;
        let state = flags.state();
        if state.set.is_none() {
            let problems = state.failing.iter().flat_map(|failing| &failing.problems);
            return Err(StartError::Flags(problems.map(ToString::to_string).collect()));
        }
        let time = config.time.clone();
        let provider = FlagProvider::new(flags.clone(), move || time.now_ms().div_euclid(1000));
        // Of this server alone: another one in this process has flags of its own.
        let mut api = OpenFeature::default();
        api.set_provider(provider).await;
        let switches = Self {
            client: api.create_client(),
            flags,
            release: config.release.to_string(),
            environment: config.flags.environment.clone(),
            failed: AtomicU64::new(0),
        };
        Ok((switches, task))
    }

    /// What is in force, and its changes.
    #[must_use]
    pub fn flags(&self) -> Flags {
        self.flags.clone()
    }

    /// Evaluations that gave no value for another reason than that there is no such flag, or that it is disabled.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// By which rules this region's pool goes. A pool is the subject, never a player: both sides of a match have to agree
    /// on when they fit.
    pub async fn match_policy(&self, region: &Region) -> Policy {
        let mut context = EvaluationContext::default()
            .with_targeting_key(region.as_str())
            .with_custom_field("region", region.as_str())
            .with_custom_field("release", self.release.as_str());
        if let Some(environment) = &self.environment {
            context.add_custom_field("environment", environment.as_str());
        }
        if self.ask(MATCH_V2, &context, MATCH_V2_DEFAULT).await {
            Policy::V2
        } else {
            Policy::V1
        }
    }

    async fn ask(&self, key: &str, context: &EvaluationContext, default: bool) -> bool {
        match self.client.get_bool_value(key, Some(context), None).await {
            Ok(value) => value,
            Err(error) => {
                let expected = match &error.code {
                    EvaluationErrorCode::FlagNotFound => true,
                    EvaluationErrorCode::General(code) => code == "FLAG_DISABLED",
                    _ => false,
                };
                if !expected {
                    self.failed.fetch_add(1, Ordering::Relaxed);
                    let why = error.message.unwrap_or_default();
                    tracing::error!(key, code = %error.code, why, default, "a flag gave no value; the default is used");
                }
                default
            }
        }
    }
}
