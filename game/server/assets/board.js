// The board: draws a position, lets a player pick a move by click, drag or keyboard.
// Owns: squares, selection, cursor, promotion chooser. Never decides what is legal: it is told the legal moves.

import { t } from './words.js';

const SVG = 'http://www.w3.org/2000/svg';
const FILES = 'abcdefgh';
const DRAG_STARTS_PX = 6;
const SLIDE_MS = 150;

const stillness = matchMedia('(prefers-reduced-motion: reduce)');

/** `{e1: 'K', …}` from the first field of a FEN. */
export function piecesOf(fen) {
  const pieces = {};
  fen.split(' ')[0].split('/').forEach((row, i) => {
    let file = 0;
    for (const c of row) {
      if (c >= '1' && c <= '8') file += Number(c);
      else pieces[FILES[file++] + (8 - i)] = c;
    }
  });
  return pieces;
}

/** The pieces after a move that is known to be legal. */
export function afterMove(pieces, uci) {
  const from = uci.slice(0, 2);
  const to = uci.slice(2, 4);
  const next = { ...pieces };
  const piece = next[from];
  if (!piece) return next;
  const kind = piece.toLowerCase();
  delete next[from];
  if (kind === 'p' && from[0] !== to[0] && !next[to]) delete next[to[0] + from[1]];
  if (kind === 'k' && Math.abs(FILES.indexOf(from[0]) - FILES.indexOf(to[0])) === 2) {
    const [corner, beside] = to[0] === 'g' ? ['h', 'f'] : ['a', 'd'];
    next[beside + to[1]] = next[corner + to[1]];
    delete next[corner + to[1]];
  }
  const promoted = uci[4];
  next[to] = promoted ? (isWhite(piece) ? promoted.toUpperCase() : promoted) : piece;
  return next;
}

const isWhite = (piece) => piece === piece.toUpperCase();

/** One piece as an SVG that uses the symbols of index.html. */
export function pieceImage(piece) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('class', `piece ${isWhite(piece) ? 'white' : 'black'}`);
  svg.setAttribute('viewBox', '0 0 64 64');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS(SVG, 'use');
  use.setAttribute('href', `#piece-${piece.toLowerCase()}`);
  svg.append(use);
  return svg;
}

export class Board {
  /**
   * @param {HTMLElement} root the element with role grid
   * @param {HTMLDialogElement} chooser asks what a pawn becomes
   * @param {(uci: string) => void} onMove the player picked this legal move
   */
  constructor(root, chooser, onMove) {
    this.root = root;
    this.chooser = chooser;
    this.onMove = onMove;
    this.squares = new Map();
    this.view = { pieces: {}, legal: [], lastMove: '', checked: '', color: 'white' };
    this.selected = '';
    this.cursor = '';
    this.drag = null;
    this.#build();
    root.addEventListener('pointerdown', (e) => this.#pointerDown(e));
    root.addEventListener('pointermove', (e) => this.#pointerMove(e));
    root.addEventListener('pointerup', (e) => this.#pointerUp(e));
    root.addEventListener('pointercancel', () => this.#endDrag());
    root.addEventListener('click', (e) => this.#click(e));
    root.addEventListener('keydown', (e) => this.#key(e));
    root.addEventListener('focusin', (e) => {
      const square = e.target.dataset?.square;
      if (square) this.#moveCursor(square, false);
    });
  }

  /**
   * Shows a position.
   * @param {object} view
   * @param {Record<string, string>} view.pieces
   * @param {string[]} view.legal moves the player may make now; empty when it is not their turn
   * @param {string} view.lastMove UCI or empty
   * @param {string} view.checked the square of a king in check, or empty
   * @param {'white'|'black'} view.color the side at the bottom
   */
  show(view) {
    const before = this.view;
    this.view = view;
    if (view.color !== before.color) this.#build();
    if (!view.legal.some((uci) => uci.startsWith(this.selected))) this.selected = '';
    if (!view.legal.length && this.drag) this.#endDrag();
    this.#draw();
    if (view.lastMove && view.lastMove !== before.lastMove) this.#slide(view.lastMove);
  }

  #build() {
    const white = this.view.color === 'white';
    const ranks = white ? [8, 7, 6, 5, 4, 3, 2, 1] : [1, 2, 3, 4, 5, 6, 7, 8];
    const files = white ? [...FILES] : [...FILES].reverse();
    this.order = ranks.map((rank) => files.map((file) => file + rank));
    this.squares.clear();
    const rows = this.order.map((names, y) => {
      const row = document.createElement('div');
      row.setAttribute('role', 'row');
      row.append(...names.map((name, x) => {
        const cell = document.createElement('div');
        const light = (FILES.indexOf(name[0]) + Number(name[1])) % 2 === 0;
        cell.className = `square ${light ? 'light' : 'dark'}`;
        cell.dataset.square = name;
        if (x === 0) cell.dataset.rank = name[1];
        if (y === 7) cell.dataset.file = name[0];
        cell.setAttribute('role', 'gridcell');
        cell.tabIndex = -1;
        this.squares.set(name, { cell, piece: '' });
        return cell;
      }));
      return row;
    });
    this.root.replaceChildren(...rows);
    this.cursor = white ? 'e2' : 'e7';
  }

  #draw() {
    const { pieces, legal, lastMove, checked } = this.view;
    const targets = new Set(legal.filter((uci) => this.selected && uci.startsWith(this.selected)).map((uci) => uci.slice(2, 4)));
    const movable = new Set(legal.map((uci) => uci.slice(0, 2)));
    const last = lastMove ? [lastMove.slice(0, 2), lastMove.slice(2, 4)] : [];
    for (const [name, square] of this.squares) {
      const piece = pieces[name] ?? '';
      if (piece !== square.piece) {
        square.cell.replaceChildren(...(piece ? [pieceImage(piece)] : []));
        square.piece = piece;
      }
      const is = {
        movable: movable.has(name),
        selected: name === this.selected,
        target: targets.has(name),
        occupied: Boolean(piece),
        last: last.includes(name),
        checked: name === checked,
      };
      for (const [mark, on] of Object.entries(is)) square.cell.classList.toggle(mark, on);
      square.cell.tabIndex = name === this.cursor ? 0 : -1;
      square.cell.setAttribute('aria-selected', String(is.selected));
      square.cell.setAttribute('aria-label', this.#label(name, piece, is));
    }
  }

  #label(square, piece, is) {
    const text = piece
      ? t('pieceSquare', { square, color: t(isWhite(piece) ? 'white' : 'black').toLowerCase(), piece: t(piece.toLowerCase()) })
      : t('emptySquare', { square });
    return text
      + (is.selected ? t('selectedMark') : '')
      + (is.target ? t(piece ? 'captureMark' : 'targetMark') : '')
      + (is.checked ? t('checkMark') : '')
      + (is.last ? t('lastMark') : '');
  }

  #slide(uci) {
    if (this.droppedAt === uci.slice(2, 4)) {
      this.droppedAt = '';
      return;
    }
    if (stillness.matches) return;
    const image = this.squares.get(uci.slice(2, 4))?.cell.firstElementChild;
    const from = this.#place(uci.slice(0, 2));
    const to = this.#place(uci.slice(2, 4));
    if (!image || !from || !to) return;
    const start = `translate(${(from.x - to.x) * 100}%, ${(from.y - to.y) * 100}%)`;
    image.animate([{ transform: start }, { transform: 'none' }], { duration: SLIDE_MS, easing: 'ease-out' });
  }

  #place(name) {
    const y = this.order.findIndex((row) => row.includes(name));
    return y < 0 ? null : { x: this.order[y].indexOf(name), y };
  }

  #choose(square) {
    const legal = this.view.legal;
    if (this.selected && square !== this.selected) {
      const moves = legal.filter((uci) => uci.startsWith(this.selected + square));
      if (moves.length > 1) return this.#promote(moves);
      if (moves.length === 1) return this.#make(moves[0]);
    }
    this.selected = square !== this.selected && legal.some((uci) => uci.startsWith(square)) ? square : '';
    this.#draw();
  }

  #make(uci) {
    this.selected = '';
    this.#moveCursor(uci.slice(2, 4), false);
    this.onMove(uci);
  }

  #promote(moves) {
    const white = isWhite(this.view.pieces[moves[0].slice(0, 2)]);
    const kinds = ['q', 'n', 'r', 'b'].filter((kind) => moves.some((uci) => uci[4] === kind));
    const buttons = kinds.map((kind) => {
      const button = document.createElement('button');
      button.type = 'button';
      button.className = 'promote';
      button.dataset.testid = `promote-${kind}`;
      const name = document.createElement('span');
      name.textContent = t(kind);
      button.append(pieceImage(white ? kind.toUpperCase() : kind), name);
      button.addEventListener('click', () => {
        this.chooser.close();
        const uci = moves.find((move) => move[4] === kind);
        if (this.view.legal.includes(uci)) this.#make(uci);
      });
      return button;
    });
    this.chooser.querySelector('.choices').replaceChildren(...buttons);
    this.chooser.onclose = () => {
      this.selected = '';
      this.#draw();
      this.#focus();
    };
    this.chooser.showModal();
  }

  #squareAt(x, y) {
    return document.elementsFromPoint(x, y).find((e) => e.dataset?.square)?.dataset.square ?? '';
  }

  #pointerDown(event) {
    const cell = event.target.closest('[data-square]');
    if (!cell || event.button !== 0 || !cell.classList.contains('movable')) return;
    this.drag = { from: cell.dataset.square, x: event.clientX, y: event.clientY, id: event.pointerId, ghost: null };
  }

  #pointerMove(event) {
    const drag = this.drag;
    if (!drag || event.pointerId !== drag.id) return;
    if (!drag.ghost) {
      if (Math.hypot(event.clientX - drag.x, event.clientY - drag.y) < DRAG_STARTS_PX) return;
      this.root.setPointerCapture(event.pointerId);
      this.selected = drag.from;
      this.#draw();
      const { cell } = this.squares.get(drag.from);
      drag.ghost = cell.firstElementChild.cloneNode(true);
      drag.ghost.classList.add('ghost');
      drag.ghost.style.width = `${cell.clientWidth}px`;
      cell.classList.add('lifted');
      this.root.append(drag.ghost);
    }
    event.preventDefault();
    drag.ghost.style.left = `${event.clientX}px`;
    drag.ghost.style.top = `${event.clientY}px`;
    const over = this.#squareAt(event.clientX, event.clientY);
    for (const [name, { cell }] of this.squares) cell.classList.toggle('over', name === over);
  }

  #pointerUp(event) {
    const drag = this.drag;
    if (!drag || event.pointerId !== drag.id) return;
    const dragged = Boolean(drag.ghost);
    this.#endDrag();
    if (!dragged) return;
    // The click that follows a drag is not a choice of its own.
    this.afterDrag = true;
    setTimeout(() => { this.afterDrag = false; });
    const to = this.#squareAt(event.clientX, event.clientY);
    if (to && to !== drag.from && this.view.legal.some((uci) => uci.startsWith(drag.from + to))) {
      this.droppedAt = to;
      this.#choose(to);
    }
  }

  #endDrag() {
    const drag = this.drag;
    this.drag = null;
    drag?.ghost?.remove();
    for (const { cell } of this.squares.values()) cell.classList.remove('lifted', 'over');
  }

  #click(event) {
    const square = event.target.closest('[data-square]')?.dataset.square;
    if (!square || this.afterDrag) return;
    this.#moveCursor(square, false);
    this.#choose(square);
  }

  #key(event) {
    const at = this.#place(this.cursor);
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], Home: [-7, 0], End: [7, 0] };
    const within = (n) => Math.max(0, Math.min(7, n));
    if (event.key in steps) {
      const [dx, dy] = steps[event.key];
      this.#moveCursor(this.order[within(at.y + dy)][within(at.x + dx)], true);
    } else if (event.key === 'Enter' || event.key === ' ') {
      this.#choose(this.cursor);
    } else if (event.key === 'Escape' && this.selected) {
      this.selected = '';
      this.#draw();
    } else {
      return;
    }
    event.preventDefault();
  }

  #moveCursor(square, focus) {
    this.squares.get(this.cursor).cell.tabIndex = -1;
    this.cursor = square;
    this.squares.get(square).cell.tabIndex = 0;
    if (focus) this.#focus();
  }

  #focus() {
    this.squares.get(this.cursor).cell.focus();
  }
}
