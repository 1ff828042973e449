// What players say to each other without words: six buttons, and a bubble beside the seat of whoever says it.
// Owns: what is being said, and whether we want to hear it. Nothing of it is part of a game or kept with it.

import { preferred } from './keep.js';
import { announce, byId, setText, show, toast } from './parts.js';
import { colorOf } from './shapes.js';
import { has, t } from './words.js';

/** As the contract names them; what one says is `emote-NAME` among the words. */
const EMOTES = ['GREETING', 'GOOD_MOVE', 'THINKING', 'OOPS', 'THANKS', 'GOOD_GAME'];
const SHOWN_MS = 3000;
const MUTED = 'mute-emotes';

export class Emotes {
  /**
   * @param {object} uses
   * @param {import('./link.js').Link} uses.link
   * @param {() => void} uses.redraw
   */
  constructor({ link, redraw }) {
    this.link = link;
    this.redraw = redraw;
    /** What is said at each seat, empty for nothing. */
    this.said = { white: '', black: '' };
    this.timers = {};
    this.muted = preferred.get(MUTED) === '1';
    /** Whether this release and this game take emotes. */
    this.taken = true;
    this.requestId = 0;
    this.ours = '';
  }

  /** A new game, or a new connection: everything may be said again. */
  begin() {
    this.taken = true;
    this.#hush('white');
    this.#hush('black');
  }

  send({ game, color }, emote) {
    this.requestId = this.link.tell({ sendEmote: { gameId: game.gameId, emote } });
    if (!this.requestId) return;
    this.ours = color;
    this.#show(game, color, emote);
  }

  hear({ game }, { gameId, seat, emote }) {
    const color = colorOf(seat);
    // One that only a newer release knows has no words here.
    if (this.muted || gameId !== game?.gameId || !color || !EMOTES.includes(emote)) return;
    this.#show(game, color, emote);
  }

  /** Takes an error in; false when it answers something else. */
  failed({ screen }, code, requestId) {
    if (!requestId || requestId !== this.requestId) return false;
    this.#hush(this.ours);
    if (code === 'RATE_LIMITED') {
      toast(t('emotesSlow'));
      announce(t('emotesSlow'));
    } else if (code === 'MALFORMED_FRAME' || (code === 'NOT_IN_GAME' && screen === 'ended')) {
      // A release that does not know emotes, or a game that is no longer kept.
      this.taken = false;
    } else if (has(code)) toast(t(code));
    return true;
  }

  toggleMute() {
    this.muted = !this.muted;
    preferred.set(MUTED, this.muted ? '1' : '');
  }

  #show(game, color, emote) {
    this.said[color] = emote;
    announce(t('emoteSaid', { name: game[color].name, text: t(`emote-${emote}`) }));
    clearTimeout(this.timers[color]);
    this.timers[color] = setTimeout(() => {
      this.#hush(color);
      this.redraw();
    }, SHOWN_MS);
  }

  #hush(color) {
    if (!color) return;
    clearTimeout(this.timers[color]);
    this.said[color] = '';
  }
}

/** Draws the buttons and the bubbles. */
export function renderEmotes({ emotes, game, screen, link, color, resumeRequest }) {
  const over = screen === 'ended' && game.outcome.reason === 'ABORTED';
  show('emotes', emotes.taken && !over);
  const box = byId('emote-choices');
  if (!box.firstElementChild) box.replaceChildren(...EMOTES.map(button));
  for (const each of box.children) {
    setText(each, t(`emote-${each.dataset.emote}`));
    // Without a seat on this connection nobody would hear it.
    each.disabled = link !== 'open' || resumeRequest !== 0;
  }
  byId('mute').setAttribute('aria-pressed', String(emotes.muted));
  for (const side of ['white', 'black']) {
    const bubble = document.querySelector(`.seat[data-color="${side}"] .bubble`);
    const emote = side !== color && emotes.muted ? '' : emotes.said[side];
    bubble.hidden = emote === '';
    setText(bubble, emote && t(`emote-${emote}`));
  }
}

function button(emote) {
  const choice = document.createElement('button');
  choice.type = 'button';
  choice.className = 'secondary';
  choice.dataset.emote = emote;
  choice.dataset.testid = `emote-${emote}`;
  return choice;
}
