"""One record to its end: handled, held while our own floor is out, or buried when it keeps crashing its handler."""

# pylint: disable=broad-exception-caught  # the one place that catches everything, and does something each time

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from infrastructure.kafka.consuming.burial_limit import BurialLimit
from infrastructure.kafka.consuming.port import Partition
from infrastructure.ports import Handler, Received
from schemas.outcomes import Unavailable

log = structlog.get_logger()

CRASHES_BEFORE_BURYING = 3
_HOLD_FIRST_S, _HOLD_MOST_S = 0.1, 5.0
_SOURCE = "ce_source"


@dataclass(frozen=True, eq=False)
class Work:
    """One record on its way through a handler, tagged with the assignment it was read under."""

    record: Received
    partition: Partition
    epoch: int


class Settler:
    """Drives records through one handler, and knows which of them are held and how long a call has been under way."""

    def __init__(self, group: str, handler: Handler, limit: BurialLimit, finished: Callable[[Work], None]) -> None:
        self._group = group
        self._handler = handler
        self._limit = limit
        self._finished = finished
        self._calls: dict[Work, float] = {}
        self._held: dict[Work, str] = {}
        self.given_up = asyncio.Event()

    async def settle(self, work: Work) -> None:
        """Returns without an end only after giving up: then the record's offset stays where it is."""
        crashes, wait_s = 0, _HOLD_FIRST_S
        while not self.given_up.is_set():
            at = str(work.record.position)
            try:
                await self._call(work, self._handler.handle(work.record))
            except Unavailable as error:
                reason = str(error)
                log.warning("record.held", group=self._group, at=at, reason=reason)
            except Exception as error:
                crashes += 1
                reason = f"crash:{type(error).__name__}"
                log.exception("handler.crashed", group=self._group, at=at, crashes=crashes)
                if crashes >= CRASHES_BEFORE_BURYING and await self._buried(
                    work, error, is_first=crashes == CRASHES_BEFORE_BURYING
                ):
                    self._finished(work)
                    return
            else:
                self._limit.succeeded(producer_of(work.record), time.monotonic())
                self._finished(work)
                return
            await self._hold(work, reason, wait_s)
            wait_s = min(wait_s * 2, _HOLD_MOST_S)

    def longest_call_s(self) -> float:
        """How long the slowest call of the handler has been under way. A record that is held is in no call."""
        return time.monotonic() - min(self._calls.values()) if self._calls else 0.0

    def held(self) -> dict[str, int]:
        """Why records wait for their next try, and how many."""
        return dict(Counter(self._held.values()))

    async def _call(self, work: Work, call: Awaitable[None]) -> None:
        self._calls[work] = time.monotonic()
        try:
            await call
        finally:
            del self._calls[work]

    async def _buried(self, work: Work, error: Exception, *, is_first: bool) -> bool:
        """False when it could not be put away: then it is held, never dropped. Gives up where the limit is reached."""
        if self.given_up.is_set():
            return False
        if is_first:
            self._limit.buried(producer_of(work.record), time.monotonic())
            if self._limit.reached(time.monotonic()):
                self.given_up.set()
        try:
            await self._call(work, self._handler.bury(work.record, error))
        except Exception as again:
            log.warning("record.not_buried", group=self._group, at=str(work.record.position), error=repr(again))
            return False
        return True

    async def _hold(self, work: Work, reason: str, wait_s: float) -> None:
        self._held[work] = reason
        try:
            await asyncio.wait_for(self.given_up.wait(), wait_s * random.uniform(0.5, 1))  # noqa: S311
        except TimeoutError:
            return
        finally:
            del self._held[work]


def producer_of(record: Received) -> str:
    """Whom a record says it comes from; good enough to tell one bad producer from a broken handler."""
    return next((value.decode(errors="replace") for name, value in record.headers if name == _SOURCE and value), "")
