"""Quotas counted in memory, by the rule the real limiter follows while Redis is away."""

from collections.abc import Callable

from infrastructure.redis.rate_limit import LocalLimiter
from schemas.rate_limits import Limit, Verdict


class FakeLimiter:
    def __init__(self, clock: Callable[[], float] = lambda: 0.0) -> None:
        self._local = LocalLimiter(clock)
        self.asked: list[tuple[str, int]] = []

    async def take(self, principal: str, limit: Limit, cost: int = 1) -> Verdict:
        self.asked.append((principal, cost))
        return self._local.take(principal, limit, cost)
