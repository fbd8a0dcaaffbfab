"""Where a log begins and ends, and how old the record at an offset is: bounded reads that leave no trace on the cluster.

They go through aiokafka's plain client rather than a consumer, because a consumer's metadata request for a named topic
creates that topic again on a broker with `auto.create.topics.enable` (a group keeps offsets of deleted topics for days).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

_EARLIEST, _LATEST = -2, -1
_READ_UNCOMMITTED = 0
_PARTITION_BYTES = 16 * 1024  # a broker sends the first batch whole even when it is larger (KIP-74)
_REQUEST_BYTES = 4 * 1024 * 1024
_LOOKS = 3


@dataclass(frozen=True)
class Oldest:
    """What waits at an offset: the timestamp of the first record there, or nothing but transaction markers."""

    at: float | None = None
    markers_only: bool = False


class Logs:
    """Reads partitions of the cluster as they are; a partition without a leader is left out of every answer."""

    def __init__(self, client: AIOKafkaClient) -> None:
        self._client = client
        self._cluster: Any = None

    async def refresh(self) -> None:
        """Asks for all topics at once: the only metadata request that can create none."""
        self._cluster = await self._client.fetch_all_metadata()

    def partitions_of(self, topic: str) -> list[TopicPartition]:
        """None for a Kafka topic that the cluster does not have."""
        return [TopicPartition(topic, each) for each in sorted(self._cluster.partitions_for_topic(topic) or ())]

    async def bounds(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
        """First offset and next offset of each partition."""
        wanted = list(partitions)
        starts, ends = await self._offsets(wanted, _EARLIEST), await self._offsets(wanted, _LATEST)
        return {tp: (starts[tp], ends[tp]) for tp in wanted if tp in starts and tp in ends}

    async def oldest(self, spans: Mapping[TopicPartition, tuple[int, int]]) -> dict[TopicPartition, Oldest]:
        """The record each (offset, end) begins with; a few bounded looks, and what is still unseen then is left out."""
        found: dict[TopicPartition, Oldest] = {}
        position = {tp: first for tp, (first, _) in spans.items()}
        for _ in range(_LOOKS):
            for tp, (at, reached) in (await self._look(position)).items():
                position[tp] = reached
                if at is not None:
                    found[tp] = Oldest(at=at)
                elif reached >= spans[tp][1]:
                    found[tp] = Oldest(markers_only=True)
            position = {tp: offset for tp, offset in position.items() if tp not in found}
            if not position:
                break
        return found

    async def _offsets(self, partitions: Iterable[TopicPartition], moment: int) -> dict[TopicPartition, int]:
        answers: dict[TopicPartition, int] = {}
        for node, topics in self._by_leader(dict.fromkeys(partitions, (moment,))).items():
            response = await self._client.send(node, OffsetRequest(-1, _READ_UNCOMMITTED, topics))
            for topic, rows in response.topics:
                for partition, error, _timestamp, offset, *_ in rows:
                    if not error:
                        answers[TopicPartition(topic, partition)] = offset
        return answers

    async def _look(self, position: Mapping[TopicPartition, int]) -> dict[TopicPartition, tuple[float | None, int]]:
        """Per partition the first record's time, if there was one, and the offset up to which it was read."""
        seen: dict[TopicPartition, tuple[float | None, int]] = {}
        asked = {tp: (offset, _PARTITION_BYTES) for tp, offset in position.items()}
        for node, topics in self._by_leader(asked).items():
            request = FetchRequest(0, 0, _REQUEST_BYTES, _READ_UNCOMMITTED, topics)
            response = await self._client.send(node, request)
            for topic, rows in response.topics:
                for partition, error, *_, batches in rows:
                    tp = TopicPartition(topic, partition)
                    if not error and batches:
                        seen[tp] = _first_record(batches, position[tp])
        return seen

    def _by_leader(self, asked: Mapping[TopicPartition, tuple[int, ...]]) -> dict[int, list[tuple[str, list[Any]]]]:
        nodes: dict[int, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
        for tp, question in asked.items():
            leader = self._cluster.leader_for_partition(tp)
            if leader is not None and leader != -1:
                nodes[leader][tp.topic].append((tp.partition, *question))
        return {node: list(topics.items()) for node, topics in nodes.items()}


def _first_record(batches: bytes, offset: int) -> tuple[float | None, int]:
    """The time of the first record at or after the offset, skipping transaction markers; and where reading stopped."""
    reached = offset
    records = MemoryRecords(batches)
    while records.has_next():
        batch = records.next_batch()
        reached = max(reached, batch.next_offset)
        if batch.is_control_batch:
            continue
        for record in batch:
            if record.offset >= offset:
                return (record.timestamp / 1000 if record.timestamp > 0 else None), reached
    return None, reached
