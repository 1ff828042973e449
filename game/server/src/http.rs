//! The routes of the one port: gRPC, HTTP/JSON in front of it, the WebSocket and the pages; and what surrounds
//! each of them (the release's name, the deadline, faults on purpose).
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
use tminus_deadline::{DeadlineLayer, Missed};
use tminus_telemetry::TraceLayer;
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
    openapi, ws,
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
    // Both versions of the protocol, each telling of all that is here: clients still ask for the older one.
    let described = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(v1::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET)
            .include_reflection_service(false)
    };
    let (reflection, older_reflection) = (described().build_v1()?, described().build_v1alpha()?);
    let bytes_max = app.config.limits.body_bytes_max;
    let grpc = Grpc(app.clone());
    let router = Router::new()
        .route("/v1/play", get(ws::play))
        .route("/healthz", get(healthz))
        .merge(assets::routes())
        .merge(openapi::routes(openapi::CredentialsShown::of(
            &app.config.credentials,
        )))
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
    let router = add(router, older_reflection.max_decoding_message_size(bytes_max));
    let options = Options {
        request_bytes_max: bytes_max,
        ..Options::default()
    };
    let transcoder = Arc::new(Transcoder::new(v1::FILE_DESCRIPTOR_SET, options)?);
    let services: Router = router.with_state(app.clone());
    let doors = TranscodeLayer(transcoder.clone()).layer(services);
    let time_max = app.config.limits.request_timeout;
    let surroundings = Surroundings { app, transcoder };
    // From the inside out.
    let router = Router::new()
        .fallback_service(doors)
        .layer(middleware::from_fn_with_state(surroundings.clone(), faults))
        .layer(DeadlineLayer::new("starvault", time_max, missed))
        .layer(middleware::from_fn_with_state(surroundings, around))
        .layer(TraceLayer);
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
    let app = &surroundings.app;
    let is_sign_in = surroundings.called(&request) == SIGN_IN;
    let mut response = if is_sign_in && !may_sign_in(app, &request) {
        let error = AppError::TooManyRequests("too many guests from this address; try again later");
        error.respond(request.headers())
    } else {
        next.run(request).await
    };
    let release = HeaderValue::from_str(app.config.release.as_str()).expect("a release label fits a header");
    response.headers_mut().insert(X_RELEASE, release);
    response
}

fn may_sign_in(app: &App, request: &Request) -> bool {
    let permit = request.extensions().get::<ConnectionPermit>();
    let client = permit.map(|permit| app.addresses.client(permit.peer, request.headers()));
    client.is_none_or(|client| app.addresses.sign_in(client, Instant::now()))
}

/// The answer to whoever has set a deadline that has passed, or one that cannot be read.
fn missed(headers: &HeaderMap, missed: Missed) -> Response {
    let error = match missed {
        Missed::Passed(_) => AppError::DeadlineExceeded,
        Missed::Header(wrong) => AppError::InvalidArgument(wrong.to_string()),
    };
    error.respond(headers)
}

/// Faults on purpose stand where the work does: the deadline cancels them as well.
async fn faults(State(surroundings): State<Surroundings>, request: Request, next: Next) -> Response {
    if is_exempt_from_faults(surroundings.called(&request)) {
        return next.run(request).await;
    }
    match surroundings.app.injector.draw(Instant::now()) {
        Fault::None => {}
        Fault::Swallow => stall().await,
        Fault::Delay(delay) => tokio::time::sleep(delay).await,
        Fault::Fail => return AppError::Internal.respond(request.headers()),
    }
    next.run(request).await
}

/// Never ends by itself, and says when it is given up.
async fn stall() {
    struct GivenUp;
    impl Drop for GivenUp {
        fn drop(&mut self) {
            tracing::debug!(target: "deadline", "stalled work is given up");
        }
    }
    let _given_up = GivenUp;
    std::future::pending::<()>().await;
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
