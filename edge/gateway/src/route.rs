//! Which backend gets a request: a pure decision over a snapshot of the routes.
//!
//! Owns the order *pin, then the first matching rule, then affinity, then default split*, and what happens when the
//! chosen backend is draining. It never does I/O, reads no clock and holds no lock: the table is a
//! value, replaced as a whole when a weight or a draining flag changes.

use std::collections::HashMap;
use std::fmt;

use crate::matching::{Asked, Conditions};
use crate::sticky::PlayerKey;
pub use crate::weight::{BUCKETS, Weight};

/// Position of a backend in the table (backends stand in the order of their names).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendId(pub usize);

/// Weights over backends, adding up to 100 percent.
///
/// Buckets are laid out in the order of backend *names*, the same in every split, so that the
/// order in which somebody writes the weights never moves a player. With two backends, raising one
/// weight moves players only towards that backend. With more, a change of two neighbours moves
/// players only between these two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    weights: Vec<(BackendId, Weight)>,
}

/// Why a list of weights is not a split.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SplitError {
    /// The weights do not add up.
    #[error("the weights add up to {sum}, and must add up to 100")]
    Sum {
        /// What they add up to, in percent.
        sum: f64,
    },
    /// One backend is named twice.
    #[error("a backend is named twice")]
    Twice,
}

impl Split {
    /// Checks and orders the weights.
    ///
    /// # Errors
    /// When the sum is not 100 percent or a backend is named twice.
    pub fn new(weights: impl IntoIterator<Item = (BackendId, Weight)>) -> Result<Self, SplitError> {
        let mut weights: Vec<_> = weights.into_iter().collect();
        weights.sort_unstable();
        if weights.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(SplitError::Twice);
        }
        crate::weight::whole(weights.iter().map(|(_, weight)| *weight))
            .map_err(|sum| SplitError::Sum { sum })?;
        Ok(Self { weights })
    }

    /// The backends named in the split with their weights, also those of weight 0.
    pub fn weights(&self) -> &[(BackendId, Weight)] {
        &self.weights
    }

    /// The weight of a backend, 0 when it is not named.
    pub fn weight_of(&self, backend: BackendId) -> Weight {
        self.weights
            .iter()
            .find(|(id, _)| *id == backend)
            .map_or(Weight::NONE, |(_, weight)| *weight)
    }

    /// The backend that owns the player's bucket, draining or not.
    fn owner(&self, key: &PlayerKey) -> Option<BackendId> {
        let bucket = u32::from(key.bucket());
        let mut upper = 0;
        self.weights.iter().find_map(|(id, weight)| {
            upper += weight.buckets();
            (bucket < upper).then_some(*id)
        })
    }
}

/// Requests of which all this holds go by this split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The rule's name, for logs and messages.
    pub name: String,
    /// What it asks of a request.
    pub conditions: Conditions,
    /// Where matching requests go.
    pub split: Split,
}

/// What the table knows of a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteBackend {
    /// Its name in the configuration.
    pub name: String,
    /// The release it serves, unique in the table.
    pub version: String,
    /// A draining backend gets nothing new while another can take it.
    pub draining: bool,
    /// One that is not healthy gets nothing new while another one is.
    pub healthy: bool,
}

/// What the decision looks at in a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestFacts<'a> {
    /// What rules look at.
    pub asked: Asked<'a>,
    /// The release that a reconnecting player asks for, decoded.
    pub affinity: Option<&'a str>,
}

/// Which part of the table named the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The player is pinned.
    Pin,
    /// The rule at this position.
    Rule(usize),
    /// The release that the player asked for.
    Affinity,
    /// The default split.
    Default,
}

/// Where a request goes, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The backend.
    pub backend: BackendId,
    /// What named it.
    pub source: Source,
    /// True when the player's own backend is draining and another one stands in.
    pub stand_in: bool,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source {
            Source::Pin => f.write_str("pin")?,
            Source::Rule(index) => write!(f, "rule {index}")?,
            Source::Affinity => f.write_str("affinity")?,
            Source::Default => f.write_str("default split")?,
        }
        if self.stand_in {
            f.write_str(", standing in for a draining backend")
        } else {
            Ok(())
        }
    }
}

/// Every backend that may take the request is draining.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("every backend that may take this request is draining")]
pub struct NoBackend;

/// The whole of the routes at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteTable {
    /// Backends in the order of their names.
    pub backends: Vec<RouteBackend>,
    /// Players who are told apart from all others.
    pub pins: HashMap<PlayerKey, BackendId>,
    /// Rules; the first that matches decides.
    pub rules: Vec<Rule>,
    /// For requests that no rule matches.
    pub default_split: Split,
}

impl RouteTable {
    /// The backend of this name.
    pub fn find(&self, name: &str) -> Option<BackendId> {
        self.backends
            .iter()
            .position(|backend| backend.name == name)
            .map(BackendId)
    }

    /// The backends' names, for messages.
    pub fn names(&self) -> String {
        let names: Vec<_> = self
            .backends
            .iter()
            .map(|backend| backend.name.as_str())
            .collect();
        names.join(", ")
    }

    /// Decides where a request of this player goes.
    ///
    /// # Errors
    /// [`NoBackend`] when all backends of the matching split and of the default split drain.
    pub fn decide(&self, facts: RequestFacts<'_>, key: &PlayerKey) -> Result<Decision, NoBackend> {
        if !self.pins.is_empty()
            && let Some(backend) = self.pins.get(key)
        {
            if self.takes(*backend) {
                return Ok(Decision {
                    backend: *backend,
                    source: Source::Pin,
                    stand_in: false,
                });
            }
            return self
                .within(&self.default_split, Source::Pin, key)
                .map(|decision| Decision {
                    stand_in: true,
                    ..decision
                });
        }
        let matching = |rule: &Rule| rule.conditions.match_request(&facts.asked);
        if let Some(index) = self.rules.iter().position(matching) {
            return self.within(&self.rules[index].split, Source::Rule(index), key);
        }
        if let Some(version) = facts.affinity {
            let asked = self
                .backends
                .iter()
                .position(|backend| backend.version == version)
                .map(BackendId);
            if let Some(backend) = asked.filter(|id| self.takes(*id)) {
                return Ok(Decision {
                    backend,
                    source: Source::Affinity,
                    stand_in: false,
                });
            }
        }
        self.within(&self.default_split, Source::Default, key)
    }

    fn takes(&self, id: BackendId) -> bool {
        let Some(backend) = self.backends.get(id.0).filter(|backend| !backend.draining) else {
            return false;
        };
        // When none is healthy it is more likely the check that is wrong.
        backend.healthy || !self.backends.iter().any(|other| other.healthy && !other.draining)
    }

    fn within(&self, split: &Split, source: Source, key: &PlayerKey) -> Result<Decision, NoBackend> {
        if let Some(backend) = split.owner(key).filter(|id| self.takes(*id)) {
            return Ok(Decision {
                backend,
                source,
                stand_in: false,
            });
        }
        // The stand-in is drawn by a second, independent part of the player's hash: players of one
        // draining backend spread over all the others instead of moving to one neighbour.
        let weighted = |split: &Split| self.stand_in(split, key, Weight::buckets);
        let last_resort = |split: &Split| self.stand_in(split, key, |_| 1);
        weighted(split)
            .or_else(|| weighted(&self.default_split))
            .or_else(|| last_resort(split))
            .or_else(|| last_resort(&self.default_split))
            .map(|backend| Decision {
                backend,
                source,
                stand_in: true,
            })
            .ok_or(NoBackend)
    }

    fn stand_in(&self, split: &Split, key: &PlayerKey, share: impl Fn(Weight) -> u32) -> Option<BackendId> {
        let open: Vec<(BackendId, u64)> = split
            .weights
            .iter()
            .filter(|(id, _)| self.takes(*id))
            .map(|(id, weight)| (*id, u64::from(share(*weight))))
            .collect();
        let total: u64 = open.iter().map(|(_, share)| share).sum();
        let mut left = key.second().checked_rem(total)?;
        open.into_iter().find_map(|(id, share)| {
            if left < share {
                return Some(id);
            }
            left -= share;
            None
        })
    }
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
