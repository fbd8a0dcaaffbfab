"""How the bridge is doing, source by source, and its pauses while Kafka or Redis is out."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog

from schemas.outcomes import Unavailable

log = structlog.get_logger()


@dataclass(frozen=True)
class BridgeHealth:
    """`last_progress` is on the monotonic clock; waiting for Kafka or Redis counts as alive, standing still does not."""

    last_progress: float
    pending: int
    waiting_for: str | None


class Progress:
    def __init__(self, backoff_s: Sequence[float]) -> None:
        self._backoff_s = backoff_s
        self._in_hand: dict[str, int] = {}
        self._waiting: dict[str, str] = {}
        self.stopping = asyncio.Event()
        self.last = time.monotonic()

    @property
    def health(self) -> BridgeHealth:
        return BridgeHealth(self.last, sum(self._in_hand.values()), next(iter(self._waiting.values()), None))

    def holds(self, source: str, entries: int) -> None:
        """So many entries are read and not settled yet."""
        self._in_hand[source] = entries

    def moved(self, source: str) -> None:
        """What was read is settled, or there was nothing to read."""
        self.last = time.monotonic()
        self._in_hand.pop(source, None)
        if self._waiting.pop(source, None) is not None:
            log.info("bridge.goes_on", source=source)

    async def wait(self, source: str, failures: int, outage: Unavailable) -> None:
        """A pause that grows with the failures, cut short by the stop."""
        wait_s = self._backoff_s[min(failures, len(self._backoff_s)) - 1]
        if source not in self._waiting:
            log.warning("bridge.waiting", source=source, reason=str(outage), next_try_s=wait_s)
        self._waiting[source] = str(outage)
        with suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), wait_s)
