//! The routes of the one port: HTTP/JSON, gRPC, the WebSocket and the page; and what surrounds
//! each of them (faults on purpose, the time limit, the release's name).

use std::sync::Arc;

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Path, Request, State, rejection::BytesRejection},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use starvault_wire::v1::{
    self, GetProfileRequest, SignInAsGuestRequest, player_service_server::PlayerServiceServer,
    system_service_server::SystemServiceServer,
};
use tokio::time::Instant;
use tonic::server::NamedService;
use tonic_health::server::HealthReporter;

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
        .route("/v1/guests", post(sign_in))
        .route("/v1/players/{player_id}", get(profile))
        .route("/v1/players/me/equipment", post(equip))
        .route("/v1/version", get(version))
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
    let router = router
        .layer(middleware::from_fn_with_state(app.clone(), around))
        .with_state(app);
    Ok((router, health))
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
fn is_exempt_from_faults(path: &str) -> bool {
    path == "/healthz"
        || path == "/v1/version"
        || path.starts_with("/grpc.")
        || path.starts_with("/starvault.v1.SystemService/")
}

/// Both ways to sign in; what they make stays in the store, so each address has an allowance.
fn is_sign_in(path: &str) -> bool {
    path == "/v1/guests" || path == "/starvault.v1.PlayerService/SignInAsGuest"
}

async fn around(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let mut content_type = HeaderMap::new();
    if let Some(value) = request.headers().get(header::CONTENT_TYPE) {
        content_type.insert(header::CONTENT_TYPE, value.clone());
    }
    if is_sign_in(request.uri().path()) {
        let permit = request.extensions().get::<ConnectionPermit>();
        let client = permit.map(|permit| app.addresses.client(permit.peer, request.headers()));
        if client.is_some_and(|client| !app.addresses.sign_in(client, Instant::now())) {
            let error = AppError::TooManyRequests("too many guests from this address; try again later");
            return error.respond(&content_type);
        }
    }
    let fault = if is_exempt_from_faults(request.uri().path()) {
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

async fn sign_in(
    State(app): State<Arc<App>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<v1::SignInAsGuestResponse>, AppError> {
    let request: SignInAsGuestRequest = message(&app, "SignInAsGuestRequest", body)?;
    app.sign_in_as_guest(request).await.map(Json)
}

async fn profile(
    State(app): State<Arc<App>>,
    Path(player_id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<v1::Profile>, AppError> {
    let caller = app.gatekeeper.identify(&headers, None).await?;
    app.get_profile(&caller, &GetProfileRequest { player_id })
        .await
        .map(Json)
}

async fn equip(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<v1::Profile>, AppError> {
    let caller = app.gatekeeper.identify(&headers, None).await?;
    let request = message(&app, "EquipItemRequest", body)?;
    app.equip_item(&caller, &request).await.map(Json)
}

/// The message that a body holds; an empty body is an empty message.
fn message<M: Default + serde::de::DeserializeOwned>(
    app: &App,
    name: &str,
    body: Result<Bytes, BytesRejection>,
) -> Result<M, AppError> {
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => AppError::PayloadTooLarge {
            bytes_max: app.config.limits.body_bytes_max,
        },
        _ => AppError::InvalidArgument("the body did not arrive in full".into()),
    })?;
    if body.is_empty() {
        return Ok(M::default());
    }
    serde_json::from_slice(&body)
        .map_err(|error| AppError::InvalidArgument(format!("the body is no {name}: {error}")))
}

async fn version(State(app): State<Arc<App>>) -> Json<v1::Version> {
    Json(app.version())
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
