"""Reads any Kafka topic backwards, for people who look. Joins no group, commits nothing, creates nothing.

Through aiokafka's plain client rather than a consumer, for the reason given in oldest.py.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from infrastructure.ports import Received
from schemas.outcomes import Unavailable

_EARLIEST, _LATEST = -2, -1
_READ_UNCOMMITTED = 0
_FETCH_BYTES = 4 * 1_048_576
_REQUEST_TIMEOUT_MS = 10_000
_WINDOW = 50
_LOOKED_AT_MOST = 5000

Shows = Callable[[Received], bool]


class Log(Protocol):
    """One Kafka topic at a time, as it lies there."""

    async def offsets(self, topic: str, moment_ms: int) -> dict[int, int]:
        """Per partition the offset of the first record at or after that time; partitions without one are left out."""

    async def bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        """Per partition the first offset and the next one; empty when there is no such Kafka topic."""

    async def read(self, topic: str, partition: int, first: int, end: int) -> list[Received]:
        """The records from `first` up to, but not with, `end`."""


@dataclass(frozen=True)
class Span:
    """Which records to show: `before` is where an earlier page stopped in each partition; both times count as inside."""

    since: datetime | None = None
    until: datetime | None = None
    before: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """Newest first; `before` continues, None at the end. A page may be short although more follow."""

    records: tuple[Received, ...]
    before: dict[int, int] | None


class _Backwards:
    """One partition, read in windows from its end to its start."""

    def __init__(self, log: Log, topic: str, partition: int, start: int, end: int) -> None:
        self._log, self._topic, self._partition = log, topic, partition
        self._start, self._below = start, end
        self._window: list[Received] = []

    @property
    def position(self) -> int:
        """Everything at or above it has been given out."""
        return self._window[-1].offset + 1 if self._window else self._below

    async def newest(self) -> Received | None:
        while not self._window and self._below > self._start:
            first = max(self._start, self._below - _WINDOW)
            self._window = await self._log.read(self._topic, self._partition, first, self._below)
            self._below = first
        return self._window[-1] if self._window else None

    def take(self) -> None:
        self._window.pop()


async def newest(log: Log, topic: str, span: Span, shows: Shows, limit: int) -> Found:
    """At most `limit` records that match, over all partitions in the order of their time."""
    partitions = await _partitions(log, topic, span)
    found: list[Received] = []
    for _ in range(_LOOKED_AT_MOST):
        heads = [(head, each) for each in partitions.values() if (head := await each.newest()) is not None]
        if not heads:
            return Found(tuple(found), None)
        if len(found) == limit:
            break
        head, owner = max(heads, key=lambda pair: (pair[0].timestamp_ms, pair[0].offset))
        owner.take()
        if shows(head):
            found.append(head)
    return Found(tuple(found), {number: each.position for number, each in partitions.items()})


async def at(log: Log, topic: str, partition: int, offset: int) -> Received | None:
    """The one record at this place; None when it is not there, or not any more."""
    start, end = (await log.bounds(topic)).get(partition, (0, 0))
    if not start <= offset < end:
        return None
    return next((each for each in await log.read(topic, partition, offset, offset + 1) if each.offset == offset), None)


async def _partitions(log: Log, topic: str, span: Span) -> dict[int, _Backwards]:
    bounds = await log.bounds(topic)
    firsts = await log.offsets(topic, _milliseconds(span.since)) if span.since else None
    ends = await log.offsets(topic, _milliseconds(span.until) + 1) if span.until else {}
    found: dict[int, _Backwards] = {}
    for number, (start, end) in bounds.items():
        first = start if firsts is None else firsts.get(number, end)
        below = min(end, ends.get(number, end), span.before.get(number, end))
        found[number] = _Backwards(log, topic, number, first, below)
    return found


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


class KafkaLog:
    """Raises `Unavailable` when the cluster does not answer."""

    def __init__(self, client: AIOKafkaClient) -> None:
        self._client = client

    async def bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        starts, ends = await self.offsets(topic, _EARLIEST), await self.offsets(topic, _LATEST)
        return {number: (starts[number], ends[number]) for number in starts if number in ends}

    async def offsets(self, topic: str, moment_ms: int) -> dict[int, int]:
        found: dict[int, int] = {}
        for node, numbers in (await self._leaders(topic)).items():
            asked = [(topic, [(number, moment_ms) for number in numbers])]
            response = await self._send(node, OffsetRequest(-1, _READ_UNCOMMITTED, asked))
            for _, rows in response.topics:
                found |= {number: offset for number, error, _at, offset, *_ in rows if not error and offset >= 0}
        return found

    async def read(self, topic: str, partition: int, first: int, end: int) -> list[Received]:
        node = await self._leader(topic, partition)
        found: list[Received] = []
        position = first
        while position < end:
            asked = [(topic, [(partition, position, _FETCH_BYTES)])]
            response = await self._send(node, FetchRequest(0, 0, _FETCH_BYTES, _READ_UNCOMMITTED, asked))
            [(_, [(_, error, *_, batches)])] = response.topics
            records, reached = _records(topic, partition, batches if not error else b"")
            found += [record for record in records if position <= record.offset < end]
            if reached <= position:
                break  # nothing readable: deleted in the meantime, or its leader has moved
            position = reached
        return found

    async def _leaders(self, topic: str) -> dict[int, list[int]]:
        """Asks for all topics at once: the only metadata request that can create none."""
        try:
            cluster = await self._client.fetch_all_metadata()
        except (KafkaError, OSError, TimeoutError) as error:
            raise Unavailable(f"Kafka did not answer: {type(error).__name__}") from error
        leaders: dict[int, list[int]] = {}
        for number in sorted(cluster.partitions_for_topic(topic) or ()):
            leader = cluster.leader_for_partition(TopicPartition(topic, number))
            if leader is not None and leader != -1:
                leaders.setdefault(leader, []).append(number)
        return leaders

    async def _leader(self, topic: str, partition: int) -> int:
        for node, numbers in (await self._leaders(topic)).items():
            if partition in numbers:
                return node
        raise Unavailable(f"Kafka: {topic}[{partition}] has no leader")

    async def _send(self, node: int, request: Any) -> Any:
        try:
            return await self._client.send(node, request)
        except (KafkaError, OSError, TimeoutError) as error:
            raise Unavailable(f"Kafka did not answer: {type(error).__name__}") from error


def _records(topic: str, partition: int, batches: bytes) -> tuple[list[Received], int]:
    """What a fetch brought, without the markers of transactions; and the offset it reached."""
    found: list[Received] = []
    reached = -1
    readable = MemoryRecords(batches)
    while readable.has_next():
        batch = readable.next_batch()
        reached = max(reached, batch.next_offset)
        if not batch.is_control_batch:
            found += [
                Received(topic, partition, each.offset, each.timestamp, each.key, each.value, tuple(each.headers))
                for each in batch
            ]
    return found, reached


@asynccontextmanager
async def open_log(parameters: Mapping[str, Any]) -> AsyncIterator[KafkaLog]:
    """One read-only connection; raises `Unavailable` when no bootstrap server answers."""
    client = AIOKafkaClient(**{**parameters, "request_timeout_ms": _REQUEST_TIMEOUT_MS})
    try:
        await client.bootstrap()
    except (KafkaError, OSError) as error:
        await client.close()
        raise Unavailable(f"no bootstrap server answers: {error}") from error
    try:
        yield KafkaLog(client)
    finally:
        await client.close()
