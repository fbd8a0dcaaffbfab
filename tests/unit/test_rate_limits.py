"""The rule of the limiter, and the limiter while Redis is away."""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import httpx2
import pytest
from fakeredis import FakeAsyncRedis
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as RedisAway

from api.limits import RateLimitHeaders
from infrastructure.auth.user import User
from infrastructure.redis.rate_limit import ASK_AGAIN_S, LocalLimiter, RateLimiter
from schemas.rate_limits import Limit, take
from tests.fakes.house import House
from tests.fakes.login import World, a_world

SECOND_US = 1_000_000
HUNDRED = Limit("person", 100)


@given(
    per_minute=st.integers(1, 1_000_000),
    calls=st.lists(st.tuples(st.integers(0, 20 * SECOND_US), st.integers(1, 5)), max_size=300),
)
def test_never_more_than_a_full_quota_and_what_came_back_since(per_minute: int, calls: list[tuple[int, int]]) -> None:
    limit, now, arrival, taken = Limit("x", per_minute), 0, 0, 0
    for pause, cost in calls:
        now += pause
        arrival, verdict = take(limit, arrival, now, cost)
        taken += cost if verdict.allowed else 0
        assert taken <= per_minute + now // limit.interval_us
        assert 0 <= verdict.remaining <= per_minute


@given(per_minute=st.integers(1, 10_000), gone=st.integers(0, 70 * SECOND_US))
def test_whoever_waits_as_long_as_told_gets_through(per_minute: int, gone: int) -> None:
    limit = Limit("x", per_minute)
    arrival, _ = take(limit, 0, 0, per_minute)
    arrival, refused = take(limit, arrival, gone)
    if not refused.allowed:
        _, verdict = take(limit, arrival, gone + refused.retry_after_s * SECOND_US)
        assert verdict.allowed


def test_a_refused_call_takes_nothing() -> None:
    arrival, _ = take(HUNDRED, 0, 0, 100)
    assert take(HUNDRED, arrival, 0)[0] == arrival


def test_the_headers_say_what_is_left_and_when_it_is_back() -> None:
    arrival, first = take(HUNDRED, 0, 0)
    assert first.headers() == {"RateLimit-Policy": '"person";q=100;w=60', "RateLimit": '"person";r=99;t=1'}
    arrival, _ = take(HUNDRED, arrival, 0, 99)
    _, refused = take(HUNDRED, arrival, 0)
    assert refused.headers() == {
        "RateLimit-Policy": '"person";q=100;w=60',
        "RateLimit": '"person";r=0;t=60',
        "Retry-After": "1",
    }


class AwayRedis:
    """A Redis that is away, asked by script; counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def register_script(self, _: str) -> object:
        async def script(**_: object) -> None:
            self.asked += 1
            raise RedisAway

        return script


async def test_while_redis_is_away_this_process_limits_alone_and_asks_now_and_then() -> None:
    now = 1000.0
    redis = AwayRedis()
    limiter = RateLimiter(redis, lambda: now)  # type: ignore[arg-type]
    verdicts = [await limiter.take("ana", HUNDRED) for _ in range(150)]
    assert sum(verdict.allowed for verdict in verdicts) == 100
    assert redis.asked == 1
    now += ASK_AGAIN_S
    await limiter.take("ana", HUNDRED)
    assert redis.asked == 2


async def test_what_redis_let_through_counts_when_it_goes_away() -> None:
    redis = AwayRedis()
    limiter = RateLimiter(redis, lambda: 1000.0)  # type: ignore[arg-type]
    reached = True

    async def script(**_: object) -> list[int]:
        if not reached:
            raise RedisAway
        return [1, HUNDRED.interval_us, 0]

    limiter._script = script  # type: ignore[assignment]
    for _ in range(100):
        assert (await limiter.take("ana", HUNDRED)).allowed
    reached = False
    assert not (await limiter.take("ana", HUNDRED)).allowed


def test_what_is_kept_in_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infrastructure.redis.rate_limit.KEPT_PRINCIPALS", 3)
    limiter, one = LocalLimiter(lambda: 1.0), Limit("x", 1)
    for name in ("a", "b", "c", "d"):
        assert limiter.take(name, one).allowed
    assert [limiter.take(name, one).allowed for name in ("b", "a")] == [False, True]


@pytest.fixture(name="world")
def a_site(tmp_path: Path) -> World:
    world = a_world(tmp_path)
    world.app.add_middleware(RateLimitHeaders)
    resources = world.app.state.resources
    resources.settings = resources.settings.model_copy(update={"rate_limit_per_minute": 5})
    return world


async def test_the_sixth_of_five_is_429_and_says_when_to_come_back(world: World) -> None:
    async with world.browser() as ana:
        await world.log_in(ana)
        answers = [await ana.get("/api/v1/auth/me") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert [answer.headers["ratelimit"] for answer in answers[:2]] == ['"person";r=4;t=12', '"person";r=3;t=24']
    refused = answers[-1]
    assert refused.headers["ratelimit-policy"] == '"person";q=5;w=60'
    assert 1 <= int(refused.headers["retry-after"]) <= 12
    assert refused.json()["error"]["type"] == "rate_limited"


ME = "/api/v1/auth/me"
WAYS_ROUND: list[tuple[str, str]] = [  # S36: a path and a header whose value differs from call to call
    (ME, "X-Forwarded-For"),
    (ME, "X-Real-IP"),
    (ME, "Forwarded"),
    (ME, "X-Client-Id"),
    (ME, "User-Agent"),
    (ME, "X-Correlation-ID"),
    (ME, "Idempotency-Key"),
    (f"{ME}?again=1", "Accept"),
    ("//api/v1/auth/me", "X-Original-URL"),
    ("/api/v1/auth/ME", "X-HTTP-Method-Override"),
    ("/api/v1/notifications/unread", "X-Forwarded-Host"),
    ("/api/v1/notifications/?limit=1", "Via"),
]


async def test_twelve_ways_round_it_lead_to_one_quota(tmp_path: Path) -> None:
    """Whatever a call says about where it comes from, and with a token of its own for each way."""
    house, per_minute = House(tmp_path), 60
    resources = house.app.state.resources
    resources.settings = resources.settings.model_copy(update={"rate_limit_per_minute": per_minute})
    statuses, began = Counter[int](), monotonic()
    for path, header in WAYS_ROUND:
        async with house.client(await house.token_of("ana")) as ana:
            for number in range(60):
                statuses[(await ana.get(path, headers={header: f"10.0.0.{number}"})).status_code] += 1
    came_back = (monotonic() - began) * per_minute / 60
    assert per_minute <= statuses[200] <= per_minute + came_back + 1
    assert statuses.keys() == {200, 404, 429}
    async with house.client(await house.token_of("ben")) as ben:
        assert (await ben.get(ME)).status_code == 200


async def test_also_a_refusal_counts_and_says_what_is_left(world: World) -> None:
    async with world.browser() as ana:
        await world.log_in(ana)
        answer = await ana.get("/api/v1/operate")
    assert (answer.status_code, answer.headers["ratelimit"]) == (403, '"person";r=4;t=12')


async def test_nobody_has_no_quota_to_tell_of(world: World) -> None:
    async with world.browser() as nobody:
        answer = await nobody.get("/api/v1/auth/me")
    assert (answer.status_code, "ratelimit" in answer.headers) == (401, False)


async def test_a_key_has_its_own_limit(world: World) -> None:
    key = User(
        id="key:dev",
        sub="key:dev",
        issuer="carillon",
        kind="machine",
        producer="orders",
        limit_per_minute=2,
        expires_at=datetime(2100, 1, 1, tzinfo=UTC),
    )

    class OneKey:
        async def verify(self, _: str) -> User:
            return key

    world.app.state.resources.keys = OneKey()
    async with world.browser() as program:
        answers: list[httpx2.Response] = [
            await program.get("/api/v1/auth/me", headers={"X-API-Key": "crl_x"}) for _ in range(3)
        ]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].headers["ratelimit-policy"] == '"key";q=2;w=60'


async def test_a_redis_that_cannot_run_scripts_is_as_good_as_away() -> None:
    limiter = RateLimiter(FakeAsyncRedis())
    assert [(await limiter.take("ana", Limit("x", 1))).allowed for _ in range(2)] == [True, False]
