"""How often somebody may call: the generic cell rate algorithm (ATM Forum TM 4.0), as a pure rule over one number.

The number is the theoretical arrival time: the moment at which the caller's whole quota will be back. A quiet caller may
spend a minute's quota at once; from then on one call comes back every 60/quota seconds.
"""

import math
from dataclasses import dataclass

WINDOW_S = 60
_US = 1_000_000


@dataclass(frozen=True)
class Limit:
    """`name` is what the answer's headers call it; `per_minute` the quota."""

    name: str
    per_minute: int

    @property
    def interval_us(self) -> int:
        """Rounded up, so that rounding lets nobody through."""
        return -(-WINDOW_S * _US // self.per_minute)

    @property
    def burst_us(self) -> int:
        return self.interval_us * self.per_minute


@dataclass(frozen=True)
class Verdict:
    """One decision, as the answer's headers tell it."""

    limit: Limit
    allowed: bool
    remaining: int
    reset_s: int
    retry_after_s: int

    @classmethod
    def of(cls, limit: Limit, *, allowed: bool, ahead_us: int, wait_us: int) -> "Verdict":
        """`ahead_us` is how far the arrival time lies ahead, `wait_us` how long until the same call would be let through."""
        return cls(
            limit,
            allowed,
            remaining=max(0, (limit.burst_us - ahead_us) // limit.interval_us),
            reset_s=math.ceil(ahead_us / _US),
            retry_after_s=0 if allowed else max(1, math.ceil(wait_us / _US)),
        )

    def headers(self) -> dict[str, str]:
        """draft-ietf-httpapi-ratelimit-headers-11, and Retry-After (RFC 9110 section 10.2.3) for a refusal."""
        told = {
            "RateLimit-Policy": f'"{self.limit.name}";q={self.limit.per_minute};w={WINDOW_S}',
            "RateLimit": f'"{self.limit.name}";r={self.remaining};t={self.reset_s}',
        }
        return told if self.allowed else told | {"Retry-After": str(self.retry_after_s)}


def take(limit: Limit, arrival_us: int, now_us: int, cost: int = 1) -> tuple[int, Verdict]:
    """The next arrival time and the verdict; a refused call takes nothing."""
    ahead = max(arrival_us - now_us, 0)
    after = ahead + cost * limit.interval_us
    wait = after - limit.burst_us
    if wait > 0:
        return arrival_us, Verdict.of(limit, allowed=False, ahead_us=ahead, wait_us=wait)
    return now_us + after, Verdict.of(limit, allowed=True, ahead_us=after, wait_us=0)
