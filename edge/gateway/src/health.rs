//! Whether a backend can answer: asked on purpose now and then, and learned from the requests that it fails.
//!
//! A backend that is not healthy gets nothing new while another one is. When none is, all count as healthy: a check
//! that is wrong must not take the whole service down.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::backend::Backend;
use crate::state::Shared;

/// Active checks of a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthConfig {
    /// Answers 2xx or 3xx when it can serve; `None`: a connection is enough.
    pub path: Option<String>,
    /// Between two checks.
    pub every: Duration,
    /// Until its answer.
    pub timeout: Duration,
    /// So many failures in a row, and it is not healthy.
    pub fall: u32,
    /// So many answers in a row, and it is again.
    pub rise: u32,
}

/// A streak of equal results that turns a verdict.
#[derive(Clone, Copy, Debug)]
struct Streak {
    healthy: bool,
    against: u32,
}

impl Streak {
    /// Takes a result; the new verdict, if it turns.
    fn take(&mut self, answered: bool, config: &HealthConfig) -> Option<bool> {
        if answered == self.healthy {
            self.against = 0;
            return None;
        }
        self.against += 1;
        let enough = if answered { config.rise } else { config.fall };
        (self.against >= enough).then(|| {
            *self = Self {
                healthy: answered,
                against: 0,
            };
            answered
        })
    }
}

/// Checks the backends of the moment, also after a reload, until dropped.
pub async fn supervise(shared: Arc<Shared>) {
    let mut generations = shared.generations();
    loop {
        generations.mark_unchanged();
        let mut checks = JoinSet::new();
        for backend in &shared.routing().backends {
            if let Some(config) = backend.config.health.clone() {
                checks.spawn(check(Arc::clone(&shared), Arc::clone(backend), config));
            }
        }
        if generations.changed().await.is_err() {
            return;
        }
    }
}

async fn check(shared: Arc<Shared>, backend: Arc<Backend>, config: HealthConfig) {
    let mut streak = Streak {
        healthy: shared.is_healthy(&backend),
        against: 0,
    };
    let mut due = interval(config.every);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        let answered = timeout(config.timeout, probe(&backend, config.path.as_deref())).await;
        if let Some(healthy) = streak.take(answered.unwrap_or(false), &config) {
            shared.set_health(&backend, healthy, "its checks");
        }
    }
}

async fn probe(backend: &Backend, path: Option<&str>) -> bool {
    let (host, port) = (backend.config.host.as_str(), backend.config.port);
    let Ok(stream) = TcpStream::connect((host, port)).await else {
        return false;
    };
    let Some(path) = path else { return true };
    let Ok((mut sender, connection)) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await
    else {
        return false;
    };
    let request = Request::get(path)
        .header(header::HOST, format!("{host}:{port}"))
        .header(header::USER_AGENT, "tminus-gateway-health")
        .body(Empty::<Bytes>::new());
    let Ok(request) = request else { return false };
    tokio::select! {
        answer = sender.send_request(request) => {
            answer.is_ok_and(|answer| answer.status().is_success() || answer.status().is_redirection())
        }
        _ = connection => false,
    }
}

/// Requests that a backend failed, in a row: it could not be reached, or broke off before its answer.
#[derive(Debug, Default)]
pub struct Failures(AtomicU32);

impl Failures {
    /// It has answered.
    pub fn answered(&self) {
        // Mostly it is so already, and then the line is not written, which other threads read, too.
        if self.0.load(Ordering::Relaxed) != 0 {
            self.0.store(0, Ordering::Relaxed);
        }
    }

    /// It has failed; true once it has done so often enough.
    pub fn failed(&self, enough: u32) -> bool {
        enough > 0 && self.0.fetch_add(1, Ordering::Relaxed) + 1 == enough
    }
}

/// Takes a backend that fails its requests out for a while.
pub fn eject(shared: &Arc<Shared>, backend: &Arc<Backend>) {
    if !shared.set_health(backend, false, "requests that it failed") {
        return;
    }
    if backend.config.health.is_some() {
        // Its checks tell when it is back.
        return;
    }
    let (shared, backend) = (Arc::clone(shared), Arc::clone(backend));
    let pause = shared.limits.eject;
    tokio::spawn(async move {
        tokio::time::sleep(pause).await;
        backend.failures.answered();
        shared.set_health(&backend, true, "it is tried again");
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_turns_after_a_streak_and_not_before() {
        let config = HealthConfig {
            path: None,
            every: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            fall: 3,
            rise: 2,
        };
        let mut streak = Streak {
            healthy: true,
            against: 0,
        };
        let mut told = |results: &[bool]| -> Vec<Option<bool>> {
            results
                .iter()
                .map(|answered| streak.take(*answered, &config))
                .collect()
        };
        assert_eq!(told(&[false, false, true, false, false]), [None; 5]);
        assert_eq!(told(&[false, false]), [Some(false), None]);
        assert_eq!(
            told(&[true, false, true, true, true]),
            [None, None, None, Some(true), None]
        );
    }

    #[test]
    fn failures_in_a_row_are_told_once() {
        let failures = Failures::default();
        assert!(!failures.failed(3) && !failures.failed(3));
        failures.answered();
        assert!(!failures.failed(3) && !failures.failed(3) && failures.failed(3));
        assert!(!failures.failed(3), "it is out already");
        assert!(!Failures::default().failed(0), "never");
    }
}
