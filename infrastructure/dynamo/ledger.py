"""A ledger row on the wire, and the marks by which operators find the rows that are in trouble."""

import zlib
from typing import Any

from infrastructure.dynamo.client import Dynamo, Item
from infrastructure.dynamo.notifications import kept_after
from infrastructure.dynamo.tables import DELIVERIES, EXPIRES
from schemas.deliveries import Delivery, DeliveryRecord
from schemas.holds import place_of_rest
from schemas.troubled import Listed, listed_as, place

TROUBLE_SHARDS = 8
_MARKS = ("trouble", "troubled_at", "resting_of", "resting_until")
_MAY_BE_ABSENT = ("reason", "answer", "provider", "provider_id", "next_at", *_MARKS)
_OURS = {"shard_key", *_MARKS, EXPIRES}


def shard_key(notification_id: str, shard: int) -> str:
    """People named one by one share shard 0; an audience spreads over as many as its plan says."""
    return f"{notification_id}#{shard}"


def key_of(delivery: Delivery | DeliveryRecord) -> Item:
    return {"shard_key": shard_key(delivery.notification_id, delivery.shard), "delivery_id": delivery.delivery_id}


def trouble_key(state: Listed, shard: int) -> str:
    """The partition of the sparse index in which rows of this kind and shard are listed."""
    return f"{state}#{shard}"


def item_of(delivery: Delivery) -> Item:
    """The whole row."""
    fields = delivery.model_dump(mode="json", exclude_none=True, exclude={"notification_id", "delivery_id"})
    expires = kept_after(max(delivery.updated_at, delivery.next_at or delivery.updated_at))
    marks: Item = {}
    # what was redriven is listed too, so that one whose timer was lost can be found and redriven again
    if (trouble := listed_as(delivery)) is not None:
        shard = zlib.crc32(delivery.delivery_id.encode()) % TROUBLE_SHARDS
        marks["trouble"] = trouble_key(trouble, shard)
        marks["troubled_at"] = place(delivery)
    if delivery.held and delivery.next_at is not None:
        marks["resting_of"] = delivery.recipient
        marks["resting_until"] = place_of_rest(delivery)
    return key_of(delivery) | fields | marks | {EXPIRES: expires}


def read_row(item: Item) -> Delivery:
    fields: dict[str, Any] = {name: value for name, value in item.items() if name not in _OURS}
    return Delivery.model_validate(fields | {"notification_id": item["shard_key"].rsplit("#", 1)[0]})


async def write_row(
    dynamo: Dynamo,
    delivery: Delivery,
    condition: str,
    values: Item,
    *,
    names: dict[str, str] | None = None,
    keep: tuple[str, ...] = (),
    count: tuple[str, ...] = (),
) -> Delivery:
    """Moves the row, appends its newest step, and returns it as it then stands; raises `ConditionFailed`.

    What `keep` names stays as it is in the row, what `count` names is counted up by one.
    """
    fields = item_of(delivery)
    for name in ("shard_key", "delivery_id", "version", "history", *keep, *count):
        fields.pop(name, None)
    absent = {name: None for name in _MAY_BE_ABSENT if name not in fields}
    steps = [step.model_dump(mode="json", exclude_defaults=True) for step in delivery.history[-1:]]
    row = await dynamo.update(
        DELIVERIES.named(delivery.environment),
        key_of(delivery),
        fields | absent,
        add={"version": 1} | dict.fromkeys(count, 1),
        append={"history": steps} if steps else None,
        condition=condition,
        names=names,
        values=values,
    )
    return read_row(row)
