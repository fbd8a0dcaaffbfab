"""How fast may somebody call: counted in Redis for all processes together, in this process alone while Redis is away."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable

import structlog
from redis.asyncio import Redis

from infrastructure.redis.client import redis_or_unavailable
from schemas.outcomes import Unavailable
from schemas.rate_limits import Limit, Verdict, take

log = structlog.get_logger()

ASK_AT_MOST_S = 0.25
ASK_AGAIN_S = 5.0
KEPT_PRINCIPALS = 50_000

# `take` of schemas/rate_limits.py on the server's clock: every process agrees about the time. Numbers stay below 2^53.
_TAKE = """
local now = redis.call('TIME')
local now_us = now[1] * 1000000 + now[2]
local interval, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local arrival = tonumber(redis.call('GET', KEYS[1]) or 0)
local ahead = math.max(arrival - now_us, 0)
local after = ahead + cost * interval
local wait = after - burst
if wait > 0 then
  return {0, ahead, wait}
end
redis.call('SET', KEYS[1], string.format('%.0f', now_us + after), 'PX', math.ceil(after / 1000))
return {1, after, 0}
"""


class LocalLimiter:
    """Arrival times in memory, those of the most recent callers."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._arrivals: OrderedDict[str, int] = OrderedDict()

    def take(self, principal: str, limit: Limit, cost: int = 1) -> Verdict:
        arrival, verdict = take(limit, self._arrivals.get(principal, 0), int(self._clock() * 1_000_000), cost)
        self._arrivals[principal] = arrival
        self._arrivals.move_to_end(principal)
        while len(self._arrivals) > KEPT_PRINCIPALS:
            self._arrivals.popitem(last=False)
        return verdict


class RateLimiter:
    """Never open: the local limiter counts along, so that an outage of Redis hands nobody a fresh quota here."""

    def __init__(self, redis: Redis, clock: Callable[[], float] = time.monotonic) -> None:
        self._script = redis.register_script(_TAKE)
        self._local = LocalLimiter(clock)
        self._clock = clock
        self._ask_again_at = float("-inf")

    async def take(self, principal: str, limit: Limit, cost: int = 1) -> Verdict:
        """Takes `cost` calls from the principal's quota, or none of them."""
        here = self._local.take(principal, limit, cost)
        if self._clock() < self._ask_again_at:
            return here
        try:
            async with asyncio.timeout(ASK_AT_MOST_S):
                return await self._take_from_all(principal, limit, cost)
        except (Unavailable, TimeoutError) as error:
            log.warning("rate_limit.local", reason=repr(error), for_s=ASK_AGAIN_S)
            self._ask_again_at = self._clock() + ASK_AGAIN_S
            return here

    async def _take_from_all(self, principal: str, limit: Limit, cost: int) -> Verdict:
        with redis_or_unavailable():
            allowed, ahead, wait = await self._script(
                keys=[f"carillon:limit:{principal}"], args=[limit.interval_us, limit.burst_us, cost]
            )
        return Verdict.of(limit, allowed=bool(allowed), ahead_us=int(ahead), wait_us=int(wait))
