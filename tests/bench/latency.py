"""Milliseconds from the POST to the frame on an open WebSocket."""

import json
import statistics
import time
from collections.abc import AsyncIterator

import httpx2
from websockets.asyncio.client import connect

from infrastructure.local.selftest import bearer_token
from tests.bench.running import Running

ROUNDS = 200


async def from_post_to_frame(product: Running) -> AsyncIterator[dict[str, object]]:
    base = f"http://localhost:{product.variables['PORT']}"
    acknowledged, arrived = [], []
    async with httpx2.AsyncClient(base_url=base, timeout=10) as http:
        headers = {"Authorization": f"Bearer {await bearer_token(http, product.variables, 'ana')}"}
        address = f"ws://localhost:{product.variables['PORT']}/ws/notifications"
        async with connect(address, additional_headers=headers) as socket:
            for number in range(ROUNDS):
                began = time.perf_counter()
                body = {"to": "ana", "message": f"round {number}", "channels": ["in_app"]}
                (await http.post("/api/v1/notifications", json=body, headers=headers)).raise_for_status()
                acknowledged.append((time.perf_counter() - began) * 1000)
                frame = json.loads(await socket.recv())
                arrived.append((time.perf_counter() - began) * 1000)
                if frame["message"] != f"round {number}":
                    raise AssertionError(f"another frame arrived: {frame}")
    for name, values in (("POST to 202", acknowledged), ("POST to WebSocket frame", arrived)):
        values.sort()
        yield {
            "figure": name,
            "rounds": ROUNDS,
            "median_ms": round(statistics.median(values), 1),
            "p95_ms": round(values[int(ROUNDS * 0.95)], 1),
            "worst_ms": round(values[-1], 1),
        }
