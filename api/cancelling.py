"""Taking back what was sent: produced to Kafka like any request, carried out by route, and waited for."""

import asyncio
from typing import Any

from asgi_correlation_id import correlation_id

from api.audiences import rows_shown
from api.intake import acknowledged
from api.status import next_wakeup, read_status
from api.wiring import ApiResources
from infrastructure.redis.live import outcome_channel
from schemas.cancelling import Cancellation, CancelledDelivery, answer_of
from schemas.ids import notification_id
from schemas.topics import Environment

WAIT_S = 5.0


class Cancelling:
    """One request of one producer, to be taken back."""

    def __init__(self, house: ApiResources, environment: Environment, producer: str, request_id: str) -> None:
        self._house = house
        self._environment = environment
        self._producer = producer
        self._request_id = request_id
        self._id = notification_id(environment, producer, request_id)

    @property
    def notification_id(self) -> str:
        return self._id

    async def cancel(self, traceparent: str) -> tuple[bool, dict[str, Any]]:
        """Whether it was carried out in time, and the answer; raises `Problem` 503 when Kafka did not take it."""
        async with self._house.wakeups.listen(outcome_channel(self._environment, self._id)) as changed:
            with acknowledged(self._request_id):
                await self._house.entrance.cancel(
                    self._request_id,
                    entrance="http",
                    environment=self._environment,
                    producer=self._producer,
                    correlation_id=correlation_id.get() or "",
                    traceparent=traceparent,
                )
            found = await self._carried_out(changed)
        deliveries = await self._as_of_now(found.deliveries or ()) if found else []
        audience = await self._audience() if found else {}
        ended = found is not None and audience.get("status", "SETTLED") == "SETTLED"
        return ended, {
            "notification_id": self._id,
            "request_id": self._request_id,
            "environment": self._environment,
            "cancelled_at": found.cancelled_at if found else None,
            "deliveries": [each.model_dump(mode="json") for each in deliveries],
        } | audience | {"status": "CANCELLED" if ended else "CANCELLING"}

    async def _audience(self) -> dict[str, Any]:
        """Its counts so far; they are exact and final once nothing of it is under way any more."""
        found = await read_status(self._house.stores, self._environment, self._id)
        shown = ("status", "counts", "audience") if found and "audience" in found else ()
        return {name: found[name] for name in shown} if found else {}

    async def _carried_out(self, changed: asyncio.Queue[str]) -> Cancellation | None:
        try:
            async with asyncio.timeout(WAIT_S):
                while True:
                    found = await self._house.stores.notifications.cancellation(self._environment, self._id)
                    if found is not None and found.deliveries is not None:
                        return found
                    await next_wakeup(changed)
        except TimeoutError:
            return None

    async def _as_of_now(self, answers: tuple[CancelledDelivery, ...]) -> list[CancelledDelivery]:
        """An attempt that was under way may have come to its end."""
        if all(each.answer != "under_way" for each in answers):
            return list(answers)
        notification = await self._house.stores.notifications.get(self._environment, self._id)
        rows = (await rows_shown(self._house.stores, notification, None))[1] if notification else []
        now = {row.delivery_id: answer_of(row) for row in rows}
        return [now.get(each.delivery_id, each) if each.answer == "under_way" else each for each in answers]
