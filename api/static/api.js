// The HTTP API as these pages use it: the session cookie says who calls.

export class Refused extends Error {
  constructor(status, error) {
    const fields = (error?.errors ?? []).map((one) => `${one.pointer}: ${one.detail}`);
    super(fields.length > 0 ? fields.join("; ") : error?.detail || error?.title || `The API answered ${status}.`);
    this.status = status;
  }
}

export async function call(path, { method = "GET", body, keepalive = false } = {}) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await fetch(`/api/v1${path}`, { method, headers, keepalive, body: body === undefined ? undefined : JSON.stringify(body) });
  const said = await answer.json().catch(() => null);
  if (!answer.ok) throw new Refused(answer.status, said?.error);
  return said;
}
