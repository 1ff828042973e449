//! A gRPC backend whose contract is that of the transcoder's own tests, and a gateway that transcodes for it.
//! The name of an item says what becomes of the call.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path as Captured, Request, State};
use axum::response::Response;
use axum::routing::post;
use futures_util::{Stream, StreamExt as _, stream};
use prost::Message as _;
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tonic::Status;
use tonic::metadata::KeyAndValueRef;
use tonic::server::Grpc;
use tonic_prost::ProstCodec;
use tower::service_fn;

use super::backend::{Backend, Seen};
use super::support::{Gateway, Settings};

/// The fields of `cases.v1.Item` that are of use here.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Item {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub parent: String,
    #[prost(int32, tag = "3")]
    pub count: i32,
    #[prost(string, repeated, tag = "6")]
    pub tags: Vec<String>,
    #[prost(message, optional, boxed, tag = "8")]
    pub child: Option<Box<Self>>,
    #[prost(map = "string, string", tag = "9")]
    pub labels: HashMap<String, String>,
    #[prost(bytes = "vec", tag = "10")]
    pub data: Vec<u8>,
}

/// `google.api.HttpBody`
#[derive(Clone, PartialEq, prost::Message)]
struct HttpBody {
    #[prost(string, tag = "1")]
    content_type: String,
    #[prost(bytes = "vec", tag = "2")]
    data: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.Status`
#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

#[derive(Clone)]
struct Cases {
    seen: Seen,
    gate: Arc<Semaphore>,
    made: Arc<AtomicUsize>,
}

type Called<T> = Result<tonic::Response<T>, Status>;

fn routes(cases: Cases) -> Router {
    Router::new()
        .route("/cases.v1.Cases/Watch", post(watch))
        .route("/cases.v1.Cases/Download", post(download))
        .route("/cases.v1.Cases/{method}", post(unary))
        .with_state(cases)
}

async fn unary(State(cases): State<Cases>, Captured(method): Captured<String>, request: Request) -> Response {
    let called = service_fn(async |request: tonic::Request<Item>| -> Called<Item> {
        answer(&cases, &method, request).await
    });
    let codec = ProstCodec::<Item, Item>::default();
    Grpc::new(codec).unary(called, request).await.map(Body::new)
}

/// The item as it came, in `parent` the method, in `labels` the metadata, in `data` what of it is no text.
async fn answer(cases: &Cases, method: &str, request: tonic::Request<Item>) -> Called<Item> {
    cases.seen.tell("called");
    let mut labels = HashMap::new();
    let mut data = Vec::new();
    for pair in request.metadata().iter() {
        let KeyAndValueRef::Ascii(name, value) = pair else {
            continue;
        };
        match value.to_str() {
            Ok(value) => {
                let all: &mut String = labels.entry(name.as_str().to_owned()).or_default();
                if !all.is_empty() {
                    all.push_str(" | ");
                }
                all.push_str(value);
            }
            Err(_) => data.extend_from_slice(value.as_encoded_bytes()),
        }
    }
    let mut item = request.into_inner();
    if let Some(code) = item.name.strip_prefix("fail-") {
        let code: i32 = code.parse().unwrap();
        let detail = Item {
            name: "why".to_owned(),
            ..Item::default()
        };
        let status = RpcStatus {
            code,
            message: "as asked: 棋".to_owned(),
            details: vec![Any {
                type_url: "type.googleapis.com/cases.v1.Item".to_owned(),
                value: detail.encode_to_vec(),
            }],
        };
        let details = status.encode_to_vec().into();
        return Err(Status::with_details(code.into(), status.message, details));
    }
    match item.name.as_str() {
        "hang" => {
            let _guard = cases.seen.until_dropped("hang began", "hang dropped");
            std::future::pending::<()>().await;
        }
        "long" => item.tags = vec!["long".repeat(1000)],
        _ => {}
    }
    method.clone_into(&mut item.parent);
    item.labels.extend(labels);
    item.data.extend(data);
    let mut response = tonic::Response::new(item);
    let metadata = response.metadata_mut();
    metadata.insert("x-public", "2".parse().unwrap());
    metadata.insert("x-served-version", "a lie".parse().unwrap());
    Ok(response)
}

fn numbered(count: i32) -> Item {
    Item {
        count,
        ..Item::default()
    }
}

async fn watch(State(cases): State<Cases>, request: Request) -> Response {
    let called = service_fn(async |request: tonic::Request<Item>| -> Called<_> {
        let item = request.into_inner();
        let (first, rest) = (item.count, item.count);
        let counted = stream::iter((1..=first).map(|count| Ok(numbered(count))));
        let answer: std::pin::Pin<Box<dyn Stream<Item = Result<Item, Status>> + Send>> =
            match item.name.as_str() {
                "aborted" => Box::pin(counted.chain(stream::iter([Err(Status::aborted("no more"))]))),
                "internal" => Box::pin(counted.chain(stream::iter([Err(Status::internal("no more"))]))),
                // Each item waits for the test.
                "gate" => {
                    let gate = Arc::clone(&cases.gate);
                    Box::pin(counted.zip(stream::repeat(gate)).then(async |(item, gate)| {
                        gate.acquire().await.unwrap().forget();
                        item
                    }))
                }
                "endless" => {
                    let guard = cases.seen.until_dropped("watch began", "watch dropped");
                    Box::pin(counted.chain(stream::once(async move {
                        let _guard = guard;
                        std::future::pending().await
                    })))
                }
                "flood" => {
                    let made = Arc::clone(&cases.made);
                    Box::pin(stream::iter(0..rest).map(move |count| {
                        made.fetch_add(1, Ordering::SeqCst);
                        Ok(Item {
                            name: "a".repeat(64 * 1024),
                            ..numbered(count)
                        })
                    }))
                }
                _ => Box::pin(counted),
            };
        Ok(tonic::Response::new(answer))
    });
    let codec = ProstCodec::<Item, Item>::default();
    Grpc::new(codec)
        .server_streaming(called, request)
        .await
        .map(Body::new)
}

/// A piece, and an end that is none once the test says so.
async fn download(State(cases): State<Cases>, request: Request) -> Response {
    let called = service_fn(async |_: tonic::Request<Item>| -> Called<_> {
        let piece = HttpBody {
            content_type: "text/csv".to_owned(),
            data: b"a,b\n".to_vec(),
        };
        let gate = Arc::clone(&cases.gate);
        let end = stream::once(async move {
            gate.acquire().await.unwrap().forget();
            Err(Status::internal("no more"))
        });
        Ok(tonic::Response::new(stream::iter([Ok(piece)]).chain(end)))
    });
    let codec = ProstCodec::<HttpBody, Item>::default();
    Grpc::new(codec)
        .server_streaming(called, request)
        .await
        .map(Body::new)
}

/// The contract's descriptors, as `protoc --include_imports` writes them.
pub fn descriptors() -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../transcode/tests/proto");
    let mut compiler = protox::Compiler::new([folder]).unwrap();
    compiler
        .include_imports(true)
        .open_file("cases/v1/cases.proto")
        .unwrap();
    compiler.encode_file_descriptor_set()
}

/// The lines of a backend that is to be transcoded for, with more settings of it.
pub fn transcode(folder: &Path, more: &str) -> String {
    let file = folder.join("cases.binpb");
    std::fs::write(&file, descriptors()).unwrap();
    format!(", transcode: {{ descriptor_set: \"{}\"{more} }}", file.display())
}

/// A backend and its gateway.
pub struct Stage {
    pub backend: Backend,
    pub gateway: Gateway,
    pub gate: Arc<Semaphore>,
    /// Items that the backend has made of a flood.
    pub made: Arc<AtomicUsize>,
    _folder: TempDir,
}

impl Stage {
    pub async fn start() -> Self {
        Self::start_with("upstream_timeout_ms: 60000", "").await
    }

    /// With more lines of configuration, and with more settings of the transcoding.
    pub async fn start_with(more: &str, of_transcoding: &str) -> Self {
        let (gate, made) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let (gate_there, made_there) = (Arc::clone(&gate), Arc::clone(&made));
        let backend = Backend::start_with("stable", |seen| {
            routes(Cases {
                seen,
                gate: gate_there,
                made: made_there,
            })
        })
        .await;
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            more: more.to_owned(),
            stable: transcode(folder.path(), of_transcoding),
            ..Settings::default()
        };
        Self {
            gateway: Gateway::start(backend.address, backend.address, &settings),
            backend,
            gate,
            made,
            _folder: folder,
        }
    }
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
