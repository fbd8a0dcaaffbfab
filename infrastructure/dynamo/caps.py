"""What each person has been sent in each capped scope. The row names what it counted, so a replay counts nothing twice."""

import asyncio
import random
import secrets
from collections.abc import Sequence
from datetime import datetime

from pydantic import TypeAdapter

from infrastructure.dynamo.client import ConditionFailed, Dynamo, Item
from infrastructure.dynamo.tables import CAPS, EXPIRES
from schemas.caps import Counted, Full, Scope, counted_with, strictest
from schemas.outcomes import Unavailable

_COUNTED: TypeAdapter[tuple[Counted, ...]] = TypeAdapter(tuple[Counted, ...])
_TRIES = 20
_PAUSE_S = 0.02


class CapStore:
    def __init__(self, dynamo: Dynamo) -> None:
        self._dynamo = dynamo

    async def count(
        self, environment: str, person: str, scopes: Sequence[Scope], notification_id: str, now: datetime
    ) -> Full | None:
        """Counts this notification once in every scope; or in none of them, and says which cap is full."""
        table, keys = CAPS.named(environment), [{"person": person, "scope": scope.key} for scope in scopes]
        for tried in range(_TRIES):
            rows = [row or {} for row in await asyncio.gather(*(self._dynamo.get(table, key) for key in keys))]
            changed, full = _counted(rows, scopes, notification_id, now)
            if full is not None or not changed:
                return full
            writes = [keys[n] | _changes(scopes[n], after, rows[n]) for n, after in changed.items()]
            if await self._write(table, writes):
                return None
            await asyncio.sleep(random.uniform(0, _PAUSE_S * tried))  # noqa: S311 - somebody else counts: let them
        raise Unavailable("the caps of one person are written by too many at once")

    async def _write(self, table: str, rows: Sequence[Item]) -> bool:
        """All or none, each upon the row that was read; False when somebody was faster."""
        if len(rows) > 1:
            return await self._dynamo.transact(
                [self._dynamo.put_if(table, row, *_unchanged(row)) for row in rows], secrets.token_hex(16)
            )
        [row] = rows
        condition, values = _unchanged(row)
        key = {name: row[name] for name in CAPS.key}
        try:
            await self._dynamo.update(
                table, key, {name: row[name] for name in row if name not in key}, condition=condition, values=values
            )
        except ConditionFailed as failed:
            # the answer of a write that went through can be lost and the write repeated: then the row is ours
            return (failed.item.get("version"), failed.item.get("counted")) == (row["version"], row["counted"])
        return True


def _counted(
    rows: Sequence[Item], scopes: Sequence[Scope], notification_id: str, now: datetime
) -> tuple[dict[int, tuple[Counted, ...]], Full | None]:
    """What changes in which scope, or the cap that is full."""
    changed: dict[int, tuple[Counted, ...]] = {}
    full: list[Full] = []
    for number, (row, scope) in enumerate(zip(rows, scopes, strict=True)):
        known = _COUNTED.validate_json(row["counted"]) if row else ()
        after = counted_with(known, scope, notification_id, now)
        if isinstance(after, Full):
            full.append(after)
        elif after != known:
            changed[number] = after
    return changed, strictest(full)


def _changes(scope: Scope, after: tuple[Counted, ...], row: Item) -> Item:
    return {
        "counted": _COUNTED.dump_json(after).decode(),
        "version": int(row.get("version", 0)) + 1,
        EXPIRES: int(after[-1].at.timestamp() + scope.longest),
    }


def _unchanged(row: Item) -> tuple[str, Item]:
    """The condition that nobody has counted since the row was read."""
    if row["version"] == 1:
        return "attribute_not_exists(person)", {}
    return "version = :seen", {":seen": row["version"] - 1}
