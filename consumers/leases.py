"""When a claim of somebody else may be taken over. Trusts no clock but our own monotonic one."""

import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta

_REMEMBERED = 50_000


class Leases:
    """Remembers when this process first saw each claim; one that stood unchanged for a full lease since has lapsed.

    Forgetting one (a restart, or too many at once) costs another lease of waiting, never a second send.
    """

    def __init__(self, length: timedelta, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.length = length
        self._clock = clock
        self._seen: OrderedDict[str, float] = OrderedDict()

    def left(self, claim_token: str) -> timedelta:
        """How long this claim has still to stand unchanged; nothing once it has lapsed. Asked first, a full lease."""
        now = self._clock()
        since = self._seen.setdefault(claim_token, now)
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return max(self.length - timedelta(seconds=now - since), timedelta(0))
