"""Kafka's side of the Publisher port in memory."""

import asyncio
import json
from typing import Any

from infrastructure.ports import Outgoing
from schemas.events import Position
from schemas.outcomes import Unavailable


class FakePublisher:
    """Keeps every record; `is_away` refuses all, `fail_next` the next few; `grew` wakes whoever waits for more."""

    def __init__(self) -> None:
        self.records: list[Outgoing] = []
        self.attempts = 0
        self.is_away = False
        self._failures = 0
        self._succeeds_before = 0
        self._grew = asyncio.Condition()

    def fail_next(self, times: int = 1) -> None:
        self._failures += times

    def fail_next_after(self, successes: int) -> None:
        """One failure, behind so many records that go through."""
        self._succeeds_before, self._failures = successes, 1

    async def publish(self, record: Outgoing) -> Position:
        self.attempts += 1
        await asyncio.sleep(0)
        if self._succeeds_before:
            self._succeeds_before -= 1
        elif self.is_away or self._failures:
            self._failures = max(0, self._failures - 1)
            await self._tell()
            raise Unavailable("Kafka: the fake is away")
        offset = sum(1 for earlier in self.records if earlier.topic == record.topic)
        self.records.append(record)
        await self._tell()
        return Position(topic=record.topic, partition=0, offset=offset)

    def on(self, topic: str) -> list[Outgoing]:
        return [record for record in self.records if record.topic == topic]

    def values_on(self, topic: str) -> list[dict[str, Any]]:
        return [json.loads(record.value or b"null") for record in self.on(topic)]

    async def until(self, records: int = 0, *, attempts: int = 0, within_s: float = 10) -> None:
        """Returns when so many records are there and so many attempts were made."""
        async with asyncio.timeout(within_s), self._grew:
            await self._grew.wait_for(lambda: len(self.records) >= records and self.attempts >= attempts)

    async def _tell(self) -> None:
        async with self._grew:
            self._grew.notify_all()
