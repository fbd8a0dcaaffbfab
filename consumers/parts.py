"""The parts of an erasure, each told how to be done. Done again, a part does what is left of it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass

from consumers.forgetting import History
from consumers.unscheduling import Unscheduling
from infrastructure.auth.ending import Ending
from infrastructure.dynamo.client import Item
from infrastructure.dynamo.devices import DeviceStore
from infrastructure.dynamo.tables import CAPS, INBOX, PREFERENCES, SUBSCRIPTIONS, Table
from infrastructure.dynamo.traces import Traces, stored_before
from infrastructure.ports import Received
from schemas.erasures import Erasure, Part


@dataclass(frozen=True)
class Whose:
    """The person one record is about, and how far their erasure has come."""

    record: Received
    erasure: Erasure
    person: str

    @property
    def name(self) -> tuple[str, str]:
        return self.erasure.environment, self.person


class Parts:
    def __init__(
        self, traces: Traces, devices: DeviceStore, history: History, unscheduling: Unscheduling, ending: Ending
    ) -> None:
        self._traces = traces
        self._how: Mapping[Part, Callable[[Whose], Awaitable[int]]] = {
            "sessions": lambda whose: ending.forget(whose.person),
            "schedules": lambda whose: unscheduling.forget(whose.erasure, whose.person),
            "contact": lambda whose: traces.take_away_contact(*whose.name),
            "devices": lambda whose: devices.forget(*whose.name),
            "subscriptions": lambda whose: self._all(SUBSCRIPTIONS, whose, traces.subscriptions(*whose.name)),
            "preferences": lambda whose: self._all(PREFERENCES, whose, traces.preferences(*whose.name)),
            "caps": lambda whose: self._all(CAPS, whose, traces.caps(*whose.name)),
            "inbox": self._inbox,
            "history": lambda whose: history.forget(whose.record, whose.erasure, whose.person),
        }

    async def forget(self, part: Part, whose: Whose) -> int:
        """How much there was."""
        return await self._how[part](whose)

    async def _all(self, table: Table, whose: Whose, pages: AsyncIterator[list[Item]]) -> int:
        count = 0
        async for rows in pages:
            count += await self._traces.take_away(table, whose.erasure.environment, rows)
        return count

    async def _inbox(self, whose: Whose) -> int:
        """No tombstones: the mark keeps back what they would, and they would name the person."""
        count = 0
        async for rows in self._traces.inbox(*whose.name):
            old = [row for row in rows if stored_before(row, whose.erasure.erased_before)]
            count += await self._traces.take_away(INBOX, whose.erasure.environment, old)
        return count
