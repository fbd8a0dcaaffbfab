"""What is held under a person's name: found by export and erasure, whole partitions taken away by erasure."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime

from infrastructure.dynamo.client import Dynamo, Item
from infrastructure.dynamo.ledger import read_row
from infrastructure.dynamo.tables import CAPS, CONTACTS, DELIVERIES, INBOX, PREFERENCES, SUBSCRIPTIONS, Table
from schemas.deliveries import Delivery

PAGE = 100


class Traces:
    """Everything in pages: memory does not grow with how much there is."""

    def __init__(self, dynamo: Dynamo) -> None:
        self._dynamo = dynamo

    async def contact(self, environment: str, person: str) -> Item | None:
        """The whole row, whatever is in it."""
        return await self._dynamo.get(CONTACTS.named(environment), {"person": person})

    async def deliveries(self, environment: str, person: str) -> AsyncIterator[list[Delivery]]:
        """The person's rows of the ledger; all of one notification's come in one page.

        By an index that may lag a moment behind. A row that was renamed on the way does not disturb what follows.
        """
        table, after = DELIVERIES.named(environment), " "
        while True:
            keys = await self._dynamo.query(
                table,
                "recipient = :person AND shard_key > :after",
                {":person": person, ":after": after},
                index="by_person",
                limit=PAGE,
                consistent=False,
            )
            whole = _without_the_cut_off(keys)
            rows = await asyncio.gather(*(self._dynamo.get(table, _key(DELIVERIES, key)) for key in whole))
            mine = [read_row(row) for row in rows if row and row["recipient"] == person]
            if mine:
                yield mine
            if len(keys) < PAGE:
                return
            after = whole[-1]["shard_key"]

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
        table, after = SUBSCRIPTIONS.named(environment), " "
        while True:
            keys = await self._dynamo.query(
                table,
                "person = :person AND topic > :after",
                {":person": person, ":after": after},
                index="by_person",
                limit=PAGE,
                consistent=False,
            )
            rows = await asyncio.gather(*(self._dynamo.get(table, _key(SUBSCRIPTIONS, key)) for key in keys))
            yield [row for row in rows if row]
            if len(keys) < PAGE:
                return
            after = keys[-1]["topic"]

    async def take_away(self, table: Table, environment: str, rows: list[Item]) -> int:
        await asyncio.gather(*(self._dynamo.delete_soon(table.named(environment), _key(table, row)) for row in rows))
        return len(rows)

    async def take_away_contact(self, environment: str, person: str) -> int:
        """The row as it is, whoever added what to it."""
        found = await self.contact(environment, person)
        return await self.take_away(CONTACTS, environment, [found]) if found else 0

    async def take_away_item(self, environment: str, person: str, delivery_id: str) -> None:
        await self._dynamo.delete_soon(INBOX.named(environment), {"person": person, "delivery_id": delivery_id})

    async def _partition(self, table: Table, environment: str, person: str) -> AsyncIterator[list[Item]]:
        after = " "
        while True:
            rows = await self._dynamo.query(
                table.named(environment),
                "person = :person AND #sort > :after",
                {":person": person, ":after": after},
                names={"#sort": table.key[1]},
                limit=PAGE,
            )
            if rows:
                yield rows
            if len(rows) < PAGE:
                return
            after = rows[-1][table.key[1]]


def stored_before(row: Item, moment: datetime) -> bool:
    """Whether an inbox row is older; a cursor begins with its time, and a tombstone has nothing else to say."""
    cursor = row.get("cursor")
    return cursor is None or datetime.fromisoformat(str(cursor).split("~", 1)[0]) < moment


def _without_the_cut_off(keys: list[Item]) -> list[Item]:
    """A page may end in the middle of a notification: the next one begins with all of it."""
    if len(keys) < PAGE:
        return keys
    last = keys[-1]["shard_key"]
    whole = [key for key in keys if key["shard_key"] != last]
    return whole or keys


def _key(table: Table, row: Item) -> Item:
    return {name: row[name] for name in table.key}
