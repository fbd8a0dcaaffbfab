"""What operators did with records in quarantine: one row per record, so that nothing is replayed twice by mistake."""

import asyncio
from collections.abc import Iterable

from infrastructure.dynamo.client import ConditionFailed, Dynamo, Item
from infrastructure.dynamo.notifications import KEPT
from infrastructure.dynamo.tables import EXPIRES, QUARANTINE
from schemas.base import iso
from schemas.quarantined import Mark


class QuarantineMarks:
    def __init__(self, dynamo: Dynamo) -> None:
        self._dynamo = dynamo

    async def put(self, environment: str, mark: Mark, *, again: bool = False) -> Mark:
        """The mark as it then stands: ours, or the final one of somebody before, unless `again` overrides it.

        A replay that died before it was over may be begun anew.
        """
        changes: Item = {
            "kind": mark.kind,
            "by": mark.by,
            "at": iso(mark.at),
            "to": mark.to,
            EXPIRES: int((mark.at + KEPT).timestamp()),
        }
        free = "attribute_not_exists(#s_kind) OR (#s_kind = :replayed AND attribute_not_exists(#s_to))"
        try:
            row = await self._dynamo.update(
                QUARANTINE.named(environment),
                {"position": mark.position},
                changes,
                condition=None if again else free,
                values=None if again else {":replayed": "replayed"},
            )
        except ConditionFailed as failed:
            row = failed.item
        return _read(row)

    async def get(self, environment: str, positions: Iterable[str]) -> dict[str, Mark]:
        """The marks there are, by position."""
        keys = [{"position": position} for position in positions]
        rows = await asyncio.gather(*(self._dynamo.get(QUARANTINE.named(environment), key) for key in keys))
        return {row["position"]: _read(row) for row in rows if row}


def _read(row: Item) -> Mark:
    return Mark.model_validate({name: value for name, value in row.items() if name != EXPIRES})
