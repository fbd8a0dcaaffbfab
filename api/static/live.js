// One WebSocket that is always either open or on its way back, and knows how far it has read.

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;
const EXPIRED = 4401;
const NOT_YOURS = 4403;

export class Live {
  #onFrame;
  #onState;
  #cursor;
  #socket = null;
  #timer = null;
  #failures = 0;

  // onState hears "connecting", "open", "waiting", or "ended" when the login is over.
  constructor({ cursor, onFrame, onState }) {
    this.#cursor = cursor;
    this.#onFrame = onFrame;
    this.#onState = onState;
    addEventListener("online", () => this.#hurry());
    addEventListener("offline", () => this.#abandon());
    document.addEventListener("visibilitychange", () => document.hidden || this.#hurry());
    this.#connect();
  }

  // For good: there is nobody logged in any more.
  stop() {
    clearTimeout(this.#timer);
    this.#timer = null;
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    this.#onState("ended");
  }

  #connect() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#onState("connecting");
    const address = new URL("/ws/notifications", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    address.searchParams.set("cursor", this.#cursor);
    const socket = new WebSocket(address);
    this.#socket = socket;
    const unlessAbandoned = (react) => (event) => this.#socket === socket && react(event);
    socket.addEventListener("open", unlessAbandoned(() => this.#opened()));
    socket.addEventListener("message", unlessAbandoned(({ data }) => this.#take(JSON.parse(data))));
    socket.addEventListener("close", unlessAbandoned(({ code }) => this.#closed(code)));
  }

  #opened() {
    this.#failures = 0;
    this.#onState("open");
  }

  // Without a network the closing handshake would take a minute to fail; nobody waits for it.
  #abandon() {
    const socket = this.#socket;
    if (!socket) return;
    this.#closed(0);
    socket.close();
  }

  #take(frame) {
    if (frame.cursor) this.#cursor = frame.cursor;
    if (frame.type === "gap") this.#cursor = frame.snapshot?.items?.[0]?.cursor ?? "";
    this.#onFrame(frame);
  }

  #closed(code) {
    this.#socket = null;
    if (code === EXPIRED || code === NOT_YOURS) {
      this.#onState("ended");
      return;
    }
    // full jitter: many tabs that lost one server do not come back in one instant
    const most = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#failures);
    this.#failures += 1;
    this.#timer = setTimeout(() => this.#connect(), Math.random() * most);
    this.#onState("waiting");
  }

  #hurry() {
    if (this.#timer !== null) this.#connect();
  }
}
