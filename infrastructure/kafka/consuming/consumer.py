"""A member of a consumer group for as long as its worker runs: clients that die or fall silent are replaced."""

import asyncio
import random
import time
from collections.abc import Callable, Iterable

import structlog

from infrastructure.kafka.consuming.aiokafka_client import AiokafkaClient, rebalance_timeout_s
from infrastructure.kafka.consuming.assignments import NotHeld
from infrastructure.kafka.consuming.burial_limit import BurialLimit
from infrastructure.kafka.consuming.health import Health, PartitionHealth
from infrastructure.kafka.consuming.member import HandlerBuriesEverything, Member, Terms
from infrastructure.kafka.consuming.port import ClientFailed, LogClient
from infrastructure.kafka.consuming.watermark import OffsetsWentBack
from infrastructure.metrics import CLIENTS_REPLACED, STOPPED_BURYING
from infrastructure.ports import AlwaysOpen, GapLog, Gate, Handler
from infrastructure.settings import Settings

log = structlog.get_logger()

_REPLACED_FOR = (ClientFailed, OffsetsWentBack, NotHeld, TimeoutError)
_WAIT_FIRST_S, _WAIT_MOST_S = 0.5, 10.0
_WELL_AFTER_S = 30.0

OpenClient = Callable[[Settings, str, Iterable[str]], LogClient]


class GroupConsumer:
    """Drives one handler with the records of a group until it is told to stop."""

    def __init__(
        self,
        settings: Settings,
        group: str,
        kafka_topics: Iterable[str],
        handler: Handler,
        *,
        gaps: GapLog,
        gate: Gate | None = None,
        open_client: OpenClient = AiokafkaClient,
    ) -> None:
        self._settings = settings
        self._group = group
        self._topics = tuple(kafka_topics)
        self._handler = handler
        self._gaps = gaps
        self._gate = gate or AlwaysOpen()
        self._open_client = open_client
        self._limit = BurialLimit(settings.burial_limit)
        self._terms = Terms(
            group=group,
            concurrency=settings.worker_concurrency,
            drain_s=settings.drain_timeout_s,
            stall_s=settings.kafka_stall_s,
            rejoin_s=rebalance_timeout_s(settings),
        )
        self._member: Member | None = None
        self._failures = 0
        self._stopping = asyncio.Event()
        self._turned_at = self._progress_at = time.monotonic()
        self.ready = asyncio.Event()

    def stop(self) -> None:
        """Asks for a clean end: finish what is in flight, commit, leave the group."""
        self._stopping.set()

    @property
    def alive(self) -> bool:
        return self.health().alive

    def health(self) -> Health:
        now, member = time.monotonic(), self._member
        if member is None:
            return Health(
                self._group,
                self._settings.handler_stuck_s,
                last_turn_s=now - self._turned_at,
                last_progress_s=now - self._progress_at,
                gate_closed_for_s=self._gate.closed_for_s(),
            )
        books, positions = member.books, member.positions()
        partitions = {
            f"{tp.topic}/{tp.number}": PartitionHealth(positions.get(tp), member.watch.ends.get(tp), committed)
            for tp, committed in sorted(books.committed_at().items())
        }
        return Health(
            group=self._group,
            handler_stuck_s=self._settings.handler_stuck_s,
            epoch=books.epoch,
            partitions=partitions,
            in_flight=sum(books.in_flight().values()),
            oldest_in_flight_age_s=0.0 if books.oldest_at is None else now - books.oldest_at,
            longest_call_s=member.settler.longest_call_s(),
            last_progress_s=now - max(member.progress_at, self._progress_at),
            last_turn_s=now - max(member.turned_at, self._turned_at),
            held=member.settler.held(),
            paused=member.paused,
            gate_closed_for_s=self._gate.closed_for_s(),
        )

    async def run(self) -> None:
        """Reads until `stop`; a client that fails is replaced after a jittered wait.

        Raises `HandlerBuriesEverything` when nothing but burials comes of what it reads.
        """
        while not self._stopping.is_set():
            started_at = time.monotonic()
            try:
                await self._run_one_client()
            except _REPLACED_FOR as error:
                self._failures = 1 if time.monotonic() - started_at > _WELL_AFTER_S else self._failures + 1
                wait_s = min(_WAIT_MOST_S, _WAIT_FIRST_S * 2 ** min(self._failures, 5)) * random.uniform(0.5, 1)  # noqa: S311
                log.warning("consumer.replaced", group=self._group, error=str(error) or repr(error), wait_s=round(wait_s, 1))
                CLIENTS_REPLACED.labels(self._group).inc()
                self._turned_at = time.monotonic()  # trying to come back is progress enough to be alive
                await self._stopped_within(wait_s)
            except HandlerBuriesEverything:
                log.error("worker.stopped_burying", group=self._group, limit=self._settings.burial_limit)  # noqa: TRY400
                STOPPED_BURYING.labels(self._group).inc()
                raise

    async def _run_one_client(self) -> None:
        client = self._open_client(self._settings, self._group, self._topics)
        self._member = member = Member(self._terms, client, self._handler, self._gate, self._gaps, self._limit, self.ready)
        try:
            await member.run(self._stopping)
        finally:
            self._progress_at = max(self._progress_at, member.progress_at)
            self._member = None

    async def _stopped_within(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return
