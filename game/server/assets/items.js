// What players wear, made visible: boards, pieces and crests.
// Owns: which item changes which part of the page; the colours are in style.css. An item is known by
// its id, whose first word says where it is worn. Never asks what is owned.

import { icon } from './parts.js';

const slotOf = (id) => id.split('-')[0];
const worn = (equipped, slot) => equipped.find((id) => slotOf(id) === slot) ?? '';

/** The picture of an item; a star for what this page has no picture of. */
export function itemIcon(id) {
  const slot = slotOf(id);
  if (slot === 'board') {
    const image = icon('item-board', 'glyph');
    image.dataset.board = id;
    return image;
  }
  if (slot === 'pieces') {
    const image = icon('piece-n', 'glyph piece white');
    image.dataset.whitePieces = id;
    return image;
  }
  const symbol = `item-${id}`;
  return icon(document.getElementById(symbol) ? symbol : 'item', 'glyph');
}

/** What of `equipped` is shown beside a name; the rest is seen on the board. */
export const besideName = (equipped) => equipped.filter((id) => !['board', 'pieces'].includes(slotOf(id)));

/** Lays out the board that we like, with the pieces that each player brought. */
export function dress(place, { mine, white, black }) {
  place.dataset.board = worn(mine, 'board');
  place.dataset.whitePieces = worn(white, 'pieces');
  place.dataset.blackPieces = worn(black, 'pieces');
}
