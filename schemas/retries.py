"""When to try again. The schedule is data, the next wait a pure function, and the wait itself a durable timer."""

from dataclasses import dataclass
from datetime import datetime, timedelta

JITTER = 0.2


@dataclass(frozen=True)
class RetrySchedule:
    """Waits between attempts. A provider's own wish wins when it is longer, up to `asked_max`."""

    waits: tuple[timedelta, ...]
    asked_max: timedelta

    def next_at(
        self, *, attempt: int, now: datetime, deadline: datetime, asked: timedelta | None, jitter: float
    ) -> datetime | None:
        """The time of the next attempt after `attempt` (counted from 0); None when it is to be given up.

        `jitter` in [0, 1) spreads attempts over the last fifth of the wait; a wish (`Retry-After`, RFC 9110
        section 10.2.3) is never undercut.
        """
        if attempt >= len(self.waits):
            return None
        wished = asked or timedelta(0)
        if wished > self.asked_max:
            return None
        planned = self.waits[attempt] * (1 - JITTER * jitter)
        due = now + max(planned, wished)
        return due if due < deadline else None
