//! The portal: what a role may have, over HTTP. Sign-in by OpenID Connect, bearer tokens for machines, links that end.
//! It asks for no script, and answers the same for what is forbidden, forged and not there.

mod answer;
mod files;
mod identity;
mod links;
mod oidc;
mod page;
mod sessions;
mod sign_in;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{delete, get, post};
use hyper_util::rt::{TokioIo, TokioTimer};
use tminus_origin::rate::{Buckets, TokenBucket};
use tminus_origin::{ClientAddress, TrustedProxies};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::config::PortalConfig;
use crate::connections::{Cut, accept};
use crate::links::{LinkBook, LinkKeys};
use crate::serve::Shared;
use crate::{DeliveryError, secret};

use answer::plain;
use oidc::Provider;
use sessions::Sessions;

/// A request's body: a form or a small object.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// All headers of a request together.
const HEADER_BYTES_MAX: usize = 32 * 1024;
/// Until a request's headers are there.
const HEADERS: Duration = Duration::from_secs(10);
/// Until an answer's headers are there; a large file is read for its digest in this time.
const ANSWER: Duration = Duration::from_secs(120);
/// Addresses with an allowance of their own.
const ADDRESSES_MAX: usize = 10_000;

type App = Arc<Portal>;

/// Who is at the other end of the connection, or behind the proxy there.
#[derive(Debug, Clone, Copy)]
struct Client(IpAddr);

/// All that requests share.
struct Portal {
    config: PortalConfig,
    shared: Arc<Shared>,
    sessions: Sessions,
    provider: Option<Provider>,
    links: Option<(LinkKeys, LinkBook)>,
}

impl Portal {
    fn now_ms(&self) -> i64 {
        self.shared.clock.now_ms()
    }
}

/// How fast an address may ask, by the delivery's clock.
struct Rates {
    buckets: Mutex<Buckets<ClientAddress>>,
    began: Instant,
    began_ms: i64,
}

impl Rates {
    fn new(config: &PortalConfig, now_ms: i64) -> Self {
        let began = Instant::now();
        let full = TokenBucket::new(config.limits.requests_per_s, config.limits.burst, began);
        Self {
            buckets: Mutex::new(Buckets::new(full, ADDRESSES_MAX, began)),
            began,
            began_ms: now_ms,
        }
    }

    fn take(&self, address: IpAddr, now_ms: i64) -> bool {
        let since = u64::try_from(now_ms.saturating_sub(self.began_ms)).unwrap_or(0);
        let now = self.began + Duration::from_millis(since);
        self.buckets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(address.into(), now)
    }
}

/// The portal before it has a listener.
pub(crate) struct Server {
    app: App,
    router: Router,
    rates: Rates,
    proxies: TrustedProxies,
}

impl Server {
    /// Reads or makes its secrets, and reads the state of links.
    pub(crate) fn new(config: PortalConfig, shared: Arc<Shared>) -> Result<Self, DeliveryError> {
        let provider = config
            .oidc
            .clone()
            .map(|oidc| Provider::new(oidc, &config.public_url))
            .transpose()?;
        let links = match &config.links {
            None => None,
            Some(links) => {
                let keys = links
                    .keys
                    .iter()
                    .map(|(id, path)| Ok((id.clone(), secret::link_key(path, rand::random)?)));
                let keys = LinkKeys::new(keys.collect::<Result<_, DeliveryError>>()?);
                keys.map(|keys| LinkBook::open(&links.state).map(|book| (keys, book)))
                    .transpose()?
            }
        };
        let (now_ms, proxies) = (
            shared.clock.now_ms(),
            TrustedProxies::from(config.trusted_proxies.clone()),
        );
        let rates = Rates::new(&config, now_ms);
        let app = Arc::new(Portal {
            config,
            shared,
            sessions: Sessions::default(),
            provider,
            links,
        });
        Ok(Self {
            router: router(Arc::clone(&app)),
            app,
            rates,
            proxies,
        })
    }

    pub(crate) async fn run(self, listener: TcpListener, stop: CancellationToken) {
        let server = Arc::new(self);
        let connections_max = server.app.config.limits.connections_max;
        accept(
            "portal",
            listener,
            connections_max,
            stop.clone(),
            |stream, address| connection(Arc::clone(&server), stream, address, stop.clone()),
        )
        .await;
    }

    async fn answer(&self, peer: SocketAddr, mut request: http::Request<hyper::body::Incoming>) -> Response {
        let client = self.proxies.client(peer.ip(), request.headers()).to_canonical();
        if !self.rates.take(client, self.app.now_ms()) {
            let mut answer = plain(
                StatusCode::TOO_MANY_REQUESTS,
                "too many requests from this address; wait a second\n",
            );
            answer
                .headers_mut()
                .insert("retry-after", http::HeaderValue::from_static("1"));
            return self.dressed(answer);
        }
        request.extensions_mut().insert(Client(client));
        let answered = self.router.clone().oneshot(request.map(Body::new));
        let answer = match tokio::time::timeout(ANSWER, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(never)) => match never {},
            Err(_) => plain(StatusCode::SERVICE_UNAVAILABLE, "this took too long; try again\n"),
        };
        self.dressed(answer)
    }

    fn dressed(&self, mut answer: Response) -> Response {
        answer::protect(answer.headers_mut(), self.app.config.is_plain);
        answer
    }
}

async fn connection(server: Arc<Server>, stream: Cut<TcpStream>, peer: SocketAddr, stop: CancellationToken) {
    let life = server.app.config.limits.connection;
    let service = hyper::service::service_fn(|request| {
        let server = Arc::clone(&server);
        async move { Ok::<_, std::convert::Infallible>(server.answer(peer, request).await) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(HEADER_BYTES_MAX);
    let serving = http.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = tokio::time::sleep(life) => return,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection to the portal ended");
    }
}

fn router(app: App) -> Router {
    Router::new()
        .route("/", get(page::home))
        .route("/style.css", get(page::style))
        .route("/login", get(sign_in::login))
        .route("/callback", get(sign_in::callback))
        .route("/logout", post(sign_in::logout))
        .route("/files", get(files::list))
        .route("/files/{role}/{*path}", get(files::download))
        .route("/links", post(links::make))
        .route("/links/{id}", delete(links::revoke))
        .route("/links/{id}/revoke", post(links::revoke))
        .route("/l/{token}", get(links::download))
        .route("/healthz", get(async || plain(StatusCode::OK, "ok\n")))
        .fallback(async || answer::not_found())
        .method_not_allowed_fallback(async || plain(StatusCode::METHOD_NOT_ALLOWED, "not this method\n"))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(app)
}

/// The value of a cookie.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers
        .get_all("cookie")
        .iter()
        .filter_map(|line| line.to_str().ok());
    let pairs = lines
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    pairs
        .filter(|(given, _)| *given == name)
        .map(|(_, value)| value)
        .next()
}

/// Runs what blocks on a file system elsewhere.
async fn blocking<T: Send + 'static>(
    app: &App,
    run: impl FnOnce(&Shared) -> Result<T, crate::shelf::ShelfError> + Send + 'static,
) -> Result<T, crate::shelf::ShelfError> {
    let shared = Arc::clone(&app.shared);
    let done = tokio::task::spawn_blocking(move || run(&shared)).await;
    done.unwrap_or_else(|error| Err(std::io::Error::other(error).into()))
}
