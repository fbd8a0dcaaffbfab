"""Timers per second: put into the store, and back on their Kafka topic once they are due. `python -m tests.bench.timers`.

All of them are due at one moment, the worst there is. One `schedule` worker, a store in memory.
"""

import argparse
import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from aiokafka import AIOKafkaConsumer, TopicPartition

from infrastructure.kafka.connection import connection
from schemas import topics
from schemas.timers import Timer
from tests.bench.house import House, laid_out
from tests.bench.running import written

ENVIRONMENT: topics.Environment = "dev"
COUNT, WINDOW = 5_000, 500
LATEST_S = 600


async def timers(count: int = COUNT) -> AsyncIterator[dict[str, object]]:
    async with laid_out(persistent=False) as house:
        await house.workers("schedule")
        topic = topics.dead_letters(ENVIRONMENT)  # read by no group
        due_at = datetime.now(UTC) + timedelta(seconds=max(10.0, count / 100))
        began = time.perf_counter()
        await _put(house, topic, count, due_at)
        took = time.perf_counter() - began
        yield {"figure": "timers scheduled", "timers": count, "per_second": round(count / took)}
        if datetime.now(UTC) >= due_at:
            raise AssertionError("scheduling took longer than the timers were to wait: what is fired is no burst")
        await asyncio.sleep((due_at - datetime.now(UTC)).total_seconds())
        began = time.perf_counter()
        await _arrived(house, topic, count)
        yield {"figure": "timers fired", "timers": count, "per_second": round(count / (time.perf_counter() - began))}


async def _put(house: House, topic: str, count: int, due_at: datetime) -> None:
    mark, store = uuid.uuid4().hex[:8], house.running.resources.stores.timers
    for first in range(0, count, WINDOW):
        wanted = (
            Timer(
                environment=ENVIRONMENT,
                timer_id=f"{mark}-{number}",
                due_at=due_at,
                topic=topic,
                key=str(number),
                value="{}",
            )
            for number in range(first, min(first + WINDOW, count))
        )
        await asyncio.gather(*(store.put(timer) for timer in wanted))


async def _arrived(house: House, topic: str, count: int) -> None:
    settings = house.running.resources.settings
    places = [TopicPartition(topic, number) for number in range(settings.kafka_partitions)]
    async with AIOKafkaConsumer(**connection(settings)) as consumer, asyncio.timeout(LATEST_S):
        consumer.assign(places)
        while sum((await consumer.end_offsets(places)).values()) < count:
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--timers", type=int, default=COUNT)
    asyncio.run(written(timers(arguments.parse_args().timers)))
