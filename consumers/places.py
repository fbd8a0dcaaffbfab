"""Calls under way per destination: a slow mail domain or host takes its own places and nobody else's."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

_QUICK_S = 0.5
_REMEMBERED = 10_000
_NEWEST = 0.3  # how much the newest call says about how quick a destination is


@dataclass
class _Destination:
    places: asyncio.Semaphore
    usual_s: float = 0.0
    begun: dict[int, float] = field(default_factory=dict)

    def is_quick(self, now_s: float) -> bool:
        """By its last calls, and by those that have not come back yet."""
        return self.usual_s <= _QUICK_S and all(now_s - begun_s <= _QUICK_S for begun_s in self.begun.values())

    def took(self, seconds: float) -> None:
        self.usual_s += _NEWEST * (seconds - self.usual_s)


class Places:
    """So many calls at once to each destination. Waiting for a place is worth it only where they are quick."""

    def __init__(self, most: int, longest_wait_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._longest_wait_s = longest_wait_s
        self._clock = clock
        self._known: OrderedDict[str, _Destination] = OrderedDict()
        self._calls = 0

    @asynccontextmanager
    async def one(self, name: str) -> AsyncIterator[bool]:
        """A place for one call while the block runs; False when there is none that would be worth waiting for."""
        destination = self._of(name)
        if not await self._taken(destination):
            yield False
            return
        self._calls += 1
        call, begun_s = self._calls, self._clock()
        destination.begun[call] = begun_s
        try:
            yield True
        finally:
            del destination.begun[call]
            destination.took(self._clock() - begun_s)
            destination.places.release()

    async def _taken(self, destination: _Destination) -> bool:
        if destination.places.locked() and not destination.is_quick(self._clock()):
            return False
        try:
            await asyncio.wait_for(destination.places.acquire(), self._longest_wait_s)
        except TimeoutError:
            return False
        return True

    def _of(self, name: str) -> _Destination:
        found = self._known.pop(name, None) or _Destination(asyncio.Semaphore(self._most))
        self._known[name] = found
        if len(self._known) > _REMEMBERED:
            oldest = next(iter(self._known))
            if not self._known[oldest].begun:
                del self._known[oldest]
        return found
