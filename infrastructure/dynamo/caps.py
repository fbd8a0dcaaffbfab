"""What each person has been sent of each capped type. The row names what it counted, so a replay counts nothing twice."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import TypeAdapter

from infrastructure.dynamo.client import ConditionFailed, Dynamo, Item
from infrastructure.dynamo.tables import CAPS, EXPIRES
from schemas.caps import Cap, Counted, counted_with
from schemas.outcomes import Unavailable

_COUNTED: TypeAdapter[tuple[Counted, ...]] = TypeAdapter(tuple[Counted, ...])
_TRIES = 20


class CapStore:
    def __init__(self, dynamo: Dynamo) -> None:
        self._dynamo = dynamo

    async def count(
        self, environment: str, person: str, scope: str, caps: Sequence[Cap], notification_id: str, now: datetime
    ) -> bool:
        """Counts this notification once; False when a cap is full, and then nothing is counted."""
        key: Item = {"person": person, "scope": scope}
        row = await self._dynamo.get(CAPS.named(environment), key) or {}
        for _ in range(_TRIES):
            known = _COUNTED.validate_json(row["counted"]) if row else ()
            after = counted_with(known, caps, notification_id, now)
            if after is None or after == known:
                return after is not None
            try:
                await self._write(environment, key, row, after, caps)
            except ConditionFailed as failed:
                row = failed.item  # somebody else counted meanwhile
            else:
                return True
        raise Unavailable("the caps of one person are written by too many at once")

    async def _write(self, environment: str, key: Item, row: Item, after: tuple[Counted, ...], caps: Sequence[Cap]) -> None:
        longest = max(cap.window for cap in caps)
        changes = {
            "counted": _COUNTED.dump_json(after).decode(),
            EXPIRES: int((after[-1].at + longest).timestamp()),
        }
        condition = "#s_version = :seen" if row else "attribute_not_exists(person)"
        await self._dynamo.update(
            CAPS.named(environment),
            key,
            changes,
            add={"version": 1},
            condition=condition,
            values={":seen": row["version"]} if row else None,
        )
