"""Kafka topics that lie still, in memory: to publish into and to browse."""

import time
import zlib
from collections import defaultdict

from infrastructure.ports import Outgoing, Received
from schemas.events import Position

PARTITIONS = 3


class FakeLog:
    """Both a publisher and the log it fills; records of one key share a partition, and no two their time."""

    def __init__(self) -> None:
        self._logs: dict[str, list[list[Received]]] = defaultdict(lambda: [[] for _ in range(PARTITIONS)])
        self._clock_ms = int(time.time() * 1000)
        self.published: list[Outgoing] = []

    async def publish(self, record: Outgoing) -> Position:
        self._clock_ms += 1
        key = record.key.encode() if isinstance(record.key, str) else record.key
        number = zlib.crc32(key or b"%d" % self._clock_ms) % PARTITIONS
        log = self._logs[record.topic][number]
        headers = tuple((name, each.encode() if isinstance(each, str) else each) for name, each in record.headers.items())
        log.append(Received(record.topic, number, len(log), self._clock_ms, key, record.value, headers))
        self.published.append(record)
        return log[-1].position

    async def bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        return {number: (0, len(log)) for number, log in enumerate(self._logs.get(topic, ()))}

    async def offsets(self, topic: str, moment_ms: int) -> dict[int, int]:
        found: dict[int, int] = {}
        for number, log in enumerate(self._logs.get(topic, ())):
            later = (each.offset for each in log if each.timestamp_ms >= moment_ms)
            if (first := next(later, None)) is not None:
                found[number] = first
        return found

    async def read(self, topic: str, partition: int, first: int, end: int) -> list[Received]:
        return self._logs[topic][partition][first:end]
