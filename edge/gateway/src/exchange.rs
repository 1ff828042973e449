//! One request from its arrival to the end of its answer, as the metrics see it.
//!
//! Whatever way a request ends (answered, refused, cut, caller gone), it is counted exactly once,
//! and it is in flight until its value is dropped.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use crate::access::{AccessLog, Answered, Asked};
use crate::backend::Backend;
use crate::connection::RequestGuard;
use crate::metrics::Answer;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// No answer yet.
    Waiting,
    /// A gRPC answer has begun; its status comes in the trailers.
    GrpcStreaming { status: u16, latency: Duration },
    /// Counted.
    Counted,
}

/// A request in flight at a backend.
#[derive(Debug)]
pub struct Exchange {
    backend: Arc<Backend>,
    grpc: bool,
    /// A hash of who asked.
    player: u64,
    arrived: Instant,
    stage: Stage,
    _request: RequestGuard,
    /// For the access log, if there is one.
    access: Option<Box<(AccessLog, Asked)>>,
    /// What was counted of its answer.
    status: Option<(u16, Option<u32>)>,
}

impl Exchange {
    /// Begins with the request's arrival.
    pub fn begin(
        backend: Arc<Backend>,
        grpc: bool,
        player: u64,
        arrived: Instant,
        request: RequestGuard,
        access: Option<Box<(AccessLog, Asked)>>,
    ) -> Self {
        backend.in_flight.fetch_add(1, Ordering::Relaxed);
        Self {
            backend,
            grpc,
            player,
            arrived,
            stage: Stage::Waiting,
            _request: request,
            access,
            status: None,
        }
    }

    /// Whether the caller speaks gRPC.
    pub fn is_grpc(&self) -> bool {
        self.grpc
    }

    /// The answer's headers are there. A gRPC answer is counted later, unless its status is known.
    pub fn answered(&mut self, status: u16, grpc_code: Option<u32>) {
        let at = Instant::now();
        let latency = at - self.arrived;
        if self.grpc && grpc_code.is_none() {
            self.stage = Stage::GrpcStreaming { status, latency };
        } else {
            self.count(Answer {
                status,
                grpc_code,
                latency,
                player: self.player,
                at,
            });
        }
    }

    /// The gRPC answer ended with this status; without effect when its status was known before.
    pub fn grpc_ended(&mut self, grpc_code: u32) {
        if let Stage::GrpcStreaming { status, latency } = self.stage {
            self.count(Answer {
                status,
                grpc_code: Some(grpc_code),
                latency,
                player: self.player,
                at: Instant::now(),
            });
        }
    }

    /// The backend broke the answer off.
    pub fn broke_off(&mut self, grpc_code: u32) {
        if self.grpc {
            self.grpc_ended(grpc_code);
        } else {
            self.backend.counters.truncated(self.player, Instant::now());
        }
    }

    fn count(&mut self, answer: Answer) {
        self.stage = Stage::Counted;
        self.status = Some((answer.status, answer.grpc_code));
        self.backend.counters.answered(answer);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        match self.stage {
            Stage::Counted => {}
            Stage::Waiting => self.backend.counters.cancelled(),
            // The caller left in the middle of a stream, as callers do: answered, and no error.
            Stage::GrpcStreaming { .. } => self.grpc_ended(crate::answers::code::CANCELLED),
        }
        self.backend.in_flight.fetch_sub(1, Ordering::Relaxed);
        if let Some(access) = self.access.take() {
            let (log, asked) = *access;
            let answered = Answered {
                status: self.status.map(|(status, _)| status),
                grpc_status: self.status.and_then(|(_, code)| code),
                backend: Some(self.backend.config.name.clone()),
                version: Some(self.backend.config.version.clone()),
                took: self.arrived.elapsed(),
            };
            log.log(asked, answered);
        }
    }
}
