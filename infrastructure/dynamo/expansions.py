"""How far the walk over each shard of an audience has come: a row of its own, advanced only by whoever saw it last."""

import asyncio
from datetime import UTC, datetime

from infrastructure.dynamo.client import ConditionFailed, Dynamo, Item
from infrastructure.dynamo.notifications import kept_after
from infrastructure.dynamo.tables import EXPIRES, NOTIFICATIONS
from schemas.audiences import Progress
from schemas.topics import Environment


class ExpansionStore:
    def __init__(self, dynamo: Dynamo) -> None:
        self._dynamo = dynamo

    async def get(self, environment: Environment, notification_id: str, shard: int) -> Progress:
        """A consistent read; a walk that has not begun stands at its beginning."""
        found = await self._dynamo.get(NOTIFICATIONS.named(environment), _key(notification_id, shard))
        return _read(found) if found else at_the_beginning(environment, notification_id, shard)

    async def of(self, environment: Environment, notification_id: str, shards: int) -> list[Progress]:
        return await asyncio.gather(*(self.get(environment, notification_id, shard) for shard in range(shards)))

    async def advance(self, seen: Progress, to: Progress, *, due_at: datetime) -> Progress:
        """Moves on from what was seen; if somebody else has moved meanwhile, where it stands now.

        It is remembered as long as what it has handed out: `due_at` is when the last of that is due.
        """
        version = seen.version + 1
        row = {
            "progress": to.model_copy(update={"version": version}).model_dump_json(exclude_defaults=True),
            "version": version,
            EXPIRES: kept_after(max(to.updated_at, due_at)),
        }
        condition = "#s_version = :seen" if seen.version else "attribute_not_exists(#s_version)"
        try:
            after = await self._dynamo.update(
                NOTIFICATIONS.named(seen.environment),
                _key(seen.notification_id, seen.shard),
                row,
                condition=condition,
                values={":seen": seen.version} if seen.version else None,
            )
        except ConditionFailed as failed:
            return _read(failed.item)
        return _read(after)


def at_the_beginning(environment: Environment, notification_id: str, shard: int) -> Progress:
    return Progress(environment=environment, notification_id=notification_id, shard=shard, updated_at=datetime.now(UTC))


def _key(notification_id: str, shard: int) -> Item:
    return {"notification_id": f"{notification_id}#shard#{shard}"}


def _read(item: Item) -> Progress:
    return Progress.model_validate_json(item["progress"])
