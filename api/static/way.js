// The way of one notification: accepted, routed, and each delivery with its attempts, as the API tells it.
import { Refused, call } from "./api.js";
import { at, clock, make } from "./dom.js";

const LOOK_MS = 250;
const LONGEST_LOOK_MS = 3000;
const GIVE_UP_MS = 10 * 60_000;
const CHANNELS = { in_app: "Inbox", email: "E-mail", slack: "Slack", push: "Push" };
const TONES = { sent: "ok", retrying: "warn", held: "warn", waiting: "warn", failed: "bad", expired: "bad" };
const REASONS = {
  no_address: "no address is known for this channel",
  no_device: "no browser or app is registered",
  device_gone: "the device is gone, or somebody else's",
  bounced: "mail to the address has bounced",
  no_inbox: "an address has no inbox",
  channel_not_asked_for: "the request did not ask for this channel",
};

let looking = 0;

export async function showWay(accepted, took) {
  const mine = ++looking; // a newer notification takes the place of this one
  const began = Date.now();
  at("way-empty").hidden = true;
  at("way-id").textContent = accepted.notification_id;
  draw({ accepted, took, status: null, events: [] });
  let pause = LOOK_MS;
  while (mine === looking && Date.now() - began < GIVE_UP_MS) {
    const seen = await look(accepted);
    if (mine !== looking) return;
    if (seen) draw({ accepted, took, ...seen });
    if (seen && isOver(seen)) return;
    await new Promise((resume) => setTimeout(resume, pause));
    pause = Math.min(LONGEST_LOOK_MS, pause * 1.3);
  }
}

async function look({ notification_id: id, environment }) {
  const query = `?environment=${encodeURIComponent(environment)}`;
  try {
    const [status, timeline] = await Promise.all([
      call(`/notifications/${id}${query}`), call(`/notifications/${id}/timeline${query}`),
    ]);
    return { status: status.data, events: timeline.data.events };
  } catch (error) {
    // not routed yet, or a moment's trouble: the next look may know more
    if (error instanceof Refused && error.status === 401) looking += 1;
    return null;
  }
}

// The ledger knows an end a moment before the timeline shows it: both have to say so.
function isOver({ status, events }) {
  const ended = new Set(events.filter((one) => ["sent", "skipped", "failed", "expired", "cancelled"].includes(one.event)).map((one) => one.delivery_id));
  return status.status === "SETTLED" && status.deliveries.every((one) => ended.has(one.delivery_id));
}

function draw({ accepted, took, status, events }) {
  const routed = events.find((one) => one.event === "routed" || one.event === "scheduled");
  const start = status?.accepted_at ?? null;
  at("way-steps").replaceChildren(acceptedStep(accepted, took, start), routedStep(routed, status, start), deliveriesStep(status, events, start));
}

function acceptedStep(accepted, took, start) {
  return step("done", "Accepted", start && clock(start),
    make("p", "", "Kafka acknowledged the request", make("span", "soft", ` · answered in ${Math.round(took)} ms`)),
    accepted.position && place(accepted.position));
}

function routedStep(routed, status, start) {
  if (!routed) return step("pending", "Routed", null, make("p", "soft", "Waiting for the router to read it."));
  const planned = status?.deliveries.length ?? 0;
  return step("done", routed.event === "scheduled" ? "Scheduled" : "Routed", after(routed, start),
    make("p", "", `${planned} ${planned === 1 ? "delivery" : "deliveries"} planned, stored once`), worker(routed));
}

function deliveriesStep(status, events, start) {
  const deliveries = status?.deliveries ?? [];
  if (deliveries.length === 0) return step("pending", "Delivered", null, make("p", "soft", "Nothing is planned yet."));
  const lanes = deliveries.map((one) => lane(one, events.filter((event) => event.delivery_id === one.delivery_id), start));
  const node = step(status.status === "SETTLED" ? "done" : "pending", status.status === "SETTLED" ? "Settled" : "Delivering", counts(status), make("ul", "lanes", ...lanes));
  node.classList.add("wide");
  return node;
}

function lane(delivery, events, start) {
  const to = delivery.recipient.startsWith("email:") ? "the address given" : delivery.recipient.replace(/^slack:/, "#");
  const what = make("div", "what", make("strong", "", CHANNELS[delivery.channel] ?? delivery.channel), make("span", "soft", to));
  const told = events.length > 0 ? events.map((one) => attempt(one, start)) : [make("li", "", make("span", "pill", delivery.state.toLowerCase()))];
  return make("li", "lane", what, make("ol", "attempts", ...told));
}

function attempt(event, start) {
  const tried = ["sent", "retrying", "failed"].includes(event.event) && `attempt ${(event.attempt ?? 0) + 1}`;
  const facts = [tried, REASONS[event.reason] ?? event.reason, event.next_at && `again at ${clock(event.next_at).textContent}`];
  return make("li", "",
    make("span", `pill ${TONES[event.event] ?? ""}`, event.event), " ", after(event, start),
    make("span", "facts", facts.filter(Boolean).join(" · ")),
    event.answer && make("code", "answer", event.answer),
    event.origin && place(event.origin));
}

function step(state, title, when, ...content) {
  return make("li", `step ${state}`, make("div", "head", make("h3", "", title), when), ...content);
}

function counts(status) {
  return make("span", "soft", Object.entries(status.counts).map(([state, many]) => `${many} ${state.toLowerCase()}`).join(", "));
}

function after(event, start) {
  if (!start) return clock(event.at);
  const ms = Math.max(0, new Date(event.at) - new Date(start));
  const node = make("time", "soft", ms < 10_000 ? `+${ms} ms` : `+${Math.round(ms / 1000)} s`);
  node.dateTime = event.at;
  return node;
}

function worker(event) {
  return event.worker && make("p", "soft", "by ", make("code", "", event.worker));
}

function place({ topic, partition, offset }) {
  const fact = (name, value) => make("div", "", make("dt", "", name), make("dd", "", value));
  return make("dl", "place", fact("topic", topic), fact("partition", partition ?? 0), fact("offset", offset ?? 0));
}
