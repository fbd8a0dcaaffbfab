"""The ledger: one row per delivery, moved only by conditional writes that carry the claim token."""

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from infrastructure.dynamo.client import ConditionFailed, Dynamo, Item
from infrastructure.dynamo.notifications import KEPT
from infrastructure.dynamo.tables import DELIVERIES, EXPIRES
from schemas.deliveries import Delivery, DeliveryRecord

# People named one by one share one shard; audiences will spread over more (the plan holds the count).
_SHARD = "0"


@dataclass(frozen=True)
class Won:
    """The right to attempt, until the lease ends."""

    delivery: Delivery


@dataclass(frozen=True)
class Held:
    """Another worker is at it, or was when it died."""

    delivery: Delivery


@dataclass(frozen=True)
class Waiting:
    """A retry is planned for later; its timer must exist."""

    delivery: Delivery


@dataclass(frozen=True)
class Settled:
    """Nothing more is to be tried."""

    delivery: Delivery


Claim = Won | Held | Waiting | Settled


def _key(notification_id: str, delivery_id: str) -> Item:
    return {"shard_key": f"{notification_id}#{_SHARD}", "delivery_id": delivery_id}


def _item(delivery: Delivery) -> Item:
    fields = delivery.model_dump(mode="json", exclude_none=True, exclude={"notification_id", "delivery_id"})
    expires = int((delivery.updated_at + KEPT).timestamp())
    return _key(delivery.notification_id, delivery.delivery_id) | fields | {EXPIRES: expires}


def _read(item: Item) -> Delivery:
    fields: dict[str, Any] = {name: value for name, value in item.items() if name not in {"shard_key", EXPIRES}}
    return Delivery.model_validate(fields | {"notification_id": item["shard_key"].rsplit("#", 1)[0]})


class DeliveryStore:
    """Claims fence attempts: a worker writes its outcome only while the row still holds its token."""

    def __init__(self, dynamo: Dynamo) -> None:
        self._dynamo = dynamo

    async def claim(self, record: DeliveryRecord, now: datetime) -> Claim:
        """Takes a fresh delivery, a retry whose turn this record is, or a dead worker's lease it has waited out."""
        token = secrets.token_hex(12)
        mine = Delivery(
            environment=record.environment,
            notification_id=record.notification_id,
            delivery_id=record.delivery_id,
            recipient=record.recipient,
            channel=record.channel,
            state="IN_FLIGHT",
            attempt=record.attempt,
            claim_token=token,
            updated_at=now,
        )
        condition = "attribute_not_exists(delivery_id) OR (#s_state = :retry AND #s_attempt = :s_attempt)"
        values: Item = {":retry": "RETRY"}
        if record.seen_claim is not None:
            condition += " OR (#s_state = :s_state AND #s_claim_token = :seen)"
            values |= {":seen": record.seen_claim}
        try:
            return Won(await self._write(mine, condition, values))
        except ConditionFailed as failed:
            found = _read(failed.item)
            # The answer of a write that went through can be lost and the write repeated: then the row is ours.
            return Won(found) if found.claim_token == token else _standing(found)

    async def settle(self, outcome: Delivery) -> Delivery | None:
        """Records what a claimed attempt came to; None when the claim was lost meanwhile (the row stays as it is)."""
        condition = "#s_claim_token = :s_claim_token AND #s_state = :in_flight"
        try:
            return await self._write(outcome, condition, {":in_flight": "IN_FLIGHT"})
        except ConditionFailed as failed:
            found = _read(failed.item) if failed.item else None
            mine = found and found.claim_token == outcome.claim_token and found.state == outcome.state
            return found if mine else None

    async def record(self, delivery: Delivery) -> None:
        """Writes the row of a delivery that needs no claim (inbox, skips), unless a newer one is there."""
        key = _key(delivery.notification_id, delivery.delivery_id)
        table = DELIVERIES.named(delivery.environment)
        found = await self._dynamo.get(table, key)
        if found is None or found["version"] < delivery.version:
            await self._dynamo.put_soon(table, _item(delivery), DELIVERIES.key)

    async def of(self, environment: str, notification_id: str) -> list[Delivery]:
        """Every row of one notification, by a consistent query."""
        rows = await self._dynamo.query(
            DELIVERIES.named(environment), "shard_key = :shard", {":shard": f"{notification_id}#{_SHARD}"}
        )
        return [_read(row) for row in rows]

    async def _write(self, delivery: Delivery, condition: str, values: Item) -> Delivery:
        fields = _item(delivery)
        for name in ("shard_key", "delivery_id", "version", "history"):
            del fields[name]
        optional = {name: fields.get(name) for name in ("reason", "answer", "provider_id", "next_at")}
        steps = [step.model_dump(mode="json", exclude_defaults=True) for step in delivery.history[-1:]]
        row = await self._dynamo.update(
            DELIVERIES.named(delivery.environment),
            _key(delivery.notification_id, delivery.delivery_id),
            fields | optional,
            add={"version": 1},
            append={"history": steps} if steps else None,
            condition=condition,
            values=values,
        )
        return _read(row)


def _standing(found: Delivery) -> Claim:
    if found.state == "IN_FLIGHT":
        return Held(found)
    return Waiting(found) if found.state == "RETRY" else Settled(found)
