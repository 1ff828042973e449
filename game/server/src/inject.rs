//! Faults on purpose, for rehearsals: they show in what players get and never in `/healthz` or
//! `/v1/version`, so that only a comparison of releases can find them.

use std::{
    str::FromStr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::time::Instant;

const LATENCY: Duration = Duration::from_millis(400);
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
    /// A stalling release serves its players this long before it stops answering.
    pub stall_after: Duration,
}

impl Injection {
    #[must_use]
    pub fn new(kind: FaultKind, ratio: f64) -> Self {
        Self {
            kind,
            ratio,
            stall_after: STALL_AFTER,
        }
    }
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
            Ok(Self::new(kind, ratio))
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
        if let Some(Injection { kind, ratio, .. }) = injection {
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

    /// Whether this process has stopped answering anybody. Then its games do nothing by themselves
    /// either, as those of a process that hangs: nobody forfeits because of the fault.
    #[must_use]
    pub fn is_stalled(&self, now: Instant) -> bool {
        let Some(injection) = self.injection else {
            return false;
        };
        let since = self.first_traffic.get();
        let stalls = injection.kind == FaultKind::Stall && injection.ratio >= 1.0;
        stalls && since.is_some_and(|since| now - *since >= injection.stall_after)
    }

    /// Whether anything can happen at all.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.injection.is_none()
    }

    /// The fate of one request or command of a player that came at `now`.
    #[must_use]
    pub fn draw(&self, now: Instant) -> Fault {
        let Some(injection) = self.injection else {
            return Fault::None;
        };
        let serving_since = *self.first_traffic.get_or_init(|| now);
        if !rand::random_bool(injection.ratio) {
            return Fault::None;
        }
        match injection.kind {
            FaultKind::Errors => Fault::Fail,
            FaultKind::Latency => Fault::Delay(LATENCY),
            FaultKind::Stall if now - serving_since < injection.stall_after => Fault::None,
            FaultKind::Stall => Fault::Swallow,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_read_with_its_share() {
        assert_eq!("errors".parse(), Ok(Injection::new(FaultKind::Errors, 0.25)));
        assert_eq!("latency".parse(), Ok(Injection::new(FaultKind::Latency, 1.0)));
        assert_eq!("stall@0.5".parse(), Ok(Injection::new(FaultKind::Stall, 0.5)));
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

    #[test]
    fn a_stall_begins_three_seconds_after_the_first_player() {
        let injector = Injector::new(Some(Injection::new(FaultKind::Stall, 1.0)));
        let first = Instant::now();
        assert!(!injector.is_stalled(first));
        assert_eq!(injector.draw(first), Fault::None);
        assert_eq!(injector.draw(first + Duration::from_millis(2_999)), Fault::None);
        assert!(!injector.is_stalled(first + Duration::from_millis(2_999)));
        assert_eq!(
            injector.draw(first + Duration::from_millis(3_000)),
            Fault::Swallow
        );
    }

    #[test]
    fn without_an_injection_nothing_happens() {
        assert_eq!(Injector::new(None).draw(Instant::now()), Fault::None);
    }
}
