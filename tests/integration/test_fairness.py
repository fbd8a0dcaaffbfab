"""One person's records wait for each other on a real broker, and nobody else waits for them."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest_asyncio
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from infrastructure.kafka.connection import connection
from infrastructure.kafka.consuming.consumer import GroupConsumer
from infrastructure.ports import Outgoing, Received
from infrastructure.resources import Resources
from infrastructure.settings import Settings
from tests.eventually import eventually
from tests.fakes.gaps import FakeGaps

PLACES = 4
HOT = 80  # more than the 32 records after which a priority of 4 places used to take in no more
OTHERS = 100


@pytest_asyncio.fixture
async def topic(settings: Settings, unique: Callable[[str], str]) -> AsyncIterator[str]:
    """One partition: whoever is in it shares it with the hot and with the stuck."""
    name = unique("fairness")
    admin = AIOKafkaAdminClient(**connection(settings))
    await admin.start()
    await admin.create_topics([NewTopic(name, 1, 1), NewTopic(f"{name}.urgent", 1, 1)])
    yield name
    await admin.close()


class Desk:
    """Works on records as they come; those of `hot` people wait until it is told to go on with them."""

    def __init__(self) -> None:
        self.done: dict[str, list[int]] = defaultdict(list)
        self.go_on = asyncio.Event()

    async def handle(self, record: Received) -> None:
        person = (record.key or b"").decode()
        if person.startswith("hot"):
            await self.go_on.wait()
        self.done[person].append(int(record.value or b"0"))

    async def bury(self, record: Received, error: Exception) -> None:
        raise AssertionError(f"nothing is buried here: {record.position} {error!r}")

    async def has_done(self, count: int, *, but: str = "") -> None:
        async def looking() -> bool:
            return sum(len(numbers) for person, numbers in self.done.items() if person != but) >= count

        await eventually(looking, within_s=60)


@asynccontextmanager
async def at_work(settings: Settings, topic: str, desk: Desk) -> AsyncIterator[GroupConsumer]:
    own = settings.model_copy(update={"worker_concurrency": PLACES})
    consumer = GroupConsumer(own, f"group.{topic}", [topic, f"{topic}.urgent"], desk, gaps=FakeGaps())
    running = asyncio.create_task(consumer.run())
    await asyncio.wait_for(consumer.ready.wait(), 30)
    yield consumer
    desk.go_on.set()
    consumer.stop()
    await asyncio.wait_for(running, 40)


async def sent(resources: Resources, topic: str, person: str, count: int) -> None:
    for number in range(count):
        await resources.publisher.publish(Outgoing(topic, person, str(number).encode()))


async def test_a_stuck_persons_records_queue_behind_each_other_while_others_pass_by(
    settings: Settings, resources: Resources, topic: str
) -> None:
    desk = Desk()
    await sent(resources, topic, "hot", HOT)
    await asyncio.gather(*(sent(resources, topic, f"person-{number}", 4) for number in range(OTHERS // 4)))
    async with at_work(settings, topic, desk) as consumer:
        await desk.has_done(OTHERS, but="hot")
        assert desk.done["hot"] == []
        assert consumer.health().paused == ()
        desk.go_on.set()
        await desk.has_done(OTHERS + HOT)
    assert desk.done["hot"] == list(range(HOT)), "each in its turn"
    assert all(desk.done[f"person-{number}"] == list(range(4)) for number in range(OTHERS // 4))


async def test_when_every_place_is_stuck_an_urgent_record_still_passes(
    settings: Settings, resources: Resources, topic: str
) -> None:
    desk = Desk()
    await asyncio.gather(*(sent(resources, topic, f"hot-{number}", 1) for number in range(HOT)))
    async with at_work(settings, topic, desk) as consumer:

        async def full() -> bool:
            return consumer.health().paused == ("normal",)

        await eventually(full, within_s=30)
        await sent(resources, f"{topic}.urgent", "ana", 1)
        await desk.has_done(1)
        assert dict(desk.done) == {"ana": [0]}
        desk.go_on.set()
        await desk.has_done(HOT + 1)
