use std::{
    convert::Infallible,
    future::pending,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{HeaderMap, Request, Response, StatusCode};
use tminus_deadline::{Deadline, DeadlineLayer, Missed, Passed, current, within, within_current};
use tokio::time::Instant;
use tower::{Layer as _, Service, ServiceExt as _, service_fn};

const ROUTE_MAX: Duration = Duration::from_secs(10);

fn answer(headers: &HeaderMap, missed: Missed) -> Response<String> {
    let protocol = if headers.contains_key("content-type") {
        "grpc"
    } else {
        "http"
    };
    let status = match missed {
        Missed::Passed(_) => StatusCode::GATEWAY_TIMEOUT,
        Missed::Header(_) => StatusCode::BAD_REQUEST,
    };
    Response::builder()
        .status(status)
        .body(format!("{protocol}: {missed}"))
        .unwrap()
}

/// Answers what the layer answers over a service.
async fn ask<S>(service: S, headers: &[(&str, &str)]) -> (u16, String)
where
    S: Service<Request<()>, Response = Response<String>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
{
    let mut request = Request::get("/");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let layer = DeadlineLayer::new("test", ROUTE_MAX, answer);
    let response = layer
        .layer(service)
        .oneshot(request.body(()).unwrap())
        .await
        .unwrap();
    (response.status().as_u16(), response.into_body())
}

/// Sends a word when it is dropped: the work has been cancelled.
struct Told(Option<tokio::sync::oneshot::Sender<()>>);

impl Drop for Told {
    fn drop(&mut self) {
        if let Some(sender) = self.0.take() {
            let _ = sender.send(());
        }
    }
}

#[tokio::test]
async fn work_that_outlives_its_deadline_is_dropped_and_answered_for() {
    let (sender, cancelled) = tokio::sync::oneshot::channel();
    let told = Arc::new(Mutex::new(Some(Told(Some(sender)))));
    let service = service_fn(move |_: Request<()>| {
        let told = told.lock().unwrap().take();
        async move {
            let _told = told;
            pending::<Result<Response<String>, Infallible>>().await
        }
    });
    let answer = ask(service, &[("x-request-timeout", "30ms")]).await;
    assert_eq!(answer, (504, "http: the deadline has passed".to_owned()));
    cancelled.await.unwrap();
}

#[tokio::test]
async fn the_service_knows_its_deadline() {
    let check = async |headers: &[(&str, &str)], budget_ms: u64| {
        let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
        let service = service_fn(move |request: Request<()>| {
            let sender = sender.clone();
            async move {
                let deadline = request.extensions().get::<Deadline>().copied().unwrap();
                assert_eq!(current(), Some(deadline));
                // Nothing further in counts it again.
                assert!(
                    request
                        .headers()
                        .keys()
                        .all(|name| !name.as_str().contains("timeout"))
                );
                sender.send(deadline).unwrap();
                Ok(Response::new(String::new()))
            }
        });
        let budget = Duration::from_millis(budget_ms);
        let before = Instant::now().into_std();
        assert_eq!(ask(service, headers).await, (200, String::new()), "{headers:?}");
        let arrival = told.recv().await.unwrap().at() - budget;
        assert!(
            before <= arrival && arrival <= Instant::now().into_std(),
            "{headers:?}"
        );
    };
    check(&[], 10_000).await;
    check(
        &[("grpc-timeout", "7S"), ("x-envoy-expected-rq-timeout-ms", "9000")],
        7_000,
    )
    .await;
    check(&[("x-request-timeout", "20s")], 10_000).await;
}

#[tokio::test]
async fn a_limit_that_cannot_be_read_is_refused_in_the_callers_protocol() {
    let untouched = || service_fn(|_: Request<()>| async { panic!("the service was called") });
    let (status, text) = ask(
        untouched(),
        &[("grpc-timeout", "999999999n"), ("content-type", "x")],
    )
    .await;
    assert_eq!(status, 400);
    assert!(
        text.starts_with("grpc: the header grpc-timeout is \"999999999n\""),
        "{text}"
    );
    let (status, text) = ask(untouched(), &[("x-request-timeout", "1.5")]).await;
    assert_eq!((status, text.starts_with("http: ")), (400, true));
}

#[tokio::test]
async fn work_within_work_keeps_the_outer_deadline() {
    let deadline = Deadline::after(Instant::now().into_std(), Duration::from_millis(30));
    assert_eq!(current(), None);
    assert_eq!(within_current(async { 1 }).await, Ok(1));
    let work = async {
        assert_eq!(current(), Some(deadline));
        within_current(pending::<()>()).await
    };
    // Both pass at the same moment.
    assert!(matches!(
        within(deadline, work).await,
        Ok(Err(Passed)) | Err(Passed)
    ));
    // Over: nothing more is begun.
    let untouched = async { panic!("work was begun") };
    assert_eq!(within(deadline, untouched).await, Err::<(), _>(Passed));
}

/// What is logged while a test runs.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn every_hop_and_every_passed_deadline_is_an_event() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(move || writer.clone())
        .finish();
    // With a single one, an event that another test's thread reaches first would be off for all threads.
    let _other = tracing::Dispatch::new(tracing_subscriber::fmt().with_writer(io::sink).finish());
    let guard = tracing::subscriber::set_default(subscriber);
    let stalled = service_fn(|_: Request<()>| pending::<Result<Response<String>, Infallible>>());
    ask(stalled, &[("grpc-timeout", "30m")]).await;
    drop(guard);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let told: Vec<bool> = text
        .lines()
        .map(|line| {
            assert!(line.contains("\"hop\":\"test\""), "{line}");
            line.contains("\"deadline.remaining_ms\":30") && line.contains("a deadline at a hop")
        })
        .collect();
    assert_eq!(told, [true, false], "{text}");
    assert!(
        text.contains("\"deadline.remaining_ms\":0") && text.contains("a deadline has passed"),
        "{text}"
    );
}

#[tokio::test]
async fn what_is_left_is_told_to_who_asks_whoever_answers() {
    let check = async |path: &'static str, headers: &[(&str, &str)], told: &[&str]| {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let service = service_fn(async |request: Request<()>| {
            if request.uri().path() == "/hang" {
                pending::<()>().await;
            }
            let answer = Response::builder().header("server-timing", "deadline-inner;dur=1");
            Ok::<_, Infallible>(answer.body(String::new()).unwrap())
        });
        let layer = DeadlineLayer::new("test", ROUTE_MAX, answer).layer(service);
        let answer = layer.oneshot(request.body(()).unwrap()).await.unwrap();
        let timings: Vec<&str> = answer
            .headers()
            .get_all("server-timing")
            .iter()
            .map(|value| value.to_str().unwrap())
            .collect();
        assert_eq!(timings, told, "{path} {headers:?}");
    };
    let asks = ("x-deadline-hops", "1");
    let inner = "deadline-inner;dur=1";
    check(
        "/",
        &[asks, ("x-request-timeout", "5s")],
        &[inner, "deadline-test;dur=5000"],
    )
    .await;
    check(
        "/",
        &[asks, ("grpc-timeout", "4999500u")],
        &[inner, "deadline-test;dur=4999.500"],
    )
    .await;
    check(
        "/",
        &[asks, ("x-request-timeout", "3600s")],
        &[inner, "deadline-test;dur=10000"],
    )
    .await;
    check(
        "/hang",
        &[asks, ("x-request-timeout", "1")],
        &["deadline-test;dur=1"],
    )
    .await;
    check("/", &[("x-request-timeout", "5s")], &[inner]).await;
}
