"""Places that are lent while nobody else needs them: all while the others are idle, and while they are busy as many as they
do not feel.

What they feel is how long their turn takes to come: the time the event loop needs to get around once. It counts whatever is
scarce in this process, and does not count waiting for a provider, of which any number can go on at once. Quick turns let one
more in, slow ones send half of them home, as TCP does it with what a network can carry (RFC 5681, section 3.1).
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType

SLOW_TURN_S = 0.002
_NEWEST = 0.1  # how much the newest turn says about how long they take


class YieldingPlaces:
    """At most `most` at once, and at least one goes on whatever the others do. First come, first served."""

    def __init__(
        self, most: int, others_are_busy: Callable[[], bool], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._others_are_busy = others_are_busy
        self._clock = clock
        self._beside_others = 1
        self._is_timing = False
        self._turn_s = 0.0
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
        self._let_in()
        if not self._is_timing:
            self._is_timing = True
            asyncio.get_running_loop().call_soon(self._turned, self._clock())

    def _turned(self, began_s: float) -> None:
        """The loop has got around once since something ended here."""
        self._is_timing = False
        self._turn_s += _NEWEST * (self._clock() - began_s - self._turn_s)
        if self._turn_s > SLOW_TURN_S:
            self._beside_others = max(1, self._beside_others // 2)
        else:
            self._beside_others = min(self._most, self._beside_others + 1)
            self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self._is_free():
            turn = self._waiting.popleft()
            if not turn.done():
                self._taken += 1
                turn.set_result(None)

    def _is_free(self) -> bool:
        return self._taken < (self._beside_others if self._others_are_busy() else self._most)
