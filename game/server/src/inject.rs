//! Faults on purpose, for rehearsals: they show in what players get and never in `/healthz` or
//! `/v1/version`, so that only a comparison of releases can find them.

use std::{
    str::FromStr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::time::Instant;

const LATENCY: Duration = Duration::from_millis(400);
/// A stalling release serves its players this long before it stops answering.
const STALL_AFTER: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// Requests answer 500, commands answer INTERNAL without effect.
    Errors,
    /// Every answer is late.
    Latency,
    /// Nothing is answered any more; sockets stay open.
    Stall,
}

/// What to do to which share of requests and commands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Injection {
    pub kind: FaultKind,
    /// 0 to 1.
    pub ratio: f64,
}

impl FromStr for Injection {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, ratio) = match text.split_once('@') {
            Some((name, ratio)) => (name, Some(ratio)),
            None => (text, None),
        };
        let (kind, usual) = match name {
            "errors" => (FaultKind::Errors, 0.25),
            "latency" => (FaultKind::Latency, 1.0),
            "stall" => (FaultKind::Stall, 1.0),
            _ => {
                return Err(
                    "a fault is errors, latency or stall, with a share if you like: errors@0.1".into(),
                );
            }
        };
        let ratio = ratio
            .map_or(Ok(usual), str::parse)
            .map_err(|_| format!("{text}: the share is no number"))?;
        if (0.0..=1.0).contains(&ratio) {
            Ok(Self { kind, ratio })
        } else {
            Err(format!("{text}: the share lies between 0 and 1"))
        }
    }
}

/// What happens to one request or command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    Fail,
    Delay(Duration),
    /// Never answer.
    Swallow,
}

/// Draws the fault of each request. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Injector {
    injection: Option<Injection>,
    first_traffic: Arc<OnceLock<Instant>>,
}

impl Injector {
    #[must_use]
    pub fn new(injection: Option<Injection>) -> Self {
        if let Some(Injection { kind, ratio }) = injection {
            tracing::warn!(
                ?kind,
                ratio,
                "THIS PROCESS INJECTS FAULTS: it is for rehearsals only"
            );
        }
        Self {
            injection,
            first_traffic: Arc::default(),
        }
    }

    /// The fate of one request or command of a player.
    #[must_use]
    pub fn draw(&self) -> Fault {
        let Some(Injection { kind, ratio }) = self.injection else {
            return Fault::None;
        };
        let serving_since = *self.first_traffic.get_or_init(Instant::now);
        if !rand::random_bool(ratio) {
            return Fault::None;
        }
        match kind {
            FaultKind::Errors => Fault::Fail,
            FaultKind::Latency => Fault::Delay(LATENCY),
            FaultKind::Stall if serving_since.elapsed() < STALL_AFTER => Fault::None,
            FaultKind::Stall => Fault::Swallow,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_read_with_its_share() {
        assert_eq!(
            "errors".parse(),
            Ok(Injection {
                kind: FaultKind::Errors,
                ratio: 0.25
            })
        );
        assert_eq!(
            "latency".parse(),
            Ok(Injection {
                kind: FaultKind::Latency,
                ratio: 1.0
            })
        );
        assert_eq!(
            "stall@0.5".parse(),
            Ok(Injection {
                kind: FaultKind::Stall,
                ratio: 0.5
            })
        );
        for wrong in [
            "",
            "error",
            "stall@",
            "stall@2",
            "errors@-1",
            "errors@x",
            "errors@NaN",
        ] {
            assert!(wrong.parse::<Injection>().is_err(), "{wrong}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_begins_three_seconds_after_the_first_player() {
        let injector = Injector::new(Some(Injection {
            kind: FaultKind::Stall,
            ratio: 1.0,
        }));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(injector.draw(), Fault::None);
        tokio::time::advance(Duration::from_millis(2_999)).await;
        assert_eq!(injector.draw(), Fault::None);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(injector.draw(), Fault::Swallow);
    }
}
