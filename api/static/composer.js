// The composer: a form, and the same request ready to copy for every other entrance.
import { call } from "./api.js";
import { announce, at } from "./dom.js";
import { NOTES, TONGUES, requestOf } from "./request.js";

const COPIED_MS = 1500;

// `onAccepted` gets the API's answer and the milliseconds it took.
export function startComposer({ user, places, onAccepted }) {
  const form = at("composer");
  if (user) form.elements.to.value = user.id;
  at("send").hidden = user === null;
  at("send-login").hidden = user !== null;
  startTabs(form, places);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!user) return;
    await send(form, onAccepted);
  });
}

async function send(form, onAccepted) {
  at("send").disabled = true;
  say("");
  try {
    const began = performance.now();
    const { data } = await call("/notifications", { method: "POST", body: requestOf(form) });
    onAccepted(data, performance.now() - began);
  } catch (error) {
    say(`Not sent: ${error.message}`);
  } finally {
    at("send").disabled = false;
  }
}

function say(words) {
  at("composer-trouble").hidden = !words;
  at("composer-trouble").textContent = words;
}

function startTabs(form, places) {
  const tabs = [...document.querySelectorAll("[data-tongue]")];
  let chosen = tabs[0];
  const draw = () => {
    const { tongue } = chosen.dataset;
    at("code").textContent = TONGUES[tongue](requestOf(form), places);
    at("code-note").textContent = NOTES[tongue];
    at("code-panel").setAttribute("aria-labelledby", chosen.id);
    for (const tab of tabs) {
      tab.setAttribute("aria-selected", String(tab === chosen));
      tab.tabIndex = tab === chosen ? 0 : -1;
    }
  };
  const choose = (tab) => {
    chosen = tab;
    draw();
  };
  for (const tab of tabs) {
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
      choose(next);
      next.focus();
    });
  }
  form.addEventListener("input", draw);
  at("copy").addEventListener("click", copy);
  draw();
}

async function copy() {
  await navigator.clipboard.writeText(at("code").textContent);
  at("copy").textContent = "Copied";
  announce("Copied");
  setTimeout(() => { at("copy").textContent = "Copy"; }, COPIED_MS);
}
