"""Durable timers: sharded by environment, read by consistent queries up to now, never scanned."""

import json
from datetime import datetime

from infrastructure.dynamo.client import ConditionFailed, Dynamo, Item
from infrastructure.dynamo.tables import TIMERS
from schemas.base import iso
from schemas.timers import Timer, order_of, shard_of, up_to

_LEASE = "lease#"


def key_of(environment: str, timer_id: str, due_at: datetime) -> Item:
    return {"shard_key": f"{environment}#{shard_of(timer_id)}", "due": order_of(timer_id, due_at)}


def _read(row: Item) -> Timer:
    return Timer.model_validate(json.loads(row["document"]) | {"value": row["value"]})


class TimerStore:
    def __init__(self, dynamo: Dynamo) -> None:
        self._dynamo = dynamo

    async def put(self, timer: Timer) -> None:
        """Durable when it returns; the same timer put again changes nothing. Batched with the others of the moment."""
        item = {
            "shard_key": f"{timer.environment}#{timer.shard}",
            "due": timer.order,
            # the value stays as it is: escaped inside the document, a large request would outgrow a row (400 KB)
            "value": timer.value,
            "document": timer.model_dump_json(exclude_defaults=True, exclude={"value"}),
        }
        await self._dynamo.put_soon(TIMERS.named(timer.environment), item, TIMERS.key)

    async def due(self, environment: str, shard: int, now: datetime, limit: int) -> list[Timer]:
        """What is due in one shard, earliest first."""
        rows = await self._dynamo.query(
            TIMERS.named(environment),
            "shard_key = :shard AND due < :up_to",
            {":shard": f"{environment}#{shard}", ":up_to": up_to(now)},
            limit=limit,
        )
        return [_read(row) for row in rows]

    async def get(self, environment: str, timer_id: str, due_at: datetime) -> Timer | None:
        """None when it has fired."""
        key = key_of(environment, timer_id, due_at)
        row = await self._dynamo.get(TIMERS.named(environment), key)
        return _read(row) if row else None

    async def delete(self, timer: Timer) -> None:
        key = key_of(timer.environment, timer.timer_id, timer.due_at)
        await self._dynamo.delete_soon(TIMERS.named(timer.environment), key)

    async def lease(self, environment: str, shard: int, owner: str, seen: int | None, now: datetime) -> tuple[bool, int]:
        """Takes or renews a shard; (mine, version). Another's lease is taken over by naming the version seen unchanged."""
        condition = "attribute_not_exists(#s_owner) OR #s_owner = :s_owner"
        values = {}
        if seen is not None:
            condition += " OR #s_version = :seen"
            values[":seen"] = seen
        try:
            row = await self._dynamo.update(
                TIMERS.named(environment),
                {"shard_key": f"{_LEASE}{environment}#{shard}", "due": _LEASE},
                {"owner": owner, "renewed_at": iso(now)},
                add={"version": 1},
                condition=condition,
                values=values,
            )
        except ConditionFailed as failed:
            return failed.item.get("owner") == owner, int(failed.item.get("version", 0))
        return True, int(row["version"])

    async def release(self, environment: str, shard: int, owner: str) -> None:
        """Lets another worker take the shard at once."""
        try:
            await self._dynamo.update(
                TIMERS.named(environment),
                {"shard_key": f"{_LEASE}{environment}#{shard}", "due": _LEASE},
                {"owner": None},
                add={"version": 1},
                condition="#s_owner = :mine",
                values={":mine": owner},
            )
        except ConditionFailed:
            return
