//! A launch as data: the plan, its clock, the facts of a launch, what the facts prove, and what
//! to do next.
//!
//! Everything here is a function of its arguments. Nothing reads a clock, a file, the
//! environment or a source of randomness, and nothing talks to a network: whoever runs a launch
//! does that and hands in what was seen. So a verdict can be taken again years later, from the
//! record alone, and comes out the same.

pub mod canonical;
mod clock;
pub mod comparison;
mod counts;
pub mod deadlines;
mod error;
mod expectation;
mod fact;
mod http_check;
mod judge;
mod next;
mod parse;
mod plan;
pub mod quantile;
mod replay;
pub mod rollout;
pub mod sequential;
mod spec;
mod state;
mod statement;
mod steering;
mod variables;

pub use clock::Clock;
pub use counts::{Counts, Outcomes};
pub use error::{FactError, FoldError, PlanError};
pub use expectation::{Expectation, Op};
pub use fact::{ArtifactDigest, Evidence, Fact, MAX_SERIES_POINTS, Measurement, RolloutVerdict, thin_series};
pub use http_check::{HttpMismatch, SIGMAS_MAX, mismatches, split_sigmas};
pub use judge::{Verdict, judge};
pub use next::{Action, next_actions};
pub use plan::{ArtifactRef, Bilingual, ChecklistSpec, FeedbackSpec, Gate, Item, Language, Plan, Window};
pub use replay::{AnswerDifference, HEADERS_IGNORED, Ignored, ReplayAnswer, answer_differences};
pub use rollout::{Decision, Look, Rollout, Step};
pub use spec::{
    Budgets, BusinessSpec, CanarySpec, CommandSpec, Count, DeadlinesSpec, Freeze, GateKind, GrpcProbe,
    HopSource, HopSpec, HttpSpec, LoadSpec, Margins, Protocol, RecoverySpec, ReplayCredentials, ReplayPlayer,
    ReplayRequest, SessionsSpec, SlowProbe, SplitSpec, StepSpec, TO_COME_KINDS, Traffic,
};
pub use state::{
    Approved, Attempt, AttemptEnd, GateState, ItemState, ItemStatus, LaunchState, RolloutEntry, SignOffState,
    Signed, Totals,
};
pub use statement::{STATEMENT_TYPE, Subject, from_statement, to_statement};
pub use steering::{
    BusinessQuery, HttpRouteSpec, KEY, NginxServers, NginxSpec, NginxSpread, ProbeSpec, PrometheusSpec,
    RELEASE, Releases, RouterSpec,
};
pub use variables::{VariableUse, Variables, variables_in};
