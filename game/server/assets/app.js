// The play page: signs in, finds an opponent, plays.
// Owns: the state of the page and what each frame does to it. Drawing is in view.js and board.js,
// the connection in link.js, every text in words.js.

import { afterMove, Board, piecesOf } from './board.js';
import { Link } from './link.js';
import { applyWords, has, sayMove, t, toggleLanguage } from './words.js';
import { announce, byId, renderPage, tickPage, toast } from './view.js';

const COLORS = { WHITE: 'white', BLACK: 'black' };
const SUBPROTOCOL = 'starvault.v1.json';
// Answers after which the same command, with the same id, is worth another try.
const TRY_AGAIN = new Set(['UNAVAILABLE', 'INTERNAL', 'RATE_LIMITED']);
const COMMAND_TRIES = 6;
const COMMAND_RETRY_MS = 300;
const MATCH_WITHIN_MS = 1500;

// Per tab, so that two tabs are two players; survives a reload, not the tab.
const kept = {
  get: (key) => sessionStorage.getItem(`starvault.${key}`) ?? '',
  set: (key, value) => (value ? sessionStorage.setItem(`starvault.${key}`, value) : sessionStorage.removeItem(`starvault.${key}`)),
};

const state = {
  screen: 'signed-out', // signed-out | lobby | queued | playing | ended
  token: kept.get('token'),
  name: kept.get('name'),
  playerId: '',
  rating: 0,
  profile: null,
  release: '',
  busy: false,
  link: 'closed', // see Link
  retryAt: 0,
  relocating: false,
  superseded: false,
  clockSkewMs: null, // the server's clock minus ours
  queuedSince: 0,
  joinTries: 0,
  color: 'white',
  game: null, // GameView in our own shape, see takeView
  moves: [], // SAN
  seenSequence: 0, // of the last event that was taken in
  pending: null, // the command that no Ack has answered yet: {kind, body, tries, acked, requestId}
  resumeRequest: 0, // the request id of a Resume under way
  opponent: { connected: true, forfeitAt: 0 },
  resultHidden: false,
};

const board = new Board(byId('board'), byId('promotion'), playMove);
const link = new Link({ target: linkTarget, onFrame, onState: onLinkState });

// --- drawing ---

function render() {
  document.body.dataset.state = state.screen;
  renderPage(state);
  const { game } = state;
  if (!game) return;
  const move = state.pending?.kind === 'playMove' && state.pending.body.expectedSequence === game.sequence ? state.pending.body.uci : '';
  const legal = mayMove() ? game.legalMoves : [];
  const pieces = piecesOf(game.fen);
  const checkedKing = game.toMove === 'white' ? 'K' : 'k';
  const root = byId('board');
  root.dataset.toMove = game.toMove;
  root.dataset.myColor = state.color;
  root.dataset.legal = legal.join(' ');
  root.dataset.sequence = String(game.sequence);
  root.dataset.gameId = game.gameId;
  board.show({
    pieces: move ? afterMove(pieces, move) : pieces,
    legal,
    lastMove: move || game.lastMove,
    checked: game.inCheck && !move ? Object.keys(pieces).find((square) => pieces[square] === checkedKing) ?? '' : '',
    color: state.color,
  });
}

function mayMove() {
  return state.screen === 'playing' && state.link === 'open' && !state.resumeRequest && !state.pending && state.game.toMove === state.color;
}

const serverNow = () => Date.now() + (state.clockSkewMs ?? 0);

// --- signing in ---

async function signIn(name) {
  state.busy = true;
  render();
  try {
    const answer = await post('/v1/guests', { displayName: name });
    state.token = answer.token;
    state.name = answer.profile?.displayName ?? name;
    kept.set('token', state.token);
    kept.set('name', state.name);
    state.busy = false;
    link.start();
  } catch (error) {
    state.busy = false;
    toast(t('errSignIn', { message: error.message }));
  }
  render();
}

function signOut(message = '') {
  link.stop();
  for (const key of ['token', 'game', 'release']) kept.set(key, '');
  Object.assign(state, {
    screen: 'signed-out', token: '', playerId: '', profile: null, game: null, pending: null, superseded: false,
  });
  render();
  if (message) toast(message);
}

async function post(path, body) {
  for (let attempt = 1; ; attempt += 1) {
    let response;
    try {
      response = await fetch(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
    } catch {
      throw new Error(t('errOffline'));
    }
    const answer = await response.json().catch(() => ({}));
    if (response.ok) return answer;
    if (response.status < 500 || attempt === 3) throw new Error(answer.message || `HTTP ${response.status}`);
    await new Promise((resolve) => setTimeout(resolve, 200 * 2 ** attempt));
  }
}

/** Reads our own profile; null when it cannot be had just now, false when the token is refused. */
async function readProfile() {
  try {
    const response = await fetch('/v1/players/me', { headers: { authorization: `Bearer ${state.token}` } });
    if (response.status === 401) return false;
    return response.ok ? await response.json() : null;
  } catch {
    return null;
  }
}

async function refreshProfile() {
  const profile = await readProfile();
  if (profile) {
    state.profile = profile;
    state.rating = profile.rating ?? 0;
    render();
  }
}

// --- the connection ---

function linkTarget() {
  const url = new URL('/v1/play', location.href);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  // Only in the middle of a game does it matter which release we reach.
  if (kept.get('game') && kept.get('release')) url.searchParams.set('at', kept.get('release'));
  return { url: url.href, protocols: [SUBPROTOCOL, `bearer.${state.token}`] };
}

function onLinkState(linkState, detail) {
  state.link = linkState;
  state.retryAt = detail.retryAt ?? 0;
  if (linkState === 'refused') state.superseded = true;
  // A browser does not say why a handshake failed: after a few, ask whether the token still counts.
  if ((linkState === 'waiting' && detail.failures === 3) || linkState === 'refused') checkToken();
  render();
}

async function checkToken() {
  const { token } = state;
  if ((await readProfile()) === false && token === state.token) signOut(t('errExpired'));
}

function onFrame(frame) {
  const [kind, handle] = Object.entries(HANDLERS).find(([name]) => frame[name]) ?? [];
  if (!kind) return;
  handle(frame[kind], frame.requestId ?? 0);
  render();
}

const HANDLERS = {
  welcome(welcome) {
    state.superseded = false;
    state.relocating = false;
    state.playerId = welcome.playerId ?? '';
    state.name = welcome.displayName ?? '';
    state.rating = welcome.rating ?? 0;
    state.release = welcome.release ?? '';
    state.clockSkewMs = Number(welcome.serverTimeMs ?? Date.now()) - Date.now();
    const wasQueued = state.screen === 'queued';
    state.resumeRequest = 0;
    const gameId = welcome.activeGameId || kept.get('game');
    if (gameId && state.screen !== 'ended') {
      kept.set('game', gameId);
      resume(gameId);
    } else if (wasQueued) {
      link.send({ joinLobby: {} });
    } else if (state.screen !== 'ended') {
      toLobby();
    }
    kept.set('release', state.release);
    if (!state.profile) refreshProfile();
  },

  queued(queued) {
    state.screen = 'queued';
    state.queuedSince = Number(queued.sinceMs ?? serverNow());
  },

  leftLobby() {
    if (state.screen === 'queued') toLobby();
  },

  matched(matched) {
    startGame(matched);
    announce(t('gameStarted', { color: t(state.color), name: seatOf(otherColor()).name }));
  },

  resumed(resumed) {
    state.resumeRequest = 0;
    const reloaded = state.game?.gameId !== resumed.game.gameId;
    const seen = reloaded ? Infinity : state.seenSequence;
    startGame(resumed);
    for (const event of resumed.missed ?? []) if (event.sequence > seen) announceEvent(event);
    if (reloaded) announce(t('gameResumed', { color: t(state.color) }));
    const { pending } = state;
    if (pending && pending.body.gameId === state.game.gameId) sendPending();
    else state.pending = null;
  },

  ack(ack) {
    if (ack.commandId === state.pending?.body.commandId) {
      // Its effect comes with the events that follow; until then the move stays drawn.
      state.pending.acked = true;
      state.pending.ackedSequence = ack.sequence ?? 0;
      if (state.pending.ackedSequence <= state.seenSequence) state.pending = null;
    }
  },

  gameEvent(event) {
    const { sequence = 0 } = event;
    if (event.gameId !== state.game?.gameId || sequence <= state.seenSequence) return;
    if (sequence > state.seenSequence + 1) {
      // Something was missed: ask for the whole game again.
      resume(event.gameId);
      return;
    }
    state.seenSequence = sequence;
    if (event.moveMade?.san) state.moves.push(event.moveMade.san);
    if (event.game) takeView(event.game);
    if (state.pending?.acked && sequence >= state.pending.ackedSequence) state.pending = null;
    announceEvent(event);
  },

  opponentPresence(presence) {
    if (presence.gameId !== state.game?.gameId) return;
    const connected = presence.connected === true;
    const graceMs = Number(presence.graceMs ?? 0);
    if (connected !== state.opponent.connected) {
      announce(connected ? t('opponentBack') : t('opponentLeft', { seconds: Math.ceil(graceMs / 1000) }));
    }
    state.opponent = { connected, forfeitAt: connected ? 0 : Date.now() + graceMs };
  },

  relocated(relocated) {
    kept.set('release', relocated.release ?? '');
    state.relocating = true;
    link.reconnect();
  },

  error(error, requestId) {
    const code = error.code ?? 'CODE_UNSPECIFIED';
    if (requestId && requestId === state.resumeRequest) return resumeFailed(code);
    if (code === 'ALREADY_QUEUED') {
      state.screen = 'queued';
      return;
    }
    if (code === 'ALREADY_PLAYING') {
      // Either the game is on its way to us, or it is one to resume.
      setTimeout(() => { if (state.screen !== 'playing') link.reconnect(); }, MATCH_WITHIN_MS);
      return;
    }
    const { pending } = state;
    if (pending && pending.requestId === requestId) return commandFailed(code);
    if (state.screen === 'queued' && TRY_AGAIN.has(code) && state.joinTries < COMMAND_TRIES) {
      state.joinTries += 1;
      setTimeout(() => { if (state.screen === 'queued') link.send({ joinLobby: {} }); }, COMMAND_RETRY_MS * state.joinTries);
      return;
    }
    if (state.screen === 'queued' || state.screen === 'lobby') toLobby();
    complain(code);
  },
};

function resume(gameId) {
  const lastSequence = state.game?.gameId === gameId ? state.seenSequence : 0;
  state.resumeRequest = link.send({ resume: { gameId, lastSequence } });
}

function resumeFailed(code) {
  state.resumeRequest = 0;
  if (TRY_AGAIN.has(code)) {
    setTimeout(() => link.reconnect(), COMMAND_RETRY_MS * (1 + Math.random()));
    return;
  }
  kept.set('game', '');
  state.pending = null;
  toLobby();
  toast(t('errGone'));
}

// --- the game ---

function startGame({ youPlay, game, missed }) {
  state.color = COLORS[youPlay] ?? 'white';
  state.moves = game.moves ?? [];
  state.screen = 'playing';
  state.resultHidden = false;
  if (!missed) state.opponent = { connected: true, forfeitAt: 0 };
  kept.set('game', game.gameId);
  takeView(game);
  state.seenSequence = state.game.sequence;
}

/** Takes a GameView in, with the defaults that ProtoJSON leaves out put back. */
function takeView(view) {
  const seat = (s = {}) => ({
    playerId: s.playerId ?? '',
    name: s.displayName ?? '',
    rating: s.rating ?? 0,
    hp: s.hp ?? 0,
    clockMs: Number(s.clockMs ?? 0),
  });
  const wasOver = Boolean(state.game?.outcome) && state.game.gameId === view.gameId;
  state.game = {
    gameId: view.gameId,
    sequence: view.sequence ?? 0,
    white: seat(view.white),
    black: seat(view.black),
    fen: view.fen ?? '8/8/8/8/8/8/8/8 w - - 0 1',
    toMove: COLORS[view.toMove] ?? 'white',
    legalMoves: view.legalMoves ?? [],
    lastMove: view.lastMove ?? '',
    inCheck: view.inCheck ?? false,
    drawOfferedBy: COLORS[view.drawOfferedBy] ?? '',
    outcome: view.outcome ? { winner: COLORS[view.outcome.winner] ?? '', reason: view.outcome.reason ?? 'REASON_UNSPECIFIED' } : null,
    atMs: Number(view.atMs ?? serverNow()),
  };
  if (state.game.outcome && !wasOver) endGame();
}

function endGame() {
  state.screen = 'ended';
  state.pending = null;
  kept.set('game', '');
  byId('resign-ask').close();
  byId('promotion').close();
  refreshProfile();
}

function toLobby() {
  state.screen = 'lobby';
  state.game = null;
  state.moves = [];
}

const otherColor = () => (state.color === 'white' ? 'black' : 'white');
const seatOf = (color) => state.game[color];

function announceEvent(event) {
  if (event.moveMade) {
    const { by, san = '', uci = '', check = false } = event.moveMade;
    const color = COLORS[by] ?? 'white';
    const checked = color === 'white' ? event.game?.black : event.game?.white;
    announce(sayMove({ by: color, san, uci, check, hp: event.game ? checked?.hp ?? 0 : null }));
  } else if (event.drawOffered) {
    announce(t('drawOfferedBy', { color: t(COLORS[event.drawOffered.by] ?? 'white') }));
  } else if (event.drawDeclined) {
    announce(t('drawDeclined', { color: t(COLORS[event.drawDeclined.by] ?? 'white') }));
  }
}

// --- commands ---

function command(kind, extra = {}) {
  if (state.pending || state.screen !== 'playing') return;
  state.pending = { kind, body: { gameId: state.game.gameId, commandId: crypto.randomUUID?.() ?? fallbackId(), ...extra }, tries: 0, acked: false };
  sendPending();
  render();
}

// randomUUID exists only on https and localhost; a phone on the local network has neither.
function fallbackId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

// Without a connection it stays pending, and goes out again, with the same id, once resumed.
function sendPending() {
  state.pending.requestId = link.send({ [state.pending.kind]: state.pending.body });
}

function commandFailed(code) {
  const { pending } = state;
  if (TRY_AGAIN.has(code) && pending.tries < COMMAND_TRIES) {
    pending.tries += 1;
    setTimeout(() => {
      if (state.pending === pending && state.link === 'open') sendPending();
    }, COMMAND_RETRY_MS * pending.tries * (0.5 + Math.random()));
    return;
  }
  if (code === 'NOT_IN_GAME' && pending.tries < COMMAND_TRIES) {
    // This connection has no seat yet; once it has, the command goes out again.
    pending.tries += 1;
    return resume(pending.body.gameId);
  }
  state.pending = null;
  if (code === 'SEQUENCE_GAP') {
    const { uci, expectedSequence, gameId } = pending.body;
    // A draw offer came in between: the move still stands, as a new command on the new sequence.
    if (state.game.sequence > expectedSequence && state.game.legalMoves.includes(uci)) return playMove(uci);
    resume(gameId);
  }
  complain(code);
}

function complain(code) {
  toast(t('errMove', { code: has(code) ? t(code) : code }));
}

function playMove(uci) {
  if (mayMove()) command('playMove', { expectedSequence: state.game.sequence, uci });
}

function findOpponent() {
  state.game = null;
  state.moves = [];
  state.screen = 'queued';
  state.queuedSince = serverNow();
  state.joinTries = 0;
  if (!link.send({ joinLobby: {} })) link.retryNow();
  render();
}

function leaveQueue() {
  link.send({ leaveLobby: {} });
  toLobby();
  render();
}

// --- what people touch ---

function wire() {
  const on = (id, handle) => byId(id).addEventListener('click', handle);
  byId('sign-in-form').addEventListener('submit', (event) => {
    event.preventDefault();
    if (!state.busy) signIn(byId('name').value.trim());
  });
  on('lang', () => {
    toggleLanguage();
    applyWords();
    render();
  });
  on('sign-out', () => signOut());
  on('find', findOpponent);
  on('cancel', leaveQueue);
  on('again', findOpponent);
  on('again-side', findOpponent);
  on('to-lobby', () => {
    toLobby();
    render();
  });
  on('view-board', () => {
    state.resultHidden = true;
    render();
  });
  on('resign', () => byId('resign-ask').showModal());
  on('resign-no', () => byId('resign-ask').close());
  on('resign-yes', () => {
    byId('resign-ask').close();
    command('resign');
  });
  on('offer-draw', () => command('offerDraw'));
  on('accept-draw', () => command('answerDraw', { accept: true }));
  on('decline-draw', () => command('answerDraw', { accept: false }));
  on('retry', () => {
    state.superseded = false;
    if (link.wanted) link.retryNow();
    else link.start();
  });
}

async function showRelease() {
  try {
    const version = await (await fetch('/v1/version')).json();
    state.release ||= version.release ?? '';
    render();
  } catch { /* the small print can wait for Welcome */ }
}

applyWords();
wire();
byId('name').value = state.name;
setInterval(() => tickPage(state, serverNow()), 200);
render();
if (state.token) link.start();
else showRelease();
