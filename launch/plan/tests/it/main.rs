//! The crate from outside: shipped plans, errors with places, folds, rollouts.

#![allow(clippy::unwrap_used)]

mod shipped;
