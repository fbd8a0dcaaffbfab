"""Whether a delivery goes out now or rests, for how long, and why: its time, then its person's quiet hours."""

from datetime import datetime

from consumers.choices import Choices
from consumers.clocks import Clocks
from schemas.holds import Hold
from schemas.plan import Notification, PlannedDelivery
from schemas.preferences import QUIET_HOURS, Preferences
from schemas.schedules import SCHEDULED


class Waits:
    def __init__(self, clocks: Clocks, choices: Choices) -> None:
        self._clocks = clocks
        self._choices = choices

    async def timed(self, notification: Notification, line: PlannedDelivery, chosen: Preferences) -> PlannedDelivery:
        return await self._clocks.timed(notification, line, chosen)

    async def hold(
        self, notification: Notification, line: PlannedDelivery, chosen: Preferences, now: datetime
    ) -> Hold | None:
        """None when it may go out. The line is one that `timed` has given."""
        if line.due_at is not None and now < line.due_at:
            return Hold(SCHEDULED, line.due_at)
        # the inbox wakes nobody
        quiet = self._choices.held_until(chosen, notification, line, now) if line.channel != "in_app" else None
        return Hold(QUIET_HOURS, quiet) if quiet is not None else None
