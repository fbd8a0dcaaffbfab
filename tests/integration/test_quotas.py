"""Two workers of route share one count in Redis; what is over it goes by the bulk topic, and its receipt says so.

In an environment of its own, whose workers run inside the test.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from consumers.workers import workers_of
from infrastructure.dynamo.tables import create_tables
from infrastructure.kafka.topics import create_topics
from infrastructure.ports import Outgoing
from infrastructure.resources import Resources, open_resources
from infrastructure.settings import Settings
from schemas import topics
from tests.eventually import eventually
from tests.kafka_log import document, records_of

HOME: topics.Environment = "uat"
QUOTA, SENT = 20, 50


@asynccontextmanager
async def two_routes(settings: Settings) -> AsyncIterator[Resources]:
    async with open_resources(settings) as resources:
        workers = [named.worker for _ in range(2) for named in workers_of("route", resources)]
        running = [asyncio.create_task(worker.run()) for worker in workers]
        yield resources
        for worker in workers:
            worker.stop()
        await asyncio.gather(*running)


async def test_what_is_over_a_producers_quota_goes_as_bulk_whichever_worker_routes_it(
    settings: Settings, unique: Callable[[str], str]
) -> None:
    changes = {"environments": (HOME,), "default_environment": HOME, "producer_quota_per_minute": QUOTA}
    own = settings.model_copy(update=changes)
    await create_topics(own)
    await create_tables(own)
    asked = {unique("quota"): f"person-{number}" for number in range(SENT)}

    async def receipts() -> dict[str, Any] | None:
        records = map(document, await records_of(own, topics.receipts(HOME)))
        found = {each["request_id"]: each for each in records if each["request_id"] in asked}
        return found if len(found) == SENT else None

    async with two_routes(own) as resources:
        for request_id, person in asked.items():
            body = {"to": person, "message": "Hello", "request_id": request_id, "channels": ["in_app"]}
            await resources.publisher.publish(Outgoing(topics.requests(HOME), person, json.dumps(body).encode()))
        told = await eventually(receipts, within_s=40)
    said = Counter(each.get("moved_to_bulk") for each in told.values())
    # one comes back every 60/QUOTA seconds while the fifty are being routed
    assert QUOTA <= said[None] < SENT / 2 + QUOTA / 2, said
    assert said["quota"] == SENT - said[None]
    people = set(asked.values())
    for priority, expected in (("normal", said[None]), ("bulk", said["quota"])):
        records = await records_of(own, topics.deliveries(HOME, "in_app", priority))  # type: ignore[arg-type]
        assert sum(document(each)["recipient"] in people for each in records) == expected, priority
