//! The gates that this release can run, against live systems.

use futures_util::future::BoxFuture;
use sha2::{Digest as _, Sha256};
use tminus_plan::GateKind;

use super::journal::{Acknowledged, Journal};
use super::{
    CouldNotRun, GateRunner, Hands, Job, Measured, canary, command, deadlines, http, load, sessions,
};

/// Runs gates of every kind.
#[derive(Debug)]
pub struct Live {
    /// Every random choice of every gate follows from it.
    pub seed: u64,
    pub acknowledged: Acknowledged,
    /// The backend's own check, where its store is at hand.
    pub journal: Option<Journal>,
}

impl Live {
    /// Another seed for every gate and attempt, the same in every run with the same seed.
    pub(super) fn seed_of(&self, job: &Job) -> u64 {
        let mut digest = Sha256::new();
        digest.update(self.seed.to_be_bytes());
        digest.update(format!("{}/{}/{}", job.item, job.gate.id, job.attempt));
        let bytes: [u8; 32] = digest.finalize().into();
        // JSON carries 53 bits exactly; the evidence names the seed.
        u64::from_be_bytes([0, 0, bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5]])
    }
}

impl GateRunner for Live {
    fn run<'a>(&'a self, job: &'a Job, hands: &'a Hands) -> BoxFuture<'a, Result<Measured, CouldNotRun>> {
        Box::pin(async move {
            match &job.kind {
                GateKind::Load(spec) => load::load(spec, job, hands, self).await,
                GateKind::Recovery(spec) => load::recovery(spec, job, hands, self).await,
                GateKind::Canary(spec) => canary::run(spec, job, hands, self).await,
                GateKind::Http(spec) => http::run(spec, hands).await,
                GateKind::Command(spec) => {
                    // A command may be the check that reads it.
                    self.acknowledged.merge()?;
                    command::run(spec, hands).await
                }
                GateKind::Sessions(spec) => sessions::run(spec, hands).await,
                GateKind::Deadlines(spec) => deadlines::run(spec, hands).await,
                GateKind::ToCome { kind } => Err(CouldNotRun::new(format!(
                    "gates of kind `{kind}` do not run in this release"
                ))),
            }
        })
    }
}
