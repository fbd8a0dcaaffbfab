// How far behind each consumer group is, for those who may know; the operators' page shows more.
import { Refused, call } from "./api.js";
import { at, make } from "./dom.js";

const LOOK_MS = 5000;
const TONES = { OK: "ok", UNKNOWN: "", BEHIND: "warn", REWOUND: "warn", STALLED: "bad", STOPPED: "bad", LOST: "bad" };

export async function showLag(user) {
  const may = user?.permissions.includes("ops:read") ?? false;
  at("lag-hint").hidden = may;
  at("lag-board").hidden = !may;
  if (!may) return;
  for (;;) {
    if (!document.hidden && !(await look())) return;
    await new Promise((resume) => setTimeout(resume, LOOK_MS));
  }
}

// False when there is no use in looking again.
async function look() {
  try {
    const { data } = await call("/ops/lag");
    at("lag-groups").replaceChildren(...data.groups.map(tile));
  } catch (error) {
    return !(error instanceof Refused && [401, 403].includes(error.status));
  }
  return true;
}

function tile({ group, status, lag, lag_s: age }) {
  const waiting = lag === null ? "unknown" : lag === 0 ? "nothing waits" : `${lag} waiting${age ? `, oldest ${Math.round(age)} s` : ""}`;
  return make("li", "", make("code", "", group), make("span", `pill ${TONES[status] ?? ""}`, status.toLowerCase()), make("span", "soft number", waiting));
}
