"""The consumer wrapper: the only place that reads Kafka. Bytes in; order per key; explicit contiguous commits.

What aiokafka 0.14 leaves open is closed here: auto-commit is off, a missing or lost offset is looked at and said aloud
instead of moved silently, work carries the epoch of its assignment, a dead client is replaced.
"""

# pylint: disable=broad-exception-caught  # the one place that catches everything, and does something each time
# pylint: disable=invalid-overridden-method  # aiokafka awaits the listener when it is async (its documentation says so)

import asyncio
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from infrastructure.kafka.budgets import Budgets
from infrastructure.kafka.connection import connection
from infrastructure.kafka.watermark import OffsetsWentBack, Watermark
from infrastructure.metrics import GAPS
from infrastructure.ports import Handler, Received
from infrastructure.settings import Settings
from schemas.outcomes import Unavailable

log = structlog.get_logger()

POLL_MS = 250
COMMIT_EVERY_S = 0.5
CRASHES_BEFORE_BURYING = 3
_HOLD_FIRST_S, _HOLD_MOST_S = 0.1, 5.0
_STOP_S = 10.0
_STALLED_S = 60.0


@dataclass(frozen=True)
class Work:
    """One record on its way through a handler, tagged with the assignment it was read under."""

    record: Received
    partition: TopicPartition
    epoch: int


@dataclass(frozen=True)
class Health:
    """How one member is doing; alive means that its loop turns, whether or not a broker answers."""

    group: str
    assigned: int
    in_flight: int
    last_poll_s: float

    @property
    def alive(self) -> bool:
        return self.last_poll_s < _STALLED_S


class GroupConsumer(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """One member of one consumer group, driving one handler until it is told to stop."""

    def __init__(self, settings: Settings, group: str, kafka_topics: Iterable[str], handler: Handler) -> None:
        self._settings = settings
        self._group = group
        self._topics = tuple(kafka_topics)
        self._handler = handler
        self._consumer: AIOKafkaConsumer | None = None
        self._epoch = 0
        self._marks: dict[TopicPartition, Watermark] = {}
        self._budgets = Budgets(self._settle, settings.worker_concurrency)
        self._suspects: list[tuple[TopicPartition, range]] = []
        self._failures = 0
        self._stopping = asyncio.Event()
        self._polled_at = time.monotonic()
        self.ready = asyncio.Event()

    def stop(self) -> None:
        """Asks for a clean end: finish what is in flight, commit, leave the group."""
        self._stopping.set()

    @property
    def alive(self) -> bool:
        return self.health().alive

    def health(self) -> Health:
        now = time.monotonic()
        return Health(
            group=self._group,
            assigned=len(self._marks),
            in_flight=self._in_flight,
            last_poll_s=now - self._polled_at,
        )

    async def run(self) -> None:
        """Reads until `stop`; a client that fails is replaced after a jittered wait."""
        while not self._stopping.is_set():
            try:
                await self._run_once()
            except (KafkaError, OffsetsWentBack, Unavailable, TimeoutError) as error:
                self._failures += 1
                self._polled_at = time.monotonic()  # trying to come back is progress enough to be alive
                wait = min(10.0, 0.5 * 2 ** min(self._failures, 5)) * random.uniform(0.5, 1)  # noqa: S311
                log.warning("consumer.replaced", group=self._group, error=repr(error), wait_s=round(wait, 1))
                await self._stopped_within(wait)

    async def _run_once(self) -> None:
        consumer = self._consumer = AIOKafkaConsumer(
            **connection(self._settings),
            group_id=self._group,
            enable_auto_commit=False,
            # "none" cannot be used: aiokafka looks for positions before it calls the listener that would set them.
            # A silent reset is seen by the offsets it skips, see _look_into_gaps.
            auto_offset_reset="earliest",
            # a producer may use transactions: what it aborted is no request
            isolation_level="read_committed",
            partition_assignment_strategy=[StickyPartitionAssignor],
            session_timeout_ms=int(self._settings.kafka_session_timeout_s * 1000),
            rebalance_timeout_ms=60_000,
            max_poll_interval_ms=300_000,
            fetch_max_wait_ms=500,
            max_partition_fetch_bytes=4 * 1_048_576,
        )
        consumer.subscribe(self._topics, listener=self)
        try:
            await consumer.start()
            await self._poll_until_stopped(consumer)
        finally:
            await self._leave()

    async def _poll_until_stopped(self, consumer: AIOKafkaConsumer) -> None:
        committed_at = time.monotonic()
        while not self._stopping.is_set():
            self._budgets.balance(consumer, {tp: mark.in_flight for tp, mark in self._marks.items()})
            batch = await consumer.getmany(timeout_ms=POLL_MS, max_records=500)
            self._polled_at = time.monotonic()
            for partition, records in batch.items():
                self._take(partition, records)
            await self._look_into_gaps(consumer)
            if self._polled_at - committed_at >= COMMIT_EVERY_S:
                await self._commit()
                committed_at = self._polled_at

    def _take(self, partition: TopicPartition, records: list[ConsumerRecord]) -> None:
        mark = self._marks.get(partition)
        if mark is None:  # revoked while the fetch was under way: its new owner reads it
            return
        for record in records:
            self._suspect(partition, mark.begin(record.offset))
            received = Received(
                record.topic,
                record.partition,
                record.offset,
                record.timestamp,
                record.key,
                record.value,
                tuple(record.headers),
            )
            key = record.key if record.key is not None else record.offset
            self._budgets.add(partition, key, Work(received, partition, mark.epoch))

    @property
    def _in_flight(self) -> int:
        return sum(mark.in_flight for mark in self._marks.values())

    async def _settle(self, work: Work) -> None:
        """Drives one record to its end: held while our floor is out, buried when it keeps crashing the handler."""
        hold, crashes = _HOLD_FIRST_S, 0
        while True:
            try:
                await self._handler.handle(work.record)
                break
            except Unavailable as error:
                log.warning("record.held", group=self._group, at=str(work.record.position), reason=str(error))
            except Exception as error:
                crashes += 1
                log.exception("handler.crashed", group=self._group, at=str(work.record.position), crashes=crashes)
                if crashes >= CRASHES_BEFORE_BURYING and await self._buried(work.record, error):
                    break
            await asyncio.sleep(hold * random.uniform(0.5, 1))  # noqa: S311
            hold = min(hold * 2, _HOLD_MOST_S)
        self._finish(work)

    async def _buried(self, record: Received, error: Exception) -> bool:
        """False when it could not be put away: then it is held, never dropped."""
        try:
            await self._handler.bury(record, error)
        except Exception as again:
            log.warning("record.not_buried", group=self._group, at=str(record.position), error=repr(again))
            return False
        return True

    def _finish(self, work: Work) -> None:
        mark = self._marks.get(work.partition)
        if mark is not None and mark.epoch == work.epoch:
            mark.finish(work.record.offset)

    async def _commit(self) -> None:
        """Commits the contiguous prefix of each partition of this epoch, and nothing else."""
        ahead = {tp: offset for tp, mark in self._marks.items() if (offset := mark.committable) is not None}
        if not ahead or self._consumer is None:
            return
        marks = dict(self._marks)
        try:
            await asyncio.wait_for(self._consumer.commit(ahead), _HOLD_MOST_S)
        except (CommitFailedError, IllegalStateError) as error:
            # the group moved on without us: what is uncommitted comes again to its new owner
            log.warning("commit.stale", group=self._group, error=type(error).__name__)
            return
        for tp, offset in ahead.items():
            marks[tp].committed(offset)

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Every rebalance of this client revokes all: drain, commit, forget. Nothing raised here would be seen."""
        self._epoch += 1
        if not self._marks:
            return
        try:
            await self._drain()
        except Exception:
            log.exception("rebalance.drain_failed", group=self._group)
        self._marks.clear()

    async def _drain(self) -> None:
        if not await self._budgets.drained(self._settings.drain_timeout_s):
            log.warning("drain.incomplete", group=self._group, in_flight=self._in_flight)
            await self._budgets.abandon()
        await self._commit()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._budgets.reassigned()
        # before anything is awaited: a record that found no watermark would be passed over
        self._marks = marks = {tp: Watermark(self._epoch) for tp in assigned}
        try:
            await self._compare_with_committed(marks)
        except KafkaError as error:
            log.warning("rebalance.gap_check_failed", group=self._group, error=repr(error))
        self._failures = 0  # it works again: the next outage starts with a short wait
        self.ready.set()
        log.info("partitions.assigned", group=self._group, partitions=len(marks))

    async def _compare_with_committed(self, marks: dict[TopicPartition, Watermark]) -> None:
        """A group without a committed offset starts at the log start, and that is no gap; anything missing later is."""
        if self._consumer is None:
            return
        for tp, mark in marks.items():
            committed = await self._consumer.committed(tp)
            if committed is not None:
                self._suspect(tp, mark.resume_at(committed))

    def _suspect(self, tp: TopicPartition, missing: range) -> None:
        """Offsets without records: lost by retention, or only the markers of somebody's transactions."""
        if missing:
            self._suspects.append((tp, missing))

    async def _look_into_gaps(self, consumer: AIOKafkaConsumer) -> None:
        """What lies below the log start is lost, and is said aloud."""
        suspects, self._suspects = self._suspects, []
        for tp, missing in suspects:
            start = (await consumer.beginning_offsets([tp]))[tp]
            lost = range(missing.start, min(missing.stop, start))
            if lost:
                place = {"topic": tp.topic, "partition": tp.partition}
                log.error("consumer.gap", group=self._group, **place, lost_from=lost.start, lost_to=lost.stop)
                GAPS.labels(self._group).inc(len(lost))

    async def _leave(self) -> None:
        """Drain, commit, leave; a client that does not let go is left behind (aio-libs/aiokafka#773)."""
        consumer = self._consumer
        try:
            await self._drain()
        except (KafkaError, TimeoutError) as error:
            log.warning("consumer.last_commit_failed", group=self._group, error=repr(error))
        self._marks.clear()
        self._consumer = None
        if consumer is not None:
            await asyncio.wait_for(consumer.stop(), _STOP_S)

    async def _stopped_within(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return
