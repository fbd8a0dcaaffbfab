// The playground: send something, and watch it arrive everywhere at once.
import { startComposer } from "./composer.js";
import { at } from "./dom.js";
import { InboxStore } from "./inbox-store.js";
import { showInbox } from "./inbox-view.js";
import { showLag } from "./lag.js";
import { showProviders } from "./providers.js";
import { showPerson, whoIsHere } from "./session.js";
import { showWay } from "./way.js";

try {
  const [user, config] = await Promise.all([whoIsHere(), fetch("/playground/config").then((answer) => answer.json())]);
  showPerson(user);
  at("welcome").hidden = user !== null;
  at("inbox-login").hidden = user !== null;
  startComposer({ user, places: { ...config, site: location.origin }, onAccepted: showWay });
  showProviders(config.sandbox_url);
  showLag(user);
  if (user) {
    at("inbox-title").textContent = `${user.name.split(" ")[0] || user.id}'s inbox`;
    at("inbox-live").hidden = false;
    const store = new InboxStore();
    showInbox(store);
    await store.start();
  }
} catch (error) {
  at("failure").hidden = false;
  at("failure").textContent = `The API is not answering as it should (${error.message}). Reload this page to try again.`;
}
