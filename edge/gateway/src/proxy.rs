//! One request through the gateway: route, rewrite, send, and carry the answer back.
//!
//! The steps, in order: who is the player and where do they go ([`crate::route`]); what may be
//! passed on ([`crate::headers`]); which client speaks to the backend ([`crate::upstream`]); and how
//! long everybody may wait. A WebSocket upgrade ends in a [`crate::tunnel`]; what the backend takes over gRPC only
//! goes through [`crate::transcoding`].

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};
use hyper::body::{Body as _, Incoming};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tminus_deadline::hops::Left;
use tminus_deadline::{Deadline, margin, note_hop};
use tminus_telemetry::{answered, request_span};
use tminus_transcode::TranscodedBody;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{Instrument as _, Span};

use crate::access::{self, AccessLog};
use crate::answers::{Protocol, Refusal};
use crate::backend::Backend;
use crate::body::{
    BackendBody, BodyLimits, CalledBody, GatewayBody, PassedAnswer, Progress, RequestBody, TranscodedAnswer,
    grpc_status,
};
use crate::connection::{Client, WatchedStream};
use crate::exchange::Exchange;
use crate::headers::{
    Forwarding, X_REQUEST_ID, X_SERVED_VERSION, add_forwarded, asks_for_websocket, host, is_grpc,
    names_websocket, query_parameter, strip_hop_by_hop, unique_on,
};
use crate::health;
use crate::matching::Asked;
use crate::route::RequestFacts;
use crate::sticky::player_key;
use crate::transcoding::Meaning;
use crate::tunnel::{self, Side};
use crate::upstream::{Answered, Clients, SendError, Upstream as _};

/// `x-served-version` of an answer for which there was no backend.
const SERVED_BY_NOBODY: HeaderValue = HeaderValue::from_static("none");

/// Answers one request. Everything that goes wrong becomes an answer.
pub async fn handle(client: &Client, request: Request<Incoming>) -> Response<GatewayBody> {
    let span = request_span(request.method(), request.uri().path(), request.headers());
    if span.is_disabled() {
        return carry(client, request).await;
    }
    let answer = Box::pin(carry(client, request)).instrument(span.clone()).await;
    answered(&span, answer.status());
    answer
}

async fn carry(client: &Client, request: Request<Incoming>) -> Response<GatewayBody> {
    let arrived = Instant::now();
    let shared = &client.worker.shared;
    let guard = client
        .activity
        .request_began(request.version() == Version::HTTP_2);
    let grpc = is_grpc(request.headers());
    let request_id = shared.request_ids.pass_or_make(request.headers());
    let told_id = unique_on(request.version() == Version::HTTP_2, request_id.clone());

    let routing = shared.routing();
    let front = &routing.front;
    let trusted = front.trusted.is_trusted(client.peer.ip());
    let from = front.trusted.client(client.peer.ip(), request.headers());
    let access = shared
        .access_log
        .as_ref()
        .map(|log| (log, access::Asked::new(&request, from, &request_id)));
    let without_backend = |refusal: &Refusal, access: Option<(&AccessLog, access::Asked)>| {
        let protocol = if grpc { Protocol::Grpc } else { Protocol::Http };
        let answer = refusal.answer(protocol);
        if let Some((log, asked)) = access {
            let answered = access::Answered {
                status: Some(answer.status().as_u16()),
                grpc_status: grpc.then(|| refusal.grpc_code()),
                took: arrived.elapsed(),
                ..access::Answered::default()
            };
            log.log(asked, answered);
        }
        stamp(answer, &SERVED_BY_NOBODY, told_id.clone())
    };
    if let Some(limit) = front.rate_limit
        && !shared.may_ask(limit, from, arrived)
    {
        let refusal = Refusal::TooMany {
            per_second: limit.per_second,
        };
        return without_backend(&refusal, access);
    }
    let affinity = routing.affinity_query.as_deref().zip(request.uri().query());
    let affinity = affinity.and_then(|(name, query)| query_parameter(query, name));
    let key = player_key(&routing.sticky, request.headers(), from, request_id.as_bytes());
    let facts = RequestFacts {
        asked: Asked {
            method: request.method(),
            path: request.uri().path(),
            host: host(request.uri(), request.headers()),
            headers: request.headers(),
        },
        affinity: affinity.as_deref(),
    };
    let Ok(decision) = routing.table.decide(facts, &key) else {
        shared.unrouted.fetch_add(1, Ordering::Relaxed);
        return without_backend(&Refusal::NoBackend, access);
    };
    let backend = Arc::clone(routing.backend(decision.backend));
    drop(routing);
    tracing::debug!(backend = backend.config.name, %decision, "routed");

    let left = Left::if_asked(request.headers(), shared.limits.upstream_timeout);
    let access = access.map(|(log, asked)| Box::new((log.clone(), asked)));
    let mut exchange = Exchange::begin(Arc::clone(&backend), grpc, key.second(), arrived, guard, access);
    let meaning = backend
        .transcoding
        .as_ref()
        .filter(|_| !grpc && !asks_for_websocket(&request))
        .and_then(|transcoding| transcoding.meaning(&request));
    let protocol = match &meaning {
        _ if grpc => Protocol::Grpc,
        Some(_) => Protocol::Transcoded,
        None => Protocol::Http,
    };
    let call = Call {
        client,
        backend: &backend,
        protocol,
        arrived,
        request_id: &request_id,
        trusted,
    };
    let mut answer = match call.run(request, meaning).await {
        Ok(Reply::Streamed(answered, deadline)) => {
            let (mut head, incoming) = answered.response.into_parts();
            strip_hop_by_hop(&mut head.headers);
            head.version = Version::HTTP_11;
            let trailers_only = grpc.then(|| grpc_status(&head.headers)).flatten();
            exchange.answered(head.status.as_u16(), trailers_only);
            let idle = if grpc {
                shared.limits.stream_idle_timeout
            } else {
                shared.limits.body_idle_timeout
            };
            let body = BackendBody::new(incoming, answered.lease, idle, deadline);
            let body = PassedAnswer::new(body, exchange);
            Response::from_parts(head, GatewayBody::Passed(Box::new(body)))
        }
        Ok(Reply::Transcoded(response)) => {
            exchange.answered(response.status().as_u16(), None);
            response.map(|body| GatewayBody::Transcoded(Box::new(TranscodedAnswer::new(body, exchange))))
        }
        Ok(Reply::Upgraded(response)) => {
            exchange.answered(response.status().as_u16(), None);
            response
        }
        Err(refusal) => {
            tracing::info!(backend = backend.config.name, request_id = ?request_id, %refusal, "refused");
            let answer = refusal.answer(protocol);
            exchange.answered(answer.status().as_u16(), grpc.then(|| refusal.grpc_code()));
            answer
        }
    };
    if let Some(left) = left {
        left.tell("gateway", answer.headers_mut());
    }
    stamp(answer, &backend.version, told_id)
}

/// The headers that every answer carries.
fn stamp(
    mut answer: Response<GatewayBody>,
    version: &HeaderValue,
    request_id: HeaderValue,
) -> Response<GatewayBody> {
    answer.headers_mut().insert(X_SERVED_VERSION, version.clone());
    answer.headers_mut().entry(X_REQUEST_ID).or_insert(request_id);
    answer
}

enum Reply {
    /// A backend's answer, with the deadline that its body keeps.
    Streamed(Answered, Option<Instant>),
    /// An answer over gRPC as HTTP, or the refusal of what is no call.
    Transcoded(Response<TranscodedBody<CalledBody>>),
    /// A switch of protocols; the tunnel runs on its own.
    Upgraded(Response<GatewayBody>),
}

/// A request whose backend is known.
pub(crate) struct Call<'a> {
    pub(crate) client: &'a Client,
    backend: &'a Arc<Backend>,
    protocol: Protocol,
    pub(crate) arrived: Instant,
    request_id: &'a HeaderValue,
    /// Whether the peer is a proxy whose word is taken.
    trusted: bool,
}

impl Call<'_> {
    async fn run(&self, mut request: Request<Incoming>, meaning: Option<Meaning>) -> Result<Reply, Refusal> {
        let limits = &self.client.worker.shared.limits;
        if request.method() == Method::CONNECT {
            return Err(Refusal::Unsupported {
                what: "the CONNECT method".to_owned(),
            });
        }
        if self.backend.in_flight.load(Ordering::Relaxed) > limits.max_in_flight {
            return Err(Refusal::Busy {
                backend: self.backend.config.name.clone(),
                limit: limits.max_in_flight,
            });
        }
        let body_limits = self.body_limits();
        let grpc = self.protocol == Protocol::Grpc;
        if !grpc && request.body().size_hint().lower() > body_limits.bytes {
            return Err(Refusal::TooLarge {
                limit_bytes: body_limits.bytes,
            });
        }
        match meaning {
            Some(Meaning::Call(call)) => {
                return Box::pin(self.transcode(request, call))
                    .await
                    .map(Reply::Transcoded);
            }
            Some(Meaning::Refused(response)) => return Ok(Reply::Transcoded(response)),
            None => {}
        }
        let websocket = asks_for_websocket(&request);
        let deadlines = self.deadlines(&request, websocket)?;

        let clients = self.clients();
        let client_upgrade = websocket.then(|| hyper::upgrade::on(&mut request));
        self.rewrite(&mut request, websocket)?;
        if let Some(handed_on) = deadlines.handed_on {
            // After the hop-by-hop headers are gone: a client must not take its own deadline away.
            tminus_deadline::headers::write(request.headers_mut(), handed_on);
        }
        let request = request.map(|incoming| RequestBody::new(incoming, body_limits, grpc));
        let progress = request.body().progress();
        let wait = Wait {
            call: self,
            progress: &progress,
            body_limits,
            client_deadline: deadlines.client,
        };
        if let Some(client_upgrade) = client_upgrade {
            let sending = Box::pin(clients.h1.send_upgrade(request));
            let mut answered = wait.headers(sending).await?;
            if answered.response.status() == StatusCode::SWITCHING_PROTOCOLS {
                let server_upgrade = hyper::upgrade::on(&mut answered.response);
                return self
                    .switch(answered, client_upgrade, server_upgrade)
                    .map(Reply::Upgraded);
            }
            return Ok(Reply::Streamed(answered, None));
        }
        if grpc {
            let answered = wait.headers(pin!(clients.h2c.send(request))).await?;
            return Ok(Reply::Streamed(answered, deadlines.client));
        }
        let answered = wait.headers(pin!(clients.h1.send(request))).await?;
        Ok(Reply::Streamed(answered, None))
    }

    /// This worker's connections to the backend.
    pub(crate) fn clients(&self) -> &Clients {
        let worker = &self.client.worker;
        self.backend.clients(worker.index, &worker.shared.limits)
    }

    /// The limits of the client's body.
    pub(crate) fn body_limits(&self) -> BodyLimits {
        let limits = &self.client.worker.shared.limits;
        BodyLimits {
            bytes: limits.max_request_body_bytes,
            idle: if self.protocol == Protocol::Grpc {
                limits.stream_idle_timeout
            } else {
                limits.body_idle_timeout
            },
        }
    }

    /// How long the client waits, and what of it the backend is told.
    fn deadlines(&self, request: &Request<Incoming>, websocket: bool) -> Result<Deadlines, Refusal> {
        let requested = tminus_deadline::headers::requested(request.headers())?;
        let arrived = self.arrived.into_std();
        let client = requested.map(|limit| Deadline::after(arrived, limit));
        // The gateway's own limit counts while the backend keeps everybody waiting. For a request without
        // a body that is all of the time until the answer, so that the backend can keep it too.
        let whole = self.protocol == Protocol::Http && !websocket && request.body().is_end_stream();
        let told = if whole {
            let limit = self.client.worker.shared.limits.upstream_timeout;
            Some(Deadline::of(arrived, requested, limit))
        } else {
            client
        };
        Ok(Deadlines {
            client: client.map(|deadline| Instant::from_std(deadline.at())),
            handed_on: told.map(hand_on).transpose()?,
        })
    }

    /// Turns the client's request into the gateway's own.
    pub(crate) fn rewrite(&self, request: &mut Request<Incoming>, websocket: bool) -> Result<(), Refusal> {
        let unsupported = |what: &str| Refusal::Unsupported {
            what: what.to_owned(),
        };
        // The target's own authority (HTTP/2, absolute form) is what Host means (RFC 9112 section 3.2.2).
        let authority = request.uri().authority().cloned();
        let host = match &authority {
            Some(authority) => HeaderValue::try_from(authority.as_str()).ok(),
            None => request.headers().get(header::HOST).cloned(),
        };
        let path = request
            .uri()
            .path_and_query()
            .cloned()
            .unwrap_or_else(|| PathAndQuery::from_static("/"));
        let upgrade = websocket
            .then(|| request.headers().get(header::UPGRADE).cloned())
            .flatten();
        let headers = request.headers_mut();
        strip_hop_by_hop(headers);
        // The gateway has already told the client to go on; the backend need not be asked.
        headers.remove(header::EXPECT);
        let over_http2 = self.protocol != Protocol::Http;
        headers.insert(X_REQUEST_ID, unique_on(over_http2, self.request_id.clone()));
        tminus_telemetry::hand_on(&Span::current(), headers);
        let forwarding = Forwarding {
            peer: &self.client.forwarded,
            trusted: self.trusted,
            tls: self.client.tls,
        };
        add_forwarded(headers, forwarding, host.as_ref());
        if over_http2 {
            headers.remove(header::HOST);
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
            // What came over HTTP/2 has its target in this form.
            if authority.is_none() || request.uri().scheme() != Some(&Scheme::HTTP) {
                let mut target = http::uri::Parts::default();
                target.scheme = Some(Scheme::HTTP);
                target.path_and_query = Some(path);
                target.authority = Some(match (authority, &host) {
                    (Some(authority), _) => authority,
                    (None, Some(host)) => {
                        Authority::try_from(host.as_bytes()).map_err(|_| unsupported("this Host header"))?
                    }
                    (None, None) => return Err(unsupported("a request without a host")),
                });
                *request.uri_mut() =
                    Uri::from_parts(target).map_err(|_| unsupported("this request target"))?;
            }
            *request.version_mut() = Version::HTTP_2;
            return Ok(());
        }
        if let Some(upgrade) = upgrade {
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(header::UPGRADE, upgrade);
        }
        if let Some(host) = host {
            headers.insert(header::HOST, host);
        }
        *request.uri_mut() = Uri::from(path);
        *request.version_mut() = Version::HTTP_11;
        Ok(())
    }

    /// Passes the switch of protocols on and starts the tunnel.
    fn switch(
        &self,
        answered: Answered,
        client_upgrade: OnUpgrade,
        server_upgrade: OnUpgrade,
    ) -> Result<Response<GatewayBody>, Refusal> {
        let (mut head, _) = answered.response.into_parts();
        if !names_websocket(&head.headers) {
            return Err(Refusal::Unsupported {
                what: "an upgrade to anything but WebSocket".to_owned(),
            });
        }
        let upgrade = head.headers.get(header::UPGRADE).cloned();
        strip_hop_by_hop(&mut head.headers);
        head.headers
            .insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        if let Some(upgrade) = upgrade {
            head.headers.insert(header::UPGRADE, upgrade);
        }
        let pass = self.backend.enter_tunnel();
        let worker = Arc::clone(&self.client.worker);
        let permit = Arc::clone(&self.client.permit);
        let lease = answered.lease;
        let backend = self.backend.config.name.clone();
        let tasks = worker.tasks.clone();
        tasks.spawn(async move {
            let limits = &worker.shared.limits;
            let both = async { tokio::try_join!(client_upgrade, server_upgrade) };
            let Ok(Ok((client, server))) = timeout(limits.half_close_timeout, both).await else {
                tracing::debug!(backend, "a client left during its upgrade");
                return;
            };
            drop(lease);
            let client = hyper_util::server::conn::auto::upgrade::downcast::<TokioIo<WatchedStream>>(client)
                .map(|parts| Side {
                    stream: parts.io.into_inner().into_inner(),
                    early: parts.read_buf,
                });
            let server = server.downcast::<TokioIo<TcpStream>>().map(|parts| Side {
                stream: parts.io.into_inner(),
                early: parts.read_buf,
            });
            let (Ok(client), Ok(server)) = (client, server) else {
                tracing::error!(
                    backend,
                    "an upgraded connection is not of the kind that the gateway made"
                );
                return;
            };
            let end = tunnel::run(client, server, pass, limits).await;
            tracing::debug!(backend, ?end, "tunnel ended");
            drop(permit);
        });
        Ok(Response::from_parts(head, GatewayBody::empty()))
    }
}

/// The deadlines of one request.
struct Deadlines {
    /// The client's own, if it names one.
    client: Option<Instant>,
    /// What the backend may take: less than is left. `None`: nobody said.
    handed_on: Option<Duration>,
}

/// What the next hop may take of a deadline.
pub(crate) fn hand_on(deadline: Deadline) -> Result<Duration, Refusal> {
    let now = Instant::now();
    note_hop("gateway", deadline, now);
    let margin = margin(deadline.left(now.into_std()));
    deadline
        .remaining_for_next_hop(now.into_std(), margin)
        .ok_or(Refusal::DeadlineSpent)
}

/// Waiting for a backend.
pub(crate) struct Wait<'a> {
    pub(crate) call: &'a Call<'a>,
    pub(crate) progress: &'a Arc<Progress>,
    pub(crate) body_limits: BodyLimits,
    pub(crate) client_deadline: Option<Instant>,
}

impl Wait<'_> {
    /// Waits for the headers of an answer.
    async fn headers(
        &self,
        sending: impl Future<Output = Result<Answered, SendError>> + Unpin,
    ) -> Result<Answered, Refusal> {
        let answered = self.within(sending).await?.map_err(|error| self.refusal(error))?;
        self.call.backend.failures.answered();
        Ok(answered)
    }

    /// Waits as long as the limits allow. The gateway's limit counts the time in which the backend, and not the
    /// client, keeps everybody waiting; the client's deadline is absolute. The work is pinned by the caller: handed over
    /// by value it would lie in the request's future once for each function on the way.
    pub(crate) async fn within<T>(&self, mut work: impl Future<Output = T> + Unpin) -> Result<T, Refusal> {
        let limit = self.call.client.worker.shared.limits.upstream_timeout;
        let until = |at: Instant| self.client_deadline.map_or(at, |deadline| deadline.min(at));
        let expiry = sleep_until(until(Instant::now() + limit));
        tokio::pin!(expiry);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = &mut expiry => {
                    let now = Instant::now();
                    if let Some(deadline) = self.client_deadline.filter(|deadline| *deadline <= now) {
                        return Err(self.too_late(deadline - self.call.arrived));
                    }
                    let owes_until = self.progress.backend_owes_since().unwrap_or(now) + limit;
                    if owes_until <= now {
                        return Err(self.too_late(limit));
                    }
                    expiry.as_mut().reset(until(owes_until));
                }
            }
        }
    }

    fn too_late(&self, limit: Duration) -> Refusal {
        Refusal::Timeout {
            backend: self.call.backend.config.name.clone(),
            limit_ms: limit.as_millis() as u64,
        }
    }

    pub(crate) fn refusal(&self, error: SendError) -> Refusal {
        if let Some(refusal) = self.progress.refusal(self.body_limits) {
            return refusal;
        }
        let (shared, backend) = (&self.call.client.worker.shared, self.call.backend);
        if backend.failures.failed(shared.limits.eject_after) {
            health::eject(shared, backend);
        }
        let backend = backend.config.name.clone();
        match error {
            SendError::Connect(why) => Refusal::Connect {
                backend,
                why: why.to_string(),
            },
            SendError::Broken(why) => Refusal::Broken {
                backend,
                why: why.to_string(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size of what a function answers.
    fn size_of_answer<A, B, F>(_: impl FnOnce(A, B) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn the_state_of_a_request_is_small() {
        // It is written once per request, and was more than twice as much when each function on the way held what
        // it was given.
        let bytes = size_of_answer(|client: &'static Client, request| handle(client, request));
        assert!(bytes <= 5 * 1024, "{bytes} bytes");
    }
}
