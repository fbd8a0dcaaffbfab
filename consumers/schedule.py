"""schedule: puts back on its Kafka topic whatever is due. Produce, then delete: doubled firing is harmless, losing is not.

Shards are leased, so several copies share the work; a lease is taken over only after it stood unchanged for its full
length on our own monotonic clock, so clocks need not agree.
"""

import asyncio
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from infrastructure.dynamo.timers import TimerStore
from infrastructure.ports import Outgoing, Publisher
from schemas.outcomes import Unavailable
from schemas.timers import TIMER_SHARDS, Timer
from schemas.topics import Environment

log = structlog.get_logger()

_LOOK_EVERY_S = 0.25
_RENEW_EVERY_S = 3.0
_LEASE_S = 10.0
_BATCH = 200


@dataclass
class _Shard:
    number: int
    mine: bool = False
    asked_at: float = -_LEASE_S
    seen_version: int = -1
    seen_at: float = 0.0


class Schedule:
    """The timers of one environment."""

    def __init__(self, environment: Environment, timers: TimerStore, publisher: Publisher) -> None:
        self._environment = environment
        self._timers = timers
        self._publisher = publisher
        self._owner = secrets.token_hex(8)
        self._shards = [_Shard(number) for number in range(TIMER_SHARDS)]
        self._stopping = asyncio.Event()
        self._looked_at = time.monotonic()

    def stop(self) -> None:
        self._stopping.set()

    @property
    def alive(self) -> bool:
        return time.monotonic() - self._looked_at < 60

    async def run(self) -> None:
        while not self._stopping.is_set():
            try:
                full = await self._look()
            except Unavailable as error:
                log.warning("schedule.held", environment=self._environment, reason=str(error))
                full = False
            self._looked_at = time.monotonic()
            if not full:
                await self._stopped_within(_LOOK_EVERY_S)
        await self._release()

    async def _look(self) -> bool:
        """One round over the shards we hold; True when there may be more due right now."""
        rounds = await asyncio.gather(*(self._look_at(shard) for shard in self._shards))
        return any(found == _BATCH for found in rounds)

    async def _look_at(self, shard: _Shard) -> int:
        await self._hold(shard)
        if not shard.mine:
            return 0
        due = await self._timers.due(self._environment, shard.number, datetime.now(UTC), _BATCH)
        await asyncio.gather(*(self._fire(timer) for timer in due))
        return len(due)

    async def _fire(self, timer: Timer) -> None:
        await self._publisher.publish(Outgoing(timer.topic, timer.key, timer.value.encode(), timer.headers))
        await self._timers.delete(timer)
        late = datetime.now(UTC) - timer.due_at
        log.info("timer.fired", timer=timer.timer_id, topic=timer.topic, late_ms=int(late.total_seconds() * 1000))

    async def _hold(self, shard: _Shard) -> None:
        now = time.monotonic()
        if now - shard.asked_at < _RENEW_EVERY_S:
            return
        shard.asked_at = now
        lapsed = shard.seen_version >= 0 and now - shard.seen_at >= _LEASE_S
        mine, version = await self._timers.lease(
            self._environment, shard.number, self._owner, shard.seen_version if lapsed else None, datetime.now(UTC)
        )
        if version != shard.seen_version:
            shard.seen_version, shard.seen_at = version, now
        shard.mine = mine

    async def _release(self) -> None:
        for shard in self._shards:
            if shard.mine:
                await self._timers.release(self._environment, shard.number, self._owner)

    async def _stopped_within(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return
