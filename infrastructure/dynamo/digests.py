"""Windows and the events in them. An event joins in one transaction, so it is in exactly one window or in none.

A window's rows are its head, its panes and its events. Whoever joins or leaves touches one pane, chosen by the delivery's
id; a window is closed when all of its panes are. So those who join at once meet at several rows instead of one.
"""

import asyncio
import random
import secrets
import zlib
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime
from typing import Any

from infrastructure.dynamo.client import ConditionFailed, Conflict, Dynamo, Item, encode
from infrastructure.dynamo.ledger import item_of, read_row, write_row
from infrastructure.dynamo.notifications import KEPT
from infrastructure.dynamo.tables import DELIVERIES, DIGESTS, EXPIRES
from schemas.base import iso
from schemas.deliveries import Delivery
from schemas.digests import Gathered, Series, Window
from schemas.outcomes import Unavailable

PANES = 4
PAGE = 200
_TRIES, _LONGEST_WAIT_S = 40, 0.1
_CURRENT, _HEAD, _PANE, _EVENT = "current", "head", "pane#", "event#"
_BEHIND = "$"  # sorts right behind "#"


def pane_of(delivery_id: str) -> int:
    return zlib.crc32(delivery_id.encode()) % PANES


class DigestStore:
    def __init__(self, dynamo: Dynamo) -> None:
        self._dynamo = dynamo

    async def current(self, series: Series) -> Window | None:
        """The newest window of a series, open or not; None before the first."""
        row = await self._dynamo.get(DIGESTS.named(series.environment), {"window": series.id, "entry": _CURRENT})
        return Window.model_validate_json(row["document"]) if row else None

    async def open(self, window: Window, after: Window | None) -> bool:
        """Makes it the newest of its series; False when another one has become that, or when it is ruled out."""
        table = DIGESTS.named(window.environment)
        document = {"document": window.model_dump_json(exclude_defaults=True), EXPIRES: _expires(window)}
        current = {"window": window.series.id, "entry": _CURRENT, "window_id": window.window_id} | document
        head = {"window": window.window_id, "entry": _HEAD} | document
        newest, values = "attribute_not_exists(entry)", None
        if after is not None:
            newest, values = "window_id = :seen", {":seen": after.window_id}
        writes = [
            self._dynamo.put_if(table, current, newest, values),
            self._dynamo.put_if(table, head, "attribute_not_exists(entry)"),
        ]
        return await self._dynamo.transact(writes, _token())

    async def join(self, window: Window, event: Gathered, row: Delivery, now: datetime) -> bool:
        """The event into the window and its row into the ledger.

        False when the window has closed, when the delivery has another row already than the one it rested in, or when too
        many were at it at once.
        """
        table = DIGESTS.named(window.environment)
        item = {
            "window": window.window_id,
            "entry": _EVENT + event.order,
            "document": event.model_dump_json(exclude_defaults=True),
            EXPIRES: _expires(window),
        }
        writes = [
            _through(table, window, event.delivery_id, now),
            self._dynamo.put_if(table, item, "attribute_not_exists(entry)"),
            self._dynamo.put_if(DELIVERIES.named(window.environment), item_of(row), *_after(row)),
        ]
        return await self._dynamo.transact(writes, _token())

    async def leave(self, environment: str, window_id: str, event: str, row: Delivery, seen: int) -> bool:
        """Takes an event out and writes its row; False when the window has closed or the row has another version."""
        table = DIGESTS.named(environment)
        pane = {"window": window_id, "entry": f"{_PANE}{pane_of(row.delivery_id)}"}
        writes: list[dict[str, Any]] = [
            {"ConditionCheck": _on(table, pane, "attribute_not_exists(closed)")},
            {"Delete": _on(table, {"window": window_id, "entry": _EVENT + event}, "attribute_exists(entry)")},
            self._dynamo.put_if(DELIVERIES.named(environment), item_of(row), "version = :seen", {":seen": seen}),
        ]
        return await self._dynamo.transact(writes, _token())

    async def is_closed(self, environment: str, window_id: str, delivery_id: str) -> bool:
        """For this delivery: other panes may follow this moment."""
        key = {"window": window_id, "entry": f"{_PANE}{pane_of(delivery_id)}"}
        row = await self._dynamo.get(DIGESTS.named(environment), key)
        return bool(row and row.get("closed"))

    async def find(self, environment: str, window_id: str) -> Window | None:
        """As it is now: with the time of its last event, and closed or not."""
        rows = await self._dynamo.query(
            DIGESTS.named(environment),
            "#w = :w AND entry BETWEEN :head AND :panes",
            {":w": window_id, ":head": _HEAD, ":panes": _PANE.replace("#", _BEHIND)},
            names={"#w": "window"},
        )
        head = next((row for row in rows if row["entry"] == _HEAD and "document" in row), None)
        if head is None:
            return None
        last = max((row["last_at"] for row in rows if "last_at" in row), default=None)
        known = {"closed_at": _moment(head.get("closed_at")), "last_at": _moment(last)}
        return Window.model_validate_json(head["document"]).model_copy(update=known)

    async def rule_out(self, environment: str, window_id: str, now: datetime) -> bool:
        """A window nobody has opened by its time never opens; False when it is there after all."""
        row = {"window": window_id, "entry": _HEAD, EXPIRES: int((now + KEPT).timestamp())}
        try:
            await self._dynamo.put(DIGESTS.named(environment), row, unless_exists="entry")
        except ConditionFailed as failed:
            return "document" not in failed.item
        return True

    async def close(self, window: Window, now: datetime) -> Window:
        """From now on nothing joins and nothing leaves: its events are what they are. Repeated, it keeps its first time."""
        table = DIGESTS.named(window.environment)
        key = {"window": window.window_id, "entry": _HEAD}
        try:
            row = await self._dynamo.update(
                table, key, {"closed_at": iso(now)}, condition="attribute_not_exists(#s_closed_at)"
            )
        except ConditionFailed as failed:
            row = failed.item
        await asyncio.gather(*(self._shut(window, pane) for pane in range(PANES)))
        return window.model_copy(update={"closed_at": _moment(row["closed_at"])})

    async def _shut(self, window: Window, pane: int) -> None:
        """Between the transactions of those who are just joining."""
        key, shut = {"window": window.window_id, "entry": f"{_PANE}{pane}"}, {"closed": True, EXPIRES: _expires(window)}
        for _ in range(_TRIES):
            with suppress(Conflict):
                await self._dynamo.update(DIGESTS.named(window.environment), key, shut)
                return
            await asyncio.sleep(_LONGEST_WAIT_S * random.random())  # noqa: S311 - spreads, hides nothing
        raise Unavailable("a window is joined by too many at once to be closed")

    async def pages(self, window: Window, size: int = PAGE) -> AsyncIterator[list[Gathered]]:
        """Its events, the last accepted first."""
        before = _EVENT.replace("#", _BEHIND)
        while True:
            rows = await self._dynamo.query(
                DIGESTS.named(window.environment),
                "#w = :w AND entry < :before",
                {":w": window.window_id, ":before": before},
                names={"#w": "window"},
                forward=False,
                limit=size,
            )
            if rows:
                yield [Gathered.model_validate_json(row["document"]) for row in rows]
            if len(rows) < size:
                return
            before = rows[-1]["entry"]

    async def expire(self, row: Delivery) -> Delivery:
        """Moves the row of an event whose deadline passed inside its window, unless it has moved by itself."""
        try:
            digested = {":digested": "DIGESTED"}
            return await write_row(self._dynamo, row, "#s_state = :digested", digested, keep=("attempt", "turn"))
        except ConditionFailed as failed:
            return read_row(failed.item)


def _through(table: str, window: Window, delivery_id: str, now: datetime) -> dict[str, Any]:
    """Past the pane, as long as it is open."""
    pane = {"window": window.window_id, "entry": f"{_PANE}{pane_of(delivery_id)}"}
    update = _on(table, pane, "attribute_not_exists(closed)") | {
        "UpdateExpression": "SET last_at = :now, #expires = :expires",
        "ExpressionAttributeNames": {"#expires": EXPIRES},
        "ExpressionAttributeValues": encode({":now": iso(now), ":expires": _expires(window)}),
    }
    return {"Update": update}


def _after(row: Delivery) -> tuple[str, Item | None]:
    """The condition of a row that is written whole: nobody has written since the one before it."""
    return (
        ("version = :seen", {":seen": row.version - 1}) if row.version > 1 else ("attribute_not_exists(delivery_id)", None)
    )


def _on(table: str, key: Item, condition: str) -> dict[str, Any]:
    return {"TableName": table, "Key": encode(key), "ConditionExpression": condition}


def _token() -> str:
    """A fresh one per try: the same try sent again by the client is known by it, another try is another transaction."""
    return secrets.token_hex(16)


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _expires(window: Window) -> int:
    return int((window.opened_at + (window.terms.max or window.terms.window) + KEPT).timestamp())
