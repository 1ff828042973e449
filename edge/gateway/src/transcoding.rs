//! HTTP/JSON for backends that speak gRPC: their descriptors, and one call.
//!
//! What a path means and what JSON becomes is [`tminus_transcode`]'s; who waits for whom, and for how long, is
//! decided here.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;

use http::{Method, Request, Response};
use hyper::body::Incoming;
use tminus_deadline::Deadline;
use tminus_transcode::{Options, RequestError, TranscodedBody, Transcoder};
use tokio::time::Instant;

use crate::answers::Refusal;
use crate::body::{BackendBody, CalledBody, RequestBody};
use crate::config::{Config, ConfigError, Others, TranscodeConfig};
use crate::proxy::{Call, Wait, hand_on};
use crate::upstream::Upstream as _;

/// Real ones have some hundred KiB.
const DESCRIPTOR_SET_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The rules of one backend.
#[derive(Debug)]
pub struct Transcoding {
    transcoder: Arc<Transcoder>,
    others: Others,
}

/// In the order of the backends.
pub type Transcodings = Vec<Option<Arc<Transcoding>>>;

/// What a request to a backend with rules means to the gateway.
#[derive(Debug)]
pub(crate) enum Meaning {
    Call(tminus_transcode::Call),
    Refused(Response<TranscodedBody<CalledBody>>),
}

/// Reads the descriptor sets that a configuration names; in the order of its backends.
///
/// # Errors
/// The first file that cannot be used, with the place that names it.
pub fn load(config: &Config) -> Result<Transcodings, ConfigError> {
    let request_bytes_max = usize::try_from(config.limits.max_request_body_bytes).unwrap_or(usize::MAX);
    let load = |config: &TranscodeConfig| Transcoding::load(config, request_bytes_max).map(Arc::new);
    config
        .backends
        .iter()
        .map(|backend| backend.transcode.as_ref().map(load).transpose())
        .collect()
}

impl Transcoding {
    fn load(config: &TranscodeConfig, request_bytes_max: usize) -> Result<Self, ConfigError> {
        let path = config.descriptor_set.display();
        let error = |what: String| config.named_at.error(format!("descriptor_set {path}: {what}"));
        let bytes =
            read(&config.descriptor_set).map_err(|source| error(format!("cannot be read: {source}")))?;
        if bytes.len() as u64 > DESCRIPTOR_SET_BYTES_MAX {
            return Err(error(format!(
                "it is larger than {DESCRIPTOR_SET_BYTES_MAX} bytes: describe fewer services, and leave comments out"
            )));
        }
        let options = Options {
            request_bytes_max,
            response_bytes_max: config.max_response_bytes,
            ..Options::default()
        };
        let transcoder = Transcoder::new(&bytes, options).map_err(|source| error(source.to_string()))?;
        if transcoder.is_empty() {
            return Err(error(
                "no method in it has a google.api.http option: annotate one, or leave transcode out"
                    .to_owned(),
            ));
        }
        Ok(Self {
            transcoder: Arc::new(transcoder),
            others: config.others,
        })
    }

    /// What a request means that is neither gRPC nor an upgrade; `None`: it passes as it is.
    pub(crate) fn meaning<B>(&self, request: &Request<B>) -> Option<Meaning> {
        match tminus_transcode::Call::new(&self.transcoder, request) {
            Ok(call) => Some(Meaning::Call(call)),
            Err(RequestError::NotFound { .. } | RequestError::MethodNotAllowed { .. })
                if self.others == Others::Pass || *request.method() == Method::CONNECT =>
            {
                None
            }
            Err(error) => Some(Meaning::Refused(self.transcoder.refuse(request.method(), &error))),
        }
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Before it is opened: a pipe would make the start wait for its other end.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(DESCRIPTOR_SET_BYTES_MAX + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl Call<'_> {
    /// Asks the backend over gRPC for what the client asks for over HTTP.
    pub(crate) async fn transcode(
        &self,
        mut request: Request<Incoming>,
        call: tminus_transcode::Call,
    ) -> Result<Response<TranscodedBody<CalledBody>>, Refusal> {
        let limits = self.body_limits();
        let requested = tminus_deadline::headers::requested(request.headers())?;
        let deadline = requested.map(|limit| Deadline::after(self.arrived.into_std(), limit));
        self.rewrite(&mut request, false)?;
        let request = request.map(|incoming| RequestBody::new(incoming, limits, false));
        let progress = request.body().progress();
        let wait = Wait {
            call: self,
            progress: &progress,
            body_limits: limits,
            client_deadline: deadline.map(|deadline| Instant::from_std(deadline.at())),
        };
        if call.is_streaming() {
            // As over gRPC, the first message of a stream may take longer than its headers.
            let asked = wait
                .within(pin!(self.ask(&call, request, deadline, &wait)))
                .await?;
            return Ok(answered(call, asked?).await);
        }
        let whole = pin!(async {
            let asked = self.ask(&call, request, deadline, &wait).await?;
            Ok(answered(call, asked).await)
        });
        wait.within(whole).await?
    }

    /// Until the headers of the backend's answer, if the request is a message.
    async fn ask(
        &self,
        call: &tminus_transcode::Call,
        request: Request<RequestBody>,
        deadline: Option<Deadline>,
        wait: &Wait<'_>,
    ) -> Result<Result<Response<CalledBody>, RequestError>, Refusal> {
        let limits = &self.client.worker.shared.limits;
        let mut request = match call.request(request).await {
            Ok(request) => request,
            Err(error) => return unread(error, wait).map(Err),
        };
        // The message is whole: from here on only the backend keeps everybody waiting, for a single answer at
        // most for the gateway's own limit.
        let own = Deadline::after(Instant::now().into_std(), limits.upstream_timeout);
        let told = if call.is_streaming() {
            deadline
        } else {
            Some(deadline.map_or(own, |deadline| deadline.min(own)))
        };
        if let Some(told) = told {
            tminus_deadline::headers::write(request.headers_mut(), hand_on(told)?);
        }
        let progress = Arc::clone(wait.progress);
        let request = request.map(|message| RequestBody::message(message, wait.body_limits, progress));
        let h2c = &self.clients().h2c;
        let answered = h2c.send(request).await.map_err(|error| wait.refusal(error))?;
        let (head, incoming) = answered.response.into_parts();
        let (idle, until) = if call.is_streaming() {
            (limits.stream_idle_timeout, wait.client_deadline)
        } else {
            (limits.body_idle_timeout, None)
        };
        let body = BackendBody::new(incoming, answered.lease, idle, until);
        Ok(Ok(Response::from_parts(head, CalledBody(body))))
    }
}

async fn answered(
    call: tminus_transcode::Call,
    asked: Result<Response<CalledBody>, RequestError>,
) -> Response<TranscodedBody<CalledBody>> {
    match asked {
        Ok(answer) => call.answer(answer).await,
        Err(error) => call.refuse(&error),
    }
}

/// A limit of the gateway goes before what is wrong with the request.
fn unread(error: RequestError, wait: &Wait<'_>) -> Result<RequestError, Refusal> {
    if let Some(refusal) = wait.progress.refusal(wait.body_limits) {
        return Err(refusal);
    }
    match error {
        // It is small as it came, and not once it is inflated.
        RequestError::TooLarge { .. } => Err(Refusal::TooLarge {
            limit_bytes: wait.body_limits.bytes,
        }),
        error => Ok(error),
    }
}
