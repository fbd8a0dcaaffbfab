"""Whether a delivery goes out now or rests, for how long, and why: its time, its person's quiet hours, their caps."""

import random
from datetime import UTC, datetime, timedelta

from consumers.capping import Capping
from consumers.choices import Choices
from consumers.clocks import Clocks
from infrastructure.dynamo.notifications import NotificationStore
from infrastructure.dynamo.timers import TimerStore
from schemas.deliveries import Delivery, DeliveryRecord
from schemas.holds import Hold
from schemas.plan import Notification, PlannedDelivery
from schemas.preferences import QUIET_HOURS, Preferences
from schemas.schedules import SCHEDULED
from schemas.timers import turn_timer

_A_LITTLE_LATER_S = (1.0, 5.0)


class Waits:
    def __init__(
        self, clocks: Clocks, choices: Choices, capping: Capping, notifications: NotificationStore, timers: TimerStore
    ) -> None:
        self._clocks = clocks
        self._choices = choices
        self._capping = capping
        self._notifications = notifications
        self._timers = timers

    async def timed(
        self, delivery: DeliveryRecord, notification: Notification, line: PlannedDelivery, chosen: Preferences
    ) -> PlannedDelivery:
        """The line with the time it is due, if it was sent for later, and what its record knows of its caps and digest."""
        if delivery.capped and not line.capped:  # of an audience: the stored plan has no line of it
            line = line.model_copy(update={"capped": True})
        if delivery.gathers is not None and line.digest is None:
            line = line.model_copy(update={"digest": delivery.gathers})
        return await self._clocks.timed(notification, line, chosen)

    async def hold(
        self, notification: Notification, line: PlannedDelivery, chosen: Preferences, now: datetime
    ) -> Hold | None:
        """None when it may go out. The line is one that `timed` has given."""
        if line.due_at is not None and now < line.due_at:
            return Hold(SCHEDULED, line.due_at)
        # the inbox wakes nobody
        quiet = self._choices.held_until(chosen, notification, line, now) if line.channel != "in_app" else None
        if quiet is not None:
            return Hold(QUIET_HOURS, quiet)
        full = await self._capping.full(notification, line, now)  # last, because it counts what may go
        return Hold(full.reason, full.until) if full else None

    async def come_back(self, carried: DeliveryRecord) -> None:
        """The same turn again, a little later: its window is too busy, or its timer fired before its row was written."""
        later = timedelta(seconds=random.uniform(*_A_LITTLE_LATER_S))  # noqa: S311
        await self._timers.put(turn_timer(carried, datetime.now(UTC) + later))

    async def look_again(self, notification: Notification, carried: DeliveryRecord, row: Delivery) -> None:
        """Wakes at once what has lain down until a time that is not in force any more.

        Whoever moves an audience writes the time, then looks for what rests; whoever lets something rest writes its row,
        then looks at the time. One of the two sees the other.
        """
        if row.reason != SCHEDULED or row.state != "RETRY":
            return
        in_force = await self._notifications.moved_to(notification.environment, notification.notification_id)
        if in_force not in (None, notification.request.send_at):
            await self._timers.put(turn_timer(carried.model_copy(update={"turn": row.turn}), datetime.now(UTC)))
