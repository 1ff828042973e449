// Everything on the page around the board, drawn from the page's state.
// Owns: what each part shows. Never changes the state, never talks to the network.

import { t } from './words.js';

export const byId = (id) => document.getElementById(id);

const SVG = 'http://www.w3.org/2000/svg';
const LIVES = 3;
const LOW_CLOCK_MS = 20000;
const TOAST_MS = 5000;

// --- words for the ear and passing messages ---

/** Says something to a screen reader; several in one instant are all said. */
export function announce(text) {
  const line = document.createElement('p');
  line.textContent = text;
  byId('announcer').append(line);
  while (byId('announcer').childElementCount > 6) byId('announcer').firstElementChild.remove();
}

let toastTimer;
/** Shows a passing message. */
export function toast(text) {
  byId('toast').textContent = text;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { byId('toast').textContent = ''; }, TOAST_MS);
}

// --- the page ---

/** Draws everything but the board. */
export function renderPage(state) {
  const at = state.screen;
  const inGame = Boolean(state.game);
  const resuming = Boolean(state.token) && at === 'signed-out';
  show('sign-in-view', at === 'signed-out' && !resuming);
  show('lobby-view', (at === 'lobby' || at === 'queued') && !inGame);
  show('table-view', inGame);
  show('who', Boolean(state.token) && Boolean(state.name));
  show('sign-out', Boolean(state.token) && at !== 'playing' && at !== 'queued');
  byId('who').textContent = state.name;
  byId('sign-in').disabled = state.busy;
  byId('sign-in').textContent = t(state.busy ? 'signingIn' : 'signIn');
  byId('release').textContent = state.release ? t('release', { release: state.release }) : t('noRelease');
  renderBanner(state);
  renderLobby(state);
  if (inGame) renderTable(state);
}

/** Redraws what changes with time alone: clocks, waiting, countdowns. */
export function tickPage(state, serverNowMs) {
  if (state.screen === 'queued') {
    byId('lobby-wait').textContent = `${t('searching')} ${t('waited', { time: clockText(Math.max(0, serverNowMs - state.queuedSince)) })}`;
  }
  if (state.link === 'waiting') renderBanner(state);
  if (!state.game) return;
  for (const color of ['white', 'black']) renderClock(state, color, serverNowMs);
  renderPresence(state);
}

function renderBanner(state) {
  const seconds = Math.ceil((state.retryAt - Date.now()) / 1000);
  let text = '';
  if (state.superseded) text = t('superseded');
  else if (!state.token || state.link === 'open' || state.link === 'closed') text = '';
  else if (state.relocating) text = t('relocating');
  else if (state.link === 'waiting' && seconds > 1) text = t('reconnectIn', { seconds });
  else if (state.screen === 'signed-out') text = t('connecting');
  else text = t('reconnecting');
  show('banner', text !== '');
  if (byId('banner-text').textContent !== text) byId('banner-text').textContent = text;
  byId('banner').classList.toggle('still', state.superseded);
  show('retry', state.superseded || (state.link === 'waiting' && seconds > 1));
  byId('retry').textContent = t(state.superseded ? 'takeOver' : 'retryNow');
}

function renderLobby(state) {
  const queued = state.screen === 'queued';
  const { profile } = state;
  byId('lobby-title').textContent = t('hello', { name: state.name });
  const record = profile?.gamesPlayed
    ? ` · ${t('record', { wins: profile.wins ?? 0, losses: profile.losses ?? 0, draws: profile.draws ?? 0 })}`
    : '';
  byId('lobby-profile').textContent = t('rating', { rating: state.rating }) + record;
  show('lobby-wait', queued);
  show('find', !queued);
  show('cancel', queued);
  byId('find').disabled = state.link !== 'open';
  byId('lobby-view').classList.toggle('searching', queued);
}

// --- the table ---

function renderTable(state) {
  const { game, color } = state;
  const other = color === 'white' ? 'black' : 'white';
  renderSeat(byId('seat-top'), state, other);
  renderSeat(byId('seat-bottom'), state, color);
  renderMoves(state);
  renderStatus(state);
  renderPresence(state);

  const playing = state.screen === 'playing';
  const offered = game.drawOfferedBy;
  show('draw-ask', playing && offered === other);
  show('playing-actions', playing);
  show('ended-actions', state.screen === 'ended');
  byId('offer-draw').textContent = t(offered === color ? 'drawSent' : 'offerDraw');
  const blocked = Boolean(state.pending) || state.link !== 'open';
  byId('offer-draw').disabled = blocked || offered !== '';
  for (const id of ['resign', 'accept-draw', 'decline-draw']) byId(id).disabled = blocked;
  renderResult(state);
}

function renderSeat(seat, state, color) {
  if (seat.dataset.color !== color) buildSeat(seat, color);
  const { name, rating, hp } = state.game[color];
  const mine = color === state.color;
  seat.classList.toggle('turn', state.game.toMove === color && state.screen === 'playing');
  seat.querySelector('.name').textContent = name;
  seat.querySelector('.about').textContent = `${t(color)}${mine ? ` · ${t('you')}` : ''} · ${rating}`;
  const hearts = seat.querySelector('.hearts');
  hearts.setAttribute('aria-label', t('hp', { color: t(color), hp }));
  const before = Number(hearts.dataset.hp ?? hp);
  hearts.dataset.hp = String(hp);
  [...hearts.children].forEach((heart, i) => {
    heart.classList.toggle('lost', i >= hp);
    heart.classList.toggle('breaking', i >= hp && i < before);
  });
}

function buildSeat(seat, color) {
  const part = (name, role) => {
    const e = document.createElement('span');
    e.className = name;
    if (role) e.setAttribute('role', role);
    return e;
  };
  seat.dataset.color = color;
  seat.dataset.testid = `seat-${color}`;
  const disc = part(`disc ${color}`);
  const who = part('player');
  who.append(part('name'), part('about'), part('presence'));
  const hearts = part('hearts', 'img');
  hearts.dataset.testid = `hp-${color}`;
  for (let i = 0; i < LIVES; i += 1) {
    const svg = document.createElementNS(SVG, 'svg');
    svg.setAttribute('class', 'heart');
    svg.setAttribute('viewBox', '0 0 24 24');
    const use = document.createElementNS(SVG, 'use');
    use.setAttribute('href', '#heart');
    svg.append(use);
    hearts.append(svg);
  }
  const clock = part('clock', 'timer');
  clock.dataset.testid = `clock-${color}`;
  seat.replaceChildren(disc, who, hearts, clock);
}

function renderClock(state, color, serverNowMs) {
  const { game } = state;
  const clock = document.querySelector(`.seat[data-color="${color}"] .clock`);
  if (!clock) return;
  const running = state.screen === 'playing' && game.toMove === color;
  const ms = Math.max(0, game[color].clockMs - (running ? Math.max(0, serverNowMs - game.atMs) : 0));
  const text = clockText(ms, true);
  if (clock.textContent === text) return;
  clock.textContent = text;
  clock.setAttribute('aria-label', t('clock', { color: t(color), time: text }));
  clock.classList.toggle('low', running && ms < LOW_CLOCK_MS);
}

/** `4:07`; the last seconds with tenths when `exact`. */
function clockText(ms, exact = false) {
  const seconds = exact && ms < LOW_CLOCK_MS ? ms / 1000 : Math.floor(ms / 1000);
  const minutes = Math.floor(seconds / 60);
  const rest = exact && ms < LOW_CLOCK_MS ? seconds.toFixed(1).padStart(4, '0') : String(seconds % 60).padStart(2, '0');
  return `${minutes}:${rest}`;
}

function renderPresence(state) {
  const { connected, forfeitAt } = state.opponent;
  const presence = document.querySelector('#seat-top .presence');
  document.querySelector('#seat-bottom .presence').textContent = '';
  presence.parentElement.parentElement.classList.toggle('away', !connected && state.screen === 'playing');
  let text = '';
  if (state.screen === 'playing') {
    const left = forfeitAt - Date.now();
    if (connected) text = t('present');
    else text = left > 0 ? t('absentFor', { time: clockText(left) }) : t('absent');
  }
  if (presence.textContent !== text) presence.textContent = text;
}

function renderMoves({ moves, game }) {
  const list = byId('moves');
  show('no-moves', moves.length === 0);
  if (list.dataset.gameId !== game.gameId || list.querySelectorAll('.ply').length > moves.length) list.replaceChildren();
  list.dataset.gameId = game.gameId;
  let added = false;
  for (let ply = list.querySelectorAll('.ply').length; ply < moves.length; ply += 1) {
    if (ply % 2 === 0) list.append(document.createElement('li'));
    const move = document.createElement('span');
    move.className = /[+#]/.test(moves[ply]) ? 'ply checks' : 'ply';
    move.dataset.ply = String(ply + 1);
    move.textContent = moves[ply];
    list.lastElementChild.append(move);
    added = true;
  }
  if (!added) return;
  list.querySelector('.latest')?.classList.remove('latest');
  list.lastElementChild.lastElementChild.classList.add('latest');
  list.scrollTop = list.scrollHeight;
}

function renderStatus(state) {
  const { game, color } = state;
  const status = byId('status');
  const mine = game.toMove === color;
  let text;
  let tone = '';
  if (state.screen === 'ended') {
    const said = resultWords(state);
    text = `${said.title} · ${said.reason}`;
    tone = said.tone;
  } else if (state.pending?.kind === 'playMove' && state.link === 'open') text = t('theirTurn');
  else if (state.pending?.kind === 'playMove') text = t('sending');
  else if (game.inCheck) {
    text = t(mine ? 'youAreInCheck' : 'theyAreInCheck', { hp: game[game.toMove].hp });
    tone = mine ? 'bad' : 'good';
  } else text = t(mine ? 'yourTurn' : 'theirTurn');
  if (mine && state.screen === 'playing' && tone === '') tone = 'turn';
  status.textContent = text;
  status.dataset.tone = tone;
}

function resultWords({ game, color }) {
  const { winner, reason } = game.outcome;
  const loser = winner === 'white' ? t('black') : t('white');
  const won = winner === color;
  return {
    title: t(winner === '' ? 'drawn' : won ? 'youWon' : 'youLost'),
    reason: t(reason, { loser }),
    tone: winner === '' ? 'even' : won ? 'good' : 'bad',
  };
}

function renderResult(state) {
  const { game } = state;
  const result = byId('result');
  const over = state.screen === 'ended';
  const appears = over && !state.resultHidden && result.hidden;
  show('result', over && !state.resultHidden);
  if (!over) {
    delete result.dataset.reason;
    delete result.dataset.winner;
    return;
  }
  const said = resultWords(state);
  result.dataset.reason = game.outcome.reason;
  result.dataset.winner = game.outcome.winner || 'none';
  result.dataset.tone = said.tone;
  byId('result-title').textContent = said.title;
  byId('result-reason').textContent = said.reason;
  byId('result-score').textContent = `${t('hp', { color: t('white'), hp: game.white.hp })} · ${t('hp', { color: t('black'), hp: game.black.hp })}`;
  if (appears) {
    announce(`${said.title}. ${said.reason}`);
    byId('result-title').focus({ preventScroll: true });
  }
}

function show(id, visible) {
  byId(id).hidden = !visible;
}
