// What people touch.
// Owns: which part of the page asks for what. Never knows how it is done.

import { byId } from './parts.js';

/** Connects the page with `actions`; after each of them it is drawn anew. */
export function wire(actions, redraw) {
  const act = (name, ...values) => {
    actions[name](...values);
    redraw();
  };
  const on = (id, name, ...values) => byId(id).addEventListener('click', () => act(name, ...values));
  /** For a list of buttons: the one that was touched tells its value in `data-KEY`. */
  const onAny = (id, key, name) => byId(id).addEventListener('click', (event) => {
    const touched = event.target.closest(`[data-${key}]`);
    if (touched) act(name, touched.dataset[key]);
  });
  byId('sign-in-form').addEventListener('submit', (event) => {
    event.preventDefault();
    act('signIn', byId('name').value.trim());
  });
  on('sign-out', 'signOut');
  on('lang', 'changeLanguage');
  byId('regions').addEventListener('change', (event) => act('chooseRegion', event.target.value));
  for (const id of ['find', 'again', 'again-side']) on(id, 'findOpponent');
  on('cancel', 'leaveQueue');
  on('to-lobby', 'toLobby');
  onAny('items', 'item', 'wear');
  byId('resign').addEventListener('click', () => byId('resign-ask').showModal());
  byId('resign-no').addEventListener('click', () => byId('resign-ask').close());
  byId('resign-yes').addEventListener('click', () => {
    byId('resign-ask').close();
    act('command', 'resign');
  });
  on('offer-draw', 'command', 'offerDraw');
  on('accept-draw', 'command', 'answerDraw', { accept: true });
  on('decline-draw', 'command', 'answerDraw', { accept: false });
  onAny('emote-choices', 'emote', 'say');
  on('mute', 'mute');
  for (const side of ['', '-side']) {
    on(`rematch${side}`, 'offerRematch');
    on(`rematch-accept${side}`, 'answerRematch', true);
    on(`rematch-decline${side}`, 'answerRematch', false);
  }
  on('view-board', 'viewBoard');
  on('retry', 'retry');
}
