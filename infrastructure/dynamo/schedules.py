"""What was sent for later, by whoever sent it and by each person it names. Hints: what is shown is read from the rows."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from infrastructure.dynamo.client import Dynamo
from infrastructure.dynamo.tables import EXPIRES, SCHEDULES
from schemas.base import iso

_KEPT = timedelta(days=1)
_LATEST_S = 253_402_300_799


@dataclass(frozen=True)
class Entry:
    """A notification that is due by then."""

    notification_id: str
    by: datetime

    @property
    def place(self) -> str:
        return f"{iso(self.by)}#{self.notification_id}"

    def is_of(self, moment: datetime) -> bool:
        """To the millisecond, as places are written."""
        return iso(self.by) == iso(moment)


def of_producer(producer: str) -> str:
    return f"producer#{producer}"


def of_person(person: str) -> str:
    return f"person#{person}"


class ScheduleStore:
    def __init__(self, dynamo: Dynamo) -> None:
        self._dynamo = dynamo

    async def put(self, environment: str, owners: Iterable[str], entry: Entry) -> None:
        """The same entry put again changes nothing."""
        expires = min(int((entry.by.timestamp()) + _KEPT.total_seconds()), _LATEST_S)
        table, row = SCHEDULES.named(environment), {"place": entry.place, EXPIRES: expires}
        await asyncio.gather(
            *(self._dynamo.put_soon(table, {"owner": owner} | row, SCHEDULES.key) for owner in dict.fromkeys(owners))
        )

    async def remove(self, environment: str, owners: Iterable[str], entry: Entry) -> None:
        table = SCHEDULES.named(environment)
        keys = [{"owner": owner, "place": entry.place} for owner in dict.fromkeys(owners)]
        await asyncio.gather(*(self._dynamo.delete_soon(table, key) for key in keys))

    async def page(self, environment: str, owner: str, *, after: str, limit: int) -> list[Entry]:
        """The next of one owner in the order of time, behind the place `after`; a bare time is such a place, too."""
        rows = await self._dynamo.query(
            SCHEDULES.named(environment),
            "#owner = :owner AND place > :after",
            {":owner": owner, ":after": after},
            names={"#owner": "owner"},
            limit=limit,
        )
        return [_entry(str(row["place"])) for row in rows]


def _entry(place: str) -> Entry:
    by, notification_id = place.split("#", 1)
    return Entry(notification_id, datetime.fromisoformat(by))
