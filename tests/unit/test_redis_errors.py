"""What the bridge and the caches see of a Redis that cannot answer, or is older than ours."""

from typing import Any, cast

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import ReadOnlyError, ResponseError

from infrastructure.redis.client import redis_or_unavailable
from infrastructure.redis.streams import FIRST, StreamGroup
from schemas.outcomes import Unavailable


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (NoConnection("Error 111 connecting to redis.internal:6379."), "redis: ConnectionError"),
        (TimeoutError("redis.internal:6379"), "redis: TimeoutError"),
        (ReadOnlyError("You can't write against a read only replica."), "redis: ReadOnlyError"),
        (ResponseError("WRONGTYPE Operation against a key"), "redis: ResponseError WRONGTYPE"),
        (ResponseError("MOVED 3999 redis.internal:6381"), "redis: ResponseError MOVED"),
    ],
)
def test_what_redis_cannot_do_is_an_outage_that_names_no_address(error: Exception, said: str) -> None:
    with pytest.raises(Unavailable) as outage, redis_or_unavailable():
        raise error
    assert str(outage.value) == said


def test_a_mistake_of_our_own_stays_what_it_is() -> None:
    with pytest.raises(KeyError), redis_or_unavailable():
        raise KeyError("ours")


class Answering:
    """A Redis that answers XAUTOCLAIM with one page."""

    def __init__(self, *page: Any) -> None:
        self._page = list(page)

    async def xautoclaim(self, *_: Any, **__: Any) -> list[Any]:
        return self._page


ROW = (b"1-0", {b"message": b"m"})


@pytest.mark.parametrize(
    ("page", "lost"),
    [
        ((b"0-0", [ROW, (None, None)]), 1),
        ((b"0-0", [ROW]), 0),
        ((b"0-0", [ROW], [b"2-0", b"3-0"]), 2),
    ],
    ids=["before 7.0, one deleted", "before 7.0", "since 7.0"],
)
async def test_deleted_entries_are_counted_whatever_the_servers_version(page: tuple[Any, ...], lost: int) -> None:
    group = StreamGroup(cast(Redis, Answering(*page)), "notifications:dev", consumer="one")
    found = await group.take_over(FIRST, 30)
    assert [entry.id for entry in found.entries] == ["1-0"]
    assert (found.lost, found.cursor) == (lost, FIRST)
