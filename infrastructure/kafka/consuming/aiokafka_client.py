"""The port on aiokafka 0.14: the one file that knows it, and the holes it leaves that can only be closed from in here.

Three private parts are touched, each with its reason; the contract suite fails when a new version moves them.
"""

# pylint: disable=protected-access
# pylint: disable=invalid-overridden-method  # aiokafka awaits the listener when it is async (its documentation says so)

import asyncio
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import (
    IllegalGenerationError,
    IllegalStateError,
    KafkaError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
from aiokafka.structs import OffsetAndMetadata

from infrastructure.kafka.connection import connection
from infrastructure.kafka.consuming.budgets import WAITING_PER_PLACE
from infrastructure.kafka.consuming.deadlines import look_at
from infrastructure.kafka.consuming.port import ClientFailed, CommitRefused, Listener, LogClient, Partition, Tenure
from infrastructure.ports import Received
from infrastructure.settings import Settings

MAX_RECORDS = 500
_MOVED_ON = (UnknownMemberIdError, IllegalGenerationError, RebalanceInProgressError)


def rebalance_timeout_s(settings: Settings) -> float:
    """How long the group waits for a member that drains; aiokafka's own default, the session time-out, is too short."""
    return max(60.0, settings.drain_timeout_s + 45.0)


class AiokafkaClient(ConsumerRebalanceListener, LogClient):  # type: ignore[misc]  # aiokafka ships no types
    def __init__(self, settings: Settings, group: str, kafka_topics: Iterable[str]) -> None:
        # two clients of one name cannot be told apart in a broker's log
        parameters = connection(settings) | {"client_id": f"{settings.kafka_client_id}.{group}.{uuid.uuid4().hex[:8]}"}
        self._topics = tuple(kafka_topics)
        # no more at once than a priority may have waiting: what was taken in has to be drained again
        self._most = min(MAX_RECORDS, settings.worker_concurrency * WAITING_PER_PLACE)
        self._consumer = AIOKafkaConsumer(
            **parameters,
            group_id=group,
            enable_auto_commit=False,
            # "none" cannot be used: aiokafka looks for positions before it calls the listener that would set them.
            # A silent reset is seen by the offsets it skips, see assignments.py.
            auto_offset_reset="earliest",
            # a producer may use transactions: what it aborted is no request
            isolation_level="read_committed",
            partition_assignment_strategy=[StickyPartitionAssignor],
            session_timeout_ms=int(settings.kafka_session_timeout_s * 1000),
            rebalance_timeout_ms=int(rebalance_timeout_s(settings) * 1000),
            max_poll_interval_ms=300_000,
            fetch_max_wait_ms=500,
            max_partition_fetch_bytes=4 * 1_048_576,
        )
        self._listener: Listener | None = None
        self._tenure: Tenure | None = None
        self._assignment: Any = None
        self._announced = asyncio.Event()

    async def start(self, listener: Listener) -> None:
        self._listener = listener
        with _failing():
            self._consumer.subscribe(self._topics, listener=self)
            await self._consumer.start()

    async def poll(self, wait_s: float) -> Mapping[Partition, Sequence[Received]]:
        with _failing():
            self._look_at_the_fetcher()
            batch = await self._consumer.getmany(timeout_ms=int(wait_s * 1000), max_records=self._most)
        if not batch:
            return {}
        # aiokafka may give out records of a new assignment before it has told the listener of it
        source = self._present_assignment
        await self._announced.wait()
        if source is not self._assignment:
            return {}  # that assignment is gone, and its positions with it: nothing is skipped
        return {_ours(tp): [_received(record) for record in records] for tp, records in batch.items()}

    def pause(self, partitions: Iterable[Partition]) -> None:
        self._consumer.pause(*self._still_assigned(partitions))

    def resume(self, partitions: Iterable[Partition]) -> None:
        self._consumer.resume(*self._still_assigned(partitions))

    async def commit(self, generation: int, offsets: Mapping[Partition, int]) -> None:
        """Not by `AIOKafkaConsumer.commit`: that one tries again under whatever generation the client has by then, and so
        may move an offset that is somebody else's by now. Here generation and request are bound before anything is awaited.
        """
        wanted = {_theirs(tp): OffsetAndMetadata(offset, "") for tp, offset in offsets.items()}
        # shielded as in aiokafka: a request cut off in the middle would take its connection with it
        committing = asyncio.ensure_future(self._commit(generation, wanted))
        committing.add_done_callback(look_at)
        with _failing():
            await asyncio.shield(committing)

    async def _commit(self, generation: int, offsets: dict[Any, Any]) -> None:
        coordinator = self._consumer._coordinator
        await coordinator.ensure_coordinator_known()
        async with coordinator._commit_lock:
            tenure, assignment = self._tenure, self._assignment
            if tenure is None or not generation == tenure.generation == coordinator.generation:
                raise CommitRefused(f"generation {generation} is over, it is {coordinator.generation}")
            try:
                await coordinator._do_commit_offsets(assignment, offsets)
            except _MOVED_ON as error:
                raise CommitRefused(type(error).__name__) from error

    async def committed(self, partitions: Iterable[Partition]) -> Mapping[Partition, int | None]:
        wanted = list(partitions)
        with _failing():
            found = await asyncio.gather(*(self._consumer.committed(_theirs(tp)) for tp in wanted))
        return dict(zip(wanted, found, strict=True))

    async def log_starts(self, partitions: Iterable[Partition]) -> Mapping[Partition, int]:
        with _failing():
            found = await self._consumer.beginning_offsets([_theirs(tp) for tp in partitions])
        return {_ours(tp): offset for tp, offset in found.items()}

    async def log_ends(self, partitions: Iterable[Partition]) -> Mapping[Partition, int]:
        with _failing():
            found = await self._consumer.end_offsets([_theirs(tp) for tp in partitions])
        return {_ours(tp): offset for tp, offset in found.items()}

    def positions(self) -> Mapping[Partition, int | None]:
        """Not by `AIOKafkaConsumer.position`: that one waits until there is one, which may be for ever."""
        assignment = self._assignment
        if assignment is None:
            return {}
        states = {tp: assignment.state_value(tp) for tp in assignment.tps}
        return {_ours(tp): state.position if state.has_valid_position else None for tp, state in states.items()}

    @property
    def joined(self) -> bool:
        tenure, coordinator = self._tenure, self._consumer._coordinator
        return tenure is not None and coordinator is not None and coordinator.generation == tenure.generation

    async def stop(self) -> None:
        self._tenure = None
        with _failing():
            await self._consumer.stop()

    async def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        self._announced.clear()
        if self._listener is not None:
            await self._listener.revoked()
        self._tenure = self._assignment = None

    async def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        partitions = list(assigned)
        self._assignment = self._present_assignment
        self._tenure = Tenure(self._consumer._coordinator.generation, frozenset(map(_ours, partitions)))
        self._consumer.resume(*partitions)  # a pause meant for the assignment before may have met this one
        if self._listener is not None:
            await self._listener.assigned(self._tenure)
        self._announced.set()

    @property
    def _present_assignment(self) -> Any:
        subscription = self._consumer._subscription.subscription
        return None if subscription is None else subscription.assignment

    def _still_assigned(self, partitions: Iterable[Partition]) -> list[Any]:
        assigned = self._consumer.assignment()
        return [_theirs(tp) for tp in partitions if tp in assigned]

    def _look_at_the_fetcher(self) -> None:
        """When aiokafka's fetcher dies it tells nobody: heartbeats go on, and no record ever comes again."""
        fetching = self._consumer._fetcher.error_future
        if fetching.done():
            error = None if fetching.cancelled() else fetching.exception()
            raise ClientFailed(f"stalled: its fetcher has ended: {error!r}")


@contextmanager
def _failing() -> Iterator[None]:
    try:
        yield
    except (KafkaError, IllegalStateError) as error:
        raise ClientFailed(repr(error)) from error


def _ours(tp: Any) -> Partition:
    return Partition(tp.topic, tp.partition)


def _theirs(tp: Partition) -> Any:
    return TopicPartition(tp.topic, tp.number)


def _received(record: Any) -> Received:
    return Received(
        record.topic,
        record.partition,
        record.offset,
        record.timestamp,
        record.key,
        record.value,
        tuple(record.headers),
    )
