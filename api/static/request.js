// From the composer's fields to a request, and the same request in the tongues of every entrance.

export function requestOf(form) {
  const fields = new FormData(form);
  const channels = fields.getAll("channels");
  const message = { title: fields.get("title").trim(), body: fields.get("body") };
  if (!message.title) delete message.title;
  const recipient = recipientOf(fields.get("to").trim());
  const request = { to: channels.includes("slack") ? [recipient, { slack: "default" }] : recipient, message };
  if (channels.length > 0) request.channels = channels;
  if (fields.get("priority") !== "normal") request.priority = fields.get("priority");
  return request;
}

function recipientOf(to) {
  if (to.startsWith("slack:")) return { slack: to.slice("slack:".length) };
  return to.includes("@") ? { email: to } : to;
}

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

// One line for each field. Without true, false and null, which the composer has no field for, JSON is a literal of Python
// and of JavaScript as well.
function literal(request, indent = "") {
  const lines = Object.entries(request).map(([name, value]) => `${indent}  "${name}": ${JSON.stringify(value)}`);
  return `{\n${lines.join(",\n")}\n${indent}}`;
}

export const TONGUES = {
  curl: (request, { site }) => `curl ${site}/api/v1/notifications \\
  -H "Authorization: Bearer $(cat .local/token)" \\
  -H "Prefer: wait=5" \\
  --json ${quoted(literal(request))}`,

  kafka: (request, { kafka_bootstrap_servers: servers, default_environment: environment }) => `.venv/bin/python - <<'END'
import asyncio, json
from aiokafka import AIOKafkaProducer

request = ${literal(request)}

async def main():
    async with AIOKafkaProducer(bootstrap_servers="${servers}") as kafka:
        value = json.dumps(request).encode()
        print(await kafka.send_and_wait("notifications.${environment}.requests", value))

asyncio.run(main())
END`,

  redis: (request, { default_environment: environment }) => `. .local/stack.env
redis-cli -u "$REDIS_URL" XADD notifications:${environment} '*' \\
  data ${quoted(JSON.stringify(request))}`,

  python: (request, { site }) => `.venv/bin/python - <<'END'
import requests

answer = requests.post(
    "${site}/api/v1/notifications",
    json=${literal(request, "    ")},
    headers={
        "Authorization": "Bearer " + open(".local/token").read(),
        "Prefer": "wait=5",
    },
    timeout=10,
)
print(answer.status_code, answer.json())
END`,

  javascript: (request, { site }) => `node --input-type=module - <<'END'
import { readFileSync } from "node:fs";

const answer = await fetch("${site}/api/v1/notifications", {
  method: "POST",
  headers: {
    Authorization: "Bearer " + readFileSync(".local/token", "utf8"),
    "Content-Type": "application/json",
    Prefer: "wait=5",
  },
  body: JSON.stringify(${literal(request, "  ")}),
});
console.log(answer.status, await answer.json());
END`,
};

const HERE = "For a terminal in Carillon's folder.";
export const NOTES = {
  curl: `${HERE} The token is Ana's and lasts a day.`,
  kafka: `${HERE} Any client will do: the value is the bare JSON, and headers are not needed.`,
  redis: `${HERE} The bridge copies the entry into Kafka, and acknowledges it only then.`,
  python: `${HERE} The token is Ana's and lasts a day.`,
  javascript: `${HERE} The token is Ana's and lasts a day.`,
};
