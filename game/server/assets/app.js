// The play page: signs in, finds an opponent, plays.
// Owns: the state of the page and what each frame does to it. Drawing is in view.js and board.js,
// the connection in link.js, every text in words.js.

import { equipItem, readProfile, readRelease, signInAsGuest } from './account.js';
import { afterMove, Board, piecesOf } from './board.js';
import { Commands, isPassing, retryAfterMs } from './commands.js';
import { Emotes } from './emotes.js';
import { kept, preferred } from './keep.js';
import { Link } from './link.js';
import { announce, byId, toast } from './parts.js';
import { colorOf, gainsOf, gameOf, opposite, waitOf } from './shapes.js';
import { sayEvent } from './speech.js';
import { wire } from './touch.js';
import { moveFocus, renderPage, tickPage } from './view.js';
import { applyWords, has, t, toggleLanguage } from './words.js';

const SUBPROTOCOL = 'starvault.v1.json';
const RESUME_RETRY_MS = 300;
const MATCH_WITHIN_MS = 1500;

const state = {
  screen: 'signed-out', // signed-out | lobby | queued | playing | ended
  token: kept.get('token'),
  name: kept.get('name'),
  playerId: '',
  rating: 0,
  profile: null, // see profileOf; null until it was read
  equipping: '', // the item that is on its way on or off
  release: '',
  busy: false,
  link: 'closed', // see Link
  retryAt: 0,
  relocating: false,
  moving: false, // the server asked us to connect again
  superseded: false,
  clockSkewMs: null, // the server's clock minus ours
  regions: [],
  region: preferred.get('region'), // the player's choice, which this release may not have
  wait: null, // see waitOf
  joinTries: 0,
  color: 'white',
  game: null, // see gameOf
  moves: [], // SAN
  seenSequence: 0, // of the last event that was taken in
  get pending() { return commands.pending; },
  resumeRequest: 0, // the request id of a Resume under way
  resumeGameId: '', // and what it asks for
  opponent: { connected: true, forfeitAt: 0 },
  lagMs: { white: 0, black: 0 }, // of the last move of each
  rematch: '', // '' | sent (by us) | asked (by the opponent) | none (there will be none)
  rematchRequest: 0,
  gains: null, // what the ended game brought, see gainsOf
  resultHidden: false,
  get emotes() { return emotes; },
};

const board = new Board(byId('board'), byId('promotion'), playMove);
const link = new Link({ target: linkTarget, onFrame, onState: onLinkState });
const commands = new Commands({ link, takeSeat: resume, onRefused });
const emotes = new Emotes({ link, redraw: render });

// --- drawing ---

function render() {
  const before = document.body.dataset.state;
  document.body.dataset.state = state.screen;
  renderPage(state, serverNow());
  if (state.game) renderBoard(state.game);
  if (before !== state.screen) moveFocus(state.screen);
}

function renderBoard(game) {
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
    const { token, name: displayName } = await signInAsGuest(name);
    Object.assign(state, { token, name: displayName, busy: false });
    kept.set('token', token);
    kept.set('name', displayName);
    link.start();
  } catch (error) {
    state.busy = false;
    toast(t('errSignIn', { message: error.message }));
  }
  render();
}

function signOut(message = '') {
  link.stop();
  commands.forget();
  for (const key of ['token', 'game', 'release']) kept.set(key, '');
  Object.assign(state, {
    screen: 'signed-out', token: '', playerId: '', profile: null, game: null, wait: null, superseded: false,
  });
  render();
  if (message) toast(message);
}

/** Takes in what we are now; the older of two answers changes nothing. */
function takeProfile(profile) {
  if (!profile || profile.version < (state.profile?.version ?? 0)) return;
  state.profile = profile;
  state.rating = profile.rating;
}

async function refreshProfile() {
  const { token } = state;
  const profile = await readProfile(token);
  if (token !== state.token) return;
  takeProfile(profile);
  render();
}

async function wear(itemId) {
  if (state.equipping || !state.profile) return;
  state.equipping = itemId;
  render();
  try {
    takeProfile(await equipItem(state.token, itemId, !state.profile.equipped.includes(itemId)));
  } catch (error) {
    toast(t('errItem', { message: error.message }));
  }
  state.equipping = '';
  render();
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
  state.moving = detail.moving ?? (state.moving && linkState === 'connecting');
  if (linkState === 'refused') state.superseded = true;
  // The release that we were at is going: any other will do.
  if (detail.restarting) kept.set('release', '');
  // A browser does not say why a handshake failed: after a few, ask whether the token still counts.
  if ((linkState === 'waiting' && detail.failures === 3) || linkState === 'refused') checkToken();
  render();
}

async function checkToken() {
  const { token } = state;
  if ((await readProfile(token)) === false && token === state.token) signOut(t('errExpired'));
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
    state.regions = welcome.regions ?? [];
    state.clockSkewMs = Number(welcome.serverTimeMs ?? Date.now()) - Date.now();
    const wasQueued = state.screen === 'queued';
    state.resumeRequest = 0;
    emotes.begin();
    const gameId = welcome.activeGameId || kept.get('game');
    if (gameId) {
      kept.set('game', gameId);
      resume(gameId);
    } else if (state.screen === 'ended') {
      // An offer fell with the connection; with a seat again there can be another one.
      state.rematch = '';
      resume(state.game.gameId);
    } else if (wasQueued) {
      // A wait that outlived the connection is answered with ALREADY_QUEUED, and goes on.
      joinLobby();
    } else {
      toLobby();
    }
    kept.set('release', state.release);
    if (!state.profile) refreshProfile();
  },

  queued(queued) {
    const returned = state.game?.outcome?.reason === 'ABORTED';
    Object.assign(state, { screen: 'queued', game: null, moves: [], wait: waitOf(queued, serverNow()) });
    commands.forget();
    if (returned) {
      toast(t('placeKept'));
      announce(t('placeKept'));
    }
  },

  leftLobby() {
    if (state.screen === 'queued') toLobby();
  },

  matched(matched) {
    // Said again to a player whose connection was lost just then.
    if (matched.game.gameId === state.game?.gameId && (matched.game.sequence ?? 0) < state.seenSequence) return;
    const again = matched.game.gameId === state.game?.gameId;
    startGame(matched);
    if (!again) announce(t('gameStarted', { color: t(state.color), name: state.game[opposite(state.color)].name }));
  },

  resumed(resumed) {
    state.resumeRequest = 0;
    if (state.screen === 'ended' && resumed.game.gameId === state.game.gameId) return;
    const reloaded = state.game?.gameId !== resumed.game.gameId;
    const seen = reloaded ? Infinity : state.seenSequence;
    startGame(resumed);
    for (const event of resumed.missed ?? []) if (event.sequence > seen) announce(sayEvent(event));
    if (reloaded) announce(t('gameResumed', { color: t(state.color) }));
    if (state.pending?.body.gameId === state.game.gameId) commands.again();
    else commands.forget();
  },

  ack(ack) {
    commands.acked(ack, state.seenSequence);
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
    if (event.moveMade) state.lagMs[colorOf(event.moveMade.by, 'white')] = event.moveMade.lagMs ?? 0;
    if (event.game) takeView(event.game);
    commands.seen(sequence);
    announce(sayEvent(event));
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

  rematchOffered({ gameId }) {
    if (gameId !== state.game?.gameId || state.screen !== 'ended') {
      // We have left that table, and the opponent is not to wait for us.
      state.rematchRequest = link.send({ answerRematch: { gameId, accept: false } });
      return;
    }
    state.rematch = 'asked';
    announce(t('rematchAsked', { name: state.game[opposite(state.color)].name }));
  },

  rematchDeclined({ gameId }) {
    if (gameId === state.game?.gameId) noRematch();
  },

  emoteReceived(received) {
    emotes.hear(state, received);
  },

  relocated(relocated) {
    kept.set('release', relocated.release ?? '');
    state.relocating = true;
    link.reconnect();
  },

  error(error, requestId) {
    const code = error.code ?? 'CODE_UNSPECIFIED';
    if (requestId && requestId === state.resumeRequest) return resumeFailed(code);
    if (emotes.failed(state, code, requestId)) return;
    if (code === 'ALREADY_QUEUED') {
      state.screen = 'queued';
      return;
    }
    if (code === 'ALREADY_PLAYING') {
      // Either the game is on its way to us, or it is one to resume.
      setTimeout(() => { if (state.screen !== 'playing') link.reconnect(); }, MATCH_WITHIN_MS);
      return;
    }
    if (commands.failed(code, requestId)) return;
    // Whatever the reason, also that the release does not know rematches.
    if (code === 'NO_REMATCH' || (requestId && requestId === state.rematchRequest)) return noRematch();
    const waitMs = retryAfterMs(state.joinTries + 1);
    if (state.screen === 'queued' && isPassing(code) && waitMs !== null) {
      state.joinTries += 1;
      setTimeout(() => { if (state.screen === 'queued') joinLobby(); }, waitMs);
      return;
    }
    if (state.screen === 'queued' || state.screen === 'lobby') toLobby();
    complain(code);
  },
};

function resume(gameId) {
  const lastSequence = state.game?.gameId === gameId ? state.seenSequence : 0;
  state.resumeGameId = gameId;
  state.resumeRequest = link.send({ resume: { gameId, lastSequence } });
}

function resumeFailed(code) {
  state.resumeRequest = 0;
  if (state.screen === 'ended' && state.resumeGameId === state.game.gameId) return noRematch();
  if (isPassing(code)) {
    setTimeout(() => link.reconnect(), RESUME_RETRY_MS * (1 + Math.random()));
    return;
  }
  kept.set('game', '');
  commands.forget();
  toLobby();
  toast(t('errGone'));
}

// --- the game ---

function startGame({ youPlay, game, missed }) {
  state.color = colorOf(youPlay, 'white');
  state.moves = game.moves ?? [];
  state.screen = 'playing';
  state.wait = null;
  state.resultHidden = false;
  if (game.gameId !== state.game?.gameId) {
    emotes.begin();
    Object.assign(state, { lagMs: { white: 0, black: 0 }, rematch: '', rematchRequest: 0, gains: null });
  }
  if (!missed) state.opponent = { connected: true, forfeitAt: 0 };
  kept.set('game', game.gameId);
  takeView(game);
  state.seenSequence = state.game.sequence;
}

function takeView(view) {
  const wasOver = Boolean(state.game?.outcome) && state.game.gameId === view.gameId;
  state.game = gameOf(view, serverNow());
  if (state.game.outcome && !wasOver) endGame();
}

function endGame() {
  state.screen = 'ended';
  commands.forget();
  kept.set('game', '');
  byId('resign-ask').close();
  byId('promotion').close();
  const { game, profile: before } = state;
  refreshProfile().then(() => {
    if (state.game?.gameId !== game.gameId) return;
    state.gains = gainsOf(before, state.profile);
    render();
  });
}

function toLobby() {
  Object.assign(state, { screen: 'lobby', game: null, moves: [], wait: null });
}

// --- commands ---

function command(kind, extra = {}) {
  if (state.screen !== 'playing') return;
  commands.send(kind, { gameId: state.game.gameId, ...extra });
  render();
}

function onRefused(code, { body }) {
  if (code === 'SEQUENCE_GAP') {
    const { uci, expectedSequence, gameId } = body;
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
  leaveTable();
  Object.assign(state, { screen: 'queued', game: null, moves: [], wait: waitOf({}, serverNow()), joinTries: 0 });
  if (!joinLobby()) link.retryNow();
  render();
}

function joinLobby() {
  const region = state.regions.includes(state.region) ? { region: state.region } : {};
  return link.send({ joinLobby: region });
}

function leaveQueue() {
  link.send({ leaveLobby: {} });
  toLobby();
  render();
}

// --- another game with the same opponent ---

function offerRematch() {
  if (state.screen !== 'ended' || state.rematch) return;
  state.rematchRequest = link.send({ offerRematch: { gameId: state.game.gameId } });
  if (state.rematchRequest) state.rematch = 'sent';
  render();
}

function answerRematch(accept) {
  state.rematchRequest = link.send({ answerRematch: { gameId: state.game.gameId, accept } });
  state.rematch = accept ? 'sent' : 'none';
  render();
}

function noRematch() {
  if (state.screen !== 'ended' || state.rematch === 'none') return;
  state.rematch = 'none';
  announce(t('rematchNone'));
}

/** Going elsewhere answers an opponent who waits for us. */
function leaveTable() {
  if (state.screen === 'ended' && state.rematch === 'asked') answerRematch(false);
}

// --- what people touch ---

/** What each part of the page does; touch.js knows which part that is. */
const ACTIONS = {
  signIn: (name) => { if (!state.busy) signIn(name); },
  signOut: () => signOut(),
  changeLanguage() {
    toggleLanguage();
    applyWords();
  },
  chooseRegion(region) {
    state.region = region;
    preferred.set('region', region);
  },
  findOpponent,
  leaveQueue,
  toLobby() {
    leaveTable();
    toLobby();
  },
  wear,
  command,
  say: (emote) => emotes.send(state, emote),
  mute: () => emotes.toggleMute(),
  offerRematch,
  answerRematch,
  viewBoard() { state.resultHidden = true; },
  retry() {
    state.superseded = false;
    if (link.wanted) link.retryNow();
    else link.start();
  },
};

async function showRelease() {
  const release = await readRelease();
  // Welcome knows better.
  state.release ||= release;
  render();
}

applyWords();
wire(ACTIONS, render);
byId('name').value = state.name;
setInterval(() => tickPage(state, serverNow()), 200);
render();
if (state.token) link.start();
else showRelease();
