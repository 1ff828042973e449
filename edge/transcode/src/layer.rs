//! The edge: a tower layer before anything that answers gRPC. What no rule means, and what is gRPC already,
//! passes untouched.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use tower::{Layer, Service};

use crate::call::{BoxError, Call, TranscodedBody};
use crate::error::RequestError;
use crate::headers;
use crate::transcoder::Transcoder;

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
        let mut inner = std::mem::replace(&mut self.inner, later);
        let call = if headers::is_grpc(request.headers()) {
            None
        } else {
            match Call::new(&self.transcoder, &request) {
                Ok(call) => Some(call),
                Err(RequestError::NotFound { .. }) => None,
                Err(error) => {
                    let refused = self.transcoder.refuse(request.method(), &error);
                    return Box::pin(async move { Ok(refused.map(ResponseBody::Transcoded)) });
                }
            }
        };
        let Some(call) = call else {
            let answer = inner.call(request.map(RequestBody::Passed));
            return Box::pin(async move { Ok(answer.await?.map(ResponseBody::Passed)) });
        };
        Box::pin(async move {
            let answered = match call.request(request).await {
                Ok(request) => {
                    let message = |message| RequestBody::Message(Some(message));
                    let answer = inner.call(request.map(message)).await?;
                    call.answer(answer).await
                }
                Err(error) => call.refuse(&error),
            };
            Ok(answered.map(ResponseBody::Transcoded))
        })
    }
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
pub enum ResponseBody<R> {
    Passed(R),
    Transcoded(TranscodedBody<R>),
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
        match self.get_mut() {
            Self::Passed(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Transcoded(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Passed(body) => body.is_end_stream(),
            Self::Transcoded(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Passed(body) => body.size_hint(),
            Self::Transcoded(body) => body.size_hint(),
        }
    }
}
