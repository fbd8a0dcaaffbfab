"""Whoever calls too often is told so, by name of the limit; nobody else notices."""

from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest

from schemas.api_keys import NewKey
from tests.fakes.house import House

UNREAD = "/api/v1/notifications/unread"


@pytest.fixture(name="house")
def a_strict_house(tmp_path: Path) -> House:
    house = House(tmp_path)
    settings = house.app.state.resources.settings
    house.app.state.resources.settings = settings.model_copy(update={"rate_limit_per_minute": 3})
    return house


async def asked(house: House, headers: dict[str, str], times: int) -> list[httpx2.Response]:
    async with house.client(headers) as client:
        return [await client.get(UNREAD) for _ in range(times)]


async def test_a_person_has_so_many_calls_a_minute_whatever_token_they_come_with(house: House) -> None:
    answers = await asked(house, await house.token_of("ana"), 2) + await asked(house, await house.token_of("ana"), 2)
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[0].headers["RateLimit-Policy"] == '"person";q=3;w=60'
    assert answers[0].headers["RateLimit"].startswith('"person";r=2;')
    error = answers[3].json()["error"]
    assert (error["type"], error["status"]) == ("rate_limited", 429)
    assert 1 <= int(answers[3].headers["Retry-After"]) <= 60
    assert [answer.status_code for answer in await asked(house, await house.token_of("ben"), 1)] == [200]


async def test_a_key_has_the_calls_it_was_made_with(house: House) -> None:
    wanted = [NewKey(name=name, producer="orders", limit_per_minute=limit) for name, limit in (("small", 2), ("large", 50))]
    keys = [(await house.keyring.create(each, "dev", "olga", datetime.now(UTC))).presented for each in wanted]
    small, large = [await asked(house, {"X-API-Key": key}, 4) for key in keys]
    assert [answer.status_code for answer in small] == [200, 200, 429, 429]
    assert [answer.status_code for answer in large] == [200] * 4
    assert small[0].headers["RateLimit-Policy"] == '"key";q=2;w=60'
