//! Requests that say how long their caller waits, and what came of them.

use std::time::{Duration, Instant};

use axum::http;
use http_body_util::BodyExt as _;
use reqwest::{Client, Method, RequestBuilder, Response, Url};
use tminus_plan::DeadlinesSpec;
use tminus_plan::deadlines::{HopLeft, Late, hops_left};

use crate::gates::http::words;
use crate::gates::prepared::Prepared;

/// An answer's body is read up to this length.
const BODY_BYTES_MAX: usize = 1 << 20;
/// An empty message.
const EMPTY: &[u8] = &[0, 0, 0, 0, 0];

/// What a request led to.
pub(super) struct Reply {
    pub late: Late,
    pub hops: Vec<HopLeft>,
}

/// Sends requests and waits longer for them than it says.
pub(super) struct Calls {
    client: Client,
    patience_ms: f64,
}

impl Calls {
    pub fn new(spec: &DeadlinesSpec, client: Client) -> Self {
        Self {
            client,
            patience_ms: f64::from(spec.tolerance_ms) + f64::from(spec.wait_ms),
        }
    }

    /// # Errors
    /// No answer for another reason than time.
    pub async fn send(&self, request: &Prepared, budget_ms: f64) -> Result<Reply, String> {
        let mut sending = self
            .client
            .request(request.method.clone(), request.url.clone())
            .headers(request.headers.clone());
        if let Some(body) = &request.body {
            sending = sending.body(body.clone());
        }
        self.ask(sending, budget_ms, |status, _| match status {
            504 => Outcome::Exceeded,
            200..=399 => Outcome::Done,
            other => Outcome::Other(other.to_string()),
        })
        .await
    }

    /// # Errors
    /// No answer for another reason than time.
    pub async fn call(&self, url: &Url, budget_ms: f64) -> Result<Reply, String> {
        let sending = self
            .client
            .request(Method::POST, url.clone())
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(EMPTY);
        self.ask(sending, budget_ms, |status, code| match (status, code) {
            (200, Some("4")) => Outcome::Exceeded,
            (200, Some("0")) => Outcome::Done,
            (200, Some(code)) => Outcome::Other(format!("grpc-status {code}")),
            // What a gateway that knows no gRPC says.
            (504, _) => Outcome::Exceeded,
            (status, _) => Outcome::Other(format!("{status} without a grpc-status")),
        })
        .await
    }

    async fn ask(
        &self,
        sending: RequestBuilder,
        budget_ms: f64,
        judge: impl Fn(u16, Option<&str>) -> Outcome,
    ) -> Result<Reply, String> {
        let patience = Duration::from_secs_f64((budget_ms + self.patience_ms) / 1_000.0);
        let sending = with_budget(sending, budget_ms).header("x-deadline-hops", "1");
        let started = Instant::now();
        let answered = tokio::time::timeout(patience, async {
            read(sending.send().await.map_err(|e| words(&e))?).await
        })
        .await;
        let took_ms = started.elapsed().as_secs_f64() * 1_000.0;
        let Ok(answer) = answered else {
            return Ok(Reply {
                late: Late::Silent { waited_ms: took_ms },
                hops: Vec::new(),
            });
        };
        let answer = answer?;
        let late = match judge(answer.status, answer.grpc_status.as_deref()) {
            Outcome::Exceeded => Late::Exceeded { took_ms },
            Outcome::Done => Late::Done { took_ms },
            Outcome::Other(status) => Late::Other { took_ms, status },
        };
        Ok(Reply {
            late,
            hops: answer.hops,
        })
    }
}

enum Outcome {
    Exceeded,
    Done,
    Other(String),
}

/// In each form that is known; what one backend does not read, another one does.
fn with_budget(sending: RequestBuilder, budget_ms: f64) -> RequestBuilder {
    let nanoseconds = (budget_ms * 1_000_000.0).round().max(1.0) as u64;
    // Eight digits are all that gRPC allows.
    let grpc = match nanoseconds {
        0..=99_999_999 => format!("{nanoseconds}n"),
        100_000_000..=99_999_999_999 => format!("{}u", nanoseconds / 1_000),
        _ => format!("{}m", nanoseconds / 1_000_000),
    };
    let (whole, fraction) = (nanoseconds / 1_000_000, nanoseconds % 1_000_000);
    let plain = if fraction == 0 {
        format!("{whole}ms")
    } else {
        format!("{whole}.{fraction:06}ms")
    };
    let sending = sending
        .header("grpc-timeout", grpc)
        .header("x-request-timeout", plain);
    if fraction == 0 {
        sending.header("x-envoy-upstream-rq-timeout-ms", whole)
    } else {
        sending
    }
}

struct Answer {
    status: u16,
    /// From the headers, or from the trailers.
    grpc_status: Option<String>,
    hops: Vec<HopLeft>,
}

/// Reads an answer to its end: a caller waits for that.
async fn read(response: Response) -> Result<Answer, String> {
    let grpc_status = |headers: &http::HeaderMap| {
        let value = headers.get("grpc-status")?.to_str().ok()?;
        Some(value.to_owned())
    };
    let (head, mut body) = http::Response::<reqwest::Body>::from(response).into_parts();
    let timings = head.headers.get_all("server-timing");
    let mut answer = Answer {
        status: head.status.as_u16(),
        grpc_status: grpc_status(&head.headers),
        hops: hops_left(timings.iter().filter_map(|value| value.to_str().ok())),
    };
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| words(&e))?;
        if let Some(trailers) = frame.trailers_ref() {
            answer.grpc_status = answer.grpc_status.or_else(|| grpc_status(trailers));
        }
        bytes += frame.data_ref().map_or(0, |data| data.len());
        if bytes > BODY_BYTES_MAX {
            return Err(format!("the body is longer than {BODY_BYTES_MAX} bytes"));
        }
    }
    Ok(answer)
}
