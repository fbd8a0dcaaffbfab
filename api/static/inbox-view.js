// Draws an InboxStore: the list, the bell and the state of the connection. One node per item, kept while it lives.
import { announce, at, button, clock, link, make } from "./dom.js";
import { loginAddress } from "./session.js";

const STATES = {
  connecting: "connecting", open: "live", waiting: "reconnecting", ended: "logged out",
};

export function showInbox(store) {
  const nodes = new Map();
  at("inbox-read-all").addEventListener("click", () => attempt(() => store.markAllRead()));
  at("inbox-older").addEventListener("click", () => attempt(() => store.older()));
  document.addEventListener("visibilitychange", () => seen(store));
  store.addEventListener("change", ({ detail: arrived }) => draw(store, nodes, arrived));
}

function draw(store, nodes, arrived) {
  const list = at("inbox-items");
  const items = store.newestFirst();
  for (const [id, known] of nodes) {
    if (store.items.has(id)) continue;
    known.node.remove();
    nodes.delete(id);
  }
  items.forEach((item, place) => {
    const node = nodeOf(store, nodes, item);
    if (list.children[place] !== node) list.insertBefore(node, list.children[place] ?? null);
  });
  at("inbox-empty").hidden = items.length > 0;
  at("inbox-older").hidden = store.next === null;
  at("inbox-read-all").hidden = store.unread === 0;
  drawState(store);
  drawBell(store.unread);
  if (arrived) welcome(arrived, nodes.get(arrived.id).node);
  seen(store);
}

function nodeOf(store, nodes, item) {
  const known = nodes.get(item.id);
  const looks = JSON.stringify([Boolean(item.read_at), item.url ?? null, item.actions ?? []]);
  if (known?.looks === looks) return known.node;
  const fresh = itemNode(store, item);
  if (known) {
    if (known.node.contains(document.activeElement)) queueMicrotask(() => at("inbox-items").focus());
    if (known.node.classList.contains("new")) fresh.classList.add("new");
    known.node.replaceWith(fresh);
  }
  nodes.set(item.id, { node: fresh, looks });
  return fresh;
}

function itemNode(store, item) {
  const unread = !item.read_at;
  const title = item.title || item.message;
  const mark = unread && button("quiet mark", "Mark read", () => attempt(() => store.markRead(item.id)));
  if (mark) mark.setAttribute("aria-label", `Mark read: ${title}`);
  const node = make(
    "li", `item ${unread ? "unread" : "read"}`,
    make("span", "title", unread && make("span", "hidden-words", "Unread: "), title), clock(item.created_at),
    make("span", "text", item.title ? item.message : ""), mark, links(store, item), aside(store, item, title),
  );
  node.dataset.id = item.id;
  return node;
}

function links(store, item) {
  const found = [];
  if (item.url) found.push(link(item.url, "Open"));
  for (const action of item.actions ?? []) found.push(link(action.url, action.label));
  // auxclick: opened in another tab
  for (const one of found) for (const how of ["click", "auxclick"]) one.addEventListener(how, () => store.markClicked(item.id));
  return found.length > 0 && make("span", "links", ...found);
}

function aside(store, item, title) {
  const archive = button("quiet", "Archive", () => attempt(() => store.archive(item.id)));
  const remove = button("quiet", "Delete", () => attempt(() => store.remove(item.id)));
  archive.setAttribute("aria-label", `Archive: ${title}`);
  remove.setAttribute("aria-label", `Delete: ${title}`);
  return make("span", "aside", archive, remove);
}

function welcome(item, node) {
  node.classList.add("new");
  node.addEventListener("animationend", () => node.classList.remove("new"), { once: true });
  announce(`New notification: ${item.title || item.message}`);
  const bell = at("bell");
  bell.classList.remove("rings");
  void bell.offsetWidth; // a class that comes back at once does not start its animation anew
  bell.classList.add("rings");
}

function drawBell(unread) {
  at("unread").textContent = unread > 99 ? "99+" : unread;
  at("unread").hidden = unread === 0;
  at("bell").setAttribute("aria-label", unread === 0 ? "Inbox, nothing unread" : `Inbox, ${unread} unread`);
  document.title = document.title.replace(/^(\(\d+\+?\) )?/, unread === 0 ? "" : `(${unread > 99 ? "99+" : unread}) `);
}

function drawState(store) {
  const state = at("inbox-state");
  if (state.textContent !== STATES[store.state]) state.textContent = STATES[store.state];
  state.classList.toggle("on", store.state === "open");
  const over = store.state === "ended";
  at("inbox-trouble").hidden = !over;
  if (over) at("inbox-trouble").replaceChildren("Your login has ended. ", link(loginAddress(), "Log in again"), " to see what is new.");
}

function seen(store) {
  if (!document.hidden) store.markSeen(store.newestFirst().map((item) => item.id));
}

async function attempt(action) {
  try {
    await action();
    at("inbox-trouble").hidden = true;
  } catch (error) {
    at("inbox-trouble").hidden = false;
    at("inbox-trouble").textContent = `That did not work: ${error.message}`;
  }
}
