//! The edge: a tower layer before anything that answers gRPC. What no rule means, and what is gRPC already,
//! passes untouched.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};
use http_body::{Body, Frame, SizeHint};
use tower::{Layer, Service};

use crate::error::{RequestError, ResponseError};
use crate::frame::{FrameReader, HEAD_BYTES};
use crate::gzip::{self, Deflating, Uninflatable};
use crate::headers;
use crate::rules::Body as RuleBody;
use crate::status::{GrpcStatus, OK, code_of_http, http_status};
use crate::stream::{Format, Streaming, status_of};
use crate::transcoder::{JSON, Route, Transcoder};

const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// Puts a [`Transcoder`] before a service.
#[derive(Debug, Clone)]
pub struct TranscodeLayer(pub Arc<Transcoder>);

impl<S> Layer<S> for TranscodeLayer {
    type Service = Transcode<S>;

    fn layer(&self, inner: S) -> Transcode<S> {
        Transcode {
            transcoder: self.0.clone(),
            inner,
        }
    }
}

/// Answers HTTP/JSON by asking `inner` over gRPC.
#[derive(Debug, Clone)]
pub struct Transcode<S> {
    transcoder: Arc<Transcoder>,
    inner: S,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl<S, B, R> Service<Request<B>> for Transcode<S>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    R: Body<Data = Bytes> + Unpin + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The clone is for later: the one that is ready now is used now.
        let later = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, later);
        let route = if headers::is_grpc(request.headers()) {
            None
        } else {
            match self.transcoder.route(request.method(), request.uri().path()) {
                Ok(route) => Some(Ok(route)),
                Err(RequestError::NotFound { .. }) => None,
                Err(error) => Some(Err(error)),
            }
        };
        let transcoder = self.transcoder.clone();
        let is_head = *request.method() == Method::HEAD;
        let finished = move |response: Response<ResponseBody<R>>| {
            // What would be the body is known by its headers alone (RFC 9110 section 9.3.2).
            if is_head {
                response.map(|_| ResponseBody(Kind::Whole(None)))
            } else {
                response
            }
        };
        match route {
            None => {
                let mut inner = inner;
                let answer = inner.call(request.map(RequestBody::Passed));
                Box::pin(async move { Ok(answer.await?.map(|body| ResponseBody(Kind::Passed(body)))) })
            }
            Some(Err(error)) => Box::pin(async move { Ok(finished(refusal(&transcoder, &error))) }),
            Some(Ok(route)) => Box::pin(async move {
                let response = exchange(transcoder, inner, route, request).await?;
                Ok(finished(response))
            }),
        }
    }
}

/// What the HTTP side of a call has to know until its answer.
struct Wanted {
    gzip: bool,
    lines: bool,
}

async fn exchange<S, B, R>(
    transcoder: Arc<Transcoder>,
    mut inner: S,
    route: Route,
    request: Request<B>,
) -> Result<Response<ResponseBody<R>>, S::Error>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>>,
    B: Body<Data = Bytes> + Unpin,
    R: Body<Data = Bytes> + Unpin,
{
    let (mut parts, body) = request.into_parts();
    let wanted = Wanted {
        gzip: transcoder.options.gzip_bytes_min.is_some() && gzip::is_accepted(&parts.headers),
        lines: headers::wants_lines(&parts.headers),
    };
    let message = match message(&transcoder, &route, &parts.headers, parts.uri.query(), body).await {
        Ok(message) => message,
        Err(error) => return Ok(refusal(&transcoder, &error)),
    };
    headers::to_metadata(&mut parts.headers);
    parts.method = Method::POST;
    parts.version = Version::HTTP_2;
    let mut uri = std::mem::take(&mut parts.uri).into_parts();
    uri.path_and_query = Some(transcoder.rpc_path(&route).clone());
    // A path alone, or one behind what was a valid scheme and authority.
    parts.uri = Uri::from_parts(uri).unwrap_or_default();
    let answer = inner
        .call(Request::from_parts(parts, RequestBody::Message(Some(message))))
        .await?;
    Ok(answered(transcoder, route, wanted, answer).await)
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

/// Nothing is decided before the first message, or the end without one, has come.
async fn answered<R>(
    transcoder: Arc<Transcoder>,
    route: Route,
    wanted: Wanted,
    answer: Response<R>,
) -> Response<ResponseBody<R>>
where
    R: Body<Data = Bytes> + Unpin,
{
    let (mut head, mut upstream) = answer.into_parts();
    if head.status != StatusCode::OK || !headers::is_grpc(&head.headers) {
        let status = GrpcStatus::from_headers(&head.headers).unwrap_or_else(|| {
            let message = format!("what should answer gRPC answered HTTP {}", head.status.as_u16());
            GrpcStatus::new(code_of_http(head.status), message)
        });
        return failure(&transcoder, HeaderMap::new(), &status);
    }
    let mut frames = FrameReader::new(&head.headers, transcoder.options.response_bytes_max);
    // An answer of headers alone has its status there.
    let mut status = GrpcStatus::from_headers(&head.headers);
    headers::to_http(&mut head.headers);
    let is_stream = transcoder.is_streaming(&route);
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
        return streamed(
            transcoder,
            route,
            wanted,
            head.headers,
            Parts {
                upstream,
                frames,
                first,
                status,
            },
        );
    }
    let status = status.unwrap_or_default();
    if status.code != OK {
        return failure(&transcoder, head.headers, &status);
    }
    let payload = match (first, frames.end()) {
        (_, Err(error)) => Err(error.into()),
        (None, Ok(())) => Err(ResponseError::NoMessage),
        (Some(message), Ok(())) => transcoder.response(&route, &message),
    };
    let payload = match payload {
        Ok(payload) => payload,
        Err(error) => return failure(&transcoder, head.headers, &status_of(&error)),
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
        if wanted.gzip {
            bytes = gzip::deflate(&bytes);
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
    }
    whole(StatusCode::OK, headers, bytes)
}

struct Parts<R> {
    upstream: R,
    frames: FrameReader,
    first: Option<Bytes>,
    status: Option<GrpcStatus>,
}

fn streamed<R>(
    transcoder: Arc<Transcoder>,
    route: Route,
    wanted: Wanted,
    mut headers: HeaderMap,
    parts: Parts<R>,
) -> Response<ResponseBody<R>> {
    let (format, content_type) = if transcoder.is_http_body(&route) {
        let content_type = parts
            .first
            .as_deref()
            .and_then(|first| transcoder.response(&route, first).ok())
            .map_or(HeaderValue::from_static("application/octet-stream"), |payload| {
                payload.content_type
            });
        (Format::Raw, content_type)
    } else if wanted.lines {
        (Format::Lines, NDJSON)
    } else {
        (Format::Array, JSON)
    };
    headers.insert(header::CONTENT_TYPE, content_type);
    if transcoder.options.gzip_bytes_min.is_some() {
        headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    if wanted.gzip {
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
        gzip: wanted.gzip.then(Deflating::new),
        begun: false,
        ended: false,
    }));
    let mut response = Response::new(ResponseBody(body));
    *response.headers_mut() = headers;
    response
}

fn failure<R>(transcoder: &Transcoder, headers: HeaderMap, status: &GrpcStatus) -> Response<ResponseBody<R>> {
    error(transcoder, headers, http_status(status.code), status)
}

fn refusal<R>(transcoder: &Transcoder, refused: &RequestError) -> Response<ResponseBody<R>> {
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
) -> Response<ResponseBody<R>> {
    headers.insert(header::CONTENT_TYPE, JSON);
    if http == StatusCode::UNAUTHORIZED && !headers.contains_key(header::WWW_AUTHENTICATE) {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    whole(http, headers, transcoder.error_body(status))
}

fn whole<R>(status: StatusCode, mut headers: HeaderMap, bytes: Vec<u8>) -> Response<ResponseBody<R>> {
    headers.insert(header::CONTENT_LENGTH, bytes.len().into());
    let body = Kind::Whole(Some(bytes.into()));
    let mut response = Response::new(ResponseBody(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// A request as it came, or the one message that it became.
#[derive(Debug)]
pub enum RequestBody<B> {
    Passed(B),
    Message(Option<Bytes>),
}

impl<B: Body<Data = Bytes> + Unpin> Body for RequestBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.get_mut() {
            Self::Passed(body) => Pin::new(body).poll_frame(cx),
            Self::Message(message) => Poll::Ready(message.take().map(|message| Ok(Frame::data(message)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Passed(body) => body.is_end_stream(),
            Self::Message(message) => message.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Passed(body) => body.size_hint(),
            Self::Message(message) => {
                SizeHint::with_exact(message.as_ref().map_or(0, |message| message.len() as u64))
            }
        }
    }
}

/// An answer as it came, or what it became.
#[derive(Debug)]
pub struct ResponseBody<R>(Kind<R>);

#[derive(Debug)]
enum Kind<R> {
    Passed(R),
    Whole(Option<Bytes>),
    Stream(Box<Streaming<R>>),
}

impl<R> Body for ResponseBody<R>
where
    R: Body<Data = Bytes> + Unpin,
    R::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.get_mut().0 {
            Kind::Passed(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Kind::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Stream(stream) => stream.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Passed(body) => body.is_end_stream(),
            Kind::Whole(bytes) => bytes.is_none(),
            Kind::Stream(stream) => stream.ended,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Passed(body) => body.size_hint(),
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Kind::Stream(_) => SizeHint::default(),
        }
    }
}
