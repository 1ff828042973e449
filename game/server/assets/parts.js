// Small parts that every drawing uses: texts, pictures, clocks, and words for the ear.
// Owns: the toast and the announcer. Knows nothing of games.

export const byId = (id) => document.getElementById(id);

const SVG = 'http://www.w3.org/2000/svg';
const TOAST_MS = 5000;
const SAID_MAX = 6;
/** Below this a clock shows tenths. */
export const LOW_CLOCK_MS = 20000;

export function show(id, visible) {
  byId(id).hidden = !visible;
}

/** Writes a text only where it differs, so that nothing is redrawn or read out again for nothing. */
export function setText(place, text) {
  const element = typeof place === 'string' ? byId(place) : place;
  if (element.textContent !== text) element.textContent = text;
}

/** A picture made of one of the symbols in index.html. */
export function icon(symbol, className) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('class', className);
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS(SVG, 'use');
  use.setAttribute('href', `#${symbol}`);
  svg.append(use);
  return svg;
}

/** `4:07`; the last seconds with tenths when `exact`. */
export function clockText(ms, exact = false) {
  const seconds = exact && ms < LOW_CLOCK_MS ? ms / 1000 : Math.floor(ms / 1000);
  const minutes = Math.floor(seconds / 60);
  const rest = exact && ms < LOW_CLOCK_MS ? seconds.toFixed(1).padStart(4, '0') : String(seconds % 60).padStart(2, '0');
  return `${minutes}:${rest}`;
}

/** Says something to a screen reader; several in one instant are all said. */
export function announce(text) {
  if (!text) return;
  const line = document.createElement('p');
  line.textContent = text;
  byId('announcer').append(line);
  while (byId('announcer').childElementCount > SAID_MAX) byId('announcer').firstElementChild.remove();
}

let toastTimer;
/** Shows a passing message. */
export function toast(text) {
  byId('toast').textContent = text;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { byId('toast').textContent = ''; }, TOAST_MS);
}
