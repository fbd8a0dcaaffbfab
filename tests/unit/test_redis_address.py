"""Redis is found by its URL, or by the parts in which the older services say it."""

from typing import Any

import pytest
from redis.asyncio.connection import parse_url

from infrastructure.local.addresses import Elsewhere
from infrastructure.redis.client import address_of
from infrastructure.settings import Settings


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REDIS_URL", "REDIS_HOST", "REDIS_PORT", "REDIS_DB", "REDIS_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


def address(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return address_of(Settings(_env_file=None, deployment="local"))


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "redis://127.0.0.1:6379/0"),
        ({"REDIS_HOST": "cache"}, "redis://cache:6379/0"),
        ({"REDIS_PORT": "6390"}, "redis://localhost:6390/0"),
        ({"REDIS_DB": "3"}, "redis://localhost:6379/3"),
        ({"REDIS_HOST": "cache", "REDIS_PORT": "6390", "REDIS_DB": "2"}, "redis://cache:6390/2"),
        ({"REDIS_URL": "rediss://elsewhere/1", "REDIS_HOST": "cache", "REDIS_PASSWORD": "p"}, "rediss://elsewhere/1"),
        ({"REDIS_URL": "rediss://elsewhere/1", "REDIS_PORT": "tcp://10.0.0.1:6379"}, "rediss://elsewhere/1"),
    ],
    ids=str,
)
def test_the_parts_of_an_older_service_count_where_there_is_no_url(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str
) -> None:
    assert address(monkeypatch, **variables) == expected


def test_a_password_may_hold_any_character_and_is_shown_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, Any] = dict(parse_url(address(monkeypatch, REDIS_HOST="cache", REDIS_PASSWORD="p@ss:w/rd?#")))
    assert (found["host"], found["password"]) == ("cache", "p@ss:w/rd?#")
    assert "p@ss" not in repr(Settings(_env_file=None, deployment="local"))


def test_make_run_starts_no_redis_beside_one_that_is_named_in_parts() -> None:
    assert Elsewhere({"REDIS_HOST": "cache"}).redis == "REDIS_HOST"
