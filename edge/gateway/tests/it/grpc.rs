//! gRPC through the gateway, with tonic on both ends.

use ::http::uri::PathAndQuery;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status, Streaming};

use super::backend::{Backend, Plain};
use super::raw::{Raw, nobody};
use super::support::{Gateway, eventually, within};

struct Caller(Grpc<Channel>);

impl Caller {
    async fn new(gateway: &Gateway) -> Self {
        let channel = Endpoint::from_shared(format!("http://{}", gateway.listen))
            .unwrap()
            .connect()
            .await
            .unwrap();
        Self(Grpc::new(channel))
    }

    async fn unary(
        &mut self,
        method: &'static str,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, Status> {
        within(self.0.ready()).await.unwrap();
        within(self.0.unary(request, PathAndQuery::from_static(method), Plain)).await
    }

    async fn stream(
        &mut self,
        method: &'static str,
        message: &'static str,
    ) -> Result<Streaming<Bytes>, Status> {
        within(self.0.ready()).await.unwrap();
        let request = Request::new(Bytes::from_static(message.as_bytes()));
        let called = within(
            self.0
                .server_streaming(request, PathAndQuery::from_static(method), Plain),
        )
        .await?;
        Ok(called.into_inner())
    }
}

fn request(message: &'static str) -> Request<Bytes> {
    Request::new(Bytes::from_static(message.as_bytes()))
}

#[tokio::test]
async fn a_unary_call_passes_with_its_metadata() {
    let backend = Backend::start("stable").await;
    let gateway = Gateway::before(backend.address);
    let mut caller = Caller::new(&gateway).await;
    let mut call = request("hello");
    call.set_timeout(std::time::Duration::from_secs(20));
    let response = caller.unary("/test.Echo/Unary", call).await.unwrap();
    let metadata = |name: &str| {
        response
            .metadata()
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    };
    assert_eq!(metadata("seen-version"), "HTTP/2.0");
    assert_eq!(metadata("seen-te"), "trailers");
    assert_eq!(metadata("seen-x-forwarded-for"), "127.0.0.1");
    assert_eq!(metadata("x-served-version"), "v1.2");
    assert_eq!(metadata("x-request-id"), metadata("seen-x-request-id"));
    let left = tminus_deadline::headers::parse_grpc(metadata("seen-grpc-timeout").as_bytes()).unwrap();
    assert!(left < std::time::Duration::from_secs(20), "{left:?}");
    assert_eq!(response.into_inner(), "hello");
    let stable = gateway.metrics("stable").await;
    assert_eq!(
        (
            &stable["requests"],
            &stable["grpc_statuses"]["0"],
            &stable["errors"]
        ),
        (&1.into(), &1.into(), &0.into())
    );
}

#[tokio::test]
async fn every_status_passes_and_server_faults_count_as_errors() {
    let backend = Backend::start("stable").await;
    let gateway = Gateway::before(backend.address);
    let mut caller = Caller::new(&gateway).await;
    for code in ["2", "3", "4", "5", "13", "14", "15", "16"] {
        let status = caller.unary("/test.Echo/Fail", request(code)).await.unwrap_err();
        assert_eq!(status.code(), Code::from(code.parse::<i32>().unwrap()));
        assert_eq!(status.message(), "as asked: 棋");
    }
    let stable = gateway.metrics("stable").await;
    assert_eq!(
        (&stable["requests"], &stable["errors"], &stable["statuses"]["200"]),
        (&8.into(), &5.into(), &8.into())
    );
}

#[tokio::test]
async fn a_server_stream_passes_with_its_trailers() {
    let backend = Backend::start("stable").await;
    let gateway = Gateway::before(backend.address);
    let mut caller = Caller::new(&gateway).await;
    let even: Vec<_> = caller
        .stream("/test.Echo/Count", "4")
        .await
        .unwrap()
        .map(Result::unwrap)
        .collect()
        .await;
    assert_eq!(even, ["4", "3", "2", "1"]);
    let mut odd = caller.stream("/test.Echo/Count", "3").await.unwrap();
    for expected in ["3", "2", "1"] {
        assert_eq!(within(odd.message()).await.unwrap().unwrap(), expected);
    }
    let status = within(odd.message()).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Aborted, "odd"));
    let codes = gateway.metrics("stable").await["grpc_statuses"].clone();
    assert_eq!((&codes["0"], &codes["10"]), (&1.into(), &1.into()));
}

#[tokio::test]
async fn both_directions_stream_message_by_message() {
    let backend = Backend::start("stable").await;
    // All its messages together are longer than a body may be.
    let more = "limits: { max_request_body_bytes: 100 }";
    let gateway = Gateway::before_with(backend.address, more);
    let mut caller = Caller::new(&gateway).await;
    let (say, said) = mpsc::channel::<Bytes>(1);
    let messages = stream::unfold(said, async |mut said| {
        said.recv().await.map(|message| (message, said))
    });
    within(caller.0.ready()).await.unwrap();
    let called = caller.0.streaming(
        Request::new(Box::pin(messages)),
        PathAndQuery::from_static("/test.Echo/Talk"),
        Plain,
    );
    let mut answers = within(called).await.unwrap().into_inner();
    for round in 0..20 {
        say.send(Bytes::from(format!("message {round}"))).await.unwrap();
        assert_eq!(
            within(answers.message()).await.unwrap().unwrap(),
            format!("re: message {round}")
        );
    }
    drop(say);
    assert_eq!(within(answers.message()).await.unwrap(), None);
}

#[tokio::test]
async fn a_client_stream_is_limited_by_message_and_not_as_a_whole() {
    let backend = Backend::start("stable").await;
    let gateway = Gateway::before_with(backend.address, "limits: { max_request_body_bytes: 1000 }");
    let mut caller = Caller::new(&gateway).await;
    let mut sum = async |messages: Vec<usize>| {
        within(caller.0.ready()).await.unwrap();
        let messages = stream::iter(messages.into_iter().map(|bytes| Bytes::from(vec![7; bytes])));
        let path = PathAndQuery::from_static("/test.Echo/Sum");
        within(caller.0.client_streaming(Request::new(messages), path, Plain))
            .await
            .map(Response::into_inner)
    };
    assert_eq!(sum(vec![1000; 50]).await.unwrap(), "50000");
    assert_eq!(
        sum(vec![10, 1001]).await.unwrap_err().code(),
        Code::ResourceExhausted
    );
}

#[tokio::test]
async fn a_caller_that_leaves_a_stream_cancels_it() {
    let mut backend = Backend::start("stable").await;
    let gateway = Gateway::before(backend.address);
    let mut caller = Caller::new(&gateway).await;
    let mut answers = caller.stream("/test.Echo/Endless", "").await.unwrap();
    assert_eq!(within(answers.message()).await.unwrap().unwrap(), "1");
    drop(answers);
    backend.saw("endless dropped").await;
    eventually("the stream is counted, and is no error", async || {
        let stable = gateway.metrics("stable").await;
        stable["requests"] == 1 && stable["errors"] == 0 && stable["in_flight"] == 0
    })
    .await;
}

#[tokio::test]
async fn a_silent_backend_is_deadline_exceeded() {
    let mut backend = Backend::start("stable").await;
    let gateway = Gateway::before_with(backend.address, "upstream_timeout_ms: 500");
    let mut caller = Caller::new(&gateway).await;
    let status = caller.unary("/test.Echo/Hang", request("x")).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(status.metadata().get("x-served-version").unwrap(), "v1.2");
    backend.saw("hang dropped").await;
    let stable = gateway.metrics("stable").await;
    assert_eq!(
        (&stable["errors"], &stable["grpc_statuses"]["4"]),
        (&1.into(), &1.into())
    );
}

#[tokio::test]
async fn a_call_keeps_its_deadline_while_it_streams() {
    let mut backend = Backend::start("stable").await;
    let gateway = Gateway::before(backend.address);
    // By hand: tonic would watch the deadline itself.
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
        .http2_only(true)
        .build_http::<http_body_util::Full<Bytes>>();
    let call = ::http::Request::post(format!("http://{}/test.Echo/Endless", gateway.listen))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", "1000m")
        .body(http_body_util::Full::from(&[0, 0, 0, 0, 0][..]))
        .unwrap();
    let response = within(client.request(call)).await.unwrap();
    let body = within(http_body_util::BodyExt::collect(response.into_body()))
        .await
        .unwrap();
    assert_eq!(body.trailers().unwrap()["grpc-status"], "4");
    backend.saw("endless dropped").await;
}

#[tokio::test]
async fn nobody_to_answer_is_unavailable() {
    let gateway = Gateway::before(nobody().await);
    let mut caller = Caller::new(&gateway).await;
    assert_eq!(
        caller
            .unary("/test.Echo/Unary", request("x"))
            .await
            .unwrap_err()
            .code(),
        Code::Unavailable
    );
    gateway.drain("stable").await;
    gateway.drain("canary").await;
    let status = caller.unary("/test.Echo/Unary", request("x")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("draining"));
    assert_eq!(gateway.metrics("stable").await["errors"], 1);
}

#[tokio::test]
async fn grpc_calls_follow_the_same_rules() {
    let (stable, canary) = (Backend::start("stable").await, Backend::start("canary").await);
    let gateway = Gateway::start(
        stable.address,
        canary.address,
        &super::support::Settings::default(),
    );
    let mut caller = Caller::new(&gateway).await;
    let mut call = request("x");
    call.metadata_mut().insert("x-version", "v1.3".parse().unwrap());
    let response = caller.unary("/test.Echo/Unary", call).await.unwrap();
    assert_eq!(response.metadata().get("seen-who").unwrap(), "canary");
    assert_eq!(response.metadata().get("x-served-version").unwrap(), "v1.3");
}

#[tokio::test]
async fn a_backend_that_dies_in_a_stream_ends_it_as_unavailable() {
    let backend = Backend::start("stable").await;
    let gateway = Gateway::before(backend.address);
    let mut caller = Caller::new(&gateway).await;
    let mut answers = caller.stream("/test.Echo/Endless", "").await.unwrap();
    assert_eq!(within(answers.message()).await.unwrap().unwrap(), "1");
    drop(backend);
    assert_eq!(
        within(answers.message()).await.unwrap_err().code(),
        Code::Unavailable
    );
    eventually("it counts as an error", async || {
        gateway.metrics("stable").await["errors"] == 1
    })
    .await;
    // Plain HTTP/1.1 with this content type is carried as gRPC, too, and does not break anything.
    let mut raw = Raw::connect(gateway.listen).await;
    raw.write("POST /x HTTP/1.1\r\nHost: x\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n")
        .await;
    assert!(raw.head().await.contains("grpc-status: 14"));
}
