"""How a worker sees a provider, as it tells operators."""

import asyncio
from datetime import UTC, datetime

from fakeredis import FakeAsyncRedis

from consumers.provider_line import Limits, ProviderLine
from consumers.provider_news import ProviderNews
from infrastructure.redis.provider_board import ProviderBoard
from schemas.breaker import BreakerRules
from schemas.outcomes import Retry, Sent
from schemas.providers import ProviderSeen, worst
from tests.fakes.provider import RecordingProvider

LIMITS = Limits(5, 20, BreakerRules(failures=2, open_s=30), 3600, 8, 600)


def test_a_provider_goes_out_is_probed_and_comes_back() -> None:
    line = ProviderLine(RecordingProvider(), LIMITS, None)
    assert line.seen(0).state == "in"
    for _ in range(2):
        line.ended("here", Retry("http_503"), 10)
    seen = line.seen(20)
    assert (seen.state, seen.failures, seen.out_for_s) == ("out", 2, 10)
    assert seen.tried_again_in_s is not None
    assert 20 <= seen.tried_again_in_s <= 26
    assert line.seen(60).state == "probing"
    line.ended("here", Sent("answered"), 60)
    assert line.seen(60) == ProviderSeen(provider=seen.provider, state="in")


def test_a_destination_that_throttles_rests_and_the_provider_stays_in() -> None:
    line = ProviderLine(RecordingProvider(), LIMITS, None)
    line.ended("here", Retry("http_429"), 0)
    assert (line.seen(0.5).state, line.seen(0.5).resting, line.seen(5).resting) == ("in", 1, 0)


def test_of_several_the_worst_counts() -> None:
    assert worst(["in", "out", "probing"]) == "out"
    assert worst(["in", "probing"]) == "probing"


async def test_news_are_told_until_the_worker_stops_and_then_taken_back() -> None:
    board, looks = ProviderBoard(FakeAsyncRedis()), asyncio.Queue[int]()

    def look() -> tuple[ProviderSeen, ...]:
        looks.put_nowait(1)
        return (ProviderSeen(provider="smtp", state="in"),)

    news = ProviderNews(board, "dev", "email", look, every_s=0.01)
    running = asyncio.create_task(news.run())
    for _ in range(3):
        await asyncio.wait_for(looks.get(), 5)
    assert [told.channel for told in await board.read("dev", datetime.now(UTC))] == ["email"]
    news.stop()
    await asyncio.wait_for(running, 5)
    assert await board.read("dev", datetime.now(UTC)) == []
