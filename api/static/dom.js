// What comes from outside only ever becomes text: there is no way here to set markup.

export const at = (id) => document.getElementById(id);

export function make(tag, className, ...content) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...content.filter((one) => one !== null && one !== undefined && one !== false).map(asNode));
  return node;
}

const asNode = (one) => (one instanceof Node ? one : String(one));

export function button(className, label, onClick) {
  const node = make("button", className, label);
  node.type = "button";
  node.addEventListener("click", onClick);
  return node;
}

export function clock(moment) {
  const date = new Date(moment);
  const today = date.toDateString() === new Date().toDateString();
  const node = make("time", "", today ? date.toLocaleTimeString("en-GB") : date.toLocaleDateString("en-GB", { day: "numeric", month: "short" }));
  node.dateTime = date.toISOString();
  node.title = date.toLocaleString("en-GB");
  return node;
}

// An address a person may follow: http(s) or a path of this site, never `javascript:` and the like.
export function link(address, label) {
  let url;
  try {
    url = new URL(address, location.origin);
  } catch {
    return make("span", "", label);
  }
  if (!["http:", "https:"].includes(url.protocol)) return make("span", "", label);
  const node = make("a", "", label);
  node.href = url.href;
  if (url.origin !== location.origin) node.rel = "noopener noreferrer";
  return node;
}

export function announce(words) {
  const region = at("announcements");
  if (region) region.textContent = words;
}
