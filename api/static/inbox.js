// The inbox page: a person's notifications, live.
import { at } from "./dom.js";
import { InboxStore } from "./inbox-store.js";
import { showInbox } from "./inbox-view.js";
import { loginAddress, showPerson, whoIsHere } from "./session.js";

try {
  const user = await whoIsHere();
  showPerson(user);
  at("welcome").hidden = user !== null;
  at("welcome-login").href = loginAddress();
  at("inbox").hidden = user === null;
  if (user) {
    const store = new InboxStore();
    showInbox(store);
    await store.start();
  }
} catch (error) {
  at("failure").hidden = false;
  at("failure").textContent = `The API is not answering as it should (${error.message}). Reload this page to try again.`;
}
