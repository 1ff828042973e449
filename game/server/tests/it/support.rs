//! Starts and stops servers, signs players in and plays.

use std::{collections::BTreeMap, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use starvault_server::{Config, GameMetrics, LobbyMetrics, Server, bind};
use starvault_wire::{
    Codec, Payload,
    v1::{
        self, ClientFrame, GameView, JoinLobby, Matched, PlayMove, Resume, ServerFrame, Welcome,
        client_frame::Command, error::Code, server_frame::Event,
    },
};
use tempfile::TempDir;
use tminus_flags::Flags;
use tokio::{
    net::{TcpSocket, TcpStream},
    runtime::Runtime,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tokio_websockets::{ClientBuilder, Message, WebSocketStream};

/// Far above anything that happens on a busy machine: only a missing event takes so long.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for something that must happen.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("this never happened: {what}"),
    }
}

/// What a server of its own runs on. Dropped, it stops wherever it is.
pub struct Threads(Option<Runtime>);

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// A server that runs.
pub struct Running {
    pub address: SocketAddr,
    pub shutdown: CancellationToken,
    pub lobby: Arc<LobbyMetrics>,
    pub games: Arc<GameMetrics>,
    pub flags: Flags,
    admin: SocketAddr,
    task: JoinHandle<()>,
}

impl Running {
    /// A server over the store in `folder`; several can share one.
    pub async fn start(folder: &TempDir, release: &str, adjust: impl FnOnce(&mut Config)) -> Self {
        Self::start_at(folder.path(), release, adjust).await
    }

    async fn start_at(path: &Path, release: &str, adjust: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new(
            store(path),
            release.parse().unwrap(),
            path.join("signing-key.pem"),
        );
        config.seed = Some(7);
        adjust(&mut config);
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let admin = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let admin_address = admin.local_addr().unwrap();
        let server = Server::build(config, listener).await.unwrap().with_admin(admin);
        let address = server.address().unwrap();
        let (shutdown, lobby) = (CancellationToken::new(), server.lobby_metrics());
        let (games, flags) = (server.game_metrics(), server.flags());
        let task = tokio::spawn(server.run(shutdown.clone()));
        Self {
            address,
            shutdown,
            lobby,
            games,
            flags,
            admin: admin_address,
            task,
        }
    }

    /// A server on threads of its own, which can be taken away from it at any moment.
    pub async fn start_apart(
        folder: &TempDir,
        release: &str,
        adjust: impl FnOnce(&mut Config) + Send + 'static,
    ) -> (Self, Threads) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (path, release) = (folder.path().to_owned(), release.to_owned());
        let starting = runtime.spawn(async move { Self::start_at(&path, &release, adjust).await });
        let threads = Threads(Some(runtime));
        (starting.await.unwrap(), threads)
    }

    /// As a killed process: nothing of it runs on, and nothing is closed in order.
    pub fn kill(self, threads: Threads) {
        drop(threads);
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        soon("the server ends", self.task).await.unwrap();
    }

    /// Waits until the lobby's figures say so; they tell nobody when they change.
    pub async fn lobby_says(&self, what: &str, holds: impl Fn(&LobbyMetrics) -> bool) {
        let looking = async {
            while !holds(&self.lobby) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        soon(what, looking).await;
    }

    /// What a collector reads: each figure by its name and labels.
    pub async fn figures(&self) -> BTreeMap<String, f64> {
        let answer = request(self.admin, Method::GET, "/metrics", &[], String::new()).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(
            answer.headers[header::CONTENT_TYPE],
            "text/plain; version=0.0.4; charset=utf-8"
        );
        figures(&answer.text())
    }

    /// The feature flags as the debug port shows them.
    pub async fn flags_shown(&self) -> serde_json::Value {
        let answer = request(self.admin, Method::GET, "/flags", &[], String::new()).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.headers[header::CONTENT_TYPE], "application/json");
        answer.json()
    }

    /// Signs a guest in over HTTP.
    pub async fn sign_in(&self, name: &str) -> SignedIn {
        let body = serde_json::json!({ "displayName": name }).to_string();
        let answer = request(self.address, Method::POST, "/v1/guests", &[], body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let response: v1::SignInAsGuestResponse = serde_json::from_slice(&answer.body).unwrap();
        SignedIn {
            token: response.token,
            player_id: response.profile.unwrap().player_id,
        }
    }

    pub async fn profile(&self, who: &SignedIn) -> v1::Profile {
        let answer = self
            .get("/v1/players/me", &[("authorization", &bearer(&who.token))])
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        serde_json::from_slice(&answer.body).unwrap()
    }

    pub async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        request(self.address, Method::GET, path, headers, String::new()).await
    }

    pub async fn connect(&self, who: &SignedIn, codec: Codec) -> Player {
        Player::connect(self.address, who, codec, None).await
    }

    /// Two players in a game, White first; White speaks JSON and Black Protocol Buffers.
    pub async fn two_in_a_game(&self) -> Table {
        let (ada, bo) = (self.sign_in("Ada").await, self.sign_in("Bo").await);
        let mut one = self.connect(&ada, Codec::Json).await;
        let mut two = self.connect(&bo, Codec::Proto).await;
        one.ask(Command::JoinLobby(JoinLobby {
            region: String::new(),
        }))
        .await;
        two.ask(Command::JoinLobby(JoinLobby {
            region: String::new(),
        }))
        .await;
        let (seat_one, seat_two) = (one.matched().await, two.matched().await);
        one.arrives().await;
        two.arrives().await;
        assert_eq!(
            seat_one.game.as_ref().unwrap().game_id,
            seat_two.game.as_ref().unwrap().game_id
        );
        let game_id = seat_one.game.unwrap().game_id;
        if seat_one.you_play == i32::from(v1::Color::White) {
            Table {
                game_id,
                white: one,
                black: two,
                white_in: ada,
                black_in: bo,
            }
        } else {
            Table {
                game_id,
                white: two,
                black: one,
                white_in: bo,
                black_in: ada,
            }
        }
    }
}

pub struct Table {
    pub game_id: String,
    pub white: Player,
    pub black: Player,
    pub white_in: SignedIn,
    pub black_in: SignedIn,
}

impl Table {
    /// Plays one move after `sequence` and sees it arrive at both sides.
    pub async fn play(&mut self, sequence: u32, uci: &str) -> GameView {
        let white_moves = sequence % 2 == 1;
        let command = self.a_move(sequence, uci);
        let (mover, other) = if white_moves {
            (&mut self.white, &mut self.black)
        } else {
            (&mut self.black, &mut self.white)
        };
        match mover.ask(command).await {
            Event::Ack(ack) => {
                assert!(ack.sequence > sequence);
                assert!(!ack.repeated);
            }
            refused => panic!("{uci} was refused: {refused:?}"),
        }
        let seen = mover.game_event(sequence + 1).await;
        let also_seen = other.game_event(sequence + 1).await;
        assert_eq!(seen.kind, also_seen.kind);
        seen.game.unwrap()
    }

    pub fn a_move(&self, sequence: u32, uci: &str) -> Command {
        Command::PlayMove(PlayMove {
            game_id: self.game_id.clone(),
            command_id: format!("{uci}-{sequence}"),
            expected_sequence: sequence,
            uci: uci.into(),
        })
    }

    pub fn resume(&self, last_sequence: u32) -> Command {
        Command::Resume(Resume {
            game_id: self.game_id.clone(),
            last_sequence,
        })
    }
}

#[derive(Debug, Clone)]
pub struct SignedIn {
    pub token: String,
    pub player_id: String,
}

/// A player's connection.
pub struct Player {
    pub socket: WebSocketStream<TcpStream>,
    pub welcome: Welcome,
    /// How often this player was told that the opponent has gone.
    pub absences: u32,
    pub codec: Codec,
    requests: u32,
}

impl Player {
    /// `receive_buffer`: what the operating system takes for this client before it reads (bytes).
    pub async fn connect(
        address: SocketAddr,
        who: &SignedIn,
        codec: Codec,
        receive_buffer: Option<u32>,
    ) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes).unwrap();
        }
        let stream = socket.connect(address).await.unwrap();
        let protocols = format!("{}, bearer.{}", codec.subprotocol(), who.token);
        let (socket, response) = ClientBuilder::from_uri(format!("ws://{address}/v1/play").parse().unwrap())
            .add_header(
                header::SEC_WEBSOCKET_PROTOCOL,
                HeaderValue::from_str(&protocols).unwrap(),
            )
            .unwrap()
            .connect_on(stream)
            .await
            .unwrap();
        assert_eq!(
            response.headers()[header::SEC_WEBSOCKET_PROTOCOL],
            codec.subprotocol()
        );
        assert!(response.headers().contains_key("x-release"));
        let mut player = Self {
            socket,
            welcome: Welcome::default(),
            absences: 0,
            codec,
            requests: 0,
        };
        let Some(Event::Welcome(welcome)) = player.next().await.event else {
            panic!("a welcome comes first")
        };
        assert_eq!(welcome.player_id, who.player_id);
        player.welcome = welcome;
        player
    }

    pub async fn send(&mut self, command: Command) -> u32 {
        self.try_send(command).await.unwrap();
        self.requests
    }

    /// Sends a command over a connection that may be gone.
    pub async fn try_send(&mut self, command: Command) -> Result<(), tokio_websockets::Error> {
        self.requests += 1;
        let frame = ClientFrame {
            request_id: self.requests,
            command: Some(command),
        };
        let message = match self.codec.encode(&frame).unwrap() {
            Payload::Text(text) => Message::text(text),
            Payload::Binary(bytes) => Message::binary(bytes),
        };
        soon("a message is sent", self.socket.send(message)).await
    }

    /// The next frame of a connection that may be gone: then `None`.
    pub async fn try_next(&mut self) -> Option<ServerFrame> {
        loop {
            let message = self.socket.next().await?.ok()?;
            if message.is_close() {
                return None;
            }
            if let Some(text) = message.as_text() {
                return Some(self.codec.decode_text(text).unwrap());
            }
            if message.is_binary() {
                return Some(self.codec.decode_binary(message.as_payload()).unwrap());
            }
        }
    }

    pub async fn send_raw(&mut self, message: Message) {
        soon("a message is sent", self.socket.send(message))
            .await
            .unwrap();
    }

    /// The next frame.
    pub async fn next(&mut self) -> ServerFrame {
        loop {
            let message = soon("a frame comes", self.socket.next()).await;
            let message = message.expect("the socket is open").expect("the socket works");
            if let Some(close) = message.as_close() {
                panic!("the server closed the socket: {close:?}");
            }
            let frame: ServerFrame = if let Some(text) = message.as_text() {
                self.codec.decode_text(text).unwrap()
            } else if message.is_binary() {
                self.codec.decode_binary(message.as_payload()).unwrap()
            } else {
                continue;
            };
            if let Some(Event::OpponentPresence(presence)) = &frame.event {
                self.absences += u32::from(!presence.connected);
            }
            return frame;
        }
    }

    /// Frames until one of them is what `pick` looks for.
    pub async fn until<T>(&mut self, mut pick: impl FnMut(ServerFrame) -> Option<T>) -> T {
        let looking = async {
            loop {
                if let Some(found) = pick(self.next().await) {
                    return found;
                }
            }
        };
        soon("the frame that is awaited comes", looking).await
    }

    /// Sends a command and waits for its answer.
    pub async fn ask(&mut self, command: Command) -> Event {
        let request = self.send(command).await;
        self.until(|frame| (frame.request_id == request).then_some(frame.event).flatten())
            .await
    }

    /// Sends a command that must be refused.
    pub async fn refused(&mut self, command: Command) -> Code {
        match self.ask(command).await {
            Event::Error(error) => error.code(),
            answered => panic!("this should be refused: {answered:?}"),
        }
    }

    /// The next error that answers nothing that could be told apart.
    pub async fn error(&mut self) -> Code {
        self.until(|frame| match frame.event {
            Some(Event::Error(error)) => Some(error.code()),
            _ => None,
        })
        .await
    }

    pub async fn matched(&mut self) -> Matched {
        self.until(|frame| match frame.event {
            Some(Event::Matched(matched)) => Some(matched),
            _ => None,
        })
        .await
    }

    /// Reads on behind `Matched`, so that the server's ping there is answered.
    pub async fn arrives(&mut self) {
        for _ in 0..2 {
            assert!(matches!(
                self.ask(Command::Ping(v1::Ping {})).await,
                Event::Pong(_)
            ));
        }
    }

    pub async fn game_event(&mut self, sequence: u32) -> v1::GameEvent {
        self.until(|frame| match frame.event {
            Some(Event::GameEvent(event)) if event.sequence == sequence => Some(event),
            _ => None,
        })
        .await
    }

    pub async fn presence(&mut self, connected: bool) -> v1::OpponentPresence {
        self.until(|frame| match frame.event {
            Some(Event::OpponentPresence(presence)) if presence.connected == connected => Some(presence),
            _ => None,
        })
        .await
    }

    pub async fn resume(&mut self, game_id: &str, last_sequence: u32) -> v1::Resumed {
        let command = Command::Resume(Resume {
            game_id: game_id.into(),
            last_sequence,
        });
        match self.ask(command).await {
            Event::Resumed(resumed) => resumed,
            refused => panic!("the resume was refused: {refused:?}"),
        }
    }

    /// Resumes, again and again while the game cannot be had: as a client does whose node is gone.
    pub async fn resume_in_time(&mut self, game_id: &str, last_sequence: u32) -> v1::Resumed {
        let resuming = async {
            loop {
                let command = Command::Resume(Resume {
                    game_id: game_id.into(),
                    last_sequence,
                });
                match self.ask(command).await {
                    Event::Resumed(resumed) => return resumed,
                    // As a client does: a moment later, since commands have a rate.
                    Event::Error(error) if error.code() == Code::Unavailable => {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                    other => panic!("the resume was refused: {other:?}"),
                }
            }
        };
        soon("the game can be resumed", resuming).await
    }

    /// The code that the server closes with; what comes before it is passed over.
    pub async fn closed(&mut self) -> u16 {
        let closing = async {
            loop {
                let message = self.socket.next().await;
                let message = message
                    .expect("a close frame comes first")
                    .expect("a close frame comes first");
                if let Some((code, _)) = message.as_close() {
                    return code.into();
                }
            }
        };
        soon("the server closes the socket", closing).await
    }
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// One request over HTTP/1.1.
pub async fn request(
    address: SocketAddr,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: String,
) -> Answer {
    soon(
        "an HTTP answer",
        request_with(address, method, path, headers, body, false),
    )
    .await
}

pub async fn request_with(
    address: SocketAddr,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: String,
    http2: bool,
) -> Answer {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("http://{address}{path}"));
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        request = request.header(name, HeaderValue::from_str(value).unwrap());
    }
    let request = request.body(Full::new(Bytes::from(body))).unwrap();
    let client = Client::builder(TokioExecutor::new())
        .http2_only(http2)
        .build_http::<Full<Bytes>>();
    let (parts, body) = client.request(request).await.unwrap().into_parts();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: body.collect().await.unwrap().to_bytes(),
    }
}

/// Reads the text format, and checks that each figure belongs to a family that was described first.
fn figures(text: &str) -> BTreeMap<String, f64> {
    let (mut helped, mut typed) = (Vec::new(), Vec::new());
    let mut figures = BTreeMap::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap();
            assert!(!help.is_empty() && !helped.contains(&name), "{line}");
            helped.push(name);
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert!(helped.contains(&name) && !typed.contains(&name), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            typed.push(name);
        } else {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let family = name.split('{').next().unwrap();
            assert_eq!(typed.last(), Some(&family), "{line}");
            assert!(figures.insert(name.to_owned(), value.parse().unwrap()).is_none());
        }
    }
    assert_eq!(helped, typed);
    figures
}

pub fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

pub fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

pub fn store(folder: &Path) -> std::path::PathBuf {
    folder.join("starvault.sqlite")
}

/// Keeps every process from writing to the store until it is dropped; reading goes on.
#[must_use]
pub fn hold(folder: &TempDir) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open(store(folder.path())).unwrap();
    connection.busy_timeout(PATIENCE).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    connection
}

/// The store holds up to its own check.
pub fn assert_sound(folder: &TempDir) {
    let report = starvault_store::check(&store(folder.path()), None).unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
    assert!(report.games > 0 && report.events > 0);
}
