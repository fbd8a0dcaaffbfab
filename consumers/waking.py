"""Wakes what rests, so that it asks again when to go out: what is not due yet lies down once more, until its new time."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime

from infrastructure.dynamo.deliveries import DeliveryStore
from infrastructure.dynamo.notifications import NotificationStore
from infrastructure.dynamo.timers import TimerStore
from schemas.audience_plan import record_of_row
from schemas.deliveries import Delivery
from schemas.timers import turn_timer
from schemas.topics import Environment


class Waking:
    """The timer put here is the one of the turn the row waits for: whichever of the two fires first acts, the other finds
    that its turn has passed."""

    def __init__(self, notifications: NotificationStore, deliveries: DeliveryStore, timers: TimerStore) -> None:
        self._notifications = notifications
        self._deliveries = deliveries
        self._timers = timers

    async def wake(self, environment: Environment, person: str) -> int:
        """Everything that rests for one person; how many there were."""
        rows = await self._deliveries.resting_of(environment, person)
        await self.wake_all(rows)
        return len(rows)

    async def wake_all(self, rows: Iterable[Delivery]) -> None:
        await asyncio.gather(*(self._wake(row) for row in rows))

    async def _wake(self, row: Delivery) -> None:
        notification = await self._notifications.get(row.environment, row.notification_id)
        record = record_of_row(notification, row) if notification else None
        if record is not None:
            await self._timers.put(turn_timer(record, datetime.now(UTC)))
