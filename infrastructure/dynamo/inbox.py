"""A person's inbox. The item, put once under its delivery id, is the delivery itself: a repeat changes nothing."""

import re
from contextlib import suppress
from datetime import datetime
from typing import Any, Literal

from infrastructure.dynamo.client import ConditionFailed, Dynamo, Item
from infrastructure.dynamo.notifications import KEPT
from infrastructure.dynamo.tables import EXPIRES, INBOX
from schemas.base import iso
from schemas.live import InboxItem
from schemas.requests import Unless

CURSOR = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z~(dlv_[a-z2-7]{26})?")

Standing = Literal["stored", "withdrawn"]
Withdrawal = Literal["stopped", "recalled", "superseded", "deleted"]
MARKS: dict[Unless, str] = {"seen": "seen_at", "read": "read_at", "clicked": "clicked_at"}
"""What a person has done with an item, and the attribute that says when; the strongest comes last."""
KEPT_BESIDE = (*MARKS.values(), "archived_at")
"""What changes about an item; the rest of it is one document, written once."""
ARCHIVED = "archived~"
"""Before the cursor of an archived item, in the index by time: it sorts behind every year, so both lists are whole pages."""


def cursor_of(stored_at: datetime, delivery_id: str) -> str:
    """Sorts by the time of storing; names the item."""
    return f"{iso(stored_at)}~{delivery_id}"


def _read(row: Item) -> InboxItem:
    item = InboxItem.model_validate_json(row["document"])
    return item.model_copy(update={name: _moment(row.get(name)) for name in KEPT_BESIDE})


def _standing(row: Item) -> Standing:
    """What its reader deleted had been stored: the delivery happened, and whoever repeats it may say so."""
    return "withdrawn" if row.get("withdrawal", "deleted") != "deleted" else "stored"


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


class InboxStore:
    def __init__(self, dynamo: Dynamo) -> None:
        self._dynamo = dynamo

    async def put_if_absent(self, environment: str, item: InboxItem) -> Standing:
        """Stores it unless it is there, read or not, or was withdrawn; says which of the two holds now."""
        row = {
            "person": item.person,
            "delivery_id": item.id,
            "cursor": item.cursor,
            "unread_cursor": item.cursor,
            "document": item.model_dump_json(exclude=set(KEPT_BESIDE)),
        }
        try:
            await self._dynamo.put(INBOX.named(environment), row, unless_exists="delivery_id")
        except ConditionFailed as failed:
            return _standing(failed.item)
        return "stored"

    async def standing(self, environment: str, person: str, item_id: str) -> Standing | None:
        """None when it was never stored nor withdrawn."""
        row = await self._dynamo.get(INBOX.named(environment), {"person": person, "delivery_id": item_id})
        return _standing(row) if row else None

    async def withdraw(self, environment: str, person: str, item_id: str, at: datetime) -> Withdrawal:
        """Leaves a tombstone, so that nothing comes back: `stopped` if nobody can have seen it, else `recalled`.

        The first tombstone stays, also one of `supersede`.
        """
        table, key = INBOX.named(environment), {"person": person, "delivery_id": item_id}
        expires = int((at + KEPT).timestamp())
        tombstone: Item = {"withdrawn_at": iso(at), EXPIRES: expires}
        with suppress(ConditionFailed):
            row = tombstone | {"withdrawal": "stopped"}
            await self._dynamo.update(table, key, row, condition="attribute_not_exists(delivery_id)")
            return "stopped"
        gone = dict.fromkeys(("cursor", "unread_cursor", "document"))
        try:
            row = tombstone | gone | {"withdrawal": "recalled"}
            await self._dynamo.update(table, key, row, condition="attribute_not_exists(#s_withdrawal)")
        except ConditionFailed as failed:
            found: Withdrawal = failed.item["withdrawal"]
            return found
        return "recalled"

    async def supersede(self, environment: str, person: str, item_id: str, at: datetime) -> bool:
        """Leaves a tombstone unless it was read or withdrawn before; True again when it is asked again."""
        gone = dict.fromkeys(("cursor", "unread_cursor", "document"))
        row: Item = {"withdrawn_at": iso(at), "withdrawal": "superseded", EXPIRES: int((at + KEPT).timestamp())}
        try:
            await self._dynamo.update(
                INBOX.named(environment),
                {"person": person, "delivery_id": item_id},
                row | gone,
                condition="attribute_not_exists(#s_withdrawal) AND attribute_not_exists(#read)",
                names={"#read": "read_at"},
            )
        except ConditionFailed as failed:
            return failed.item.get("withdrawal") == "superseded"
        return True

    async def newest(self, environment: str, person: str, *, before: str | None, limit: int) -> list[InboxItem]:
        """Newest first, older than the cursor `before` when one is given; without what is archived."""
        values = {":person": person, ":before": before or ARCHIVED}
        return await self._items(environment, "person = :person AND #c < :before", values, forward=False, limit=limit)

    async def archived(self, environment: str, person: str, *, before: str | None, limit: int) -> list[InboxItem]:
        """What is archived, by the time it came, newest first."""
        end = ARCHIVED + (before or "~")
        values = {":person": person, ":from": ARCHIVED, ":to": end}
        condition = "person = :person AND #c BETWEEN :from AND :to"
        found = await self._items(environment, condition, values, forward=False, limit=limit + 1)
        return [item for item in found if item.cursor != before][:limit]

    async def since(self, environment: str, person: str, *, after: str, limit: int) -> list[InboxItem]:
        """Oldest first, stored after the cursor; without what is archived."""
        values = {":person": person, ":from": f"{after} ", ":to": ARCHIVED}  # the next text there is: BETWEEN has both ends
        condition = "person = :person AND #c BETWEEN :from AND :to"
        return await self._items(environment, condition, values, forward=True, limit=limit)

    async def unread(self, environment: str, person: str) -> int:
        table = INBOX.named(environment)
        return await self._dynamo.count(table, "person = :person", {":person": person}, index="unread")

    async def mark_read(self, environment: str, person: str, item_id: str, at: datetime) -> bool:
        """False when the person has no such item. Reading twice keeps the first time."""
        changes = {"read_at": iso(at), "unread_cursor": None}
        return await self._mark(environment, person, item_id, changes, unless="read_at")

    async def mark_seen(self, environment: str, person: str, item_id: str, at: datetime) -> bool:
        return await self._mark(environment, person, item_id, {"seen_at": iso(at)}, unless="seen_at")

    async def mark_clicked(self, environment: str, person: str, item_id: str, at: datetime) -> bool:
        """What was clicked was read: the first time of either is kept."""
        if not await self.mark_read(environment, person, item_id, at):
            return False
        return await self._mark(environment, person, item_id, {"clicked_at": iso(at)}, unless="clicked_at")

    async def archive(self, environment: str, person: str, item_id: str, at: datetime) -> bool:
        """Out of the list and of the count, and seen; False when the person has no such item. Twice keeps the first time."""
        cursor = await self._cursor(environment, person, item_id)
        if cursor is None or not await self.mark_seen(environment, person, item_id, at):
            return False
        changes = {"archived_at": iso(at), "cursor": ARCHIVED + cursor, "unread_cursor": None}
        return await self._mark(environment, person, item_id, changes, unless="archived_at")

    async def unarchive(self, environment: str, person: str, item_id: str) -> bool:
        """Back to its place, unread if it was; False when the person has no such item."""
        cursor = await self._cursor(environment, person, item_id)
        if cursor is None or not await self._change(
            environment, person, item_id, {"archived_at": None, "cursor": cursor}, "attribute_exists(#document)", {}
        ):
            return False
        # a step of its own: it may be read at any moment, and what was read must not count as unread
        unread = "attribute_exists(#document) AND attribute_not_exists(#read) AND attribute_not_exists(#archived)"
        names = {"#read": "read_at", "#archived": "archived_at"}
        await self._change(environment, person, item_id, {"unread_cursor": cursor}, unread, names)
        return True

    async def delete(self, environment: str, person: str, item_id: str, at: datetime) -> bool:
        """Leaves a tombstone, so that nothing comes back; False when the person never had such an item, or it was taken
        back. It was seen, and what was done with it before still counts."""
        if not await self.mark_seen(environment, person, item_id, at):
            key = {"person": person, "delivery_id": item_id}
            row = await self._dynamo.get(INBOX.named(environment), key) or {}
            return row.get("withdrawal") == "deleted"
        gone = dict.fromkeys(("cursor", "unread_cursor", "document", "archived_at"))
        row = {"withdrawn_at": iso(at), "withdrawal": "deleted", EXPIRES: int((at + KEPT).timestamp())}
        return await self._change(environment, person, item_id, row | gone, "attribute_exists(#document)", {})

    async def answer(self, environment: str, person: str, item_id: str) -> Unless | None:
        """The most its person has done with it, read consistently; what they did with a recalled one still counts."""
        row = await self._dynamo.get(INBOX.named(environment), {"person": person, "delivery_id": item_id}) or {}
        return next((done for done in reversed(MARKS) if MARKS[done] in row), None)

    async def unread_ids(self, environment: str, person: str, limit: int) -> list[str]:
        rows = await self._dynamo.query(
            INBOX.named(environment), "person = :person", {":person": person}, index="unread", limit=limit
        )
        return [row["delivery_id"] for row in rows]

    async def _mark(self, environment: str, person: str, item_id: str, changes: Item, unless: str) -> bool:
        condition = "attribute_exists(#document) AND attribute_not_exists(#unless)"
        return await self._change(environment, person, item_id, changes, condition, {"#unless": unless})

    async def _change(
        self, environment: str, person: str, item_id: str, changes: Item, condition: str, names: dict[str, str]
    ) -> bool:
        """Whether the person has such an item; it is changed if the condition holds."""
        try:
            await self._dynamo.update(
                INBOX.named(environment),
                {"person": person, "delivery_id": item_id},
                changes,
                condition=condition,
                names=names | {"#document": "document"},
            )
        except ConditionFailed as failed:
            return "document" in failed.item
        return True

    async def _cursor(self, environment: str, person: str, item_id: str) -> str | None:
        """Where the item came in; None when the person has none of that id."""
        row = await self._dynamo.get(INBOX.named(environment), {"person": person, "delivery_id": item_id})
        return _read(row).cursor if row and "document" in row else None

    async def _items(
        self, environment: str, condition: str, values: dict[str, Any], *, forward: bool, limit: int
    ) -> list[InboxItem]:
        names = {"#c": "cursor"} if "#c" in condition else None
        rows = await self._dynamo.query(
            INBOX.named(environment), condition, values, names=names, index="by_time", forward=forward, limit=limit
        )
        return [_read(row) for row in rows]
