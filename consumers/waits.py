"""Whether a delivery goes out now or rests, for how long, and why: its time, its person's quiet hours, their caps."""

from datetime import datetime

from consumers.capping import Capping
from consumers.choices import Choices
from consumers.clocks import Clocks
from schemas.deliveries import DeliveryRecord
from schemas.holds import Hold
from schemas.plan import Notification, PlannedDelivery
from schemas.preferences import QUIET_HOURS, Preferences
from schemas.schedules import SCHEDULED


class Waits:
    def __init__(self, clocks: Clocks, choices: Choices, capping: Capping) -> None:
        self._clocks = clocks
        self._choices = choices
        self._capping = capping

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
