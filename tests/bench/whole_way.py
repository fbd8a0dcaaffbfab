"""Deliveries per second from raw Kafka to a settled ledger row, and what the store is asked for per delivery."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator

from infrastructure.ports import Outgoing
from schemas import topics
from schemas.deliveries import ENDED
from schemas.ids import notification_id
from tests.bench.running import Running

REQUESTS = 2000
PEOPLE = 100
WINDOW = 200
ENVIRONMENT = "dev"


async def whole_way(product: Running) -> AsyncIterator[dict[str, object]]:
    await _run(product, "warm-up", {"to": "warm-{person}", "message": "warm"}, 200)
    yield await _run(product, "in_app", {"to": "bench-{person}", "message": "Hi", "channels": ["in_app"]}, REQUESTS)
    yield await _run(product, "email", {"to": [{"email": "bench{person}@example.com"}], "message": "Hi"}, REQUESTS)
    # one recipient, so one after the other: what order per recipient costs
    yield await _run(product, "slack, all to one target", {"to": [{"slack": "default"}], "message": "Hi"}, REQUESTS // 10)


async def _run(product: Running, name: str, body: dict[str, object], count: int) -> dict[str, object]:
    mark = uuid.uuid4().hex[:8]
    calls, items, read = await _store(product)
    began = time.perf_counter()
    wanted = []
    for first in range(0, count, WINDOW):
        numbers = range(first, min(first + WINDOW, count))
        await asyncio.gather(*(_produce(product, body, mark, number) for number in numbers))
        wanted += [notification_id(ENVIRONMENT, "kafka", f"{mark}-{number}") for number in numbers]
    produced = time.perf_counter() - began
    await settled(product, ENVIRONMENT, wanted)
    took = time.perf_counter() - began
    calls_after, items_after, read_after = await _store(product)
    return {
        "figure": f"whole way, {name}",
        "deliveries": count,
        "produced_s": round(produced, 2),
        "seconds": round(took, 2),
        "per_second": round(count / took),
        "store_write_calls_per_delivery": round((calls_after - calls) / count, 2),
        "store_items_written_per_delivery": round((items_after - items) / count, 2),
        "store_items_read_per_delivery": round((read_after - read) / count, 2),
    }


async def _produce(product: Running, body: dict[str, object], mark: str, number: int) -> None:
    text = json.dumps(body | {"request_id": f"{mark}-{number}"}).replace("{person}", str(number % PEOPLE))
    key = str(number % PEOPLE)
    await product.resources.publisher.publish(Outgoing(topics.requests(ENVIRONMENT), key, text.encode()))


async def settled(product: Running, environment: str, wanted: list[str]) -> None:
    """Asks for the last ones first: what is not settled is asked for again."""
    left = list(reversed(wanted))
    async with asyncio.timeout(300):
        while left:
            asked = left[:50]
            found = await asyncio.gather(*(product.resources.stores.deliveries.of(environment, each) for each in asked))
            done = {
                each for each, rows in zip(asked, found, strict=True) if rows and all(row.state in ENDED for row in rows)
            }
            left = [each for each in left if each not in done]
            if len(done) < len(asked):
                await asyncio.sleep(0.2)


async def _store(product: Running) -> tuple[float, float, float]:
    """Write calls so far, items written and items read so far (a batch is one call with many)."""
    calls = await product.worker_counts("carillon_store_calls_total", "action")
    batched = await product.worker_counts("carillon_store_items_total", "action")
    single = calls.get("PutItem", 0) + calls.get("UpdateItem", 0) + calls.get("DeleteItem", 0)
    written = single + batched.get("BatchWriteItem", 0)
    return single + calls.get("BatchWriteItem", 0), written, batched.get("BatchGetItem", 0)
