"""What time it is for whom: which zone a person lives in, and when what was sent for later is due there."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from consumers.choices import Choices
from infrastructure.dynamo.contacts import ContactStore
from schemas.deliveries import DeliveryRecord
from schemas.plan import Notification, PlannedDelivery
from schemas.preferences import Preferences
from schemas.schedules import due_in, is_wall_clock

Addressed = PlannedDelivery | DeliveryRecord


class Clocks:
    """The zone they chose, else that of their quiet hours, else the one their login tells, else the deployment's."""

    def __init__(self, contacts: ContactStore, choices: Choices, default_zone: str) -> None:
        self._contacts = contacts
        self._choices = choices
        self._default = ZoneInfo(default_zone)

    async def due_at(
        self, environment: str, line: Addressed, send_at: datetime, chosen: Preferences | None = None
    ) -> datetime:
        """When it is due on this person's clock, as things stand now."""
        if not is_wall_clock(send_at):
            return send_at
        return due_in(send_at, await self._zone(environment, line, chosen))

    async def timed(self, notification: Notification, line: PlannedDelivery, chosen: Preferences) -> PlannedDelivery:
        """The line with the time it is due, where it was sent for later."""
        send_at = notification.request.send_at
        if send_at is None:
            return line
        due_at = await self.due_at(notification.environment, line, send_at, chosen)
        return line.model_copy(update={"due_at": due_at})

    async def all_timed(
        self, environment: str, lines: Sequence[PlannedDelivery], send_at: datetime | None
    ) -> tuple[PlannedDelivery, ...]:
        """The same for many, as they are planned."""
        if send_at is None or not is_wall_clock(send_at):
            return tuple(lines)
        times = await asyncio.gather(*(self.due_at(environment, line, send_at) for line in lines))
        return tuple(line.model_copy(update={"due_at": at}) for line, at in zip(lines, times, strict=True))

    async def _zone(self, environment: str, line: Addressed, chosen: Preferences | None) -> ZoneInfo:
        """A newer machine's zone that is not known here is passed over: nobody waits for ever because of it."""
        if line.bare:
            return self._default
        if chosen is None:
            chosen = await self._choices.of_person(environment, line.recipient)
        if (zone := _known(chosen.zone_name)) is not None:
            return zone
        contact = await self._contacts.get(environment, line.recipient)
        return _known(contact.zone if contact else None) or self._default


def _known(name: str | None) -> ZoneInfo | None:
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return None
