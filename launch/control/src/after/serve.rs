//! From a configuration to a running process: the form, the page of figures, triggers and couriers.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Extension};
use axum::http::HeaderMap;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tminus_after::feedback::{self, Feedback, FeedbackLinks, STORE_BYTES_MAX, Store};
use tminus_after::stamps::Places;
use tminus_after::tickets::{Chance, Clock, TicketSink};
use tminus_handoff::{Cut, accept};
use tminus_origin::TrustedProxies;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::admin::{self, Admin};
use super::board::{Board, Seen};
use super::carrier::Carrier;
use super::config::AfterConfig;
use super::sources::{self, Launch};
use super::triggers::Triggers;
use super::{Held, hold};
use crate::error::{CliError, Kind, Result, from_part, io_words};

const ANSWERS_FILE: &str = "answers.jsonl";
/// Phones at a time.
const PUBLIC_CONNECTIONS_MAX: usize = 512;
const ADMIN_CONNECTIONS_MAX: usize = 128;
/// A phone's connection; a page of figures stays open.
const PUBLIC_LIFE: Duration = Duration::from_secs(120);
const HEADERS: Duration = Duration::from_secs(10);
const HEADER_BYTES_MAX: usize = 32 * 1024;

/// Everything from outside: time, chance, and how often records and inbox are looked at.
#[derive(Clone)]
pub struct Outside {
    pub clock: Clock,
    pub chance: Chance,
    pub every: Duration,
}

impl std::fmt::Debug for Outside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outside")
            .field("every", &self.every)
            .finish_non_exhaustive()
    }
}

impl Default for Outside {
    /// The system's.
    fn default() -> Self {
        use crate::wall::{SystemWall, Wall as _};
        Self {
            clock: Arc::new(|| SystemWall.now_ms()),
            chance: Arc::new(rand::random),
            every: Duration::from_secs(1),
        }
    }
}

/// Where browsers come in.
#[derive(Debug)]
pub struct Listeners {
    pub public: TcpListener,
    pub admin: TcpListener,
}

impl Listeners {
    /// # Errors
    /// An address cannot be listened on.
    pub async fn bind(config: &AfterConfig) -> Result<Self> {
        let bind = async |name: &str, address: SocketAddr| {
            TcpListener::bind(address).await.map_err(|e| {
                CliError::new(
                    Kind::Environment,
                    format!("cannot listen on {address}: {}", io_words(&e)),
                )
                .hint(format!(
                    "give `{name}` another address in the configuration; port 0 takes a free one"
                ))
            })
        };
        Ok(Self {
            public: bind("listen", config.listen).await?,
            admin: bind("admin", config.admin).await?,
        })
    }
}

/// What a configuration names, found and read; nothing is held or changed yet.
pub struct Prepared {
    pub launch: Launch,
    links: FeedbackLinks,
    places: Option<Places>,
    sinks: Vec<(&'static str, Arc<dyn TicketSink>)>,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared")
            .field("launch", &self.launch)
            .finish_non_exhaustive()
    }
}

impl Prepared {
    /// # Errors
    /// No record, a key or credential that is not there or open to others, a GeoIP file that is none.
    pub fn read(config: &AfterConfig, clock: &Clock) -> Result<Self> {
        let launch = sources::launch(&config.record).map_err(|why| {
            CliError::new(
                Kind::Record,
                format!("the launch's record in {}: {why}", config.record.display()),
            )
            .hint("name the folder of a launch in `launch` (the --out of `tminus launch`), or its record in `record`")
        })?;
        let links = crate::feedback_link::links_left(&config.feedback_key)?;
        let places = config.geoip.as_deref().map(Places::open).transpose();
        let places = places.map_err(|e| from_part(Kind::Usage, "geoip", &e))?;
        let mut sinks = Vec::new();
        for sink in &config.sinks {
            sinks.push((sink.name(), sink.open(clock.clone())?));
        }
        Ok(Self {
            launch,
            links,
            places,
            sinks,
        })
    }
}

/// A process that serves.
#[derive(Debug)]
pub struct Serving {
    pub launch: String,
    pub public: SocketAddr,
    pub admin: SocketAddr,
    pub sinks: Vec<&'static str>,
    board: Board,
    feedback: Feedback,
    tasks: JoinSet<()>,
    stop: CancellationToken,
    _held: Held,
}

impl Serving {
    /// What is known, as it changes.
    pub fn watch(&self) -> watch::Receiver<Seen> {
        self.board.watch()
    }

    /// Waits until all has ended, which is after `stop`; or as soon as one part has failed.
    ///
    /// # Errors
    /// A part ended by itself.
    pub async fn finished(mut self) -> Result<()> {
        let stop = self.stop.clone();
        let mut failed = None;
        // Streams of figures end only when they are told to.
        let feedback = self.feedback.clone();
        let closing = async move {
            stop.cancelled().await;
            feedback.close();
        };
        let closing = tokio::spawn(closing);
        while let Some(ended) = self.tasks.join_next().await {
            if !self.stop.is_cancelled() {
                failed = Some(ended.err().map_or_else(String::new, |e| e.to_string()));
                self.stop.cancel();
            }
        }
        closing.abort();
        match failed {
            None => Ok(()),
            Some(why) => Err(CliError::new(
                Kind::Environment,
                format!("a part of this process has failed: {why}"),
            )
            .hint("start it again: what it has taken in is kept")),
        }
    }
}

/// Serves until `stop`.
///
/// # Errors
/// What [`Prepared::read`] says; another process holds the state folder; a state file cannot be used; the admin
/// listener can be reached from other machines against the configuration. Nothing is served then.
pub async fn serve(
    config: &AfterConfig,
    outside: Outside,
    listeners: Listeners,
    stop: CancellationToken,
) -> Result<Serving> {
    let address = |listener: &TcpListener| {
        listener
            .local_addr()
            .map_err(|e| CliError::new(Kind::Environment, format!("a listener: {}", io_words(&e))))
    };
    let (public, admin) = (address(&listeners.public)?, address(&listeners.admin)?);
    if !admin.ip().is_loopback() && !config.admin_allow_remote {
        return Err(CliError::usage(format!(
            "the page of figures would listen on {admin}, which other machines can reach; the configuration does not say admin_allow_remote: true"
        )));
    }
    let prepared = Prepared::read(config, &outside.clock)?;
    let held = hold(&config.state)?;
    let store = Store::open(&config.file(ANSWERS_FILE), STORE_BYTES_MAX)
        .map_err(|e| from_part(Kind::Environment, "the answers", &e))?;
    let board = Board::default();
    let triggers = Triggers::open(config, &prepared.launch, outside.clock.clone(), board.clone())?;
    let mut carriers = Vec::new();
    for (name, sink) in prepared.sinks {
        let (clock, chance) = (outside.clock.clone(), outside.chance.clone());
        carriers.push(Carrier::open(
            name,
            sink,
            &config.state,
            clock,
            chance,
            board.clone(),
        )?);
    }
    let sinks: Vec<&'static str> = config.sinks.iter().map(super::sinks::SinkConfig::name).collect();

    let proxies = TrustedProxies::from(config.trusted_proxies.clone());
    let client = move |headers: &HeaderMap, peer: Option<SocketAddr>| -> Option<IpAddr> {
        peer.map(|peer| proxies.client(peer.ip(), headers).to_canonical())
    };
    let client: Arc<feedback::Address> = Arc::new(client);
    let places = prepared.places.map(Arc::new);
    let feedback = Feedback::new(
        prepared.links,
        store,
        feedback::Outside {
            clock: outside.clock.clone(),
            token: Arc::new(rand::random),
            address: client.clone(),
        },
        feedback::Settings {
            secure: !config.plain_http,
            places: places.clone(),
            zone: config.zone.clone(),
            ..feedback::Settings::default()
        },
    );
    let page = admin::router(Admin {
        feedback: feedback.clone(),
        board: board.clone(),
        clock: outside.clock.clone(),
        address: client,
        places,
        zone: config.zone.clone(),
        launch: prepared.launch.id.clone(),
        sinks: sinks.clone(),
        only_local: admin.ip().is_loopback(),
    });

    let mut tasks = JoinSet::new();
    let every = outside.every;
    tasks.spawn(triggers.run(every, stop.clone()));
    for carrier in carriers {
        tasks.spawn(carrier.run(every, stop.clone()));
    }
    tasks.spawn(listen(
        "feedback form",
        listeners.public,
        PUBLIC_CONNECTIONS_MAX,
        Some(PUBLIC_LIFE),
        feedback.form_router(),
        stop.clone(),
    ));
    tasks.spawn(listen(
        "page of figures",
        listeners.admin,
        ADMIN_CONNECTIONS_MAX,
        None,
        page,
        stop.clone(),
    ));
    Ok(Serving {
        launch: prepared.launch.id,
        public,
        admin,
        sinks,
        board,
        feedback,
        tasks,
        stop,
        _held: held,
    })
}

async fn listen(
    what: &'static str,
    listener: TcpListener,
    connections_max: usize,
    life: Option<Duration>,
    router: Router,
    stop: CancellationToken,
) {
    accept(what, listener, connections_max, stop.clone(), |stream, peer| {
        connection(router.clone(), life, stream, peer, stop.clone())
    })
    .await;
}

async fn connection(
    router: Router,
    life: Option<Duration>,
    stream: Cut<TcpStream>,
    peer: SocketAddr,
    stop: CancellationToken,
) {
    let service = TowerToHyperService::new(router.layer(Extension(ConnectInfo(peer))));
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(HEADER_BYTES_MAX);
    let serving = http.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    let ends = async {
        match life {
            Some(life) => tokio::time::sleep(life).await,
            None => std::future::pending().await,
        }
    };
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = ends => return,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection has ended");
    }
}
