"""An event that is gathered and shall not be any more: cancelled, or superseded by a newer one.

Out of its window while that is open; afterwards it is what its digest is.
"""

import asyncio
import random
from datetime import UTC, datetime

from infrastructure.dynamo.deliveries import DeliveryStore
from infrastructure.dynamo.digests import DigestStore
from schemas.cancelling import CancelledDelivery, answer_of
from schemas.collapse import SUPERSEDED
from schemas.deliveries import Delivery, DeliveryRecord, State
from schemas.digests import place_of, window_in
from schemas.ids import delivery_id
from schemas.outcomes import Unavailable
from schemas.plan import Notification, PlannedDelivery

_TRIES = 20
_WAIT_S = 0.2


class TakingOut:
    def __init__(self, digests: DigestStore, deliveries: DeliveryStore) -> None:
        self._digests = digests
        self._deliveries = deliveries

    async def stop(
        self, notification: Notification, line: PlannedDelivery, carried: DeliveryRecord, origin: str
    ) -> tuple[Delivery, CancelledDelivery] | None:
        """The row and the answer; None when it was not gathered after all and is to be stopped as others are.

        One that has not joined yet gets its row here, and then cannot join any more.
        """
        for _ in range(_TRIES):
            row = await self._deliveries.cancel(carried, datetime.now(UTC), origin)
            window = window_in(row)
            if window is None:
                return (row, answer_of(row)) if row.state in ("CANCELLED", "EXPIRED") else None
            if await self._leaves(notification, row, window, origin, state="CANCELLED", reason="cancelled"):
                continue  # its row says so now
            if await self._digests.is_closed(row.environment, window, row.delivery_id):
                return row, await self._answer_of_digest(row, line, window)
            await _while_others_write()
        raise _crowded()

    async def supersede(self, notification: Notification, carried: DeliveryRecord, origin: str) -> Delivery | None:
        """The row that says so; None for one whose window has closed, or that ended or went out on its own."""
        for _ in range(_TRIES):
            row = await self._deliveries.supersede(carried, datetime.now(UTC), origin)
            if row is not None:
                return row
            found = await self._deliveries.get(
                carried.environment, carried.notification_id, carried.delivery_id, carried.shard
            )
            window = window_in(found) if found else None
            if found is None or window is None:
                return None
            if await self._leaves(notification, found, window, origin, state="SKIPPED", reason=SUPERSEDED):
                continue
            if await self._digests.is_closed(found.environment, window, found.delivery_id):
                return None
            await _while_others_write()
        raise _crowded()

    async def _leaves(
        self, notification: Notification, row: Delivery, window: str, origin: str, *, state: State, reason: str
    ) -> bool:
        changes = {"state": state, "reason": reason, "next_at": None, "updated_at": datetime.now(UTC)}
        stopped = row.model_copy(update=changes | {"version": row.version + 1}).with_step(origin)
        place = place_of(notification.accepted_at, row.delivery_id)
        return await self._digests.leave(row.environment, window, place, stopped, row.version)

    async def _answer_of_digest(self, row: Delivery, line: PlannedDelivery, window: str) -> CancelledDelivery:
        """What became of the digest's own delivery, as far as it is known."""
        digest = await self._deliveries.get(
            row.environment, window, delivery_id(window, line.recipient, line.channel, line.endpoint)
        )
        if digest is None or digest.state in ("RETRY", "PENDING"):
            return _in_digest(row, digest)
        return answer_of(digest).model_copy(update={"delivery_id": row.delivery_id})


async def _while_others_write() -> None:
    await asyncio.sleep(_WAIT_S * random.random())  # noqa: S311 - spreads, hides nothing


def _crowded() -> Unavailable:
    return Unavailable("a window is written by too many at once")


def _in_digest(row: Delivery, digest: Delivery | None) -> CancelledDelivery:
    return answer_of(row).model_copy(update={"state": digest.state if digest else row.state})
