"""What is held under a person's name, found and forgotten, in the memory of the other fakes."""

# pylint: disable=super-init-not-called  # there is no client behind them

from collections.abc import AsyncIterator
from datetime import datetime
from itertools import groupby

from infrastructure.dynamo.client import Item
from infrastructure.dynamo.forgetting import Forgetting
from infrastructure.dynamo.forgetting_digests import ForgettingDigests
from infrastructure.dynamo.tables import Table
from infrastructure.dynamo.traces import Traces
from schemas.base import iso
from schemas.deliveries import Delivery
from schemas.erasures import is_covered
from schemas.forgetting import forgotten, walked_past, without
from schemas.topics import Environment
from tests.fakes.digests import FakeDigests
from tests.fakes.preferences import FakePreferences
from tests.fakes.stores import FakeCaps, FakeContacts, FakeDeliveries, FakeExpansions, FakeInbox, FakeNotifications


class FakeTraces(Traces):
    def __init__(
        self,
        deliveries: FakeDeliveries,
        inbox: FakeInbox,
        contacts: FakeContacts,
        caps: FakeCaps,
        preferences: FakePreferences,
    ) -> None:
        self._deliveries = deliveries
        self._items = inbox
        self._contacts = contacts
        self._caps = caps
        self._chosen = preferences

    async def contact(self, environment: str, person: str) -> Item | None:
        found = await self._contacts.get(environment, person)
        return found.model_dump(mode="json", exclude_none=True) if found else None

    async def deliveries(self, environment: str, person: str) -> AsyncIterator[list[Delivery]]:
        rows = [row for row in self._deliveries.rows.values() if (row.environment, row.recipient) == (environment, person)]
        rows.sort(key=lambda row: row.notification_id)
        for _, same in groupby(rows, key=lambda row: row.notification_id):
            yield list(same)

    async def preferences(self, environment: str, person: str) -> AsyncIterator[list[Item]]:
        rows: list[Item] = [
            {"person": person, "entry": f"change#{change}", "verdict": verdict.model_dump_json()}
            for (where, whose, change), verdict in self._chosen.verdicts.items()
            if (where, whose) == (environment, person)
        ]
        if (environment, person) in self._chosen.chosen:
            rows.append({"person": person, "entry": "chosen"})
        yield rows

    async def caps(self, environment: str, person: str) -> AsyncIterator[list[Item]]:
        whose = (environment, person)
        yield [{"person": person, "scope": key[2], "counted": "[]"} for key in self._caps.counted if key[:2] == whose]

    async def inbox(self, environment: str, person: str) -> AsyncIterator[list[Item]]:
        yield [
            {"person": person, "delivery_id": key[2], "cursor": item.cursor, "document": item.model_dump_json()}
            for key, item in self._items.items.items()
            if key[:2] == (environment, person)
        ]

    async def subscriptions(self, environment: str, person: str) -> AsyncIterator[list[Item]]:
        found = await self._contacts.topics_of(environment, person)
        yield [{"person": person, "topic": f"{name}#0", "subscribed_at": iso(since)} for name, since in found.items()]

    async def take_away(self, table: Table, environment: str, rows: list[Item]) -> int:
        for row in rows:
            await self._take(table.noun, environment, row)
        return len(rows)

    async def _take(self, noun: str, environment: str, row: Item) -> None:
        whose = environment, row["person"]
        if noun == "caps":
            del self._caps.counted[(*whose, row["scope"])]
        elif noun == "inbox":
            del self._items.items[(*whose, row["delivery_id"])]
        elif noun == "contacts":
            self._contacts.forget(row["person"])
        elif noun == "subscriptions":
            await self._contacts.unsubscribe(*whose, (row["topic"].rsplit("#", 1)[0],))
        elif row["entry"] == "chosen":
            del self._chosen.chosen[whose]
        else:
            del self._chosen.verdicts[(*whose, row["entry"].removeprefix("change#"))]

    async def take_away_item(self, environment: str, person: str, delivery_id: str) -> None:
        self._items.items.pop((environment, person, delivery_id), None)


class FakeForgetting(Forgetting):
    def __init__(self, notifications: FakeNotifications, deliveries: FakeDeliveries, expansions: FakeExpansions) -> None:
        self._notifications = notifications
        self._deliveries = deliveries
        self._expansions = expansions

    async def notification(self, environment: str, notification_id: str, person: str, pseudonym: str) -> None:
        key = environment, notification_id
        self._notifications.rows[key] = without(self._notifications.rows[key], person, pseudonym)

    async def note(self, environment: str, notification_id: str, person: str) -> None:
        found = self._notifications.notes.get((environment, notification_id))
        if found is not None:
            others = tuple(each for each in found.people if each != person)
            self._notifications.notes[environment, notification_id] = found.model_copy(update={"people": others})

    async def walk(self, environment: str, notification_id: str, shard: int, person: str) -> None:
        found = self._expansions.rows.get((environment, notification_id, shard))
        if found is not None:
            self._expansions.rows[environment, notification_id, shard] = walked_past(found, person)

    async def delivery(self, row: Delivery, pseudonym: str, now: datetime) -> Delivery | None:
        found = self._deliveries.rows[row.environment, row.notification_id, row.delivery_id]
        return found if found.recipient == pseudonym else self._deliveries.put(forgotten(found, pseudonym, now))


class FakeForgettingDigests(ForgettingDigests):
    def __init__(self, digests: FakeDigests) -> None:
        self._windows = digests

    async def window(
        self, environment: Environment, window_id: str, person: str, erased_before: datetime, now: datetime
    ) -> None:
        key, window = (environment, window_id), await self._windows.find(environment, window_id)
        if window is None or window.series.recipient != person:
            return
        await self._windows.close(window, now)
        left = {
            order: event
            for order, event in self._windows.events.get(key, {}).items()
            if not is_covered(erased_before, event.accepted_at)
        }
        self._windows.events[key] = left
        if not left:
            del self._windows.heads[key]
            if self._windows.newest[window.series.id].window_id == window_id:
                del self._windows.newest[window.series.id]
