//! What the crate promises, seen from outside.

mod baselines;
mod examples;
mod model;
mod pools;
mod simulation;
