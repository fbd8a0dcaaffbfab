"""The ledger: one row per delivery, moved only by conditional writes. The claim token fences attempts."""

import asyncio
import secrets
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from infrastructure.dynamo.client import ConditionFailed, Dynamo, Item
from infrastructure.dynamo.ledger import item_of, key_of, read_row, shard_key, write_row
from infrastructure.dynamo.tables import DELIVERIES
from schemas.audiences import Tally
from schemas.base import iso
from schemas.collapse import SUPERSEDED
from schemas.deliveries import Delivery, DeliveryRecord, State, row_of


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
    """A later turn is planned; its timer must exist."""

    delivery: Delivery


@dataclass(frozen=True)
class Settled:
    """Nothing more is to be tried."""

    delivery: Delivery


Claim = Won | Held | Waiting | Settled
_SHARDS_AT_ONCE = 8
WAITING: frozenset[State] = frozenset({"RETRY", "PENDING"})


class DeliveryStore:
    """Claims fence attempts: a worker writes its outcome only while the row still holds its token."""

    def __init__(self, dynamo: Dynamo) -> None:
        self._dynamo = dynamo

    async def claim(self, record: DeliveryRecord, now: datetime) -> Claim:
        """Takes a fresh delivery, or one that waits for just this turn."""
        free = "attribute_not_exists(delivery_id) OR (#s_state IN (:retry, :pending) AND #s_turn = :s_turn)"
        values = {":retry": "RETRY", ":pending": "PENDING"}
        return await self._claim(claimed(record, now), free, values, keep=("attempt", "doubtful", "released"))

    async def take_over(self, record: DeliveryRecord, held: Delivery, now: datetime) -> Claim:
        """Takes the claim of a worker that is thought dead, if nothing has moved since `held` was read.

        Its attempt counts, and may have gone out: the row is doubtful from now on.
        """
        mine = claimed(record, now).model_copy(update={"turn": held.turn, "doubtful": True})
        condition = "#s_state = :in_flight AND #s_claim_token = :seen"
        values = {":in_flight": "IN_FLIGHT", ":seen": held.claim_token}
        return await self._claim(mine, condition, values, keep=("released",), count=("attempt",))

    async def settle(self, outcome: Delivery) -> Delivery | None:
        """Records what a claimed attempt came to; None when the claim was lost meanwhile (the row stays as it is).

        Also settles UNKNOWN under the same token: whoever was thought dead knows better. A retry becomes CANCELLED
        where somebody asked for that while the attempt was under way.
        """
        condition = "#s_claim_token = :s_claim_token AND #s_state IN (:in_flight, :unknown)"
        names = None
        if outcome.state == "RETRY":
            condition, names = condition + " AND attribute_not_exists(#cancel)", {"#cancel": "cancel_requested_at"}
        try:
            values = {":in_flight": "IN_FLIGHT", ":unknown": "UNKNOWN"}
            return await write_row(self._dynamo, outcome, condition, values, names=names)
        except ConditionFailed as failed:
            found = read_row(failed.item) if failed.item else None
        if found is None or found.claim_token != outcome.claim_token:
            return None
        if (found.state, found.turn) == (outcome.state, outcome.turn):
            return found  # the answer of a write that went through was lost
        if found.state in ("IN_FLIGHT", "UNKNOWN") and found.cancel_requested_at is not None:
            return await self.settle(cancelled_instead(outcome))
        return None

    async def note_late(self, outcome: Delivery) -> None:
        """Appends an outcome that came after its claim was lost to the history; state and claim stay as they are."""
        late = outcome.history[-1].model_copy(update={"event": "late"})
        await self._dynamo.update(
            DELIVERIES.named(outcome.environment),
            key_of(outcome),
            {},
            append={"history": [late.model_dump(mode="json", exclude_defaults=True)]},
        )

    async def cancel(self, record: DeliveryRecord, now: datetime, origin: str) -> Delivery:
        """CANCELLED if no attempt is under way, else a request that this attempt be the last; the row as it then stands."""
        stopped = row_of(record, now, state="CANCELLED", reason="cancelled").with_step(origin)
        free = "attribute_not_exists(delivery_id) OR #s_state IN (:retry, :pending)"
        values, keep = {":retry": "RETRY", ":pending": "PENDING"}, ("attempt", "turn", "doubtful")
        while True:
            try:
                return await write_row(self._dynamo, stopped, free, values, keep=keep)
            except ConditionFailed as failed:
                found = read_row(failed.item)
            if found.state != "IN_FLIGHT" or found.cancel_requested_at is not None:
                return found
            with suppress(ConditionFailed):  # it moved in between: look again
                return await self._ask_to_stop(found, now)

    async def rest(self, wanted: Delivery) -> Delivery:
        """Lets a delivery wait for its next turn that nobody has claimed and no operator released; the row as it stands."""
        free = "attribute_not_exists(delivery_id) OR (#s_state IN (:retry, :pending) AND #s_turn = :seen AND #free <> :yes)"
        values = {":retry": "RETRY", ":pending": "PENDING", ":seen": wanted.turn - 1, ":yes": True}
        keep = ("attempt", "doubtful", "released")
        try:
            return await write_row(self._dynamo, wanted, free, values, names={"#free": "released"}, keep=keep)
        except ConditionFailed as failed:
            return read_row(failed.item)

    async def supersede(self, record: DeliveryRecord, now: datetime, origin: str) -> Delivery | None:
        """SKIPPED if no attempt is under way and it had not ended; None otherwise. Asked again, the row it made."""
        skipped = row_of(record, now, state="SKIPPED", reason=SUPERSEDED).with_step(origin)
        free = "attribute_not_exists(delivery_id) OR #s_state IN (:retry, :pending)"
        values, keep = {":retry": "RETRY", ":pending": "PENDING"}, ("attempt", "turn", "doubtful")
        try:
            return await write_row(self._dynamo, skipped, free, values, keep=keep)
        except ConditionFailed as failed:
            found = read_row(failed.item)
        return found if (found.state, found.reason) == ("SKIPPED", SUPERSEDED) else None

    async def record(self, delivery: Delivery) -> None:
        """Writes the row of a delivery that needs no claim (inbox, skips), unless as new a one is there.

        persist alone writes such rows, one after the other, in batches without conditions. Those of an audience are also
        written by whoever takes it back, so these name what they have seen, and look again.
        """
        key, table = key_of(delivery), DELIVERIES.named(delivery.environment)
        while True:
            found = await self._dynamo.get(table, key)
            if found is not None and found["version"] >= delivery.version:
                return
            history = (*read_row(found).history, *delivery.history) if found else delivery.history
            item = item_of(delivery.model_copy(update={"history": history}))
            if delivery.shards == 1:
                await self._dynamo.put_soon(table, item, DELIVERIES.key)
                return
            with suppress(ConditionFailed):
                seen = {"if_version": int(found["version"])} if found else {"unless_exists": "delivery_id"}
                await self._dynamo.put(table, item, **seen)
                return

    async def record_if_absent(self, delivery: Delivery) -> Delivery:
        """Writes a row that nobody may have written before; the first one wins and is returned."""
        try:
            await self._dynamo.put(DELIVERIES.named(delivery.environment), item_of(delivery), unless_exists="delivery_id")
        except ConditionFailed as failed:
            return read_row(failed.item)
        return delivery

    async def get(self, environment: str, notification_id: str, delivery_id: str, shard: int = 0) -> Delivery | None:
        """A consistent read, batched with the others of the moment."""
        key = {"shard_key": shard_key(notification_id, shard), "delivery_id": delivery_id}
        found = await self._dynamo.get(DELIVERIES.named(environment), key)
        return read_row(found) if found else None

    async def of(self, environment: str, notification_id: str, shards: int = 1) -> list[Delivery]:
        """Every row of one notification, by consistent queries over the shards of its plan."""
        found = await asyncio.gather(*(self.in_shard(environment, notification_id, shard) for shard in range(shards)))
        return [row for rows in found for row in rows]

    async def in_shard(self, environment: str, notification_id: str, shard: int) -> list[Delivery]:
        table, key = DELIVERIES.named(environment), shard_key(notification_id, shard)
        return [read_row(row) for row in await self._dynamo.query(table, "shard_key = :shard", {":shard": key})]

    async def page(
        self, environment: str, notification_id: str, shard: int, *, after: str = "", limit: int
    ) -> list[Delivery]:
        """The next rows of one shard in the order of their ids, behind the delivery `after`: a consistent read."""
        values = {":shard": shard_key(notification_id, shard), ":after": after or " "}
        condition = "shard_key = :shard AND delivery_id > :after"
        return [
            read_row(row) for row in await self._dynamo.query(DELIVERIES.named(environment), condition, values, limit=limit)
        ]

    async def tally(self, environment: str, notification_id: str, shards: int) -> Tally:
        """What all rows add up to. Exact and consistent, read in pages: memory does not grow with the audience."""
        table, states, versions = DELIVERIES.named(environment), Counter[State](), 0
        permits = asyncio.Semaphore(_SHARDS_AT_ONCE)

        async def count(shard: int) -> None:
            nonlocal versions
            async with permits:
                pages = self._dynamo.pages(
                    table, "shard_key = :shard", {":shard": shard_key(notification_id, shard)}, only=("state", "version")
                )
                async for page in pages:
                    states.update(row["state"] for row in page)
                    versions += sum(int(row["version"]) for row in page)

        await asyncio.gather(*(count(shard) for shard in range(shards)))
        return Tally(states, versions)

    async def resting_of(
        self, environment: str, person: str, *, after: str | None = None, limit: int | None = None
    ) -> list[Delivery]:
        """What rests for one person, the earliest first and behind the place `after`. The index may lag a moment behind."""
        table = DELIVERIES.named(environment)
        keys = await self._dynamo.query(
            table,
            "resting_of = :person AND resting_until > :after",
            {":person": person, ":after": after or " "},
            index="resting",
            limit=limit,
            consistent=False,
        )
        items = await asyncio.gather(
            *(self._dynamo.get(table, {name: key[name] for name in DELIVERIES.key}) for key in keys)
        )
        rows = [read_row(item) for item in items if item]
        return [row for row in rows if row.held]

    async def _claim(
        self, mine: Delivery, condition: str, values: Item, *, keep: tuple[str, ...] = (), count: tuple[str, ...] = ()
    ) -> Claim:
        try:
            return Won(await write_row(self._dynamo, mine, condition, values, keep=keep, count=count))
        except ConditionFailed as failed:
            found = read_row(failed.item)
            # The answer of a write that went through can be lost and the write repeated: then the row is ours.
            return Won(found) if found.claim_token == mine.claim_token else standing(found)

    async def _ask_to_stop(self, found: Delivery, now: datetime) -> Delivery:
        row = await self._dynamo.update(
            DELIVERIES.named(found.environment),
            key_of(found),
            {"cancel_requested_at": iso(now)},
            condition="#state = :in_flight AND #token = :token",
            names={"#state": "state", "#token": "claim_token"},
            values={":in_flight": "IN_FLIGHT", ":token": found.claim_token},
        )
        return read_row(row)


def cancelled_instead(retry: Delivery) -> Delivery:
    """What a retry becomes when somebody cancelled while its attempt was under way; its newest step says so too."""
    changes = {"state": "CANCELLED", "reason": f"cancelled_after:{retry.reason}", "next_at": None}
    last = retry.history[-1].model_copy(update={"event": "cancelled", "reason": changes["reason"], "next_at": None})
    return retry.model_copy(update=changes | {"history": (*retry.history[:-1], last)})


def claimed(record: DeliveryRecord, now: datetime) -> Delivery:
    """The row of a claim under a fresh token."""
    return row_of(record, now, state="IN_FLIGHT", turn=record.turn, claim_token=secrets.token_hex(12), claimed_at=now)


def standing(found: Delivery) -> Claim:
    if found.state == "IN_FLIGHT":
        return Held(found)
    return Waiting(found) if found.state in WAITING else Settled(found)
