"""Another time for what was sent for later: produced to Kafka like a cancellation, carried out by route, and waited for."""

import asyncio
from datetime import datetime
from typing import Any

from asgi_correlation_id import correlation_id

from api.intake import acknowledged
from api.problems import Problem
from api.status import next_wakeup
from api.wiring import ApiResources
from infrastructure.redis.live import outcome_channel
from schemas.ids import notification_id
from schemas.rescheduling import Rescheduling
from schemas.topics import Environment

WAIT_S = 5.0


class Rescheduled:
    """One request of one producer, to be given another time."""

    def __init__(self, house: ApiResources, environment: Environment, producer: str, request_id: str) -> None:
        self._house = house
        self._environment = environment
        self._producer = producer
        self._request_id = request_id
        self._id = notification_id(environment, producer, request_id)

    async def move(self, send_at: datetime, traceparent: str) -> tuple[bool, dict[str, Any]]:
        """Whether all of it was carried out in time, and the answer; raises `Problem`: 503 when Kafka did not take it, 409.

        Where it has an audience that is done by its walks, page by page.
        """
        async with self._house.wakeups.listen(outcome_channel(self._environment, self._id)) as changed:
            with acknowledged(self._request_id):
                change_id = await self._house.entrance.reschedule(
                    self._request_id,
                    send_at,
                    environment=self._environment,
                    producer=self._producer,
                    correlation_id=correlation_id.get() or "",
                    traceparent=traceparent,
                )
            found = await self._carried_out(change_id, changed)
        if found is not None and found.refused is not None:
            raise refused(found.refused)
        return found is not None and not found.has_audience, {
            "notification_id": self._id,
            "request_id": self._request_id,
            "environment": self._environment,
            "send_at": send_at,
            "deliveries": [each.model_dump(mode="json") for each in (found.deliveries or ())] if found else [],
        }

    async def _carried_out(self, change_id: str, changed: asyncio.Queue[str]) -> Rescheduling | None:
        try:
            async with asyncio.timeout(WAIT_S):
                while True:
                    found = await self._house.stores.notifications.rescheduling(self._environment, self._id)
                    if found is not None and found.change_id == change_id:
                        return found
                    await next_wakeup(changed)
        except TimeoutError:
            return None


def refused(why: str) -> Problem:
    said = {
        "cancelled": "It was cancelled, so it has no time any more.",
        "not_scheduled": "It was not sent for later, so there is no time to change.",
    }
    return Problem(409, "Not in this state", said[why], type="not_in_this_state")
