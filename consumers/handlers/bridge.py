"""The bridge: what older services leave in Redis becomes requests in Kafka.

Order of steps: Kafka's acknowledgement, then XACK. A crash in between brings the entry again with the same request id, and
route absorbs it. Entries are not deleted here: GET /status of the legacy API counts them and DELETE /clear trims those that
Kafka has acknowledged.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Literal

import structlog

from consumers.handlers.bridge_entry import Copier, Incoming, as_json, as_text
from consumers.handlers.bridge_progress import BridgeHealth, Progress
from infrastructure.kafka.entrance import Entrance
from infrastructure.metrics import BRIDGE_LOST
from infrastructure.ports import Publisher
from infrastructure.redis.channel import Subscription, agreed_id, subscribed
from infrastructure.redis.client import RedisClient
from infrastructure.redis.streams import FIRST, Entry, StreamGroup, consumer_name
from schemas.ids import entry_request_id, new_request_id
from schemas.legacy import LOW_STOCK_CHANNEL, LOW_STOCK_STREAM, LegacyField, from_low_stock, from_stream, read_low_stock
from schemas.outcomes import Unavailable
from schemas.requests import CancelRequest, NotificationRequest
from schemas.topics import Environment

BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)

STANDS_STILL_S = 60

ReadFields = Callable[[Mapping[str, str]], NotificationRequest | CancelRequest]

log = structlog.get_logger()


class Bridge:
    """Follows one environment's streams, and the inventory service's where `low_stock` says so."""

    def __init__(
        self,
        redis: RedisClient,
        entrance: Entrance,
        publisher: Publisher,
        *,
        environment: Environment,
        producer: str,
        low_stock: Literal["stream", "channel", "both"] | None,
        idle_takeover_s: float,
        consumer: str | None = None,
        backoff_s: Sequence[float] = BACKOFF_S,
    ) -> None:
        self._redis = redis
        self._copier = Copier(entrance, publisher, environment=environment, producer=producer)
        self._environment = environment
        self._low_stock = low_stock
        self._idle_takeover_s = idle_takeover_s
        self._consumer = consumer or consumer_name()
        self._progress = Progress(backoff_s)
        # an abandoned read may still be answered: taking our name off the group would delete what it brings
        self._abandoned: set[str] = set()

    @property
    def health(self) -> BridgeHealth:
        return self._progress.health

    @property
    def alive(self) -> bool:
        """Waiting for Kafka or Redis is alive; holding entries without getting on with them is not."""
        health = self.health
        stands_still = time.monotonic() - health.last_progress > STANDS_STILL_S
        return health.waiting_for is not None or health.pending == 0 or not stands_still

    def stop(self) -> None:
        """Ends `run` after what has been read is settled; what Kafka does not take stays pending for the next bridge."""
        self._progress.stopping.set()

    async def run(self) -> None:
        """Copies until stopped or cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(f"notifications:{self._environment}", from_stream))
            if self._low_stock in ("stream", "both"):
                tasks.create_task(self._follow(LOW_STOCK_STREAM, from_low_stock))
            if self._low_stock in ("channel", "both"):
                tasks.create_task(self._through_outages(LOW_STOCK_CHANNEL, self._listen))

    async def _follow(self, stream: str, mapping: ReadFields) -> None:
        group = StreamGroup(self._redis, stream, consumer=self._consumer)
        await self._through_outages(stream, partial(self._copy_stream, group, mapping))
        if stream not in self._abandoned:
            with suppress(Unavailable):
                await group.leave()

    async def _through_outages(self, source: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begins the work again after every outage, until stopped."""
        failures = 0
        while not self._progress.stopping.is_set():
            begun = self._progress.last
            try:
                await work()
            except Unavailable as error:
                failures = failures + 1 if begun == self._progress.last else 1
                await self._progress.wait(source, failures, error)

    async def _copy_stream(self, group: StreamGroup, mapping: ReadFields) -> None:
        """Batch after batch, the next read under way while this one is produced."""
        await group.open()
        next_takeover = time.monotonic()
        ahead: asyncio.Task[list[Entry]] | None = asyncio.create_task(group.read())
        try:
            while ahead is not None:
                batch = await ahead
                ahead = None
                self._progress.moved(group.stream)
                if time.monotonic() >= next_takeover and not self._progress.stopping.is_set():
                    await self._take_over(group, mapping, held={entry.id for entry in batch})
                    next_takeover = time.monotonic() + self._idle_takeover_s / 2
                if not self._progress.stopping.is_set():
                    ahead = asyncio.create_task(group.read())
                await self._copy(group, mapping, batch)
        finally:
            if ahead is not None:
                self._abandoned.add(group.stream)
                await _abandon(ahead)

    async def _take_over(self, group: StreamGroup, mapping: ReadFields, *, held: set[str]) -> None:
        """Copies what a dead bridge had read and not acknowledged, oldest first."""
        cursor: str | None = None
        while cursor != FIRST and not self._progress.stopping.is_set():
            page = await group.take_over(cursor or FIRST, self._idle_takeover_s)
            if page.lost:
                BRIDGE_LOST.labels(self._environment, group.stream).inc(page.lost)
                log.error("bridge.lost_before_read", stream=group.stream, entries=page.lost)
            orphans = [entry for entry in page.entries if entry.id not in held]
            if orphans:
                log.warning("bridge.took_over", stream=group.stream, entries=len(orphans))
            await self._copy(group, mapping, orphans)
            cursor = page.cursor

    async def _copy(self, group: StreamGroup, mapping: ReadFields, batch: list[Entry]) -> None:
        """All of the batch into Kafka, one XACK for those it acknowledged; the others again, for as long as it takes."""
        left, failures = batch, 0
        while left:
            self._progress.holds(group.stream, len(left))
            outages = await asyncio.gather(*(self._settle(entry, mapping) for entry in left))
            done = [entry for entry, outage in zip(left, outages, strict=True) if outage is None]
            if done:
                await group.acknowledge(done)
            left = [entry for entry, outage in zip(left, outages, strict=True) if outage is not None]
            if left and self._progress.stopping.is_set():
                return
            outage = next((outage for outage in outages if outage is not None), None)
            failures = 0 if done else failures + 1
            if outage is not None:
                await self._progress.wait(group.stream, max(failures, 1), outage)
        self._progress.moved(group.stream)

    async def _settle(self, entry: Entry, mapping: ReadFields) -> Unavailable | None:
        """Nothing when Kafka has it, else the outage: its neighbours are not held up by an exception."""
        incoming = Incoming(
            source=entry.stream,
            origin=f"{entry.stream}/{entry.id}",
            raw=partial(as_json, entry.fields),
            read=lambda: mapping(as_text(entry.fields)),
            fallback_id=entry_request_id(entry.stream, entry.id),
        )
        try:
            await self._copier.copy(incoming)
        except Unavailable as outage:
            return outage
        return None

    async def _listen(self) -> None:
        """Copies what is said on the channel, one message after the other."""
        async with subscribed(self._redis, LOW_STOCK_CHANNEL) as subscription:
            while not self._progress.stopping.is_set():
                await self._hear(subscription)
                self._progress.moved(LOW_STOCK_CHANNEL)

    async def _hear(self, subscription: Subscription) -> None:
        payload = await subscription.next()
        if payload is None:
            return
        fallback = await agreed_id(self._redis, self._environment, payload, new_request_id())
        read = partial(self._read_message, payload)
        incoming = Incoming(LOW_STOCK_CHANNEL, f"{LOW_STOCK_CHANNEL}/{fallback}", lambda: payload, read, fallback)
        failures = 0
        while True:
            try:
                return await self._copier.copy(incoming)
            except Unavailable as outage:
                failures += 1
                if self._progress.stopping.is_set():
                    # pub/sub keeps nothing and Kafka takes nothing: this line is all that is left of the message
                    log.exception("bridge.lost_on_stop", channel=LOW_STOCK_CHANNEL, origin=incoming.origin)
                    return None
                await self._progress.wait(LOW_STOCK_CHANNEL, failures, outage)

    def _read_message(self, payload: bytes) -> NotificationRequest:
        request = read_low_stock(payload)
        if self._low_stock == "both" and request.request_id is None:
            raise LegacyField("/request_id", "LOW_STOCK_SOURCE=both needs an id in each message, or each alert comes twice")
        return request


async def _abandon(read: asyncio.Task[list[Entry]]) -> None:
    """A read that nobody waits for any more; what it may have brought stays pending and is taken over later."""
    read.cancel()
    with suppress(asyncio.CancelledError, Unavailable):
        await read
