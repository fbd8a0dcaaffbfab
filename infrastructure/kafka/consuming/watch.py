"""Looks at a client from outside its poll loop: a poll that hangs cannot see that it hangs."""

import time
from collections.abc import Collection

from infrastructure.kafka.consuming.deadlines import within
from infrastructure.kafka.consuming.port import ClientFailed, LogClient, Partition
from infrastructure.kafka.consuming.stalls import StallWatch

_LOOKS_PER_STALL = 12
_LOOK_MOST_S = 5.0


class Watch:
    """Raises `ClientFailed` when the client's poll does not return, it left the group for good, or it fetches no more."""

    def __init__(self, client: LogClient, *, stall_s: float, rejoin_s: float, answer_s: float) -> None:
        self._client = client
        self._stall_s = stall_s
        self._away_s = stall_s + rejoin_s
        self._answer_s = answer_s
        self._stalls = StallWatch(stall_s)
        self._joined_at = self._answered_at = self.polled_at = time.monotonic()
        self.ends: dict[Partition, int] = {}

    @property
    def every_s(self) -> float:
        return min(_LOOK_MOST_S, self._stall_s / _LOOKS_PER_STALL)

    async def look(self, held: Collection[Partition], held_back: Collection[Partition]) -> None:
        """`held` is empty while a rebalance is on; what is held back by us cannot stand still too long."""
        self._look_at_membership(time.monotonic())
        if held and await self._asked_for_ends(held):
            standing = self._stalls.look(time.monotonic(), self._client.positions(), self.ends, held_back)
            if standing:
                names = ", ".join(f"{tp.topic}/{tp.number}" for tp in standing)
                raise ClientFailed(f"stalled: records wait and none was fetched for {self._stall_s:g} s: {names}")

    def _look_at_membership(self, now: float) -> None:
        if now - self.polled_at > self._away_s:
            raise ClientFailed(f"stalled: its poll has not returned for {now - self.polled_at:.0f} s")
        if self._client.joined:
            self._joined_at = now
        elif now - self._joined_at > self._away_s:
            raise ClientFailed(f"stalled: left the group {now - self._joined_at:.0f} s ago and did not rejoin")

    async def _asked_for_ends(self, held: Collection[Partition]) -> bool:
        try:
            self.ends = dict(await within(self._answer_s, self._client.log_ends(held)))
        except (ClientFailed, TimeoutError) as error:
            silent_s = time.monotonic() - self._answered_at
            if silent_s > self._stall_s:
                raise ClientFailed(f"stalled: no answer for {silent_s:.0f} s: {error!r}") from error
            return False
        self._answered_at = time.monotonic()
        return True
