//! HTTP/1.1 to a backend: a bounded stack of idle connections.
//!
//! A request is sent twice in two cases only: it was never written (the pooled connection was
//! closed already and gave it back), or it is a GET or HEAD without a body and the first attempt
//! met a refused connection or a pooled one that the backend closed at the same moment.

use std::error::Error as _;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue, Method, Request, Uri, Version};
use hyper::body::Body as _;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tminus_origin::rate::TokenBucket;

use super::{Answered, Dial, Expires, Lease, SendError, Upstream, sweep};
use crate::body::{Progress, RequestBody};

/// Bounds what is buffered of an answer, and the size of its headers.
const READ_BUFFER_BYTES_MAX: usize = 64 * 1024;
/// An idle connection that gets the word of its end of body late is waited for this long.
const READY_WITHIN: Duration = Duration::from_millis(50);

#[derive(Debug)]
struct Idle {
    sender: SendRequest<RequestBody>,
    since: Instant,
}

#[derive(Debug, Default)]
struct Shelf {
    /// By the time at which they became idle.
    idle: Vec<Idle>,
    swept: bool,
}

#[derive(Debug)]
struct Stack {
    shelf: Mutex<Shelf>,
    idle_max: usize,
    keep_for: Duration,
}

impl Stack {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Expires for Stack {
    fn expire(&self, now: Instant) -> Option<Instant> {
        let mut shelf = self.shelf();
        let too_old = |one: &Idle| now.saturating_duration_since(one.since) >= self.keep_for;
        let expired = shelf.idle.iter().take_while(|one| too_old(one)).count();
        shelf.idle.drain(..expired);
        let oldest = shelf.idle.first().map(|one| one.since + self.keep_for);
        shelf.swept = oldest.is_some();
        oldest
    }
}

/// Idle connections to one backend, the last used first.
#[derive(Debug)]
pub struct H1Pool {
    dial: Arc<Dial>,
    stack: Arc<Stack>,
    /// What is sent again, at most: a backend in trouble must not get more because of it.
    retries: Mutex<TokenBucket>,
}

/// A connection that carries an answer.
#[derive(Debug)]
pub struct H1Lease {
    sender: SendRequest<RequestBody>,
    /// `None` for a connection that is not pooled.
    stack: Option<Arc<Stack>>,
    progress: Arc<Progress>,
}

impl H1Lease {
    pub(super) fn give_back(self) {
        // A backend that answered before it read the whole request leaves the connection unusable.
        let Some(stack) = self
            .stack
            .filter(|_| self.progress.ended() && !self.sender.is_closed())
        else {
            return;
        };
        let mut shelf = stack.shelf();
        if shelf.idle.len() >= stack.idle_max {
            return;
        }
        shelf.idle.push(Idle {
            sender: self.sender,
            since: Instant::now(),
        });
        let swept = std::mem::replace(&mut shelf.swept, true);
        drop(shelf);
        if !swept {
            sweep(&stack);
        }
    }
}

impl H1Pool {
    pub(super) fn new(dial: Arc<Dial>, idle_max: usize, keep_for: Duration, retries_per_second: u32) -> Self {
        let now = tokio::time::Instant::now();
        Self {
            dial,
            retries: Mutex::new(TokenBucket::new(retries_per_second, retries_per_second, now)),
            stack: Arc::new(Stack {
                shelf: Mutex::default(),
                idle_max,
                keep_for,
            }),
        }
    }

    fn may_retry(&self) -> bool {
        let mut retries = self.retries.lock().unwrap_or_else(PoisonError::into_inner);
        retries.take(tokio::time::Instant::now())
    }

    /// Idle connections at the moment.
    pub fn idle(&self) -> usize {
        self.stack.shelf().idle.len()
    }

    fn pop(&self) -> Option<Idle> {
        let mut shelf = self.stack.shelf();
        let last = shelf.idle.pop()?;
        if last.since.elapsed() >= self.stack.keep_for {
            // The last used is too old, so all are.
            shelf.idle.clear();
            return None;
        }
        Some(last)
    }

    async fn pooled(&self) -> Option<SendRequest<RequestBody>> {
        while let Some(Idle { mut sender, .. }) = self.pop() {
            if sender.is_ready() {
                return Some(sender);
            }
            if !sender.is_closed()
                && let Ok(Ok(())) = tokio::time::timeout(READY_WITHIN, sender.ready()).await
            {
                return Some(sender);
            }
        }
        None
    }

    /// On the heap: a request that finds a connection need not have room for making one.
    fn connect(
        &self,
        upgrades: bool,
    ) -> Pin<Box<dyn Future<Output = Result<SendRequest<RequestBody>, SendError>> + Send + '_>> {
        Box::pin(self.connected(upgrades))
    }

    async fn connected(&self, upgrades: bool) -> Result<SendRequest<RequestBody>, SendError> {
        let stream = self.dial.connect().await?;
        let (sender, connection) = Builder::new()
            .max_buf_size(READ_BUFFER_BYTES_MAX)
            .writev(false)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(SendError::Broken)?;
        // How a connection ends is seen by the request that uses it, so the task tells nobody.
        if upgrades {
            tokio::spawn(async move { drop(connection.with_upgrades().await) });
        } else {
            tokio::spawn(async move { drop(connection.await) });
        }
        Ok(sender)
    }

    /// Sends a request that asks for an upgrade, on a connection of its own.
    ///
    /// # Errors
    /// When there is no connection or it breaks.
    pub async fn send_upgrade(&self, request: Request<RequestBody>) -> Result<Answered, SendError> {
        let progress = request.body().progress();
        let mut sender = self.connect(true).await?;
        let response = sender.send_request(request).await.map_err(SendError::Broken)?;
        Ok(Answered {
            response,
            lease: Lease::H1(H1Lease {
                sender,
                stack: None,
                progress,
            }),
        })
    }

    fn lease(&self, sender: SendRequest<RequestBody>, progress: Arc<Progress>) -> Lease {
        Lease::H1(H1Lease {
            sender,
            stack: Some(Arc::clone(&self.stack)),
            progress,
        })
    }
}

impl Upstream for H1Pool {
    async fn send(&self, mut request: Request<RequestBody>) -> Result<Answered, SendError> {
        let progress = request.body().progress();
        let mut again = Replay::of(&request);
        while let Some(mut sender) = self.pooled().await {
            match sender.try_send_request(request).await {
                Ok(response) => {
                    return Ok(Answered {
                        response,
                        lease: self.lease(sender, progress),
                    });
                }
                Err(mut error) => match (error.take_message(), again.take()) {
                    (Some(unsent), replay) => {
                        request = unsent;
                        again = replay;
                    }
                    (None, Some(replay)) if is_reuse_race(error.error()) && self.may_retry() => {
                        request = replay.into_request();
                        break;
                    }
                    (None, _) => return Err(SendError::Broken(error.into_error())),
                },
            }
        }
        let connected = match self.connect(false).await {
            // Nothing of it was sent.
            Err(SendError::Connect(_)) if self.may_retry() => self.connect(false).await,
            first => first,
        };
        let mut sender = connected?;
        let response = sender.send_request(request).await.map_err(SendError::Broken)?;
        Ok(Answered {
            response,
            lease: self.lease(sender, progress),
        })
    }
}

/// A request that may be sent twice without harm. Its headers lie in one piece: it is made for every such request and
/// needed for few.
#[derive(Debug)]
struct Replay {
    method: Method,
    uri: Uri,
    version: Version,
    /// Names and values in turns, each with [`LINE_END`] behind it, which is in none of them.
    headers: Vec<u8>,
    body: RequestBody,
}

const LINE_END: u8 = b'\n';
const HEADERS_BYTES: usize = 512;

impl Replay {
    fn of(request: &Request<RequestBody>) -> Option<Self> {
        let harmless =
            matches!(*request.method(), Method::GET | Method::HEAD) && request.body().is_end_stream();
        harmless.then(|| {
            let mut headers = Vec::with_capacity(HEADERS_BYTES);
            for (name, value) in request.headers() {
                headers.extend_from_slice(name.as_str().as_bytes());
                headers.push(LINE_END);
                headers.extend_from_slice(value.as_bytes());
                headers.push(LINE_END);
            }
            Self {
                method: request.method().clone(),
                uri: request.uri().clone(),
                version: request.version(),
                headers,
                body: request.body().empty_again(),
            }
        })
    }

    fn into_request(self) -> Request<RequestBody> {
        let mut request = Request::new(self.body);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.version_mut() = self.version;
        let mut lines = self.headers.split(|byte| *byte == LINE_END);
        while let (Some(name), Some(value)) = (lines.next(), lines.next()) {
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
                request.headers_mut().append(name, value);
            }
        }
        request
    }
}

/// True when the backend closed an idle connection just as the request went out.
fn is_reuse_race(error: &hyper::Error) -> bool {
    let reset = error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>())
        .is_some_and(|source| {
            matches!(
                source.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted
            )
        });
    reset || error.is_incomplete_message() || error.is_canceled() || error.is_closed()
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use proptest::prelude::*;

    use super::*;

    fn request(method: Method, headers: HeaderMap, body: &'static [u8]) -> Request<RequestBody> {
        let mut request = Request::new(RequestBody::of(body));
        *request.method_mut() = method;
        *request.uri_mut() = Uri::from_static("/v1/play?at=v1.3");
        *request.headers_mut() = headers;
        request
    }

    #[test]
    fn only_what_does_no_harm_is_sent_again() {
        let check = |method: Method, body, expected| {
            let replay = Replay::of(&request(method.clone(), HeaderMap::new(), body));
            assert_eq!(replay.is_some(), expected, "{method} {body:?}");
        };
        check(Method::GET, b"", true);
        check(Method::HEAD, b"", true);
        check(Method::GET, b"x", false);
        check(Method::POST, b"", false);
        check(Method::DELETE, b"", false);
    }

    proptest! {
        #[test]
        fn what_is_sent_again_is_what_was_sent(
            pairs in proptest::collection::vec(("[a-z][a-z0-9-]{0,8}|host|cookie", "[ -~\u{80}-\u{ff}]{0,12}"), 0..12),
        ) {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                let value = HeaderValue::from_bytes(value.trim().as_bytes()).unwrap();
                headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
            }
            let sent = request(Method::GET, headers, b"");
            let again = Replay::of(&sent).unwrap().into_request();
            prop_assert_eq!(again.method(), sent.method());
            prop_assert_eq!(again.uri(), sent.uri());
            prop_assert_eq!(again.version(), sent.version());
            prop_assert_eq!(again.headers(), sent.headers());
            prop_assert!(again.body().is_end_stream());
        }
    }
}
