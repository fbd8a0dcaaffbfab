"""What engines on a desk seldom do: a window is closed while a transaction is at its rows each time."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infrastructure.dynamo import digests
from infrastructure.dynamo.client import Conflict, Dynamo, Item
from infrastructure.dynamo.digests import PANES, DigestStore
from schemas.digests import Window
from schemas.outcomes import Unavailable
from tests.unit.test_digest_rules import NOON, a_window


class BusyDynamo(Dynamo):
    """Somebody's transaction is at every row, so many times."""

    def __init__(self, times: int) -> None:  # pylint: disable=super-init-not-called  # there is no client behind it
        self.times = times
        self.written: list[Item] = []

    async def update(self, table: str, key: Item, changes: Item, **_: Any) -> Item:
        if "closed" in changes and self.times:
            self.times -= 1
            raise Conflict("a transaction is at this row")
        self.written.append(key)
        return changes


async def closed_by(dynamo: BusyDynamo) -> Window:
    return await DigestStore(dynamo).close(a_window(), NOON + timedelta(minutes=15))


async def test_a_pane_in_use_is_shut_between_two_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "_LONGEST_WAIT_S", 0.0)
    dynamo = BusyDynamo(times=30)
    assert (await closed_by(dynamo)).closed_at == datetime(2026, 12, 1, 12, 15, tzinfo=UTC)
    assert len(dynamo.written) == 1 + PANES


async def test_one_that_is_never_free_is_a_floor_that_is_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "_LONGEST_WAIT_S", 0.0)
    with pytest.raises(Unavailable):
        await closed_by(BusyDynamo(times=10_000))
