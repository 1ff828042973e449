//! What is left at each hop, told to whoever asks: a request with `x-deadline-hops: 1` is answered with one entry of
//! `Server-Timing` from each hop, `deadline-NAME;dur=MILLISECONDS`, the innermost hop's first.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::headers::requested;

pub const X_DEADLINE_HOPS: HeaderName = HeaderName::from_static("x-deadline-hops");
pub const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// What a hop had left when a request reached it that asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left(Duration);

impl Left {
    /// The shorter of what the caller asks for and what the route allows; `None` where the request does not ask to be told.
    #[must_use]
    pub fn if_asked(headers: &HeaderMap, route_max: Duration) -> Option<Self> {
        let asked = headers
            .get(X_DEADLINE_HOPS)
            .is_some_and(|value| value.as_bytes() == b"1");
        // Read here once more, by the few who ask. What does not read is refused elsewhere.
        asked.then(|| match requested(headers) {
            Ok(Some(requested)) => Self(requested.min(route_max)),
            Ok(None) | Err(_) => Self(route_max),
        })
    }

    /// Adds this hop's entry to an answer. `hop` is a token, as a header's name is.
    pub fn tell(self, hop: &str, answer: &mut HeaderMap) {
        let microseconds = self.0.as_micros();
        let (whole, fraction) = (microseconds / 1000, microseconds % 1000);
        let milliseconds = if fraction == 0 {
            whole.to_string()
        } else {
            format!("{whole}.{fraction:03}")
        };
        if let Ok(entry) = HeaderValue::try_from(format!("deadline-{hop};dur={milliseconds}")) {
            answer.append(SERVER_TIMING, entry);
        }
    }
}
