//! One server: built from its configuration, run until it is told to stop.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use axum::Router;
use starvault_store::{Owner, Store};
use starvault_wire::v1::{
    player_service_server::PlayerServiceServer, system_service_server::SystemServiceServer,
};
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{
    address::Addresses,
    admin,
    app::App,
    build_info,
    config::Config,
    error::StartError,
    flags::Switches,
    game_copies::GameCopies,
    grpc::Grpc,
    http,
    identity::Gatekeeper,
    inject::Injector,
    keys,
    lobby::{Lobby, LobbyMetrics, Options},
    metrics::GameMetrics,
    net,
    nodes::Nodes,
    room::RoomContext,
    rooms::Rooms,
    snapshots,
    tokens::Tokens,
};

/// For games to finish the write that they are in.
const LAST_WRITES: Duration = Duration::from_secs(10);

/// What games tell the lobby before it listens: players on the way back, rematches.
const TOLD_MAX: usize = 1024;

/// A server that is ready to run: its store is open and its port is taken.
#[derive(Debug)]
pub struct Server {
    app: Arc<App>,
    router: Router,
    health: HealthReporter,
    listener: TcpListener,
    admin: Option<TcpListener>,
    games: JoinSet<()>,
    stop_games: CancellationToken,
}

impl Server {
    /// Opens the store and the key. Games are not taken: another process may be playing them.
    ///
    /// # Errors
    /// Says what is missing and what to do.
    pub async fn build(config: Config, listener: TcpListener) -> Result<Self, StartError> {
        let key = config.signing_key.clone();
        let opening = tokio::task::spawn_blocking(move || {
            let key = keys::load_or_create(&key, rand::random)?;
            Ok::<_, StartError>((Tokens::new(&key)?, build_info::executable_sha256()?))
        });
        let (tokens, executable_sha256) = opening.await.map_err(|_| StartError::Interrupted)??;
        let instance = uuid::Uuid::new_v4().simple().to_string();
        let (switches, follow_flags) = Switches::open(&config).await?;
        let switches = Arc::new(switches);
        let journal = Store::open(&config.store, &instance).await?;
        let stop_games = CancellationToken::new();
        let mut games = JoinSet::new();
        let stop_flags = stop_games.clone();
        games.spawn(async move {
            stop_flags.run_until_cancelled_owned(follow_flags).await;
        });
        let gatekeeper =
            Gatekeeper::new(tokens, &config.credentials, &config.time, &mut games, &stop_games).await?;
        let copies = config
            .snapshots
            .as_ref()
            .map(|stores| GameCopies::start(stores, &journal, &config.time, &mut games, &stop_games));
        let injector = Injector::new(config.injection);
        let (to_lobby, from_rooms) = mpsc::channel(TOLD_MAX);
        let metrics = Arc::new(GameMetrics::default());
        let context = RoomContext {
            journal: journal.clone(),
            owner: Owner {
                release: config.release.to_string(),
                instance,
            },
            time: config.time.clone(),
            limits: config.limits.clone(),
            injector: injector.clone(),
            lobby: to_lobby,
            metrics: metrics.clone(),
            copies: copies.clone(),
        };
        let joined = Nodes::join(&config, &context.owner.instance, stop_games.clone()).await?;
        let nodes = joined.as_ref().map(|(nodes, _)| nodes.clone());
        // Among several nodes, what games say goes to whoever leads.
        let (pass_on, from_rooms, told) = match &nodes {
            Some(_) => {
                let (pass_on, passed_on) = mpsc::channel(TOLD_MAX);
                (Some(pass_on), passed_on, Some(from_rooms))
            }
            None => (None, from_rooms, None),
        };
        let (rooms, rooms_task) = Rooms::new(context.clone(), stop_games.clone());
        games.spawn(rooms_task);
        let draining = CancellationToken::new();
        let options = Options {
            regions: config.regions.clone(),
            clock: config.clock,
            settings: config.matching.validate()?,
            seed: config.seed.unwrap_or_else(rand::random),
            switches: switches.clone(),
        };
        let (lobby, lobby_task) = Lobby::new(
            context,
            (rooms.clone(), nodes.clone()),
            options,
            from_rooms,
            draining.clone(),
            stop_games.clone(),
        );
        games.spawn(lobby_task);
        let snapshots = snapshots::start(config.snapshots.as_ref(), &journal, &mut games, &stop_games);
        let addresses = Addresses::new(
            &config.limits,
            config.trusted_proxies.clone(),
            tokio::time::Instant::now(),
        );
        let app = Arc::new(App {
            addresses,
            injector,
            config,
            journal,
            gatekeeper,
            lobby,
            rooms,
            nodes,
            switches,
            metrics,
            copies,
            snapshots,
            draining,
            sessions: TaskTracker::new(),
            executable_sha256,
            session_ids: AtomicU64::new(1),
        });
        if let (Some((nodes, parts)), Some(told), Some(pass_on)) = (joined, told, pass_on) {
            nodes.start(&app, parts, told, pass_on, &mut games);
        }
        let (router, health) = http::router(app.clone()).await?;
        Ok(Self {
            app,
            router,
            health,
            listener,
            admin: None,
            games,
            stop_games,
        })
    }

    /// Serves the figures of this process as well, at a listener of their own.
    #[must_use]
    pub fn with_admin(mut self, listener: TcpListener) -> Self {
        self.admin = Some(listener);
        self
    }

    /// What the lobby does, while the server runs.
    #[must_use]
    pub fn lobby_metrics(&self) -> Arc<LobbyMetrics> {
        self.app.lobby.metrics().clone()
    }

    /// The feature flags in force, while the server runs.
    #[must_use]
    pub fn flags(&self) -> tminus_flags::Flags {
        self.app.switches.flags()
    }

    /// What the games do, while the server runs.
    #[must_use]
    pub fn game_metrics(&self) -> Arc<GameMetrics> {
        self.app.metrics.clone()
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The operating system does not know.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown`, then goes down in order: health says so, sockets are closed, games
    /// finish their writes, the port and the store are closed.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self {
            app,
            router,
            health,
            listener,
            admin,
            mut games,
            stop_games,
        } = self;
        let stop_serving = CancellationToken::new();
        let serving = tokio::spawn(net::serve(
            listener,
            router,
            app.config.limits.clone(),
            app.addresses.clone(),
            stop_serving.clone(),
        ));
        let admin =
            admin.map(|listener| tokio::spawn(admin::serve(listener, app.clone(), stop_serving.clone())));
        shutdown.cancelled().await;
        tracing::info!("going down");
        // First: who is woken by the other looks at this.
        app.sessions.close();
        app.draining.cancel();
        if let Some(nodes) = &app.nodes {
            nodes.leave().await;
        }
        health.set_service_status("", ServingStatus::NotServing).await;
        health.set_not_serving::<PlayerServiceServer<Grpc>>().await;
        health.set_not_serving::<SystemServiceServer<Grpc>>().await;
        if tokio::time::timeout(app.config.limits.drain_timeout, app.sessions.wait())
            .await
            .is_err()
        {
            tracing::warn!("sockets that did not close in time are dropped");
        }
        stop_games.cancel();
        let finish = async { while games.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_WRITES, finish).await.is_err() {
            tracing::error!("games did not finish their writes in time; players will find out by resuming");
        }
        stop_serving.cancel();
        let _ = serving.await;
        if let Some(admin) = admin {
            let _ = admin.await;
        }
        app.journal.close().await;
        tracing::info!("down");
    }
}

#[cfg(test)]
mod tests {
    use ::http::{Request, StatusCode};
    use axum::body::Body;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn a_server_that_goes_down_says_so_and_takes_no_new_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let release = "v1.2".parse().unwrap();
        let config = Config::new(path("store.sqlite"), release, path("key.pem"));
        let listener = net::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let server = Server::build(config, listener).await.unwrap();
        let health = async || {
            let request = Request::get("/healthz").body(Body::empty()).unwrap();
            server.router.clone().oneshot(request).await.unwrap().status()
        };
        assert_eq!(health().await, StatusCode::OK);
        server.app.draining.cancel();
        assert_eq!(health().await, StatusCode::SERVICE_UNAVAILABLE);
        server.app.journal.close().await;
    }
}
