// The one command on a game that is on its way: sent, sent again with the same id, acknowledged.
// Owns: command ids and retries. Never changes the game: the events that follow do that.

// Answers after which the same command, with the same id, is worth another try.
const TRY_AGAIN = new Set(['UNAVAILABLE', 'INTERNAL', 'RATE_LIMITED']);
const TRIES_MAX = 6;
const RETRY_MS = 300;

/** Whether an answer is worth another try. */
export const isPassing = (code) => TRY_AGAIN.has(code);

/** How long to wait before try number `tries`, or null when there were enough. */
export const retryAfterMs = (tries) => (tries > TRIES_MAX ? null : RETRY_MS * tries * (0.5 + Math.random()));

export class Commands {
  /**
   * @param {object} uses
   * @param {import('./link.js').Link} uses.link
   * @param {(gameId: string) => void} uses.takeSeat this connection has no seat at the game yet
   * @param {(code: string, command: {kind: string, body: object}) => void} uses.onRefused it was given up
   */
  constructor({ link, takeSeat, onRefused }) {
    this.link = link;
    this.takeSeat = takeSeat;
    this.onRefused = onRefused;
    /** `{kind, body, tries, ackedSequence, requestId}`, null when every command was answered. */
    this.pending = null;
  }

  /** Sends a command unless another one is on its way. */
  send(kind, body) {
    if (this.pending) return;
    this.pending = { kind, body: { commandId: newId(), ...body }, tries: 0, ackedSequence: null, requestId: 0 };
    this.again();
  }

  /** Sends what is pending, with the same id. Without a connection it stays pending until the next resume. */
  again() {
    this.pending.requestId = this.link.send({ [this.pending.kind]: this.pending.body });
  }

  forget() {
    this.pending = null;
  }

  /** It is durable. Its effect comes with the events that follow; until then the move stays drawn. */
  acked({ commandId, sequence = 0 }, seenSequence) {
    if (!this.pending || commandId !== this.pending.body.commandId) return;
    this.pending.ackedSequence = sequence;
    this.seen(seenSequence);
  }

  /** The game was seen up to `sequence`. */
  seen(sequence) {
    const acked = this.pending?.ackedSequence ?? null;
    if (acked !== null && sequence >= acked) this.pending = null;
  }

  /** Takes an error in; false when it answers something else. */
  failed(code, requestId) {
    const { pending } = this;
    if (!pending || pending.requestId !== requestId) return false;
    pending.tries += 1;
    const waitMs = retryAfterMs(pending.tries);
    if (isPassing(code) && waitMs !== null) {
      setTimeout(() => { if (this.pending === pending && this.link.open) this.again(); }, waitMs);
    } else if (code === 'NOT_IN_GAME' && waitMs !== null) {
      // Once it has a seat, the command goes out again.
      this.takeSeat(pending.body.gameId);
    } else {
      this.pending = null;
      this.onRefused(code, pending);
    }
    return true;
  }
}

// randomUUID exists only on https and localhost; a phone on the local network has neither.
function newId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
