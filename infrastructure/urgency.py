"""Whether what is being done right now is urgent. Said where work begins, asked where places are scarce.

It travels with the task (a context variable), so that no store and no step in between has to hand it on.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar

URGENT_SHARE = 0.3

_URGENT: ContextVar[bool] = ContextVar("urgent", default=False)


def is_urgent() -> bool:
    return _URGENT.get()


@contextmanager
def urgently() -> Iterator[None]:
    """What is done inside, and what is started from there, is urgent."""
    token = _URGENT.set(True)
    try:
        yield
    finally:
        _URGENT.reset(token)


def reserved(places: int) -> int:
    """How many of so many places are urgent work's own."""
    return max(1, round(places * URGENT_SHARE))


class ReservedPlaces:
    """So many at once, a share of them never lent: however much else is under way, urgent work finds a place."""

    def __init__(self, places: int) -> None:
        self._own = asyncio.Semaphore(reserved(places))
        self._shared = asyncio.Semaphore(places - reserved(places))

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        async with self._where():
            yield

    def _where(self) -> asyncio.Semaphore:
        """Urgent work beyond its own places takes the others' free ones, and waits for its own when there are none."""
        if not is_urgent() or (self._own.locked() and not self._shared.locked()):
            return self._shared
        return self._own
