//! The WebSocket `/v1/play`: who may open one, and what becomes of each message. A connection is one
//! task: it hands what the [`Socket`] reads to [`commands`](crate::commands).

use std::sync::Arc;

use axum::{
    Extension,
    body::{Body, Bytes},
    extract::{State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::{
    rt::TokioIo,
    server::conn::auto::upgrade::{Parts, downcast},
};
use starvault_store::Profile;
use starvault_wire::{
    CLIENT_FRAME_BYTES_MAX, Codec, SUBPROTOCOL_BEARER_PREFIX,
    v1::{ClientFrame, Welcome, client_frame::Command, error::Code, server_frame::Event as Say},
};
use tminus_deadline::{Deadline, note_hop, within};
use tminus_origin::rate::TokenBucket;
use tokio::{net::TcpStream, time::Instant};
use tracing::{Instrument as _, Span};
use tungstenite::{Message, handshake::derive_accept_key};

use crate::{
    app::App,
    commands::{Player, name_of},
    error::AppError,
    net::ConnectionPermit,
    session::{Close, SessionHandle},
    socket::{End, Socket, Step},
};

/// What a player hears whose command was given up. Whether it was carried out shows when it is sent again.
const TOO_SLOW: &str = "the command was not finished in time; send it again";

/// Opens the socket of a player who shows a credential.
pub async fn play(
    State(app): State<Arc<App>>,
    permit: Option<Extension<ConnectionPermit>>,
    on_upgrade: Option<Extension<OnUpgrade>>,
    headers: HeaderMap,
    // Says what is wrong with a handshake; it is answered here, so that the socket itself can be had.
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match (upgrade, on_upgrade) {
        (Ok(_), Some(Extension(on_upgrade))) => Ok(on_upgrade),
        (Ok(_), None) => Err("this connection cannot be upgraded".to_owned()),
        (Err(rejection), _) => Err(rejection.to_string()),
    };
    match open(app, permit.map(|Extension(permit)| permit), &headers, upgrade).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn open(
    app: Arc<App>,
    permit: Option<ConnectionPermit>,
    headers: &HeaderMap,
    upgrade: Result<OnUpgrade, String>,
) -> Result<Response, AppError> {
    let upgrade =
        upgrade.map_err(|wrong| AppError::InvalidArgument(format!("open a WebSocket here: {wrong}")))?;
    let offered: Vec<&str> = headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .collect();
    let bearer = offered
        .iter()
        .find_map(|name| name.strip_prefix(SUBPROTOCOL_BEARER_PREFIX));
    let caller = app.gatekeeper.identify(headers, bearer).await?;
    if app.draining.is_cancelled() {
        return Err(AppError::Unavailable("this release is going down; connect again"));
    }
    let place = match &permit {
        // Any other peer was counted when it connected.
        Some(permit) if app.addresses.is_trusted(permit.peer) => {
            let client = app.addresses.client(permit.peer, headers);
            let place = app.addresses.connect(client);
            Some(place.ok_or(AppError::TooManyRequests(
                "too many connections from this address",
            ))?)
        }
        _ => None,
    };
    let profile = app.own_profile(&caller).await?;
    let selected = offered.iter().find_map(|name| Codec::from_subprotocol(name));
    let codec = selected.unwrap_or(Codec::Json);
    let accepted = accept(headers, selected)?;
    tokio::spawn(async move {
        // Held until the socket has ended: an upgraded connection counts as well.
        let _permit = (permit, place);
        let Ok(upgraded) = upgrade.await else { return };
        // Past all that HTTP needed: the socket itself.
        let Ok(Parts { io, read_buf, .. }) = downcast::<TokioIo<TcpStream>>(upgraded) else {
            tracing::error!("a WebSocket came over something that is no TCP connection");
            return;
        };
        let sessions = app.sessions.clone();
        sessions
            .track_future(converse(app, io.into_inner(), read_buf, profile, codec))
            .await;
    });
    Ok(accepted)
}

/// RFC 6455, section 4.2.2.
fn accept(headers: &HeaderMap, codec: Option<Codec>) -> Result<Response, AppError> {
    let key = headers
        .get(header::SEC_WEBSOCKET_KEY)
        .ok_or_else(|| AppError::InvalidArgument("open a WebSocket here: it has no key".into()))?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answer = HeaderValue::try_from(derive_accept_key(key.as_bytes())).map_err(|_| AppError::Internal)?;
    let head = response.headers_mut();
    head.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    head.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    head.insert(header::SEC_WEBSOCKET_ACCEPT, answer);
    if let Some(codec) = codec {
        let protocol = HeaderValue::from_static(codec.subprotocol());
        head.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    Ok(response)
}

async fn converse(app: Arc<App>, stream: TcpStream, ahead: Bytes, profile: Profile, codec: Codec) {
    let (session, outlet) = SessionHandle::new(
        app.next_session_id(),
        profile.player_id.clone(),
        app.config.limits.outbox_frames_max,
    );
    tracing::debug!(player = %session.player_id, session = session.id.0, "a player connected");
    let player = Player::new(app.clone(), session.clone());
    let socket = Socket::new(app.clone(), stream, ahead, codec, (session.clone(), outlet)).await;
    let active_game = profile.active_game_id.clone();
    session.send(0, Say::Welcome(welcome(&app, profile)));
    Box::pin(player.enter()).await;
    Box::pin(player.connected(active_game)).await;
    let mut conversation = Conversation::new(app.clone(), socket, player, codec);
    let end = conversation.run().await;
    // Whoever hosts this session at another node knows, before the handshake is over.
    conversation.player.registered = None;
    app.lobby.gone(session.clone()).await;
    conversation.socket.close(end).await;
    tracing::debug!(player = %session.player_id, session = session.id.0, ?end, "a player's connection ended");
}

/// A command that is waited for. Each begins a trace: a socket lives for hours.
fn command_span(session: &SessionHandle, command: &Command) -> Span {
    let name = name_of(command);
    tracing::debug_span!(
        target: "trace",
        "command",
        otel.kind = "server",
        otel.name = name,
        action.name = name,
        player.id = %session.player_id,
    )
}

fn welcome(app: &App, profile: Profile) -> Welcome {
    Welcome {
        player_id: profile.player_id.to_string(),
        display_name: profile.display_name,
        rating: profile.progress.rating,
        release: app.config.release.to_string(),
        server_time_ms: app.config.time.now_ms(),
        active_game_id: profile
            .active_game_id
            .map(|id| id.to_string())
            .unwrap_or_default(),
        regions: app
            .config
            .regions
            .as_slice()
            .iter()
            .map(ToString::to_string)
            .collect(),
    }
}

/// A connected player and what is allowed to one.
struct Conversation {
    app: Arc<App>,
    socket: Socket,
    player: Player,
    codec: Codec,
    commands: TokenBucket,
    controls: TokenBucket,
    /// Grows with each refusal and shrinks with each frame that was in time: not to be emptied by
    /// the few that a flood gets through.
    refusals: u32,
}

impl Conversation {
    fn new(app: Arc<App>, socket: Socket, player: Player, codec: Codec) -> Self {
        let limits = &app.config.limits;
        let commands = TokenBucket::new(limits.commands_per_second, limits.commands_burst, Instant::now());
        Self {
            controls: commands.clone(),
            commands,
            refusals: 0,
            app,
            socket,
            player,
            codec,
        }
    }

    /// Until the socket ends; answers why.
    async fn run(&mut self) -> End {
        loop {
            let message = match self.socket.next().await {
                Step::Message(message) => message,
                Step::End(end) => return end,
            };
            if let Message::Close(_) = message {
                return End::Lost;
            }
            if let Some((request_id, command)) = self.on_message(message) {
                let (session, now) = (self.player.session.clone(), self.socket.now());
                let limit = self.app.config.limits.command_timeout;
                let deadline = Deadline::after(now.into_std(), limit);
                let span = command_span(&session, &command);
                span.in_scope(|| note_hop("starvault", deadline, now));
                // On the heap while it runs: a connection that waits does not carry it about.
                let work = within(deadline, self.player.on_command(request_id, command));
                let work = Box::pin(work.instrument(span.clone()));
                let command = async {
                    if work.await.is_err() {
                        let _within = span.entered();
                        tracing::debug!(target: "deadline", hop = "starvault", deadline.remaining_ms = 0_i64, "a deadline has passed");
                        session.refuse(request_id, Code::Unavailable, TOO_SLOW);
                    }
                };
                if let Some(end) = self.socket.during(command).await {
                    return end;
                }
            }
            if self.refusals > self.app.config.limits.refusals_max {
                return End::Tell(Close::TOO_MANY_COMMANDS);
            }
        }
    }

    /// Answers the command that has to be waited for, if it is one.
    fn on_message(&mut self, message: Message) -> Option<(u32, Command)> {
        let now = self.socket.now();
        let session = &self.player.session;
        let decoded = match message {
            Message::Text(text) if text.len() <= CLIENT_FRAME_BYTES_MAX => {
                self.codec.decode_text::<ClientFrame>(&text)
            }
            Message::Binary(bytes) if bytes.len() <= CLIENT_FRAME_BYTES_MAX => {
                self.codec.decode_binary::<ClientFrame>(&bytes)
            }
            Message::Text(_) | Message::Binary(_) => {
                self.refusals += 1;
                let message = format!("a frame has at most {CLIENT_FRAME_BYTES_MAX} bytes");
                session.refuse(0, Code::FrameTooLarge, message);
                return None;
            }
            Message::Pong(payload) if session.link().on_pong(&payload, now) => return None,
            // A ping costs a pong, so these have an allowance as well.
            Message::Ping(_) | Message::Pong(_) => {
                self.refusals += u32::from(!self.controls.take(now));
                return None;
            }
            Message::Close(_) | Message::Frame(_) => return None,
        };
        let request_id = decoded.as_ref().map_or(0, |frame| frame.request_id);
        if self.commands.take(now) {
            self.refusals = self.refusals.saturating_sub(1);
        } else {
            self.refusals += 1;
            session.refuse_if_room(request_id, Code::RateLimited, "too many commands; slow down");
            return None;
        }
        match decoded {
            Ok(ClientFrame {
                request_id,
                command: Some(command),
            }) => {
                let later = self.player.at_once(request_id, command, now)?;
                return Some((request_id, later));
            }
            Ok(_) => session.refuse(
                request_id,
                Code::MalformedFrame,
                "the frame holds no command known here",
            ),
            Err(error) => session.refuse(0, Code::MalformedFrame, error.to_string()),
        }
        None
    }
}
