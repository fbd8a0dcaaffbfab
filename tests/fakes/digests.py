"""Windows in memory. One contract suite (tests/contract) runs against this and the real store."""

# pylint: disable=super-init-not-called  # there is no client behind it

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime

from infrastructure.dynamo.digests import PAGE, PANES, DigestStore, pane_of
from schemas.deliveries import Delivery
from schemas.digests import Gathered, Series, Window
from tests.fakes.stores import FakeDeliveries, Outage


class FakeDigests(DigestStore):
    """The transactions of the real one: every condition is looked at before anything is written."""

    def __init__(self, deliveries: FakeDeliveries, outage: Outage | None = None) -> None:
        self.newest: dict[str, Window] = {}
        self.heads: dict[tuple[str, str], Window | None] = {}
        self.last_at: dict[tuple[str, str], datetime] = {}
        self.shut: set[tuple[str, str, int]] = set()
        self.events: dict[tuple[str, str], dict[str, Gathered]] = {}
        self.crowded = 0
        self.turns = 1  # of the loop between a look and the transaction after it: others write in between
        self._deliveries = deliveries
        self._outage = outage or Outage()

    async def current(self, series: Series) -> Window | None:
        self._outage.touch("digests.current")
        return self.newest.get(series.id)

    async def open(self, window: Window, after: Window | None) -> bool:
        await asyncio.sleep(0)  # as over a wire: others write in between
        self._outage.write("digests.open")
        key, newest = (window.environment, window.window_id), self.newest.get(window.series.id)
        if key in self.heads or (newest and newest.window_id) != (after and after.window_id):
            return False
        self.newest[window.series.id] = self.heads[key] = window
        return True

    async def join(self, window: Window, event: Gathered, row: Delivery, now: datetime) -> bool:
        for _ in range(self.turns):
            await asyncio.sleep(0)
        self._outage.write("digests.join")
        key = (window.environment, window.window_id)
        events = self.events.setdefault(key, {})
        if self.crowded:
            self.crowded -= 1
            return False
        ids = (row.environment, row.notification_id, row.delivery_id)
        standing = self._deliveries.rows.get(ids)
        moved = row.version != (standing.version if standing else 0) + 1
        if (*key, pane_of(event.delivery_id)) in self.shut or moved or event.order in events:
            return False
        events[event.order] = event
        self.last_at[key] = max(now, self.last_at.get(key, now))
        self._deliveries.put(row)
        return True

    async def leave(self, environment: str, window_id: str, event: str, row: Delivery, seen: int) -> bool:
        await asyncio.sleep(0)
        self._outage.write("digests.leave")
        events = self.events.get((environment, window_id), {})
        found = await self._deliveries.get(environment, row.notification_id, row.delivery_id)
        if event not in events or await self.is_closed(environment, window_id, row.delivery_id):
            return False
        if found is None or found.version != seen:
            return False
        del events[event]
        self._deliveries.put(row)
        return True

    async def is_closed(self, environment: str, window_id: str, delivery_id: str) -> bool:
        return (environment, window_id, pane_of(delivery_id)) in self.shut

    async def find(self, environment: str, window_id: str) -> Window | None:
        self._outage.touch("digests.find")
        head = self.heads.get((environment, window_id))
        return head.model_copy(update={"last_at": self.last_at.get((environment, window_id))}) if head else None

    async def rule_out(self, environment: str, window_id: str, now: datetime) -> bool:
        return self.heads.setdefault((environment, window_id), None) is None

    async def close(self, window: Window, now: datetime) -> Window:
        self._outage.write("digests.close")
        key = (window.environment, window.window_id)
        head = self.heads[key]
        assert head is not None
        closed_at = head.closed_at or now.replace(microsecond=now.microsecond // 1000 * 1000)
        self.heads[key] = head.model_copy(update={"closed_at": closed_at})
        for pane in range(PANES):
            await asyncio.sleep(0)
            self.shut.add((*key, pane))
        return window.model_copy(update={"closed_at": closed_at})

    async def pages(self, window: Window, size: int = PAGE) -> AsyncIterator[list[Gathered]]:
        self._outage.touch("digests.pages")
        events = self.events.get((window.environment, window.window_id), {})
        newest = [events[order] for order in sorted(events, reverse=True)]
        for begin in range(0, len(newest), size):
            yield newest[begin : begin + size]

    async def expire(self, row: Delivery) -> Delivery:
        self._outage.write("digests.expire")
        found = await self._deliveries.get(row.environment, row.notification_id, row.delivery_id)
        assert found is not None
        return self._deliveries.move(found, row) if found.state == "DIGESTED" else found
