"""Places that are lent while nobody else needs them: all of them when the others are idle, a share while they are busy."""

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType


class YieldingPlaces:
    """At most `most` at once, and no more than `own` begin while the others are busy. First come, first served."""

    def __init__(self, most: int, own: int, others_are_busy: Callable[[], bool]) -> None:
        self._most = most
        self._own = own
        self._others_are_busy = others_are_busy
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        if not self._waiting and self._is_free():
            self._taken += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give_back()
            raise

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._give_back()

    def _give_back(self) -> None:
        """Whoever ends lets others in: nobody waits while no place is taken."""
        self._taken -= 1
        while self._waiting and self._is_free():
            turn = self._waiting.popleft()
            if not turn.done():
                self._taken += 1
                turn.set_result(None)

    def _is_free(self) -> bool:
        return self._taken < (self._own if self._others_are_busy() else self._most)
