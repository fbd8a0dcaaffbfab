"""How long a one-time code takes, alone and behind a campaign that waits: preloaded, and not drained while it is measured.

`python -m tests.bench.urgent --backlog 1000000`; without an argument 20,000, which take the workers some minutes.
From the POST to the frame on an open WebSocket; one API and one worker process with everything, on the same machine.
"""

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator

import httpx2
from websockets.asyncio.client import ClientConnection, connect

from infrastructure.kafka.connection import connection
from infrastructure.kafka.lag import open_lag_reader
from infrastructure.local.selftest import bearer_token
from infrastructure.ports import Outgoing
from schemas import topics
from tests.bench.house import House, laid_out
from tests.bench.running import written

ENVIRONMENT: topics.Environment = "dev"
BACKLOG, CODES, EVERY_S = 20_000, 100, 0.1
WINDOW, PEOPLE = 2_000, 5_000
BUSY_S = 5.0


async def urgent(backlog: int = BACKLOG) -> AsyncIterator[dict[str, object]]:
    async with laid_out(persistent=True, RATE_LIMIT_PER_MINUTE="100000") as house:
        await house.api()
        worker = await house.workers()
        await _codes(house, 20)
        yield {"figure": "urgent, alone", **await _codes(house)}
        await worker.stop()
        began = time.perf_counter()
        await _campaign(house, backlog)
        preloaded_s = time.perf_counter() - began
        await house.workers()
        await asyncio.sleep(BUSY_S)  # until its budgets are full
        before = await _waiting(house)
        found = await _codes(house)
        after = await _waiting(house)
        if not after:
            raise AssertionError("the backlog was drained: give a larger one")
        yield {
            "figure": f"urgent, behind {backlog} of bulk",
            **found,
            "preloaded_s": round(preloaded_s, 1),
            "waiting_before": before,
            "waiting_after": after,
        }


async def _campaign(house: House, backlog: int) -> None:
    """One request for each, at the door of every raw producer: route has them all before it too."""
    topic, publisher = topics.requests(ENVIRONMENT, "bulk"), house.running.resources.publisher
    for first in range(0, backlog, WINDOW):
        people = (f"reader-{number % PEOPLE}" for number in range(first, min(first + WINDOW, backlog)))
        records = (
            Outgoing(topic, person, json.dumps({"to": person, "message": "News", "priority": "bulk"}).encode())
            for person in people
        )
        await asyncio.gather(*(publisher.publish(record) for record in records))


async def _codes(house: House, count: int = CODES) -> dict[str, object]:
    base = f"localhost:{house.variables['PORT']}"
    async with httpx2.AsyncClient(base_url=f"http://{base}", timeout=30) as http:
        headers = {"Authorization": f"Bearer {await bearer_token(http, house.variables, 'ana')}"}
        async with connect(f"ws://{base}/ws/notifications", additional_headers=headers) as socket:
            took_ms = sorted([await _code(http, headers, socket, number) for number in range(count)])
    return {
        "codes": count,
        "median_ms": round(statistics.median(took_ms), 1),
        "p99_ms": round(took_ms[int(count * 0.99)], 1),
        "worst_ms": round(took_ms[-1], 1),
    }


async def _code(http: httpx2.AsyncClient, headers: dict[str, str], socket: ClientConnection, number: int) -> float:
    await asyncio.sleep(EVERY_S)
    body = {"to": "ana", "message": f"code {number}", "channels": ["in_app"], "priority": "urgent", "category": "security"}
    began = time.perf_counter()
    (await http.post("/api/v1/notifications", json=body, headers=headers)).raise_for_status()
    frame = json.loads(await asyncio.wait_for(socket.recv(), 60))
    took_ms = (time.perf_counter() - began) * 1000
    if frame["message"] != body["message"]:
        raise AssertionError(f"another frame arrived: {frame}")
    return took_ms


async def _waiting(house: House) -> int:
    """Records that route or the channel have still to read."""
    async with open_lag_reader(connection(house.running.resources.settings)) as reader:
        groups = await reader.read([topics.group(ENVIRONMENT, name) for name in ("route", "deliver.in_app")])
    samples = [reading.sample for group in groups for reading in group.partitions]
    return sum(max(0, each.end - (each.committed or 0)) for each in samples)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--backlog", type=int, default=BACKLOG)
    asyncio.run(written(urgent(arguments.parse_args().backlog)))
