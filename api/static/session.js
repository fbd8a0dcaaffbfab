// Who is logged in, shown in the header of every page.
import { Refused, call } from "./api.js";
import { at } from "./dom.js";

// The person, or null when nobody is logged in.
export async function whoIsHere() {
  try {
    return (await call("/auth/me")).data;
  } catch (refused) {
    if (refused instanceof Refused && refused.status === 401) return null;
    throw refused;
  }
}

export function showPerson(user) {
  at("login").href = loginAddress();
  at("login").hidden = user !== null;
  at("person").textContent = user ? user.name || user.id : "";
  at("bell").hidden = at("logout").hidden = user === null;
  at("logout").addEventListener("click", logOut);
}

export function loginAddress() {
  return `/api/v1/auth/login?next=${encodeURIComponent(location.pathname)}`;
}

async function logOut() {
  const { data } = await call("/auth/logout", { method: "POST" });
  location.assign(data.logout_url);
}
