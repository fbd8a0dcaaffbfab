"""Which notification is the newest of its collapse key: one row per producer, recipient and key, which only advances."""

from infrastructure.dynamo.client import ConditionFailed, Dynamo, Item
from infrastructure.dynamo.notifications import KEPT
from infrastructure.dynamo.tables import COLLAPSE, EXPIRES
from schemas.collapse import Pointer


def _read(row: Item) -> Pointer:
    return Pointer.model_validate({"notification_id": row["notification_id"], "accepted_at": row["accepted_at"]})


class PointerStore:
    def __init__(self, dynamo: Dynamo) -> None:
        self._dynamo = dynamo

    async def newest(self, environment: str, collapse_id: str) -> Pointer | None:
        """A consistent read, batched with the others of the moment."""
        row = await self._dynamo.get(COLLAPSE.named(environment), {"collapse_id": collapse_id})
        return _read(row) if row else None

    async def advance(self, environment: str, collapse_id: str, seen: Pointer | None, to: Pointer) -> Pointer:
        """Moves it from what was `seen` to what is newer; says where it points then: elsewhere, if somebody was faster."""
        if seen is not None and not seen.is_behind(to):
            return seen
        changes = {
            "notification_id": to.notification_id,
            "accepted_at": to.accepted_at.isoformat(),
            "place": to.place,
            EXPIRES: int((to.accepted_at + 2 * KEPT).timestamp()),
        }
        condition = "#s_place = :seen" if seen else "attribute_not_exists(collapse_id)"
        values = {":seen": seen.place} if seen else None
        key = {"collapse_id": collapse_id}
        try:
            await self._dynamo.update(COLLAPSE.named(environment), key, changes, condition=condition, values=values)
        except ConditionFailed as failed:
            return _read(failed.item)
        return to
