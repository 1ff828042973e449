//! The WebSocket `/v1/play`: who may open one, and its two halves. The reading half hands each
//! frame to [`commands`](crate::commands); the writing half is the only one that sends.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use axum::{
    Extension,
    extract::{
        State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket, rejection::WebSocketUpgradeRejection},
    },
    response::{IntoResponse, Response},
};
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use http::{HeaderMap, HeaderValue, header};
use starvault_store::Profile;
use starvault_wire::{
    CLIENT_FRAME_BYTES_MAX, Codec, SUBPROTOCOL_BEARER_PREFIX,
    v1::{ClientFrame, Welcome, error::Code, server_frame::Event as Say},
};
use tokio::{sync::mpsc, time::Instant};

use crate::{
    app::App,
    commands::Player,
    error::AppError,
    link::encode,
    net::ConnectionPermit,
    rate::TokenBucket,
    session::{Close, Outgoing, SessionHandle},
};

/// Read at a time; a connection costs little more than this (bytes).
const READ_BUFFER_BYTES: usize = 4 * 1024;
/// Frames that are written together go to the operating system together, up to this much (bytes).
/// Allocated as it is needed: a connection that says little costs little.
const WRITE_BUFFER_BYTES: usize = 16 * 1024;
/// Written frames that the operating system has not taken yet (bytes).
const WRITE_BUFFER_BYTES_MAX: usize = 256 * 1024;
/// A closing socket waits this long for the peer to close as well.
const LINGER: Duration = Duration::from_millis(500);

/// Opens the socket of a player who shows a token.
pub async fn play(
    State(app): State<Arc<App>>,
    permit: Option<Extension<ConnectionPermit>>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    match open(app, permit.map(|Extension(permit)| permit), &headers, upgrade).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn open(
    app: Arc<App>,
    permit: Option<ConnectionPermit>,
    headers: &HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, AppError> {
    let upgrade = upgrade
        .map_err(|rejection| AppError::InvalidArgument(format!("open a WebSocket here: {rejection}")))?;
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
    let player_id = match bearer {
        Some(token) => app.tokens.verify(token)?,
        None => app.tokens.caller(headers)?,
    };
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
    let profile = app.own_profile(&player_id).await?;
    let selected = offered.iter().find_map(|name| Codec::from_subprotocol(name));
    let codec = selected.unwrap_or(Codec::Json);
    let mut upgrade = upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
        .max_message_size(app.config.limits.message_bytes_max)
        .max_frame_size(app.config.limits.message_bytes_max);
    if selected.is_some() {
        upgrade.set_selected_protocol(HeaderValue::from_static(codec.subprotocol()));
    }
    Ok(upgrade.on_upgrade(move |socket| async move {
        // Held until the socket has ended: an upgraded connection counts as well.
        let _permit = (permit, place);
        let sessions = app.sessions.clone();
        sessions.track_future(converse(app, socket, profile, codec)).await;
    }))
}

async fn converse(app: Arc<App>, socket: WebSocket, profile: Profile, codec: Codec) {
    let limits = &app.config.limits;
    let (session, outbox) = SessionHandle::new(
        app.next_session_id(),
        profile.player_id.clone(),
        limits.outbox_frames_max,
    );
    tracing::debug!(player = %session.player_id, session = session.id.0, "a player connected");
    let (sink, mut stream) = socket.split();
    let active_game = profile.active_game_id.clone();
    session.send(0, Say::Welcome(welcome(&app, profile)));
    let mut writer = tokio::spawn(write(app.clone(), sink, outbox, session.clone(), codec));
    Box::pin(app.lobby.connected(session.clone())).await;
    let mut player = Player::new(app.clone(), session.clone());
    Box::pin(player.connected(active_game)).await;
    let close = read(&app, &mut stream, &mut player, codec).await;
    app.lobby.gone(session.clone()).await;
    match close {
        Some(close) => session.close(close),
        None => session.cut(),
    }
    // The writer ends by itself unless the peer takes nothing any more.
    if tokio::time::timeout(limits.write_timeout, &mut writer)
        .await
        .is_err()
    {
        session.cut();
        writer.abort();
    }
    finish(&mut stream).await;
    tracing::debug!(player = %session.player_id, session = session.id.0, ?close, "a player's connection ended");
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

/// Lets the closing handshake end, so that the peer can read why the socket closes.
async fn finish(stream: &mut (impl Stream<Item = Result<Message, axum::Error>> + Unpin)) {
    let handshake = async {
        while let Some(message) = stream.next().await {
            if message.is_err() {
                // The peer may still be sending; to close now would reset the connection.
                std::future::pending::<()>().await;
            }
        }
    };
    let _ = tokio::time::timeout(LINGER, handshake).await;
}

/// Reads until the socket ends. Answers why the server closes it; `None` if there is nobody to tell.
async fn read(
    app: &App,
    stream: &mut (impl Stream<Item = Result<Message, axum::Error>> + Unpin),
    player: &mut Player,
    codec: Codec,
) -> Option<Close> {
    let limits = &app.config.limits;
    let session = player.session.clone();
    let mut bucket = TokenBucket::new(limits.commands_per_second, limits.commands_burst, Instant::now());
    let mut controls = bucket.clone();
    // Grows with each refusal and shrinks with each frame that was in time: not to be emptied by
    // the few that a flood gets through.
    let mut refusals: u32 = 0;
    // Made once and not for each frame: to begin and to end a wait takes a lock that others want too.
    let mut cut = pin!(session.was_cut());
    let mut closed = pin!(session.closed());
    let mut draining = pin!(app.draining.cancelled());
    let mut silent = pin!(tokio::time::sleep(limits.idle_timeout));
    let mut heard_at = Instant::now();
    loop {
        if refusals > limits.refusals_max {
            return Some(Close::TOO_MANY_COMMANDS);
        }
        let message = tokio::select! {
            () = &mut cut => return None,
            // The writer has sent a close that a game asked for.
            () = &mut closed => return None,
            () = &mut draining => return Some(Close::GOING_DOWN),
            message = stream.next() => message,
            () = &mut silent => {
                // Moved on when it is due, and not by each frame.
                let due = heard_at + limits.idle_timeout;
                if due <= Instant::now() {
                    return Some(Close::SILENT);
                }
                silent.as_mut().reset(due);
                continue;
            }
        };
        let now = Instant::now();
        heard_at = now;
        let decoded = match message {
            Some(Ok(Message::Text(text))) if text.len() <= CLIENT_FRAME_BYTES_MAX => {
                codec.decode_text::<ClientFrame>(&text)
            }
            Some(Ok(Message::Binary(bytes))) if bytes.len() <= CLIENT_FRAME_BYTES_MAX => {
                codec.decode_binary::<ClientFrame>(&bytes)
            }
            Some(Ok(Message::Text(_) | Message::Binary(_))) => {
                refusals += 1;
                let message = format!("a frame has at most {CLIENT_FRAME_BYTES_MAX} bytes");
                session.refuse(0, Code::FrameTooLarge, message);
                continue;
            }
            Some(Ok(Message::Pong(payload))) if session.link().on_pong(&payload, now) => continue,
            // A ping costs a pong, so these have an allowance as well.
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {
                refusals += u32::from(!controls.take(now));
                continue;
            }
            Some(Ok(Message::Close(_))) | None => return None,
            Some(Err(error)) => return close_for(error),
        };
        let request_id = decoded.as_ref().map_or(0, |frame| frame.request_id);
        if bucket.take(now) {
            refusals = refusals.saturating_sub(1);
        } else {
            refusals += 1;
            session.refuse_if_room(request_id, Code::RateLimited, "too many commands; slow down");
            continue;
        }
        match decoded {
            Ok(ClientFrame {
                request_id,
                command: Some(command),
                // On the heap while it runs: a connection that waits does not carry it about.
            }) => Box::pin(player.on_command(request_id, command)).await,
            Ok(_) => session.refuse(
                request_id,
                Code::MalformedFrame,
                "the frame holds no command known here",
            ),
            Err(error) => session.refuse(0, Code::MalformedFrame, error.to_string()),
        }
    }
}

fn close_for(error: axum::Error) -> Option<Close> {
    match error.into_inner().downcast_ref::<tungstenite::Error>() {
        Some(tungstenite::Error::Capacity(_)) => Some(Close::TOO_LARGE),
        Some(tungstenite::Error::Utf8(_)) => Some(Close::NOT_UTF8),
        Some(tungstenite::Error::Protocol(
            tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
        )) => None,
        Some(tungstenite::Error::Protocol(_)) => Some(Close::PROTOCOL),
        _ => None,
    }
}

/// Flushes, and asks to be woken only if the operating system does not take everything at once. Who has
/// asked once is woken by each frame that arrives on the same socket as well, for nothing.
async fn flush(sink: &mut (impl Sink<Message, Error = axum::Error> + Unpin)) -> Result<(), axum::Error> {
    let mut flushing = sink.flush();
    let at_once = Pin::new(&mut flushing).poll(&mut Context::from_waker(Waker::noop()));
    match at_once {
        Poll::Ready(flushed) => flushed,
        Poll::Pending => flushing.await,
    }
}

/// Writes what the outbox holds, several frames with one flush, and a ping now and then.
async fn write(
    app: Arc<App>,
    mut sink: impl Sink<Message, Error = axum::Error> + Unpin,
    mut outbox: mpsc::Receiver<Outgoing>,
    session: SessionHandle,
    codec: Codec,
) {
    let limits = &app.config.limits;
    let mut pings = tokio::time::interval(limits.ping_every);
    pings.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    pings.reset();
    loop {
        let first = tokio::select! {
            biased;
            () = session.was_cut() => return,
            outgoing = outbox.recv() => outgoing,
            _ = pings.tick() => Some(Outgoing::Ping(session.link().next_ping())),
        };
        let Some(first) = first else { return };
        let written = async {
            let mut next = Some(first);
            let mut close = None;
            while let Some(outgoing) = next {
                match outgoing {
                    Outgoing::Frame(frame) => sink.feed(encode(codec, &frame)).await?,
                    Outgoing::Shared(frame) => sink.feed(frame.message(codec)).await?,
                    Outgoing::Ping(number) => {
                        let payload = session.link().on_ping(number, Instant::now());
                        let payload = axum::body::Bytes::copy_from_slice(&payload);
                        sink.feed(Message::Ping(payload)).await?;
                    }
                    Outgoing::Close(last) => {
                        let frame = CloseFrame {
                            code: last.code,
                            reason: last.reason.into(),
                        };
                        sink.feed(Message::Close(Some(frame))).await?;
                        close = Some(last);
                        break;
                    }
                }
                next = outbox.try_recv().ok();
            }
            flush(&mut sink).await?;
            Ok::<_, axum::Error>(close)
        };
        let written = tokio::select! {
            biased;
            written = tokio::time::timeout(limits.write_timeout, written) => written,
            // A client so slow that its outbox overflowed is cut in the middle of a write.
            () = session.was_cut() => return,
        };
        match written {
            Ok(Ok(None)) => {}
            // The outbox ends here, so that games know.
            Ok(Ok(Some(_))) => return,
            Ok(Err(_)) | Err(_) => {
                session.cut();
                return;
            }
        }
    }
}
