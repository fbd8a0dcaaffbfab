"""The limiter's script on the real Redis agrees with the rule it was written from."""

import asyncio
from collections.abc import Callable

import pytest
from redis.asyncio import Redis

from infrastructure.redis import rate_limit
from infrastructure.redis.rate_limit import RateLimiter
from schemas.rate_limits import Limit, take

Unique = Callable[[str], str]


async def test_a_thousand_calls_at_once_over_two_processes_get_one_quota(
    valkey: Redis, unique: Unique, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limit, "ASK_AT_MOST_S", 30.0)  # a machine that is busy this moment is no outage of Redis
    ana, limit = unique("ana"), Limit("person", 100)
    limiters = RateLimiter(valkey), RateLimiter(valkey)
    verdicts = []
    for _ in range(20):  # not more at once than the pool has connections
        verdicts += await asyncio.gather(*(limiters[number % 2].take(ana, limit) for number in range(50)))
    assert 100 <= sum(verdict.allowed for verdict in verdicts) <= 105


async def test_it_says_what_the_rule_says(valkey: Redis, unique: Unique) -> None:
    limit = Limit("key", 10)
    limiter, ana = RateLimiter(valkey), unique("ana")
    arrival = 0
    for cost in (1, 4, 5, 1, 3):
        arrival, expected = take(limit, arrival, 0, cost)
        assert await limiter._take_from_all(ana, limit, cost) == expected  # pylint: disable=protected-access


async def test_what_it_keeps_goes_away_by_itself(valkey: Redis, unique: Unique) -> None:
    ana = unique("ana")
    await RateLimiter(valkey).take(ana, Limit("person", 60))
    assert 0 < await valkey.pttl(f"carillon:limit:{ana}") <= 1000


async def test_after_redis_forgot_the_script_it_is_loaded_again(valkey: Redis, unique: Unique) -> None:
    limiter, ana = RateLimiter(valkey), unique("ana")
    await limiter.take(ana, Limit("person", 60))
    await valkey.script_flush()
    assert (await limiter.take(ana, Limit("person", 60))).remaining == 58
