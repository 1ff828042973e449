// The WebSocket to the server, kept alive.
// Owns: connecting, reconnecting with backoff and jitter, noticing a dead connection, request ids.
// Never knows what a frame means beyond "welcome", "pong" and which request it answers.

const RETRY_MS_FIRST = 300;
const RETRY_MS_MAX = 8000;
const PING_EVERY_MS = 10000;
const RETRY_MS_AFTER_ABUSE = 3000;
const ANSWER_WITHIN_MS = 12000;

/** Close codes of the contract and of RFC 6455 that ask for something other than a plain retry. */
const CLOSE = { abuse: 1008, restart: 1012, relocated: 4001, replaced: 4002 };
// A release before 4002 said the same with 1008, among other reasons for that code.
const replacedOfOld = (code, reason) => code === CLOSE.abuse && reason.includes('newer connection');

export class Link {
  /**
   * @param {object} uses
   * @param {() => {url: string, protocols: string[]}} uses.target where to connect, asked at each try
   * @param {(frame: object) => void} uses.onFrame every frame but pongs
   * @param {(state: 'open'|'connecting'|'waiting'|'closed'|'refused', detail: object) => void} uses.onState
   *   `waiting` has `retryAt` (ms), `moving` (the server asked us to come back) and `restarting` (not to this release), `refused` has `code` and `reason`: the server does not want this connection back
   */
  constructor({ target, onFrame, onState }) {
    this.target = target;
    this.onFrame = onFrame;
    this.onState = onState;
    this.wanted = false;
    this.failures = 0;
    this.requestId = 0;
    this.unanswered = new Map();
    addEventListener('online', () => this.retryNow());
    document.addEventListener('visibilitychange', () => { if (!document.hidden) this.retryNow(); });
    // A page that is kept for the back button must not go on looking present.
    addEventListener('pagehide', () => this.#drop());
    addEventListener('pageshow', (event) => { if (event.persisted) this.retryNow(); });
  }

  start() {
    if (this.wanted) return;
    this.wanted = true;
    this.failures = 0;
    this.#connect();
  }

  stop() {
    this.wanted = false;
    clearTimeout(this.retryTimer);
    this.#drop();
    this.onState('closed', {});
  }

  /** Connects at once if it is only waiting for its next try. */
  retryNow() {
    if (this.wanted && !this.socket) {
      clearTimeout(this.retryTimer);
      this.#connect();
    }
  }

  /** Gives up the present connection and makes a new one. */
  reconnect() {
    if (!this.wanted) return;
    this.#drop();
    this.#connect();
  }

  get open() {
    return this.welcomed === true;
  }

  /** Sends one command; returns its request id, or 0 when there is no connection. */
  send(command) {
    const requestId = this.tell(command);
    if (requestId) this.unanswered.set(requestId, Date.now());
    return requestId;
  }

  /** As `send`, for a command that is answered only when it is refused: silence means nothing. */
  tell(command) {
    if (!this.socket || this.socket.readyState !== WebSocket.OPEN) return 0;
    const requestId = ++this.requestId;
    this.socket.send(JSON.stringify({ requestId, ...command }));
    return requestId;
  }

  #connect() {
    const { url, protocols } = this.target();
    this.onState('connecting', { failures: this.failures });
    const socket = new WebSocket(url, protocols);
    this.socket = socket;
    this.openedAt = Date.now();
    this.watchTimer = setInterval(() => this.#watch(), 1000);
    socket.onmessage = (message) => { if (socket === this.socket) this.#receive(message.data); };
    socket.onclose = (event) => { if (socket === this.socket) this.#closed(event.code, event.reason); };
  }

  #receive(text) {
    let frame;
    try { frame = JSON.parse(text); } catch { return; }
    if (frame.requestId) this.unanswered.delete(frame.requestId);
    if (frame.pong) return;
    if (frame.welcome) {
      this.welcomed = true;
      this.failures = 0;
      this.pingedAt = Date.now();
      this.onState('open', {});
    }
    this.onFrame(frame);
  }

  // A peer that is gone without a word shows itself only by silence.
  #watch() {
    const now = Date.now();
    const oldest = this.welcomed ? Math.min(...this.unanswered.values()) : this.openedAt;
    if (now - oldest > ANSWER_WITHIN_MS) {
      this.#drop();
      this.#retry(0);
    } else if (this.welcomed && now - this.pingedAt > PING_EVERY_MS) {
      this.pingedAt = now;
      this.send({ ping: {} });
    }
  }

  #drop() {
    clearInterval(this.watchTimer);
    const socket = this.socket;
    this.socket = null;
    this.welcomed = false;
    this.unanswered.clear();
    if (socket) {
      socket.onmessage = null;
      socket.onclose = null;
      socket.close();
    }
  }

  #closed(code, reason) {
    this.#drop();
    if (!this.wanted) return;
    // Coming back would only push the other window out.
    if (code === CLOSE.replaced || replacedOfOld(code, reason)) {
      this.wanted = false;
      this.onState('refused', { code, reason });
    } else {
      this.#retry(code);
    }
  }

  #retry(code) {
    const first = code === CLOSE.abuse ? RETRY_MS_AFTER_ABUSE : RETRY_MS_FIRST;
    let waitMs = Math.min(RETRY_MS_MAX, first * 2 ** this.failures);
    waitMs *= 0.5 + Math.random() / 2;
    // The server asked for it and another is ready: come back at once, but not all in one instant.
    const moving = code === CLOSE.relocated || code === CLOSE.restart;
    if (moving && this.failures === 0) waitMs = Math.random() * 250;
    this.failures += 1;
    this.retryTimer = setTimeout(() => this.#connect(), waitMs);
    this.onState('waiting', { retryAt: Date.now() + waitMs, moving, restarting: code === CLOSE.restart, failures: this.failures });
  }
}
