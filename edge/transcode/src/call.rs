//! One call over HTTP/JSON in two halves: the gRPC request that it becomes, and the answer that gRPC's becomes.
//!
//! Whoever has a [`Call`] sends the request in its own way: the layer to a service, a proxy to another host.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};
use http_body::{Body, Frame, SizeHint};

use crate::error::{RequestError, ResponseError};
use crate::frame::{FrameReader, HEAD_BYTES};
use crate::gzip::{self, Deflating, Uninflatable};
use crate::headers;
use crate::rules::Body as RuleBody;
use crate::status::{GrpcStatus, OK, code_of_http, http_status};
use crate::stream::{Format, Streaming, status_of};
use crate::transcoder::{JSON, Route, Transcoder};

const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request that a rule answers, and what has to be known of it until its answer.
#[derive(Debug)]
pub struct Call {
    transcoder: Arc<Transcoder>,
    route: Route,
    wants_gzip: bool,
    wants_lines: bool,
    is_head: bool,
}

impl Call {
    /// The call that a request means. What is gRPC already has to be told apart before.
    ///
    /// # Errors
    /// As [`Transcoder::route`].
    pub fn new<B>(transcoder: &Arc<Transcoder>, request: &Request<B>) -> Result<Self, RequestError> {
        let route = transcoder.route(request.method(), request.uri().path())?;
        Ok(Self {
            route,
            wants_gzip: transcoder.options.gzip_bytes_min.is_some() && gzip::is_accepted(request.headers()),
            wants_lines: headers::wants_lines(request.headers()),
            is_head: *request.method() == Method::HEAD,
            transcoder: transcoder.clone(),
        })
    }

    /// Whether it is answered by a stream of messages.
    #[must_use]
    pub fn is_streaming(&self) -> bool {
        self.transcoder.is_streaming(&self.route)
    }

    /// The request over gRPC; its body is one message in its frame. Reads the whole body, if the rule has one.
    ///
    /// # Errors
    /// Path, query or body do not fit the message, or the body does not arrive.
    pub async fn request<B>(&self, request: Request<B>) -> Result<Request<Bytes>, RequestError>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let (mut parts, body) = request.into_parts();
        let message = message(
            &self.transcoder,
            &self.route,
            &parts.headers,
            parts.uri.query(),
            body,
        )
        .await?;
        headers::to_metadata(&mut parts.headers);
        parts.method = Method::POST;
        parts.version = Version::HTTP_2;
        let mut uri = std::mem::take(&mut parts.uri).into_parts();
        uri.path_and_query = Some(self.transcoder.rpc_path(&self.route).clone());
        // A path alone, or one behind what was a valid scheme and authority.
        parts.uri = Uri::from_parts(uri).unwrap_or_default();
        Ok(Request::from_parts(parts, message))
    }

    /// The answer over HTTP. Waits for the first message, or for the end without one; the rest of a stream is
    /// read as its body is.
    pub async fn answer<R>(self, answer: Response<R>) -> Response<TranscodedBody<R>>
    where
        R: Body<Data = Bytes> + Unpin,
    {
        let is_head = self.is_head;
        finished(is_head, self.answered(answer).await)
    }

    /// The answer to a request that [`Self::request`] did not take.
    pub fn refuse<R>(&self, error: &RequestError) -> Response<TranscodedBody<R>> {
        finished(self.is_head, refusal(&self.transcoder, error))
    }

    /// Nothing is decided before the first message, or the end without one, has come.
    async fn answered<R>(self, answer: Response<R>) -> Response<TranscodedBody<R>>
    where
        R: Body<Data = Bytes> + Unpin,
    {
        let transcoder = &self.transcoder;
        let (mut head, mut upstream) = answer.into_parts();
        if head.status != StatusCode::OK || !headers::is_grpc(&head.headers) {
            let status = GrpcStatus::from_headers(&head.headers).unwrap_or_else(|| {
                let message = format!("what should answer gRPC answered HTTP {}", head.status.as_u16());
                GrpcStatus::new(code_of_http(head.status), message)
            });
            return failure(transcoder, HeaderMap::new(), &status);
        }
        let mut frames = FrameReader::new(&head.headers, transcoder.options.response_bytes_max);
        // An answer of headers alone has its status there.
        let mut status = GrpcStatus::from_headers(&head.headers);
        headers::to_http(&mut head.headers);
        let is_stream = self.is_streaming();
        let mut first = None;
        while status.is_none() && !(is_stream && first.is_some()) {
            match poll_fn(|cx| Pin::new(&mut upstream).poll_frame(cx)).await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => frames.push(&data),
                    Err(frame) => {
                        let mut trailers = frame.into_trailers().unwrap_or_default();
                        status =
                            GrpcStatus::from_headers(&trailers).or(Some(status_of(&ResponseError::NoStatus)));
                        headers::to_http(&mut trailers);
                        head.headers.extend(trailers);
                    }
                },
                Some(Err(_)) => status = Some(status_of(&ResponseError::BrokeOff)),
                None => status = Some(status_of(&ResponseError::NoStatus)),
            }
            match frames.next_message() {
                Ok(None) => {}
                Ok(Some(message)) if first.is_none() => first = Some(message),
                Ok(Some(_)) => status = Some(status_of(&ResponseError::ManyMessages)),
                Err(error) => status = Some(status_of(&error.into())),
            }
        }
        if is_stream && (first.is_some() || status.as_ref().is_some_and(|status| status.code == OK)) {
            let parts = Parts {
                upstream,
                frames,
                first,
                status,
            };
            return self.streamed(head.headers, parts);
        }
        let status = status.unwrap_or_default();
        if status.code != OK {
            return failure(transcoder, head.headers, &status);
        }
        let payload = match (first, frames.end()) {
            (_, Err(error)) => Err(error.into()),
            (None, Ok(())) => Err(ResponseError::NoMessage),
            (Some(message), Ok(())) => transcoder.response(&self.route, &message),
        };
        let payload = match payload {
            Ok(payload) => payload,
            Err(error) => return failure(transcoder, head.headers, &status_of(&error)),
        };
        let mut headers = head.headers;
        headers.insert(header::CONTENT_TYPE, payload.content_type);
        let mut bytes = payload.bytes;
        if transcoder
            .options
            .gzip_bytes_min
            .is_some_and(|min| bytes.len() >= min)
        {
            headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
            if self.wants_gzip {
                bytes = gzip::deflate(&bytes);
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
        }
        whole(StatusCode::OK, headers, bytes)
    }

    fn streamed<R>(self, mut headers: HeaderMap, parts: Parts<R>) -> Response<TranscodedBody<R>> {
        let Self {
            transcoder,
            route,
            wants_gzip,
            wants_lines,
            ..
        } = self;
        let (format, content_type) = if transcoder.is_http_body(&route) {
            let content_type = parts
                .first
                .as_deref()
                .and_then(|first| transcoder.response(&route, first).ok())
                .map_or(HeaderValue::from_static("application/octet-stream"), |payload| {
                    payload.content_type
                });
            (Format::Raw, content_type)
        } else if wants_lines {
            (Format::Lines, NDJSON)
        } else {
            (Format::Array, JSON)
        };
        headers.insert(header::CONTENT_TYPE, content_type);
        if transcoder.options.gzip_bytes_min.is_some() {
            headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
        }
        if wants_gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let body = Kind::Stream(Box::new(Streaming {
            transcoder,
            route,
            upstream: parts.upstream,
            frames: parts.frames,
            first: parts.first,
            status: parts.status,
            format,
            gzip: wants_gzip.then(Deflating::new),
            begun: false,
            ended: false,
            failure: None,
        }));
        let mut response = Response::new(TranscodedBody(body));
        *response.headers_mut() = headers;
        response
    }
}

impl Transcoder {
    /// The answer to a request that is no [`Call`].
    pub fn refuse<R>(&self, method: &Method, error: &RequestError) -> Response<TranscodedBody<R>> {
        finished(*method == Method::HEAD, refusal(self, error))
    }
}

/// What would be the body is known by its headers alone (RFC 9110 section 9.3.2).
fn finished<R>(is_head: bool, response: Response<TranscodedBody<R>>) -> Response<TranscodedBody<R>> {
    if is_head {
        response.map(|_| TranscodedBody(Kind::Whole(None)))
    } else {
        response
    }
}

/// The framed request.
async fn message<B>(
    transcoder: &Transcoder,
    route: &Route,
    headers: &HeaderMap,
    query: Option<&str>,
    body: B,
) -> Result<Bytes, RequestError>
where
    B: Body<Data = Bytes> + Unpin,
{
    let bytes_max = transcoder.options.request_bytes_max;
    let binding = transcoder.binding(route);
    let body = if binding.body == RuleBody::None || binding.client_streaming {
        Bytes::new()
    } else {
        let body = collected(body, bytes_max).await?;
        inflated(headers, body, bytes_max)?
    };
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .map(|value| String::from_utf8_lossy(value.as_bytes()));
    let mut out = Vec::with_capacity(HEAD_BYTES + 64 + body.len());
    out.extend_from_slice(&[0; HEAD_BYTES]);
    let mut out = transcoder.request_behind(out, route, query, content_type.as_deref(), &body)?;
    let length = u32::try_from(out.len() - HEAD_BYTES).map_err(|_| RequestError::TooLarge { bytes_max })?;
    out[1..HEAD_BYTES].copy_from_slice(&length.to_be_bytes());
    Ok(out.into())
}

async fn collected<B>(body: B, bytes_max: usize) -> Result<Bytes, RequestError>
where
    B: Body<Data = Bytes> + Unpin,
{
    let too_large = RequestError::TooLarge { bytes_max };
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large);
    }
    let mut body = pin!(body);
    let mut whole = Bytes::new();
    let mut many = Vec::new();
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let Ok(data) = frame.map_err(|_| RequestError::Incomplete)?.into_data() else {
            continue;
        };
        if whole.len().max(many.len()) + data.len() > bytes_max {
            return Err(too_large);
        }
        if whole.is_empty() && many.is_empty() {
            whole = data;
            continue;
        }
        if many.is_empty() {
            many.extend_from_slice(&whole);
        }
        many.extend_from_slice(&data);
    }
    Ok(if many.is_empty() { whole } else { many.into() })
}

fn inflated(headers: &HeaderMap, body: Bytes, bytes_max: usize) -> Result<Bytes, RequestError> {
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
    let (coding, more) = (codings.next(), codings.next());
    let Some(coding) = coding else {
        return Ok(body);
    };
    let name = String::from_utf8_lossy(coding.as_bytes());
    if more.is_none() && name.eq_ignore_ascii_case("identity") {
        return Ok(body);
    }
    if more.is_some() || !(name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip")) {
        return Err(RequestError::ContentEncoding {
            found: crate::scalar::shown(&name),
        });
    }
    gzip::inflate(&body, bytes_max)
        .map(Bytes::from)
        .map_err(|error| match error {
            Uninflatable::NotGzip => RequestError::NotGzip,
            Uninflatable::TooLarge => RequestError::TooLarge { bytes_max },
        })
}

struct Parts<R> {
    upstream: R,
    frames: FrameReader,
    first: Option<Bytes>,
    status: Option<GrpcStatus>,
}

fn failure<R>(
    transcoder: &Transcoder,
    headers: HeaderMap,
    status: &GrpcStatus,
) -> Response<TranscodedBody<R>> {
    error(transcoder, headers, http_status(status.code), status)
}

fn refusal<R>(transcoder: &Transcoder, refused: &RequestError) -> Response<TranscodedBody<R>> {
    let mut headers = HeaderMap::new();
    match refused {
        RequestError::MethodNotAllowed { allow, .. } => {
            if let Ok(allow) = HeaderValue::from_str(allow) {
                headers.insert(header::ALLOW, allow);
            }
        }
        RequestError::ContentEncoding { .. } => {
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        }
        _ => {}
    }
    let (code, http) = refused.codes();
    error(
        transcoder,
        headers,
        http,
        &GrpcStatus::new(code, refused.to_string()),
    )
}

fn error<R>(
    transcoder: &Transcoder,
    mut headers: HeaderMap,
    http: StatusCode,
    status: &GrpcStatus,
) -> Response<TranscodedBody<R>> {
    headers.insert(header::CONTENT_TYPE, JSON);
    if http == StatusCode::UNAUTHORIZED && !headers.contains_key(header::WWW_AUTHENTICATE) {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    whole(http, headers, transcoder.error_body(status))
}

fn whole<R>(status: StatusCode, mut headers: HeaderMap, bytes: Vec<u8>) -> Response<TranscodedBody<R>> {
    headers.insert(header::CONTENT_LENGTH, bytes.len().into());
    let body = Kind::Whole(Some(bytes.into()));
    let mut response = Response::new(TranscodedBody(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// What an answer over gRPC became.
#[derive(Debug)]
pub struct TranscodedBody<R>(Kind<R>);

#[derive(Debug)]
enum Kind<R> {
    Whole(Option<Bytes>),
    Stream(Box<Streaming<R>>),
}

impl<R> TranscodedBody<R> {
    /// The code of gRPC with which a stream failed behind its first message, once it has ended so.
    #[must_use]
    pub fn failure(&self) -> Option<u32> {
        match &self.0 {
            Kind::Whole(_) => None,
            Kind::Stream(stream) => stream.failure,
        }
    }
}

impl<R> Body for TranscodedBody<R>
where
    R: Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.get_mut().0 {
            Kind::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Stream(stream) => stream.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Whole(bytes) => bytes.is_none(),
            Kind::Stream(stream) => stream.ended,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Kind::Stream(_) => SizeHint::default(),
        }
    }
}
