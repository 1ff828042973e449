//! What a program tells about itself: its log on standard error, and its traces over OTLP.
//!
//! A request is one span in each program that it passes ([`request_span`], [`TraceLayer`]); `traceparent`
//! ([W3C Trace Context](https://www.w3.org/TR/trace-context/)) makes them one trace. Without a collector no span is
//! made, and `traceparent` passes as it came. See docs/traces.md.

mod install;
mod layer;
mod propagation;
mod span;

pub use install::{LogFormat, StartError, Telemetry, TelemetryArgs, TraceOptions, install, spans_to};
pub use layer::{TraceLayer, TraceService};
pub use propagation::{TRACEPARENT, hand_on};
pub use span::{SPANS, answered, request_span};
