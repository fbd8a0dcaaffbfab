"use strict";
// Everything shown here came from outside: it is set as textContent, never as markup.

const MODES = {
  ok: ["OK", "answers normally"],
  error: ["Error", "answers with an error that may pass"],
  permanent: ["Refuse", "refuses for good"],
  throttle: ["Throttle", "asks to come back later"],
  slow: ["Slow", "answers slowly"],
  hang: ["Hang", "never answers"],
  close: ["Close", "cuts the connection"],
  drop_answer: ["Lose answer", "accepts, then loses the answer"],
};
const DETAILS = { throttle: { retry_after_s: 2 }, slow: { delay_s: 3 } };
const SHOWN_AT_MOST = 200;

const panels = new Map();
let latest = 0;

function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined && text !== null) node.textContent = String(text);
  return node;
}

function within(tag, className, children) {
  const node = make(tag, className);
  node.append(...children.filter(Boolean));
  return node;
}

function asText(value) {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

function prettyJson(text) {
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return asText(text); }
}

function clock(call) {
  const time = make("time", "", new Date(call.received_at).toLocaleTimeString());
  time.dateTime = call.received_at;
  return time;
}

// --- Slack: the parts of mrkdwn that messages use (https://docs.slack.dev/messaging/formatting-message-text)

const MRKDWN = /<([^<>|]+)(?:\|([^<>]*))?>|`([^`\n]+)`|\*([^*\n]+)\*|_([^_\n]+)_|~([^~\n]+)~/g;

function unescapeSlack(text) {
  return text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
}

function slackLink(target, label) {
  if (!/^(https?:\/\/|mailto:)/.test(target)) {
    return make("span", "mention", unescapeSlack(label || target.replace(/^!/, "@")));
  }
  const link = make("a", "", unescapeSlack(label || target));
  link.href = unescapeSlack(target);
  link.rel = "noopener noreferrer";
  link.target = "_blank";
  return link;
}

function inline(text, parent) {
  let end = 0;
  for (const found of text.matchAll(MRKDWN)) {
    parent.append(unescapeSlack(text.slice(end, found.index)));
    const [, target, label, code, bold, italic, struck] = found;
    if (target) parent.append(slackLink(target, label));
    else if (code) parent.append(make("code", "", unescapeSlack(code)));
    else parent.append(inline(bold || italic || struck, make(bold ? "strong" : italic ? "em" : "s")));
    end = found.index + found[0].length;
  }
  parent.append(unescapeSlack(text.slice(end)));
  return parent;
}

function slackText(object, className) {
  const text = asText(object?.text ?? object ?? "");
  if (object?.type === "plain_text") return make("p", className, text);
  const quoted = text.split("\n").every((line) => /^(>|&gt;)/.test(line));
  return inline(quoted ? text.replaceAll(/^(>|&gt;) ?/gm, "") : text, make(quoted ? "blockquote" : "p", className));
}

function slackBlock(block) {
  const items = Array.isArray(block?.elements) ? block.elements : [];
  switch (block?.type) {
    case "header": return slackText(block.text, "head");
    case "divider": return make("hr");
    case "section": {
      const fields = Array.isArray(block.fields) ? block.fields : [];
      return within("div", "", [
        block.text && slackText(block.text),
        fields.length > 0 && within("div", "fields", fields.map((field) => slackText(field))),
      ]);
    }
    case "context": return within("div", "context", items.map((item) => slackText(item)));
    case "actions": return within("div", "", items.map((item) => make("span", "fake", asText(item?.text?.text ?? "button"))));
    default: return make("pre", "", asText(block));
  }
}

function slackMessage(message) {
  if (typeof message !== "object" || message === null) return [make("pre", "", asText(message))];
  const blocks = Array.isArray(message.blocks) ? message.blocks : [];
  const attachments = Array.isArray(message.attachments) ? message.attachments : [];
  const shown = blocks.length > 0 ? blocks.map(slackBlock) : [message.text && slackText(message.text)];
  const attached = attachments.map((each) => {
    const inner = Array.isArray(each?.blocks) ? each.blocks.map(slackBlock) : [slackText(each?.text ?? each?.fallback ?? "")];
    return within("div", "attachment", inner);
  });
  return [...shown, ...attached];
}

// --- one entry per provider

const mail = (call) => [
  within("div", "line", [make("span", "subject", call.request.subject || "(no subject)"), clock(call)]),
  make("div", "address", `${call.request.from} → ${asText((call.request.to || []).join(", "))}`),
  make("p", "text", (call.request.text || call.request.html || "").trim()),
];

function phone(call, note, address) {
  if (typeof note?.body !== "string") {
    return [within("div", "line", [make("span", "subject", "Data"), clock(call)]), make("pre", "", asText(call.request))];
  }
  const card = within("div", "phone", [
    within("div", "line", [make("span", "subject", asText(note.title ?? "")), clock(call)]),
    make("div", "", note.body),
  ]);
  return [card, make("div", "address", address)];
}

const SHOW = {
  email: mail,
  email_backup: mail,
  slack: (call) => {
    const name = asText(call.request.message?.username ?? "Carillon");
    const head = within("div", "line", [within("span", "", [make("strong", "", name), make("span", "tag", "APP")]), clock(call)]);
    const body = within("div", "body", [head, ...slackMessage(call.request.message)]);
    const icon = make("span", "app", name.slice(0, 1).toUpperCase());
    icon.ariaHidden = "true";
    return [within("div", "slack", [icon, body])];
  },
  webhook: (call) => [
    within("div", "line", [make("span", "subject", call.request.name), clock(call)]),
    make("pre", "", prettyJson(call.request.body)),
  ],
  sms: (call) => [
    within("div", "line", [make("span", "subject", call.request.to), clock(call)]),
    make("div", "bubble", call.request.text),
  ],
  web_push: (call) => phone(call, call.request.message, `to the browser ${asText(call.request.browser)}`),
  fcm: (call) => phone(call, call.request.message?.notification, `to ${asText(call.request.message?.token)}`),
  apns: (call) => phone(call, call.request.payload?.aps?.alert, `to ${asText(call.request.token)}`),
};

function verdict(call) {
  if (call.mode === "drop_answer") return "accepted, answer lost";
  if (call.answer === null) return MODES[call.mode]?.[1] ?? call.mode;
  return `${call.accepted ? "accepted" : "refused"} ${call.answer.status}`;
}

function entry(call) {
  const state = call.mode === "drop_answer" ? "withheld" : call.accepted ? "accepted" : "refused";
  const meta = within("p", "meta", [
    make("span", "verdict", verdict(call)),
    make("span", "", `#${call.n}`),
    call.delivery && within("span", "", ["delivery ", make("code", "", call.delivery)]),
  ]);
  return within("li", `call ${state}`, [...SHOW[call.provider](call), meta]);
}

// --- the page

function add(call, fresh) {
  const panel = panels.get(call.provider);
  if (!panel || call.n <= panel.last) return;
  panel.last = call.n;
  latest = Math.max(latest, call.n);
  const item = entry(call);
  if (fresh) item.classList.add("new");
  panel.list.prepend(item);
  while (panel.list.childElementCount > SHOWN_AT_MOST) panel.list.lastElementChild.remove();
  panel.seen += 1;
  count(panel);
}

function count(panel) {
  panel.count.textContent = panel.seen;
  panel.empty.hidden = panel.seen > 0;
}

function showFault(panel, fault) {
  const failing = fault.mode !== "ok";
  panel.controls.classList.toggle("failing", failing);
  const left = fault.times ? ` (${fault.times} left)` : "";
  panel.controls.querySelector(".state").textContent = MODES[fault.mode][1] + left;
  for (const button of panel.controls.querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.value === fault.mode));
  }
}

async function refreshFaults() {
  const faults = await (await fetch("/faults")).json();
  for (const [provider, fault] of Object.entries(faults)) showFault(panels.get(provider), fault);
}

async function setFault(provider, mode) {
  const times = panels.get(provider).controls.querySelector(".times").value;
  const fault = { mode, times: times && mode !== "ok" ? Number(times) : null, ...DETAILS[mode] };
  const headers = { "Content-Type": "application/json" };
  await fetch(`/faults/${provider}`, { method: "PUT", headers, body: JSON.stringify(fault) });
  await refreshFaults();
}

function build(section) {
  const provider = section.dataset.provider;
  section.append(document.getElementById("controls").content.cloneNode(true));
  const heading = section.querySelector("h2");
  const controls = section.querySelector(".faults");
  const total = make("span", "count", "0");
  heading.append(total);
  const modes = controls.querySelector(".modes");
  modes.setAttribute("aria-label", `How ${heading.firstChild.textContent} behaves`);
  for (const [mode, [label, meaning]] of Object.entries(MODES)) {
    const button = make("button", "", label);
    button.type = "button";
    button.value = mode;
    button.title = meaning;
    button.addEventListener("click", () => setFault(provider, mode));
    modes.append(button);
  }
  const [list, empty] = [section.querySelector(".calls"), section.querySelector(".empty")];
  list.tabIndex = 0;
  list.setAttribute("aria-label", `${heading.firstChild.textContent}: calls, newest first`);
  panels.set(provider, { controls, list, empty, count: total, seen: 0, last: 0 });
}

function empty() {
  for (const panel of panels.values()) {
    panel.list.replaceChildren();
    Object.assign(panel, { seen: 0, last: 0 });
    count(panel);
  }
}

async function load() {
  const calls = await (await fetch("/calls?limit=1000")).json();
  empty();
  latest = 0;
  for (const call of calls.reverse()) add(call, false);
  await refreshFaults();
}

function listen() {
  const live = document.getElementById("live");
  const stream = new EventSource(`/calls/stream?after=${latest}`);
  let dropped = false;
  stream.addEventListener("open", async () => {
    live.textContent = "live";
    live.classList.add("on");
    if (dropped) await load();  // the sandbox may have restarted and count from one again
    dropped = false;
  });
  stream.addEventListener("error", () => {
    dropped = true;
    live.textContent = "reconnecting";
    live.classList.remove("on");
  });
  stream.addEventListener("call", (event) => {
    add(JSON.parse(event.data), true);
    refreshFaults();
  });
}

document.getElementById("clear").addEventListener("click", async () => {
  await fetch("/calls", { method: "DELETE" });
  empty();
});
for (const section of document.querySelectorAll(".panel")) build(section);
load().then(listen);
