// What the mail server and Slack received, told live by the provider sandbox.
import { announce, at, clock, make } from "./dom.js";

const SHOWN = 20;

export function showProviders(sandbox) {
  if (!sandbox) return;
  at("sandbox-link").href = `${sandbox}/`;
  at("sandbox-hint").hidden = false;
  const panels = { email: panel("mail", mail), slack: panel("slack", slack) };
  const stream = new EventSource(`${sandbox}/calls/stream`);
  stream.addEventListener("call", ({ data }) => {
    const call = JSON.parse(data);
    panels[call.provider]?.add(call, true);
  });
  // what came before it was open, or while it was away; doubles are dropped by number
  stream.addEventListener("open", () => load(sandbox, panels));
}

async function load(sandbox, panels) {
  for (const [provider, shown] of Object.entries(panels)) {
    const answer = await fetch(`${sandbox}/calls?provider=${provider}&limit=${SHOWN}`).catch(() => null);
    if (!answer?.ok) continue;
    for (const call of (await answer.json()).reverse()) shown.add(call, false);
  }
}

function panel(id, show) {
  const list = at(`${id}-items`);
  const known = new Set();
  return {
    add(call, fresh) {
      const name = `${call.n} ${call.received_at}`;
      if (known.has(name)) return;
      known.add(name);
      at(`${id}-empty`).hidden = true;
      const node = make("li", fresh ? "call new" : "call", ...show(call), verdict(call));
      list.prepend(node);
      while (list.childElementCount > SHOWN) list.lastElementChild.remove();
      if (fresh) announce(`${id === "mail" ? "Mail" : "Slack message"} received`);
    },
  };
}

function mail({ request, received_at: received }) {
  return [
    make("div", "line", make("span", "title", request.subject || "(no subject)"), clock(received)),
    make("p", "soft", `to ${[request.to].flat().join(", ")}`),
    make("p", "text", String(request.text || request.html || "").trim()),
  ];
}

function slack({ request, received_at: received }) {
  const message = request.message ?? {};
  const blocks = Array.isArray(message.blocks) ? message.blocks : [];
  const title = blocks.find((one) => one?.type === "header")?.text?.text;
  const body = blocks.find((one) => one?.type === "section")?.text?.text ?? message.text ?? "";
  return [
    make("div", "line", make("span", "sender", make("strong", "", "Carillon"), make("span", "tag", "APP")), clock(received)),
    title && make("p", "title", title),
    make("p", "text", plain(String(body))),
  ].filter(Boolean);
}

// Slack's three escapes (https://docs.slack.dev/messaging/formatting-message-text)
const plain = (text) => text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");

function verdict({ accepted, answer, mode }) {
  if (accepted && mode === "ok") return null;
  return make("p", "", make("span", `pill ${accepted ? "warn" : "bad"}`, answer ? `answered ${answer.status}` : "no answer"));
}
