// What happens in a game, in words for the ear.

import { colorOf, opposite } from './shapes.js';
import { language, t } from './words.js';

/** A `GameEvent`; empty where there is nothing to say beyond what the page says itself. */
export function sayEvent({ moveMade, drawOffered, drawDeclined, game }) {
  if (moveMade) {
    const { san = '', uci = '', check = false } = moveMade;
    const by = colorOf(moveMade.by, 'white');
    return sayMove({ by, san, uci, check, hp: game ? game[opposite(by)]?.hp ?? 0 : null });
  }
  if (drawOffered) return t('drawOfferedBy', { color: t(colorOf(drawOffered.by, 'white')) });
  if (drawDeclined) return t('drawDeclined', { color: t(colorOf(drawDeclined.by, 'white')) });
  return '';
}

/** A move in words, from its SAN and UCI. `hp` is what the side in check has left, null if that is not known. */
function sayMove({ by, san, uci, check, hp }) {
  const color = t(by);
  let text;
  if (san.startsWith('O-O-O')) text = t('saidLong', { color });
  else if (san.startsWith('O-O')) text = t('saidShort', { color });
  else {
    const piece = t('KQRBN'.includes(san[0]) ? san[0].toLowerCase() : 'p');
    const from = uci.slice(0, 2);
    const to = uci.slice(2, 4);
    text = t(san.includes('x') ? 'saidCapture' : 'said', { color, piece, from, to });
    if (uci.length === 5) text += t('saidPromotes', { piece: t(uci[4]) });
  }
  if (check && hp === null) text += t('saidBareCheck');
  else if (check) text += t('saidCheck', { color: t(opposite(by)), hp });
  return text + (language() === 'zh' ? '。' : '.');
}
