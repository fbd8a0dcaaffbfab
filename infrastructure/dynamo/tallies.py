"""A ledger counted for whoever looks, as often as they like: counting reads every row, and an audience's has hundreds of
thousands. So one count at a time, which all who ask meanwhile are given, and which stands for a while that grows with what
it took."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from infrastructure.dynamo.deliveries import DeliveryStore
from schemas.audiences import Tally

STANDS_FOR = 10  # times what counting took
STANDS_AT_MOST_S = 30.0
_REMEMBERED = 1_000


@dataclass(frozen=True)
class Counted:
    """`at` is when the count began: what was written later may be missing."""

    tally: Tally
    at: datetime
    phase: Hashable
    good_until_s: float


@dataclass
class _Ledger:
    last: Counted | None = None
    counting: asyncio.Lock = field(default_factory=asyncio.Lock)


class Tallies:
    def __init__(self, deliveries: DeliveryStore, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._deliveries = deliveries
        self._clock = clock
        self._ledgers: OrderedDict[tuple[str, str], _Ledger] = OrderedDict()

    async def of(self, environment: str, notification_id: str, shards: int, phase: Hashable = None) -> Counted:
        """The last count while it stands, else a new one; whoever else asks meanwhile waits for the same.

        One of another phase does not stand, however young: what has ended since must be in it.
        """
        ledger = self._ledger((environment, notification_id))
        async with ledger.counting:
            last = ledger.last
            if last is None or last.phase != phase or self._clock() >= last.good_until_s:
                last = ledger.last = await self._count(environment, notification_id, shards, phase)
            return last

    async def _count(self, environment: str, notification_id: str, shards: int, phase: Hashable) -> Counted:
        at, began_s = datetime.now(UTC), self._clock()
        tally = await self._deliveries.tally(environment, notification_id, shards)
        ended_s = self._clock()
        return Counted(tally, at, phase, ended_s + min(STANDS_FOR * (ended_s - began_s), STANDS_AT_MOST_S))

    def _ledger(self, key: tuple[str, str]) -> _Ledger:
        found = self._ledgers.pop(key, None) or _Ledger()
        self._ledgers[key] = found
        if len(self._ledgers) > _REMEMBERED:
            self._ledgers.popitem(last=False)
        return found
