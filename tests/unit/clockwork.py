"""What the stories about waiting share: people who live somewhere, timers that fire when their time has come."""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from consumers.handlers.preferences import ApplyPreferences
from infrastructure.ports import Outgoing, Received
from schemas.deliveries import Delivery
from schemas.preference_changes import Change, PreferenceCommand
from tests.unit.stories import Floor, a_request, as_read, now

PREFERENCES, STATUS = "notifications.dev.preferences", "notifications.dev.status"


def wall_in(zone: str, ahead: timedelta) -> str:
    """What the clock there will say, to the second."""
    return (now() + ahead).astimezone(ZoneInfo(zone)).replace(tzinfo=None, microsecond=0).isoformat()


class Clockwork:
    """A floor whose timers fire when somebody lets them."""

    def __init__(self, *script: Any) -> None:
        self.floor = Floor(*script)
        self.commands = 0

    async def sends(self, **body: Any) -> None:
        await self.reads(a_request(body))

    async def reads(self, request: Received) -> None:
        """Route reads it, expand and the channels what is handed out."""
        await self.floor.route.handle(request)
        await self.channels_read()

    async def channels_read(self) -> None:
        """Until nobody finds any more to read."""
        records, unread = self.floor.publisher.records, []
        while records:
            sent = records.pop(0)
            if not await self._reads(sent):
                unread.append(sent)
        records[:] = unread

    async def persist_reads(self) -> None:
        for sent in self.floor.publisher.on(STATUS):
            await self.floor.persist.handle(as_read(sent))

    async def fire(self, *, up_to: datetime | None = None) -> int:
        """Every timer that is due by then, once; how many there were."""
        timers = self.floor.timers.timers
        due = sorted(key for key, timer in timers.items() if timer.due_at <= (up_to or now()))
        for key in due:
            timer = timers.pop(key)
            await self._reads(Outgoing(timer.topic, timer.key, timer.value.encode(), timer.headers))
        await self.channels_read()
        return len(due)

    async def chooses(self, person: str, **said: Any) -> None:
        """As the preferences worker applies it."""
        self.commands += 1
        command = PreferenceCommand(
            environment="dev", person=person, change_id=f"c-{self.commands}", change=Change(**said), at=now()
        )
        await self._reads(Outgoing(PREFERENCES, person, command.model_dump_json(exclude_unset=True).encode()))

    async def _reads(self, sent: Outgoing) -> bool:
        """Whoever reads that Kafka topic; false where nobody here does."""
        floor = self.floor
        if sent.topic == PREFERENCES:
            worker = ApplyPreferences(
                floor.preferences, floor.announcer, floor.publisher, floor.timers, floor.waking, floor.marks
            )
            await worker.handle(as_read(sent))
        elif "in-app" in sent.topic:
            await floor.in_app.handle(as_read(sent))
        elif "email" in sent.topic:
            await floor.external().handle(as_read(sent))
        elif "expand" in sent.topic:
            await floor.expand.handle(as_read(sent))
        elif "requests" in sent.topic:
            await floor.route.handle(as_read(sent))
        else:
            return False
        return True

    def rows(self) -> dict[tuple[str, str], Delivery]:
        return {(row.recipient, row.channel): row for row in self.floor.deliveries.rows.values()}

    def states(self) -> dict[tuple[str, str], str]:
        return {key: row.state for key, row in self.rows().items()}

    @property
    def inboxes(self) -> list[str]:
        return sorted(person for _, person, _ in self.floor.inbox.items)
