"""What is held under a person's name: found by export and erasure, whole partitions taken away by erasure."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime

from infrastructure.dynamo.client import Dynamo, Item
from infrastructure.dynamo.ledger import read_row
from infrastructure.dynamo.tables import CAPS, CONTACTS, DELIVERIES, INBOX, PREFERENCES, SUBSCRIPTIONS, Table
from schemas.deliveries import Delivery

PAGE = 100
_BY_PERSON = "by_person"


class Traces:
    """Everything in pages: memory does not grow with how much there is."""

    def __init__(self, dynamo: Dynamo) -> None:
        self._dynamo = dynamo

    async def contact(self, environment: str, person: str) -> Item | None:
        """The whole row, whatever is in it."""
        return await self._dynamo.get(CONTACTS.named(environment), {"person": person})

    async def deliveries(self, environment: str, person: str) -> AsyncIterator[list[Delivery]]:
        """The person's rows of the ledger; all of one notification's come in one page."""
        async for rows in self._by_person(DELIVERIES, environment, person):
            yield [read_row(row) for row in rows]

    async def preferences(self, environment: str, person: str) -> AsyncIterator[list[Item]]:
        """The choices in force and the verdicts on past changes."""
        async for rows in self._partition(PREFERENCES, environment, person):
            yield rows

    async def caps(self, environment: str, person: str) -> AsyncIterator[list[Item]]:
        async for rows in self._partition(CAPS, environment, person):
            yield rows

    async def inbox(self, environment: str, person: str) -> AsyncIterator[list[Item]]:
        """Items, read or not, and the tombstones of what was taken back."""
        async for rows in self._partition(INBOX, environment, person):
            yield rows

    async def subscriptions(self, environment: str, person: str) -> AsyncIterator[list[Item]]:
        """Of every topic, the one of everybody too."""
        async for rows in self._by_person(SUBSCRIPTIONS, environment, person):
            yield rows

    async def take_away(self, table: Table, environment: str, rows: list[Item]) -> int:
        await asyncio.gather(*(self._dynamo.delete_soon(table.named(environment), _key(table, row)) for row in rows))
        return len(rows)

    async def take_away_contact(self, environment: str, person: str) -> int:
        """The row as it is, whoever added what to it."""
        found = await self.contact(environment, person)
        return await self.take_away(CONTACTS, environment, [found]) if found else 0

    async def take_away_item(self, environment: str, person: str, delivery_id: str) -> None:
        await self._dynamo.delete_soon(INBOX.named(environment), {"person": person, "delivery_id": delivery_id})

    def _partition(self, table: Table, environment: str, person: str) -> AsyncIterator[list[Item]]:
        return self._pages(table, environment, person, table.key)

    async def _by_person(self, table: Table, environment: str, person: str) -> AsyncIterator[list[Item]]:
        """By an index that may lag a moment behind. A row that was renamed on the way does not disturb what follows."""
        key = table.key_in(_BY_PERSON)
        async for found in self._pages(table, environment, person, key, index=_BY_PERSON):
            rows = await asyncio.gather(*(self._dynamo.get(table.named(environment), _key(table, row)) for row in found))
            yield [row for row in rows if row and row[key[0]] == person]

    async def _pages(
        self, table: Table, environment: str, person: str, key: tuple[str, ...], index: str | None = None
    ) -> AsyncIterator[list[Item]]:
        """In the order of the key's second part; what has the same there comes in one page."""
        owner, sort = key
        after = " "
        while True:
            rows = await self._dynamo.query(
                table.named(environment),
                "#owner = :person AND #sort > :after",
                {":person": person, ":after": after},
                names={"#owner": owner, "#sort": sort},
                index=index,
                limit=PAGE,
                consistent=index is None,
            )
            whole = _without_the_cut_off(rows, sort)
            if whole:
                yield whole
            if len(rows) < PAGE:
                return
            after = whole[-1][sort]


def stored_before(row: Item, moment: datetime) -> bool:
    """Whether an inbox row is older; a cursor begins with its time, and a tombstone has nothing else to say."""
    cursor = row.get("cursor")
    return cursor is None or datetime.fromisoformat(str(cursor).split("~", 1)[0]) < moment


def _without_the_cut_off(rows: list[Item], sort: str) -> list[Item]:
    """A page may end in the middle of what belongs together: the next one begins with all of it."""
    if len(rows) < PAGE:
        return rows
    last = rows[-1][sort]
    whole = [row for row in rows if row[sort] != last]
    return whole or rows


def _key(table: Table, row: Item) -> Item:
    return {name: row[name] for name in table.key}
