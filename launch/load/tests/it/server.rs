//! A server that keeps the contract of `/v1/play` with a trivial game: any listed move is legal, and
//! the game ends after a number of plies. Its switches break the contract in one way each.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use prost::Message as _;
use starvault_wire::v1::{self, client_frame::Command, game_event::Kind, server_frame::Event};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

pub struct Server {
    pub url: String,
    pub shared: Arc<Shared>,
    stop: CancellationToken,
}

pub struct Shared {
    /// Plies until a game ends.
    pub plies: u32,
    pub release: Mutex<String>,
    /// While false, what clients send is read and not answered until it is true again.
    answering: watch::Sender<bool>,
    /// So many upgrades are refused with 503.
    pub refuse_upgrades: AtomicU32,
    /// Every n-th move is answered with INTERNAL and not applied; 0: none.
    pub fail_every: AtomicU32,
    /// So many resumes forget the last acknowledged move of the player who resumes.
    pub forget_on_resume: AtomicU32,
    /// So many repeated commands are applied again.
    pub apply_again: AtomicU32,
    /// A game that was resumed takes no more moves and does not end.
    pub freeze_resumed: AtomicBool,
    pub frames: AtomicU64,
    pub asked_at: Mutex<Vec<String>>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    next: u64,
    players: HashMap<String, String>,
    queue: Option<String>,
    games: BTreeMap<String, Game>,
    playing: HashMap<String, String>,
    sockets: HashMap<String, (u64, mpsc::UnboundedSender<Out>)>,
    moves_seen: u32,
}

#[expect(clippy::large_enum_variant, reason = "nearly all are frames")]
enum Out {
    Frame(v1::ServerFrame),
    Close(u16),
}

#[derive(Clone, Default)]
pub struct Game {
    white: String,
    black: String,
    /// Sequence 1 is the start, at index 0.
    events: Vec<v1::GameEvent>,
    /// Command id to sequence.
    pub commands: HashMap<String, u32>,
    ended: bool,
    frozen: bool,
}

impl Server {
    pub async fn start(plies: u32) -> Self {
        let shared = Arc::new(Shared {
            plies,
            release: Mutex::new("v1".into()),
            answering: watch::Sender::new(true),
            refuse_upgrades: AtomicU32::new(0),
            fail_every: AtomicU32::new(0),
            forget_on_resume: AtomicU32::new(0),
            apply_again: AtomicU32::new(0),
            freeze_resumed: AtomicBool::new(false),
            frames: AtomicU64::new(0),
            asked_at: Mutex::default(),
            inner: Mutex::default(),
        });
        let app = axum::Router::new()
            .route("/v1/version", get(version))
            .route("/v1/guests", post(sign_in))
            .route("/v1/players/me", get(profile))
            .route("/v1/play", get(play))
            .with_state(shared.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        // An answer and the event that follows it are two small packets.
        let listener = listener.tap_io(|tcp| tcp.set_nodelay(true).unwrap());
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                served = axum::serve(listener, app) => served.unwrap(),
                () = stopped.cancelled() => {}
            }
        });
        Self { url, shared, stop }
    }

    pub fn answer(&self, answering: bool) {
        self.shared.answering.send_replace(answering);
    }

    /// All games move to another release: players are told so and sent there.
    pub fn relocate(&self, release: &str) {
        *self.shared.release.lock().unwrap() = release.into();
        let mut inner = self.shared.inner.lock().unwrap();
        let playing = inner.playing.clone();
        for (player, (_, out)) in inner.sockets.drain() {
            let game_id = playing.get(&player).cloned().unwrap_or_default();
            let relocated = v1::Relocated {
                game_id,
                release: release.into(),
            };
            let _ = out.send(Out::Frame(frame(0, Event::Relocated(relocated))));
            let _ = out.send(Out::Close(4001));
        }
    }

    pub fn games(&self) -> BTreeMap<String, Game> {
        self.shared.inner.lock().unwrap().games.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        self.shared.inner.lock().unwrap().sockets.clear();
    }
}

impl Game {
    /// Moves that were applied, in order: (sequence, UCI).
    pub fn moves(&self) -> Vec<(u32, String)> {
        let made = |e: &v1::GameEvent| match &e.kind {
            Some(Kind::MoveMade(m)) => Some((e.sequence, m.uci.clone())),
            _ => None,
        };
        self.events.iter().filter_map(made).collect()
    }

    fn sequence(&self) -> u32 {
        self.events.len() as u32
    }

    fn color(&self, player: &str) -> v1::Color {
        if self.white == player {
            v1::Color::White
        } else {
            v1::Color::Black
        }
    }

    fn to_move(&self) -> v1::Color {
        if self.moves().len().is_multiple_of(2) {
            v1::Color::White
        } else {
            v1::Color::Black
        }
    }

    fn view(&self, id: &str) -> v1::GameView {
        let seat = |player: &str| {
            Some(v1::Seat {
                player_id: player.into(),
                ..v1::Seat::default()
            })
        };
        let outcome = v1::Outcome {
            winner: 1,
            reason: v1::outcome::Reason::Checkmate.into(),
        };
        let ply = self.moves().len();
        v1::GameView {
            game_id: id.into(),
            sequence: self.sequence(),
            white: seat(&self.white),
            black: seat(&self.black),
            to_move: self.to_move().into(),
            legal_moves: if self.ended {
                Vec::new()
            } else {
                (0..20).map(|i| format!("m{ply}x{i}")).collect()
            },
            outcome: self.ended.then_some(outcome),
            ..v1::GameView::default()
        }
    }
}

fn frame(request_id: u32, event: Event) -> v1::ServerFrame {
    v1::ServerFrame {
        request_id,
        event: Some(event),
    }
}

fn release(shared: &Shared) -> [(&'static str, String); 1] {
    [("x-served-version", shared.release.lock().unwrap().clone())]
}

async fn version(State(shared): State<Arc<Shared>>) -> Response {
    let version = v1::Version {
        release: shared.release.lock().unwrap().clone(),
        ..v1::Version::default()
    };
    serde_json::to_string(&version).unwrap().into_response()
}

async fn sign_in(State(shared): State<Arc<Shared>>) -> Response {
    let mut inner = shared.inner.lock().unwrap();
    inner.next += 1;
    let player_id = format!("player-{}", inner.next);
    let token = format!("token{}", inner.next);
    inner.players.insert(token.clone(), player_id.clone());
    let profile = Some(v1::Profile {
        player_id,
        ..v1::Profile::default()
    });
    let body = v1::SignInAsGuestResponse {
        token,
        profile,
        ..v1::SignInAsGuestResponse::default()
    };
    (release(&shared), serde_json::to_string(&body).unwrap()).into_response()
}

async fn profile(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let token = headers["authorization"]
        .to_str()
        .unwrap()
        .trim_start_matches("Bearer ")
        .to_owned();
    let inner = shared.inner.lock().unwrap();
    let Some(player_id) = inner.players.get(&token).cloned() else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let profile = v1::Profile {
        player_id,
        ..v1::Profile::default()
    };
    (release(&shared), serde_json::to_string(&profile).unwrap()).into_response()
}

async fn play(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if let Some(at) = query.get("at") {
        shared.asked_at.lock().unwrap().push(at.clone());
    }
    let take = |n: u32| n.checked_sub(1);
    if shared.refuse_upgrades.try_update(SeqCst, SeqCst, take).is_ok() {
        return (StatusCode::SERVICE_UNAVAILABLE, release(&shared)).into_response();
    }
    let offered = headers["sec-websocket-protocol"].to_str().unwrap();
    let token = offered
        .split(", ")
        .find_map(|p| p.strip_prefix("bearer."))
        .unwrap()
        .to_owned();
    let player = shared.inner.lock().unwrap().players.get(&token).cloned();
    let Some(player) = player else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    upgrade
        .protocols(["starvault.v1.proto"])
        .on_upgrade(move |socket| converse(shared, player, socket))
}

async fn converse(shared: Arc<Shared>, player: String, mut socket: WebSocket) {
    let (out, mut outbox) = mpsc::unbounded_channel();
    let connection = {
        let mut inner = shared.inner.lock().unwrap();
        inner.next += 1;
        let connection = inner.next;
        let active = inner.playing.get(&player).cloned().unwrap_or_default();
        let welcome = v1::Welcome {
            player_id: player.clone(),
            release: shared.release.lock().unwrap().clone(),
            active_game_id: active,
            ..v1::Welcome::default()
        };
        let _ = out.send(Out::Frame(frame(0, Event::Welcome(welcome))));
        inner.sockets.insert(player.clone(), (connection, out.clone()));
        connection
    };
    drop(out);
    let mut answering = shared.answering.subscribe();
    loop {
        tokio::select! {
            message = socket.recv() => {
                let Some(Ok(Message::Binary(bytes))) = message else { break };
                shared.frames.fetch_add(1, SeqCst);
                if answering.wait_for(|a| *a).await.is_err() { break }
                let received = v1::ClientFrame::decode(bytes).unwrap();
                shared.handle(&player, received);
            }
            out = outbox.recv() => {
                let sent = match out {
                    Some(Out::Frame(frame)) => socket.send(Message::Binary(frame.encode_to_vec().into())).await,
                    Some(Out::Close(code)) => {
                        let close = CloseFrame { code, reason: "".into() };
                        let _ = socket.send(Message::Close(Some(close))).await;
                        break;
                    }
                    None => break,
                };
                if sent.is_err() { break }
            }
        }
    }
    let mut inner = shared.inner.lock().unwrap();
    // A late end of an old connection must not remove the new one.
    if inner
        .sockets
        .get(&player)
        .is_some_and(|(of, _)| *of == connection)
    {
        inner.sockets.remove(&player);
        if inner.queue.as_ref() == Some(&player) {
            inner.queue = None;
        }
    }
}

impl Shared {
    fn handle(&self, player: &str, received: v1::ClientFrame) {
        let id = received.request_id;
        let mut inner = self.inner.lock().unwrap();
        let inner = &mut *inner;
        match received.command.unwrap() {
            Command::JoinLobby(_) => inner.join(player, id),
            Command::LeaveLobby(_) => {
                inner.queue = inner.queue.take().filter(|waiting| waiting != player);
                inner.tell(player, id, Event::LeftLobby(v1::LeftLobby {}));
            }
            Command::Resume(resume) => self.resume(inner, player, id, &resume),
            Command::PlayMove(play) => self.play_move(inner, player, id, &play),
            Command::Resign(resign) => {
                let sequence = inner.games[&resign.game_id].sequence() + 1;
                let v1::Resign { game_id, command_id } = resign;
                inner
                    .games
                    .get_mut(&game_id)
                    .unwrap()
                    .commands
                    .insert(command_id.clone(), sequence);
                let ack = v1::Ack {
                    game_id: game_id.clone(),
                    command_id,
                    sequence,
                    repeated: false,
                };
                inner.tell(player, id, Event::Ack(ack));
                inner.end(&game_id);
            }
            other => panic!("a player never sends {other:?}"),
        }
    }

    fn resume(&self, inner: &mut Inner, player: &str, id: u32, resume: &v1::Resume) {
        let Some(game) = inner.games.get_mut(&resume.game_id) else {
            return inner.error(player, id, v1::error::Code::NotInGame);
        };
        let mine = game.color(player);
        let last_is_mine = game.moves().last().is_some_and(|(at, _)| *at == game.sequence())
            && game.to_move() != mine
            && game.commands.values().any(|at| *at == game.sequence());
        // Only what the client says it has seen was surely acknowledged to it.
        let seen = resume.last_sequence == game.sequence();
        if last_is_mine
            && seen
            && self
                .forget_on_resume
                .try_update(SeqCst, SeqCst, |n| n.checked_sub(1))
                .is_ok()
        {
            let gone = game.sequence();
            game.events.pop();
            game.commands.retain(|_, at| *at != gone);
        }
        game.frozen |= self.freeze_resumed.load(SeqCst);
        let resumed = v1::Resumed {
            you_play: mine.into(),
            game: Some(game.view(&resume.game_id)),
            missed: game
                .events
                .iter()
                .skip(resume.last_sequence as usize)
                .cloned()
                .collect(),
        };
        inner.tell(player, id, Event::Resumed(resumed));
    }

    fn play_move(&self, inner: &mut Inner, player: &str, id: u32, play: &v1::PlayMove) {
        inner.moves_seen += 1;
        let fail_every = self.fail_every.load(SeqCst);
        if fail_every > 0 && inner.moves_seen.is_multiple_of(fail_every) {
            return inner.error(player, id, v1::error::Code::Internal);
        }
        let game = inner.games.get_mut(&play.game_id).unwrap();
        if game.frozen {
            return;
        }
        let ack = |sequence, repeated| {
            let (game_id, command_id) = (play.game_id.clone(), play.command_id.clone());
            Event::Ack(v1::Ack {
                game_id,
                command_id,
                sequence,
                repeated,
            })
        };
        if let Some(before) = game.commands.get(&play.command_id).copied() {
            let again = !game.ended
                && self
                    .apply_again
                    .try_update(SeqCst, SeqCst, |n| n.checked_sub(1))
                    .is_ok();
            if !again {
                return inner.tell(player, id, ack(before, true));
            }
        } else if game.ended {
            return inner.error(player, id, v1::error::Code::GameOver);
        } else if play.expected_sequence != game.sequence() {
            return inner.error(player, id, v1::error::Code::SequenceGap);
        }
        let by = game.color(player);
        let sequence = game.sequence() + 1;
        game.commands.insert(play.command_id.clone(), sequence);
        let made = v1::MoveMade {
            by: by.into(),
            uci: play.uci.clone(),
            ..v1::MoveMade::default()
        };
        inner.tell(player, id, ack(sequence, false));
        inner.push(&play.game_id, Kind::MoveMade(made));
        if inner.games[&play.game_id].moves().len() as u32 >= self.plies {
            inner.end(&play.game_id);
        }
    }
}

impl Inner {
    fn tell(&mut self, player: &str, request_id: u32, event: Event) {
        if let Some((_, out)) = self.sockets.get(player) {
            let _ = out.send(Out::Frame(frame(request_id, event)));
        }
    }

    fn error(&mut self, player: &str, request_id: u32, code: v1::error::Code) {
        let error = v1::Error {
            code: code.into(),
            ..v1::Error::default()
        };
        self.tell(player, request_id, Event::Error(error));
    }

    fn join(&mut self, player: &str, id: u32) {
        if self.playing.contains_key(player) {
            return self.error(player, id, v1::error::Code::AlreadyPlaying);
        }
        let Some(other) = self.queue.take().filter(|waiting| waiting != player) else {
            self.queue = Some(player.into());
            return self.tell(player, id, Event::Queued(v1::Queued::default()));
        };
        self.next += 1;
        let game_id = format!("game-{}", self.next);
        let game = Game {
            white: other.clone(),
            black: player.into(),
            ..Game::default()
        };
        self.games.insert(game_id.clone(), game);
        for p in [&other, player] {
            self.playing.insert(p.into(), game_id.clone());
        }
        self.push(&game_id, Kind::Started(v1::GameStarted {}));
        for (p, request) in [(other.as_str(), 0), (player, id)] {
            let game = &self.games[&game_id];
            let matched = v1::Matched {
                you_play: game.color(p).into(),
                game: Some(game.view(&game_id)),
            };
            self.tell(p, request, Event::Matched(matched));
        }
    }

    fn push(&mut self, game_id: &str, kind: Kind) {
        let game = self.games.get_mut(game_id).unwrap();
        let sequence = game.sequence() + 1;
        let started = matches!(kind, Kind::Started(_));
        let event = v1::GameEvent {
            game_id: game_id.into(),
            sequence,
            kind: Some(kind),
            ..v1::GameEvent::default()
        };
        game.events.push(event.clone());
        let event = v1::GameEvent {
            game: Some(game.view(game_id)),
            ..event
        };
        let players = [game.white.clone(), game.black.clone()];
        // The start is told by `Matched`.
        for player in players.iter().filter(|_| !started) {
            self.tell(player, 0, Event::GameEvent(event.clone()));
        }
    }

    fn end(&mut self, game_id: &str) {
        let game = self.games.get_mut(game_id).unwrap();
        game.ended = true;
        let outcome = v1::Outcome {
            winner: 1,
            reason: v1::outcome::Reason::Checkmate.into(),
        };
        let players: HashSet<String> = [game.white.clone(), game.black.clone()].into();
        self.push(
            game_id,
            Kind::Ended(v1::GameEnded {
                outcome: Some(outcome),
            }),
        );
        self.playing.retain(|player, _| !players.contains(player));
    }
}
