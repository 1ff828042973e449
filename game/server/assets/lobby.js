// The lobby: the wait for an opponent, the choice of a region, the player's profile and items.
// Owns: what these parts show. Never changes the page's state, never talks to the network.

import { itemIcon } from './items.js';
import { byId, clockText, setText, show } from './parts.js';
import { windowAt } from './shapes.js';
import { language, nameOf, t } from './words.js';

/** Draws the lobby. */
export function renderLobby(state, serverNowMs) {
  const queued = state.screen === 'queued';
  byId('lobby-view').classList.toggle('searching', queued);
  byId('lobby-title').textContent = queued ? searching(state) : t('hello', { name: state.name });
  show('wait', queued);
  byId('wait').dataset.sinceMs = String(state.wait?.sinceMs ?? '');
  show('find', !queued);
  show('cancel', queued);
  byId('find').disabled = state.link !== 'open';
  renderRegions(state, queued);
  renderProfile(state);
  if (queued) tickWait(state, serverNowMs);
}

function searching({ wait, regions }) {
  return regions.length > 1 && wait?.region ? t('searchingIn', { region: nameOf('region', wait.region) }) : t('searching');
}

/** Redraws what changes with time alone. */
export function tickWait({ wait }, serverNowMs) {
  setText('wait-time', clockText(Math.max(0, serverNowMs - (wait?.sinceMs ?? serverNowMs))));
  const window = windowAt(wait, serverNowMs);
  show('wait-window', window !== null);
  if (!window) return;
  const { points, pointsMax, anybodyInMs } = window;
  const anybody = anybodyInMs === 0;
  const { rating } = wait;
  setText('wait-range', anybody ? t('windowAnybody') : t('window', { low: Math.max(0, rating - points), high: rating + points }));
  setText('wait-around', anybody ? t('anybodyNow') : t('windowAround', { rating, points }));
  setText('wait-anybody', anybody ? '' : t('anybodyIn', { time: clockText(Math.ceil(anybodyInMs / 1000) * 1000) }));
  const reach = byId('wait-reach');
  reach.style.width = `${anybody || pointsMax === 0 ? 100 : (points / pointsMax) * 100}%`;
  reach.classList.toggle('anybody', anybody);
}

function renderRegions({ regions, region }, queued) {
  const several = regions.length > 1;
  show('regions', several && !queued);
  if (!several) return;
  const box = byId('region-choices');
  const drawn = `${language()} ${regions.join(' ')}`;
  if (box.dataset.drawn !== drawn) {
    box.dataset.drawn = drawn;
    box.replaceChildren(...regions.map((id) => {
      const label = document.createElement('label');
      const radio = document.createElement('input');
      Object.assign(radio, { type: 'radio', name: 'region', value: id });
      const name = document.createElement('span');
      name.textContent = nameOf('region', id);
      label.dataset.testid = `region-${id}`;
      label.append(radio, name);
      return label;
    }));
  }
  // The server takes the first when none is named.
  const chosen = regions.includes(region) ? region : regions[0];
  for (const radio of box.querySelectorAll('input')) radio.checked = radio.value === chosen;
}

// --- who we are ---

function renderProfile(state) {
  const { profile } = state;
  const rating = profile?.rating ?? state.rating;
  setText('profile-rating', String(rating));
  setText('profile-deviation', profile?.deviation ? `± ${profile.deviation}` : '');
  for (const count of ['wins', 'losses', 'draws']) setText(`profile-${count}`, String(profile?.[count] ?? 0));
  const levelled = Boolean(profile?.level);
  show('journey', levelled);
  show('belongings', levelled);
  if (!levelled) return;
  const { level, xp, xpNextLevel, stage } = profile;
  setText('profile-level', String(level));
  byId('profile-level').setAttribute('aria-label', t('level', { level }));
  setText('profile-stage', stage ? `${t('level', { level })} · ${nameOf('stage', stage)}` : t('level', { level }));
  const bar = byId('profile-xp');
  bar.max = xpNextLevel || 1;
  bar.value = xpNextLevel ? xp : 1;
  const text = xpNextLevel ? t('xpOf', { xp, next: xpNextLevel }) : t('xpLast', { xp });
  bar.setAttribute('aria-valuetext', text);
  setText('profile-xp-text', text);
  renderItems(state);
}

function renderItems({ profile, equipping }) {
  const { items, equipped } = profile;
  const list = byId('items');
  show('items', items.length > 0);
  setText('items-hint', t(items.length > 0 ? 'itemsHint' : 'noItems'));
  const drawn = `${language()} ${items.join(' ')}`;
  // Rebuilt only for other items: a button that is in use keeps its focus.
  if (list.dataset.drawn !== drawn) {
    list.dataset.drawn = drawn;
    list.replaceChildren(...items.map(itemButton));
  }
  for (const button of list.querySelectorAll('[data-item]')) {
    const id = button.dataset.item;
    button.setAttribute('aria-pressed', String(equipped.includes(id)));
    button.setAttribute('aria-busy', String(equipping === id));
    button.querySelector('.worn').textContent = equipped.includes(id) ? t('worn') : '';
  }
}

function itemButton(id) {
  const entry = document.createElement('li');
  const button = document.createElement('button');
  button.type = 'button';
  button.className = 'item';
  button.dataset.item = id;
  button.dataset.testid = `item-${id}`;
  const name = document.createElement('span');
  name.textContent = nameOf('item', id);
  const worn = document.createElement('small');
  worn.className = 'worn';
  button.append(itemIcon(id), name, worn);
  entry.append(button);
  return entry;
}

