//! The crate from outside: shipped plans, errors with places, statements, folds, rollouts.

#![allow(clippy::unwrap_used)]

mod blind;
mod canary;
mod deadlines;
mod errors;
mod facts;
mod fold;
mod http;
mod judging;
mod next;
mod replay;
mod rollout;
mod shipped;
mod steering;
mod support;
mod variables;
