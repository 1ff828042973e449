//! The routes of the one port: gRPC, HTTP/JSON in front of it, the WebSocket and the page; and what surrounds
//! each of them (faults on purpose, the time limit, the release's name).
//!
//! Nothing here knows a message: what HTTP/JSON answers comes from the contract's annotations.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use starvault_wire::v1::{
    self, player_service_server::PlayerServiceServer, system_service_server::SystemServiceServer,
};
use tminus_transcode::{Options, TranscodeLayer, Transcoder};
use tokio::time::Instant;
use tonic::server::NamedService;
use tonic_health::server::HealthReporter;
use tower::Layer as _;

use crate::{
    app::App,
    assets,
    error::{AppError, StartError},
    grpc::Grpc,
    inject::Fault,
    net::ConnectionPermit,
    ws,
};

/// Names the release on every response.
const X_RELEASE: HeaderName = HeaderName::from_static("x-release");

/// Everything that the port answers, and the switch of the gRPC health service.
///
/// # Errors
/// The descriptors that are built in cannot be read.
pub async fn router(app: Arc<App>) -> Result<(Router, HealthReporter), StartError> {
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<PlayerServiceServer<Grpc>>().await;
    health.set_serving::<SystemServiceServer<Grpc>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let bytes_max = app.config.limits.body_bytes_max;
    let grpc = Grpc(app.clone());
    let router = Router::new()
        .route("/v1/play", get(ws::play))
        .route("/healthz", get(healthz))
        .merge(assets::routes())
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(DefaultBodyLimit::max(bytes_max));
    let router = add(
        router,
        PlayerServiceServer::new(grpc.clone()).max_decoding_message_size(bytes_max),
    );
    let router = add(
        router,
        SystemServiceServer::new(grpc).max_decoding_message_size(bytes_max),
    );
    let router = add(router, health_service.max_decoding_message_size(bytes_max));
    let router = add(router, reflection.max_decoding_message_size(bytes_max));
    let options = Options {
        request_bytes_max: bytes_max,
        ..Options::default()
    };
    let transcoder = Arc::new(Transcoder::new(v1::FILE_DESCRIPTOR_SET, options)?);
    let services: Router = router.with_state(app.clone());
    let doors = TranscodeLayer(transcoder.clone()).layer(services);
    let surroundings = Surroundings { app, transcoder };
    let router = Router::new()
        .fallback_service(doors)
        .layer(middleware::from_fn_with_state(surroundings, around));
    Ok((router, health))
}

#[derive(Clone)]
struct Surroundings {
    app: Arc<App>,
    transcoder: Arc<Transcoder>,
}

impl Surroundings {
    /// The method of gRPC that a request calls, by whichever door it came; or its path as it is.
    fn called<'r>(&'r self, request: &'r Request) -> &'r str {
        let path = request.uri().path();
        match self.transcoder.route(request.method(), path) {
            Ok(route) => self.transcoder.rpc_path(&route).path(),
            Err(_) => path,
        }
    }
}

fn add<S, R>(router: Router<Arc<App>>, service: S) -> Router<Arc<App>>
where
    S: NamedService
        + tower::Service<Request<Body>, Response = http::Response<R>, Error = std::convert::Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
    http::Response<R>: IntoResponse,
{
    router.route_service(&format!("/{}/{{*method}}", S::NAME), service)
}

/// Launch control asks these whatever else is wrong.
fn is_exempt_from_faults(called: &str) -> bool {
    called == "/healthz" || called.starts_with("/grpc.") || called.starts_with("/starvault.v1.SystemService/")
}

/// What it makes stays in the store, so each address has an allowance.
const SIGN_IN: &str = "/starvault.v1.PlayerService/SignInAsGuest";

async fn around(State(surroundings): State<Surroundings>, request: Request, next: Next) -> Response {
    let called = surroundings.called(&request);
    let (is_sign_in, is_exempt) = (called == SIGN_IN, is_exempt_from_faults(called));
    let app = surroundings.app;
    let mut content_type = HeaderMap::new();
    if let Some(value) = request.headers().get(header::CONTENT_TYPE) {
        content_type.insert(header::CONTENT_TYPE, value.clone());
    }
    if is_sign_in {
        let permit = request.extensions().get::<ConnectionPermit>();
        let client = permit.map(|permit| app.addresses.client(permit.peer, request.headers()));
        if client.is_some_and(|client| !app.addresses.sign_in(client, Instant::now())) {
            let error = AppError::TooManyRequests("too many guests from this address; try again later");
            return error.respond(&content_type);
        }
    }
    let fault = if is_exempt {
        Fault::None
    } else {
        app.injector.draw(Instant::now())
    };
    match fault {
        Fault::Swallow => std::future::pending().await,
        Fault::Delay(delay) => tokio::time::sleep(delay).await,
        Fault::None | Fault::Fail => {}
    }
    let mut response = if fault == Fault::Fail {
        AppError::Internal.respond(&content_type)
    } else {
        match tokio::time::timeout(app.config.limits.request_timeout, next.run(request)).await {
            Ok(response) => response,
            Err(_) => AppError::DeadlineExceeded.respond(&content_type),
        }
    };
    let release = HeaderValue::from_str(app.config.release.as_str()).expect("a release label fits a header");
    response.headers_mut().insert(X_RELEASE, release);
    response
}

async fn healthz(State(app): State<Arc<App>>) -> Response {
    if app.draining.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining").into_response()
    } else {
        "ok".into_response()
    }
}

async fn not_found(request: Request) -> Response {
    let path = request.uri().path();
    if request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
    {
        return tonic::Status::unimplemented(format!("there is no method {path}")).into_http();
    }
    AppError::NotFound(format!("there is nothing at {path}")).into_response()
}

async fn method_not_allowed(request: Request) -> AppError {
    AppError::MethodNotAllowed(request.method().to_string())
}
