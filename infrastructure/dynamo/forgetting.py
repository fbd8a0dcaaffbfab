"""Rewrites rows so that a person is no longer in them. Each rewriting names what it has seen, so nobody's change is lost."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from infrastructure.dynamo.client import ConditionFailed, Dynamo, Item
from infrastructure.dynamo.ledger import item_of, key_of, read_row
from infrastructure.dynamo.tables import DELIVERIES, NOTIFICATIONS
from schemas.audiences import Progress
from schemas.deliveries import Delivery
from schemas.forgetting import forgotten, walked_past, without
from schemas.outcomes import Unavailable
from schemas.plan import Notification, Unplanned
from schemas.rescheduling import Rescheduling

_TRIES = 20
_MARKS = ("trouble", "troubled_at", "resting_of", "resting_until")
_MAY_GO = ("answer", "provider_id", "next_at", *_MARKS)

Change = Callable[[Item], dict[str, Any]]


class Forgetting:
    def __init__(self, dynamo: Dynamo) -> None:
        self._dynamo = dynamo

    async def notification(self, environment: str, notification_id: str, person: str, pseudonym: str) -> None:
        """The request, its plan, and what was answered to whoever cancelled or moved it."""

        def change(row: Item) -> dict[str, Any]:
            changes: dict[str, Any] = {}
            if "document" in row:
                found = Notification.model_validate_json(row["document"])
                after = without(found, person, pseudonym)
                changes["document"] = after.model_dump_json(exclude={"cancelled_at"}, exclude_defaults=True)
            if "cancel_answers" in row:
                changes["cancel_answers"] = json.dumps(_renamed(json.loads(row["cancel_answers"]), person, pseudonym))
            if "move" in row:
                done = json.loads(row["move"])
                done["deliveries"] = _renamed(done.get("deliveries"), person, pseudonym)
                changes["move"] = Rescheduling.model_validate(done).model_dump_json(exclude_defaults=True)
            return changes

        await self._rewritten(environment, notification_id, change)

    async def note(self, environment: str, notification_id: str, person: str) -> None:
        """What was known before there was a plan names whom it was for."""

        def change(row: Item) -> dict[str, Any]:
            found = Unplanned.model_validate_json(row["note"])
            others = tuple(each for each in found.people if each != person)
            return {"note": found.model_copy(update={"people": others}).model_dump_json(exclude_defaults=True)}

        await self._rewritten(environment, f"{notification_id}#unplanned", change)

    async def walk(self, environment: str, notification_id: str, shard: int, person: str) -> None:
        """How far an audience was walked names whoever was last on a page."""

        def change(row: Item) -> dict[str, Any]:
            found = Progress.model_validate_json(row["progress"])
            return {"progress": walked_past(found, person).model_dump_json(exclude_defaults=True)}

        await self._rewritten(environment, f"{notification_id}#shard#{shard}", change)

    async def delivery(self, row: Delivery, pseudonym: str, now: datetime) -> Delivery | None:
        """The row as it then stands; None when it has gone."""
        table, key = DELIVERIES.named(row.environment), key_of(row)
        for _ in range(_TRIES):
            found = await self._dynamo.get(table, key)
            if found is None:
                return None
            before = read_row(found)
            if before.recipient == pseudonym:
                return before
            after = forgotten(before, pseudonym, now)
            fields = {name: value for name, value in item_of(after).items() if name not in key}
            absent = {name: None for name in _MAY_GO if name not in fields}
            listed = dict.fromkeys(_MARKS)  # operators can do nothing for it any more
            try:
                await self._dynamo.update(
                    table,
                    key,
                    fields | absent | listed,
                    condition="#s_version = :seen AND #s_state = :state",
                    values={":seen": before.version, ":state": before.state},
                )
            except ConditionFailed:
                continue
            return after
        raise Unavailable("a delivery moves too fast to be forgotten")

    async def _rewritten(self, environment: str, notification_id: str, change: Change) -> None:
        table, key = NOTIFICATIONS.named(environment), {"notification_id": notification_id}
        for _ in range(_TRIES):
            row = await self._dynamo.get(table, key)
            changes = change(row) if row else {}
            changes = {name: value for name, value in changes.items() if row and row[name] != value}
            if row is None or not changes:
                return
            try:
                await self._dynamo.update(
                    table,
                    key,
                    changes,
                    condition=" AND ".join(f"#s_{name} = :was_{name}" for name in changes),
                    values={f":was_{name}": row[name] for name in changes},
                )
            except ConditionFailed:
                continue
            return
        raise Unavailable("a notification's row is written by too many at once")


def _renamed(answers: list[dict[str, Any]] | None, person: str, pseudonym: str) -> list[dict[str, Any]] | None:
    if answers is None:
        return None
    return [each | {"recipient": pseudonym} if each.get("recipient") == person else each for each in answers]
