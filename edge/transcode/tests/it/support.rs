//! A transcoder of the cases, and another implementation of ProtoJSON (prost-reflect) to judge it by.

use std::convert::Infallible;
use std::io::Write as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::Value;
use tminus_transcode::{
    Options, RequestBody, RequestError, ResponseBody, Route, Transcode, TranscodeLayer, Transcoder,
};
use tower::{Layer as _, Service, ServiceExt as _};

/// The descriptor set of `tests/proto`, with another file in place of the cases if there is one.
pub fn descriptors(source: Option<&str>) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proto");
    let Some(source) = source else {
        let mut compiler = protox::Compiler::new([folder]).unwrap();
        compiler
            .include_imports(true)
            .open_file("cases/v1/cases.proto")
            .unwrap();
        return compiler.encode_file_descriptor_set();
    };
    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("other.proto"), source).unwrap();
    let mut compiler = protox::Compiler::new([folder.as_ref(), other.path()]).unwrap();
    compiler.include_imports(true).open_file("other.proto").unwrap();
    compiler.encode_file_descriptor_set()
}

pub fn transcoder(options: Options) -> Transcoder {
    Transcoder::new(&descriptors(None), options).unwrap()
}

/// Reads what was written, by another implementation.
pub fn pool() -> DescriptorPool {
    DescriptorPool::decode(&*descriptors(None)).unwrap()
}

pub fn to_json(pool: &DescriptorPool, name: &str, bytes: &[u8]) -> Value {
    let message = pool.get_message_by_name(name).unwrap();
    let message = DynamicMessage::decode(message, bytes).unwrap();
    serde_json::to_value(&message).unwrap()
}

/// As `to_json`, the other way.
pub fn to_bytes(pool: &DescriptorPool, name: &str, json: &str) -> Vec<u8> {
    let message = pool.get_message_by_name(name).unwrap();
    let mut text = serde_json::Deserializer::from_str(json);
    DynamicMessage::deserialize(message, &mut text)
        .unwrap()
        .encode_to_vec()
}

/// Method and target of a request line to the method's name and the request message.
pub fn call(
    transcoder: &Transcoder,
    method: &str,
    target: &str,
    body: &str,
) -> Result<(String, Vec<u8>), RequestError> {
    let (path, query) = target
        .split_once('?')
        .map_or((target, None), |(path, query)| (path, Some(query)));
    let route: Route = transcoder.route(&Method::from_bytes(method.as_bytes()).unwrap(), path)?;
    let message = transcoder.request(&route, query, Some("application/json"), body.as_bytes())?;
    let name = transcoder
        .rpc_path(&route)
        .as_str()
        .rsplit('/')
        .next()
        .unwrap()
        .to_owned();
    Ok((name, message))
}

/// What an upstream does, frame by frame.
#[derive(Clone, Default)]
pub struct Answer {
    pub headers: Vec<(&'static str, &'static str)>,
    pub pieces: Vec<Vec<u8>>,
    pub trailers: Vec<(&'static str, &'static str)>,
    /// The body fails behind the pieces.
    pub breaks: bool,
    pub http_status: u16,
}

/// Messages in their frames, then a status of 0.
pub fn messages(all: &[Vec<u8>]) -> Answer {
    Answer {
        pieces: all.iter().map(|message| framed(message, 0)).collect(),
        trailers: vec![("grpc-status", "0")],
        ..Answer::default()
    }
}

pub fn framed(message: &[u8], flag: u8) -> Vec<u8> {
    let mut frame = vec![flag];
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(message);
    frame
}

/// Answers every call with the same, and remembers what it was asked.
#[derive(Clone)]
pub struct Upstream {
    pub answer: Answer,
    pub asked: Arc<Mutex<Vec<(http::request::Parts, Bytes)>>>,
}

type Pieces = Pin<Box<dyn futures_util::Stream<Item = Result<Frame<Bytes>, std::io::Error>> + Send>>;

impl Service<Request<RequestBody<Full<Bytes>>>> for Upstream {
    type Response = Response<StreamBody<Pieces>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody<Full<Bytes>>>) -> Self::Future {
        let Self { answer, asked } = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            asked.lock().unwrap().push((parts, body));
            let mut frames: Vec<Result<Frame<Bytes>, std::io::Error>> = answer
                .pieces
                .into_iter()
                .map(|piece| Ok(Frame::data(piece.into())))
                .collect();
            if answer.breaks {
                frames.push(Err(std::io::Error::other("the connection is gone")));
            } else if !answer.trailers.is_empty() {
                frames.push(Ok(Frame::trailers(header_map(&answer.trailers))));
            }
            let stream: Pieces = Box::pin(futures_util::stream::iter(frames));
            let mut response = Response::new(StreamBody::new(stream));
            *response.headers_mut() = header_map(&answer.headers);
            if answer.http_status == 0 {
                response
                    .headers_mut()
                    .insert("content-type", "application/grpc".parse().unwrap());
            } else {
                *response.status_mut() = answer.http_status.try_into().unwrap();
            }
            Ok(response)
        })
    }
}

pub fn header_map(all: &[(&'static str, &'static str)]) -> HeaderMap {
    all.iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect()
}

pub struct Got {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// The body ended with an error.
    pub broken: bool,
    pub asked: Vec<(http::request::Parts, Bytes)>,
}

impl Got {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// One request through the layer.
pub async fn ask(options: Options, answer: Answer, request: Request<Full<Bytes>>) -> Got {
    let upstream = Upstream {
        answer,
        asked: Arc::default(),
    };
    let service: Transcode<Upstream> = TranscodeLayer(Arc::new(transcoder(options))).layer(upstream.clone());
    let response: Response<ResponseBody<StreamBody<Pieces>>> = service.oneshot(request).await.unwrap();
    let (parts, mut body) = response.into_parts();
    let (mut bytes, mut broken) = (Vec::new(), false);
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Err(_) => {
                broken = true;
                break;
            }
        }
    }
    let asked = std::mem::take(&mut *upstream.asked.lock().unwrap());
    Got {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: bytes,
        broken,
        asked,
    }
}

pub fn get(target: &str, headers: &[(&'static str, &'static str)]) -> Request<Full<Bytes>> {
    request("GET", target, headers, b"")
}

pub fn request(
    method: &str,
    target: &str,
    headers: &[(&'static str, &'static str)],
    body: &[u8],
) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(Bytes::copy_from_slice(body)));
    *request.method_mut() = method.parse().unwrap();
    *request.uri_mut() = target.parse().unwrap();
    *request.headers_mut() = header_map(headers);
    request
}

pub fn item(json: &str) -> Vec<u8> {
    to_bytes(&pool(), "cases.v1.Item", json)
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
