"""A worker on a broker in memory, and a handler that does what the test's script says."""

import asyncio
from collections.abc import Callable
from typing import Any

from infrastructure.kafka.consuming.consumer import GroupConsumer
from infrastructure.kafka.consuming.port import Partition
from infrastructure.ports import Gate, Received
from infrastructure.settings import Settings
from schemas.outcomes import Unavailable
from tests.eventually import eventually
from tests.fakes.gaps import FakeGaps
from tests.fakes.log import FakeBroker, FakeClient, FakeGroup

GROUP = "test.orders"
ORDINARY, URGENT = Partition("orders", 0), Partition("orders.urgent", 0)


class ScriptedHandler:
    """Raises what its script says for an offset, else takes the record; waits while it is closed, or closed to a key."""

    def __init__(self) -> None:
        self.script: dict[int, list[Exception]] = {}
        self.crashes_on: Callable[[Received], bool] = lambda _: False
        self.handled: list[int] = []
        self.waiting: set[int] = set()
        self.buried: list[tuple[int, str]] = []
        self.cannot_bury = 0
        self.open = asyncio.Event()
        self.open.set()
        self._stuck_keys: set[bytes] = set()

    def sticks_on(self, *keys: bytes) -> None:
        """These wait for `open`, the others pass."""
        self._stuck_keys = set(keys)
        self.open.clear()

    async def handle(self, record: Received) -> None:
        self.waiting.add(record.offset)
        try:
            if not self._stuck_keys or record.key in self._stuck_keys:
                await self.open.wait()
        finally:
            self.waiting.discard(record.offset)
        if self.script.get(record.offset):
            raise self.script[record.offset].pop(0)
        if self.crashes_on(record):
            raise KeyError("bug")
        self.handled.append(record.offset)

    async def bury(self, record: Received, error: Exception) -> None:
        if self.cannot_bury:
            self.cannot_bury -= 1
            raise Unavailable("Kafka is away")
        self.buried.append((record.offset, type(error).__name__))


class Worker:
    """One group consumer at work for as long as the block lasts; at its end it is told to stop."""

    def __init__(self, broker: FakeBroker, gate: Gate | None = None, **settings: Any) -> None:
        self.broker, self.handler, self.gaps = broker, ScriptedHandler(), FakeGaps()
        values = {"worker_concurrency": 2, "drain_timeout_s": 5, **settings}
        self.consumer = GroupConsumer(
            Settings(_env_file=None, deployment="local", **values),
            GROUP,
            ["orders", "orders.urgent"],
            self.handler,
            gaps=self.gaps,
            gate=gate,
            open_client=broker.open,
        )

    async def __aenter__(self) -> "Worker":
        self.running = asyncio.create_task(self.consumer.run())
        await eventually(self._ready)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.handler.open.set()
        self.consumer.stop()
        await asyncio.wait({self.running}, timeout=20)
        assert self.running.done(), "a worker that is told to stop ends"
        self.running.exception()

    async def _ready(self) -> bool:
        return self.consumer.ready.is_set() or self.running.done()

    @property
    def group(self) -> FakeGroup:
        return self.broker.groups[GROUP]

    @property
    def client(self) -> FakeClient:
        """The one in use: an earlier one was replaced."""
        return self.broker.clients[-1]

    async def until(self, look: Callable[[], Any]) -> Any:
        async def looking() -> Any:
            return look()

        return await eventually(looking, within_s=10)

    async def committed(self, offset: int, partition: Partition = ORDINARY) -> None:
        await self.until(lambda: self.group.committed.get(partition) == offset)


async def produced(broker: FakeBroker, count: int, topic: str = "orders", **record: Any) -> None:
    for _ in range(count):
        await broker.produce(topic, **record)
