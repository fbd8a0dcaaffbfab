"""One request to 10,000, 100,000 and 300,000 people: seconds until each has a record on the channel's Kafka topic.

Also the memory of the process that walks, and a bare loop that produces the same records in windows of 500. The channel's
own worker does not run, for it would share the two cores; so the walk is told not to wait for it. A shard's walk rests after
a stretch, so schedule runs too. `python -m tests.bench.fan_out`.
"""

import asyncio
import json
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from infrastructure.dynamo.client import Dynamo, open_dynamo
from infrastructure.dynamo.contacts import subscription
from infrastructure.dynamo.tables import SUBSCRIPTIONS, create_tables
from infrastructure.kafka.topics import create_topics
from infrastructure.local.ports import any_free_port
from infrastructure.local.processes import Child, Processes
from infrastructure.local.stack import local_stack
from infrastructure.ports import Outgoing
from infrastructure.resources import Resources, open_resources
from infrastructure.settings import Settings
from schemas import topics
from schemas.deliveries import DeliveryRecord
from schemas.ids import delivery_id, notification_id
from tests.bench.running import written
from tests.product import answers_ready, product_variables, start_module

SIZES = (10_000, 100_000, 300_000)
ENVIRONMENT: topics.Environment = "dev"
WINDOW = 500
_SEEDED_AT_ONCE = 5_000
_LOOK_EVERY_S = 0.05
_MB = 1024 * 1024


async def fan_out() -> AsyncIterator[dict[str, object]]:
    """A store in memory, and processes of their own for route and expand."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        async with local_stack(folder / "stack", persistent=False) as addresses, Processes(folder / "log") as processes:
            variables = product_variables(addresses, folder) | {"BULK_BACKLOG_MAX_S": "86400"}
            for key, value in variables.items():
                patch.setenv(key, value)
            settings = Settings(_env_file=None)
            await asyncio.gather(create_topics(settings), create_tables(settings))
            names = ("expand", "route", "schedule")
            walker, *_ = await asyncio.gather(*(_worker(processes, each, variables) for each in names))
            async with open_dynamo(settings) as dynamo, open_resources(settings) as resources:
                await _run(resources, walker, await _seeded(resources, dynamo, 1_000))
                for size in SIZES:
                    topic = await _seeded(resources, dynamo, size)
                    yield await _run(resources, walker, topic) | {"bare_loop_s": await _bare_loop(resources, size)}


async def _worker(processes: Processes, name: str, variables: Mapping[str, str]) -> Child:
    port = str(any_free_port())
    child = await start_module(processes, name, "consumers", name, variables=variables, extra={"WORKER_PORT": port})
    await child.until(lambda: answers_ready(port))
    return child


async def _seeded(resources: Resources, dynamo: Dynamo, size: int) -> str:
    """A new topic with so many people in it."""
    topic, table = f"bench-{size}", SUBSCRIPTIONS.named(ENVIRONMENT)
    shards, now = await resources.stores.contacts.shards(ENVIRONMENT), datetime.now(UTC)
    for first in range(0, size, _SEEDED_AT_ONCE):
        people = (f"reader-{number:06}" for number in range(first, min(first + _SEEDED_AT_ONCE, size)))
        rows = (subscription(topic, person, shards, now) for person in people)
        await asyncio.gather(*(dynamo.put_soon(table, row, SUBSCRIPTIONS.key) for row in rows))
    return topic


async def _run(resources: Resources, walker: Child, topic: str) -> dict[str, object]:
    process = psutil.Process(walker.process.pid)
    before, most = process.memory_info().rss, 0
    request_id = uuid.uuid4().hex
    body = {"to": [{"topic": topic}], "message": "News for everybody", "request_id": request_id}
    notification = notification_id(ENVIRONMENT, "kafka", request_id)
    began = time.perf_counter()
    await resources.publisher.publish(Outgoing(topics.requests(ENVIRONMENT), None, json.dumps(body).encode()))
    shards = await resources.stores.contacts.shards(ENVIRONMENT)
    while True:
        most = max(most, process.memory_info().rss)
        walks = await resources.stores.expansions.of(ENVIRONMENT, notification, shards)
        if all(walk.done for walk in walks):
            break
        await asyncio.sleep(_LOOK_EVERY_S)
    took, people = time.perf_counter() - began, sum(walk.planned for walk in walks)
    return {
        "figure": "fan-out",
        "people": people,
        "seconds": round(took, 2),
        "per_second": round(people / took),
        "rss_before_mb": round(before / _MB, 1),
        "rss_most_mb": round(most / _MB, 1),
    }


async def _bare_loop(resources: Resources, size: int) -> float:
    """The same records and the same producer; nobody is looked up, and nothing is remembered."""
    notification = notification_id(ENVIRONMENT, "bench", str(size))
    topic = topics.deliveries(ENVIRONMENT, "in_app", "bulk")

    async def produce(number: int) -> None:
        person = f"reader-{number:06}"
        delivery = DeliveryRecord(
            environment=ENVIRONMENT,
            notification_id=notification,
            delivery_id=delivery_id(notification, person, "in_app", ""),
            recipient=person,
            channel="in_app",
            priority="bulk",
        )
        value = delivery.model_dump_json(exclude_defaults=True).encode()
        await resources.publisher.publish(Outgoing(topic, person, value))

    began = time.perf_counter()
    for first in range(0, size, WINDOW):
        await asyncio.gather(*(produce(number) for number in range(first, min(first + WINDOW, size))))
    return round(time.perf_counter() - began, 2)


if __name__ == "__main__":
    asyncio.run(written(fan_out()))
