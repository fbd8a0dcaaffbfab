// The items of one person and how many are unread: loaded once, then told by the socket. Doubles are dropped by id.
import { Refused, call } from "./api.js";
import { Live } from "./live.js";

const REFRESH_MS = 250;
const PAGE = 20;

export class InboxStore extends EventTarget {
  items = new Map();
  unread = 0;
  next = null;
  state = "connecting";
  #live = null;
  #refreshing = null;
  #unseen = new Set();

  async start() {
    await this.refresh();
    const [newest] = this.newestFirst();
    this.#live = new Live({
      cursor: newest?.cursor ?? "",
      onFrame: (frame) => this.#take(frame),
      onState: (state) => this.#connection(state),
    });
  }

  newestFirst() {
    return [...this.items.values()].sort((one, other) => (one.cursor < other.cursor ? 1 : -1));
  }

  // The newest page: what frames leave out (links, the true count) comes from here.
  async refresh() {
    const { data, meta } = await call(`/notifications/?limit=${PAGE}`);
    for (const item of data) this.items.set(item.id, item);
    if (this.items.size === data.length) this.next = meta.next_cursor;
    this.unread = meta.unread;
    this.#changed();
  }

  async older() {
    const { data, meta } = await call(`/notifications/?limit=${PAGE}&cursor=${encodeURIComponent(this.next)}`);
    for (const item of data) this.items.set(item.id, item);
    this.next = meta.next_cursor;
    this.#changed();
  }

  async markRead(id) {
    const { data } = await call(`/notifications/mark-read/${encodeURIComponent(id)}`, { method: "POST" });
    this.#read([id], data.unread);
  }

  // The reader leaves by a link of the item: the request outlives the page, and nothing waits for it.
  markClicked(id) {
    call(`/notifications/mark-clicked/${encodeURIComponent(id)}`, { method: "POST", keepalive: true })
      .then(({ data }) => this.#read([id], data.unread))
      .catch(() => {});
  }

  async archive(id) {
    const { data } = await call(`/notifications/archive/${encodeURIComponent(id)}`, { method: "POST" });
    this.#gone([id], data.unread);
  }

  async remove(id) {
    const { data } = await call(`/notifications/${encodeURIComponent(id)}`, { method: "DELETE" });
    this.#gone([id], data.unread);
  }

  async markAllRead() {
    let left = this.unread;
    do {
      const { data } = await call("/notifications/mark-all-read", { method: "POST" });
      if (data.read === 0) break;
      left = data.unread;
    } while (left > 0);
    this.#read([...this.items.keys()], left);
  }

  // Shown to the person; what was shown in one look goes in one request.
  markSeen(ids) {
    for (const id of ids) {
      const item = this.items.get(id);
      if (!item || item.seen_at) continue;
      item.seen_at = new Date().toISOString();
      if (this.#unseen.size === 0) setTimeout(() => this.#sendSeen(), REFRESH_MS);
      this.#unseen.add(id);
    }
  }

  async #sendSeen() {
    const ids = [...this.#unseen].slice(0, 100);
    this.#unseen.clear();
    // being seen is a courtesy to the sender: when it cannot be told, the reader is not bothered
    await call("/notifications/mark-seen", { method: "POST", body: { ids } }).catch(() => {});
  }

  #take(frame) {
    if (frame.type === "gap") {
      this.items.clear();
      this.#refreshSoon();
    } else if (frame.type === "read") {
      this.#read(frame.ids, frame.unread);
    } else if (frame.type === "unarchived") {
      this.#refreshSoon();
    } else if (["recalled", "archived", "deleted"].includes(frame.type)) {
      this.#gone(frame.ids, frame.unread);
    } else if (frame.type === "notification" && this.#isNews(frame)) {
      this.items.set(frame.id, frame);
      this.unread += 1;
      this.#changed(frame);
      this.#refreshSoon();
    }
  }

  // The server repeats the last seconds before a cursor. What of that belongs on a page not fetched yet is no news.
  #isNews({ id, cursor }) {
    if (this.items.has(id)) return false;
    return this.next === null || [...this.items.values()].some((item) => item.cursor < cursor);
  }

  #connection(state) {
    this.state = state;
    // what came between the list and the first opening, when there was no cursor to ask from
    if (state === "open" && this.items.size === 0) this.#refreshSoon();
    // a refused handshake looks like any lost connection; only HTTP says that the login is over
    if (state === "waiting") this.#refreshSoon();
    this.#changed();
  }

  #read(ids, unread) {
    const now = new Date().toISOString();
    for (const id of ids) if (this.items.has(id)) this.items.get(id).read_at ??= now;
    this.unread = unread;
    this.#changed();
  }

  #gone(ids, unread) {
    for (const id of ids) this.items.delete(id);
    this.unread = unread;
    this.#changed();
  }

  #refreshSoon() {
    this.#refreshing ??= setTimeout(async () => {
      this.#refreshing = null;
      try {
        await this.refresh();
      } catch (error) {
        // any other trouble passes, or shows at the next thing that happens
        if (error instanceof Refused && error.status === 401) this.#live.stop();
      }
    }, REFRESH_MS);
  }

  #changed(arrived = null) {
    this.dispatchEvent(new CustomEvent("change", { detail: arrived }));
  }
}
