// Everything on the page around the board, drawn from the page's state; the lobby is in lobby.js.
// Owns: what each part shows. Never changes the state, never talks to the network.

import { renderEmotes } from './emotes.js';
import { besideName, dress, itemIcon } from './items.js';
import { renderLobby, tickWait } from './lobby.js';
import { announce, byId, clockText, icon, LOW_CLOCK_MS, setText, show } from './parts.js';
import { opposite } from './shapes.js';
import { nameOf, t } from './words.js';

const LIVES = 3;
// Below this, lag is what every connection has.
const LAG_SHOWN_MS_MIN = 10;

// --- the page ---

/** After a change of screen, the focus must not stay on something that is gone. */
export function moveFocus(screen) {
  // Nobody has touched this page yet: there was no focus to lose.
  if (navigator.userActivation?.hasBeenActive === false) return;
  if (document.activeElement !== document.body && document.activeElement?.checkVisibility()) return;
  const place = {
    lobby: byId('find').disabled ? byId('lobby-title') : byId('find'),
    queued: byId('cancel'),
    playing: document.querySelector('#board [tabindex="0"]'),
  }[screen];
  place?.focus({ preventScroll: true });
}

/** Draws everything but the board. */
export function renderPage(state, serverNowMs) {
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
  renderTitle(state);
  if (!byId('lobby-view').hidden) renderLobby(state, serverNowMs);
  if (inGame) renderTable(state);
}

/** Redraws what changes with time alone: clocks, waiting, countdowns. */
export function tickPage(state, serverNowMs) {
  if (state.screen === 'queued') tickWait(state, serverNowMs);
  if (state.link === 'waiting') renderBanner(state);
  if (!state.game) return;
  for (const color of ['white', 'black']) renderClock(state, color, serverNowMs);
  renderPresence(state);
}

/** A tab in the background tells whose turn it is. */
function renderTitle({ screen, game, color }) {
  const turn = screen === 'playing' && game.toMove === color ? `● ${t('yourTurn')} · ` : '';
  if (document.title !== turn + t('docTitle')) document.title = turn + t('docTitle');
}

function renderBanner(state) {
  const seconds = Math.ceil((state.retryAt - Date.now()) / 1000);
  let text = '';
  if (state.superseded) text = t('superseded');
  else if (!state.token || state.link === 'open' || state.link === 'closed') text = '';
  else if (state.relocating) text = t('relocating');
  else if (state.moving) text = t('moving');
  else if (state.link === 'waiting' && seconds > 1) text = t('reconnectIn', { seconds });
  else if (state.screen === 'signed-out') text = t('connecting');
  else text = t('reconnecting');
  show('banner', text !== '');
  setText('banner-text', text);
  byId('banner').classList.toggle('still', state.superseded);
  show('retry', state.superseded || (state.link === 'waiting' && seconds > 1));
  byId('retry').textContent = t(state.superseded ? 'takeOver' : 'retryNow');
}

// --- the table ---

function renderTable(state) {
  const { game, color } = state;
  const other = opposite(color);
  dress(document.body, { mine: game[color].equipped, white: game.white.equipped, black: game.black.equipped });
  renderSeat(byId('seat-top'), state, other);
  renderSeat(byId('seat-bottom'), state, color);
  renderEmotes(state);
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
  renderRematch(state);
}

function renderSeat(seat, state, color) {
  if (seat.dataset.color !== color) buildSeat(seat, color);
  const { name, rating, level, equipped, hp } = state.game[color];
  const mine = color === state.color;
  seat.classList.toggle('turn', state.game.toMove === color && state.screen === 'playing');
  seat.querySelector('.name').textContent = name;
  seat.querySelector('.side-name').textContent = `${t(color)}${mine ? ` · ${t('you')}` : ''} · `;
  seat.querySelector('.strength').textContent = level ? `${rating} · ${t('levelShort', { level })}` : String(rating);
  renderWorn(seat.querySelector('.wears'), equipped);
  renderLag(seat.querySelector('.lag'), state.lagMs[color]);
  const hearts = seat.querySelector('.hearts');
  hearts.setAttribute('aria-label', t('hp', { color: t(color), hp }));
  const before = Number(hearts.dataset.hp ?? hp);
  hearts.dataset.hp = String(hp);
  [...hearts.children].forEach((heart, i) => {
    heart.classList.toggle('lost', i >= hp);
    heart.classList.toggle('breaking', i >= hp && i < before);
  });
}

function renderWorn(place, wears) {
  const equipped = besideName(wears);
  place.hidden = equipped.length === 0;
  place.setAttribute('aria-label', t('wears', { items: equipped.map((id) => nameOf('item', id)).join(', ') }));
  if (place.dataset.items === equipped.join(' ')) return;
  place.dataset.items = equipped.join(' ');
  place.replaceChildren(...equipped.map(itemIcon));
}

function renderLag(place, ms) {
  place.hidden = ms < LAG_SHOWN_MS_MIN;
  setText(place, t('lag', { ms }));
  place.title = t('lagNote', { ms });
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
  const name = part('name-line');
  name.append(part('name'), part('wears', 'img'));
  name.lastElementChild.dataset.testid = `wears-${color}`;
  const about = part('about');
  about.append(part('side-name'), part('strength'));
  about.lastElementChild.dataset.testid = `strength-${color}`;
  const bubble = part('bubble');
  bubble.dataset.testid = `bubble-${color}`;
  bubble.hidden = true;
  who.append(name, about, part('presence'), bubble);
  const hearts = part('hearts', 'img');
  hearts.dataset.testid = `hp-${color}`;
  for (let i = 0; i < LIVES; i += 1) hearts.append(icon('heart', 'heart'));
  const clock = part('clock', 'timer');
  clock.dataset.testid = `clock-${color}`;
  const time = part('time');
  time.append(clock, part('lag'));
  time.lastElementChild.dataset.testid = `lag-${color}`;
  seat.replaceChildren(disc, who, hearts, time);
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
  setText(presence, text);
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
  const undecided = reason === 'ABORTED' ? 'aborted' : 'drawn';
  return {
    title: t(winner === '' ? undecided : won ? 'youWon' : 'youLost'),
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
  renderGains(state);
  if (appears) {
    announce(`${said.title}. ${said.reason}`);
    byId('result-title').focus({ preventScroll: true });
  }
}

function renderGains({ gains }) {
  const signed = (n) => (n < 0 ? `−${-n}` : `+${n}`);
  const parts = [];
  if (gains) parts.push(t('gainRating', { rating: gains.rating, by: signed(gains.ratingBy) }));
  if (gains?.xpBy > 0) parts.push(t('gainXp', { by: signed(gains.xpBy) }));
  if (gains?.level) parts.push(t('gainLevel', { level: gains.level }));
  for (const id of gains?.items ?? []) parts.push(t('gainItem', { item: nameOf('item', id) }));
  show('result-gains', parts.length > 0);
  const place = byId('result-gains');
  if (place.textContent === parts.join(' · ')) return;
  // Each stays on one line.
  place.replaceChildren(...parts.flatMap((part, i) => {
    const whole = document.createElement('span');
    whole.textContent = part;
    return i === 0 ? [whole] : [' · ', whole];
  }));
}

// Over the board, and beside it for when the board is looked at; a question is asked in one place.
function renderRematch({ screen, rematch, game, color, link, resultHidden }) {
  const possible = screen === 'ended' && game.outcome.reason !== 'ABORTED';
  for (const side of ['', '-side']) {
    show(`rematch-ask${side}`, possible && rematch === 'asked' && resultHidden === (side === '-side'));
    setText(`rematch-ask-text${side}`, t('rematchAsked', { name: game[opposite(color)].name }));
    for (const answer of ['accept', 'decline']) byId(`rematch-${answer}${side}`).disabled = link !== 'open';
    show(`rematch${side}`, possible && rematch !== 'asked');
    byId(`rematch${side}`).disabled = rematch !== '' || link !== 'open';
    setText(`rematch${side}`, t(rematch === 'sent' ? 'rematchSent' : rematch === 'none' ? 'rematchNone' : 'rematch'));
    byId(`again${side}`).className = possible && rematch !== 'none' ? 'secondary' : 'primary';
  }
}
