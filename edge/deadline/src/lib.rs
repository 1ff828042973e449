//! One deadline per request: arrival + the shortest limit that the caller and the route name, on a
//! monotonic clock.
//!
//! [`headers`] reads and writes what HTTP and gRPC callers send, [`hops`] tells what is left, [`Deadline`]
//! does the arithmetic; all are pure, time is an argument. [`within`] and [`DeadlineLayer`] keep a deadline: what is not finished
//! when it passes is dropped, and dropping a future cancels its work. Only these two read a clock, the
//! one of the async runtime, which tests can stop.

pub mod headers;
pub mod hops;

mod budget;
mod keep;
mod layer;

pub use budget::{BUDGET_MAX, Deadline, MARGIN_MAX, MARGIN_MIN, margin};
pub use headers::HeaderError;
pub use keep::{Passed, current, note_hop, within, within_current};
pub use layer::{DeadlineLayer, DeadlineService, Missed};
