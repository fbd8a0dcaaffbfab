"""digest: closes windows whose time has come, and sends what they have gathered the way of any notification."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Literal

import structlog

from consumers.arrivals import Arrival
from consumers.burial import crash, put_away
from consumers.choices import Choices
from consumers.handing_out import HandingOut
from infrastructure.dynamo.digests import DigestStore
from infrastructure.dynamo.notifications import NotificationStore
from infrastructure.dynamo.timers import TimerStore
from infrastructure.kafka.reporting import Reporter
from infrastructure.metrics import DIGESTS_CLOSED
from infrastructure.ports import Publisher, Received
from schemas.digest_content import Tally, digest_of, stays_as_it_is
from schemas.digests import Gathered, Window, WindowDue, expired_row, note_of, window_timer
from schemas.erasures import is_covered
from schemas.events import event_of
from schemas.plan import Notification

log = structlog.get_logger()

_AFTER_A_CRASH = timedelta(minutes=15)


class CloseDigests:
    """Every step may be repeated: the closing time is written once, and closed a window always has the same events."""

    def __init__(
        self,
        digests: DigestStore,
        notifications: NotificationStore,
        timers: TimerStore,
        choices: Choices,
        handing_out: HandingOut,
        publisher: Publisher,
        reporter: Reporter,
    ) -> None:
        self._digests = digests
        self._notifications = notifications
        self._timers = timers
        self._choices = choices
        self._handing_out = handing_out
        self._publisher = publisher
        self._reporter = reporter

    async def handle(self, record: Received) -> None:
        try:
            due = WindowDue.model_validate_json(record.value or b"")
        except ValueError:
            await put_away(self._publisher, record, "unreadable")
            return
        with structlog.contextvars.bound_contextvars(window=due.window_id):
            await self._look_at(record, due, datetime.now(UTC))

    async def bury(self, record: Received, error: Exception) -> None:
        """Its events rest in no other place: the window is tried again later, when whoever is on duty has looked."""
        await put_away(self._publisher, record, crash(error))
        try:
            due = WindowDue.model_validate_json(record.value or b"")
        except ValueError:
            return
        again = datetime.now(UTC) + _AFTER_A_CRASH
        await self._timers.put(window_timer(due.environment, due.window_id, again, str(record.position)))

    async def _look_at(self, record: Received, due: WindowDue, now: datetime) -> None:
        window = await self._digests.find(due.environment, due.window_id)
        if window is None:
            # its opener died, or is so slow that its timer has fired: then it must not open any more
            if not await self._digests.rule_out(due.environment, due.window_id, now):
                await self._look_at(record, due, now)
            return
        if window.closed_at is None and now < window.closes_at:
            await self._wait(record, window, now)
            return
        if await self._notifications.is_routed(due.environment, due.window_id):
            return
        closed = await self._digests.close(window, window.closed_at or now)
        await self._send(record, closed, closed.closed_at or now)

    async def _wait(self, record: Received, window: Window, now: datetime) -> None:
        """It slides, or the clocks of two machines differ. Named by this record: the timer that has just fired goes yet."""
        again = window_timer(window.environment, window.window_id, window.closes_at, str(record.position))
        await asyncio.gather(self._timers.put(again), self._note(window, "SCHEDULED", now))

    async def _send(self, record: Received, window: Window, closed_at: datetime) -> None:
        tally = await self._tallied(record, window, closed_at)
        log.info("digest.closed", events=tally.count, late=tally.late, shown=len(tally.shown))
        DIGESTS_CLOSED.labels("sent" if tally.count else "empty").inc()
        if not tally.count:
            await self._note(window, "EMPTY", closed_at)
            return
        only = await self._only_event(window, tally)
        notification = digest_of(tally, str(record.position), only)
        chosen = await self._choices.of_many(
            window.environment, () if window.line.bare else (window.series.recipient,), window.series.category
        )
        plan = notification.plan
        lines = self._choices.narrowed(notification.request, plan, plan.lines, chosen, datetime.now(UTC))
        stored = await self._notifications.put_if_absent(notification.model_copy(update={"plan": plan.with_lines(lines)}))
        await self._handing_out.hand_out(record, _arrival(stored), stored, datetime.now(UTC))

    async def _tallied(self, record: Received, window: Window, closed_at: datetime) -> Tally:
        """Page by page, so that memory does not grow with the window."""
        tally, whose = Tally(window, closed_at), window.series
        erased = None if window.line.bare else await self._choices.erased_person(whose.environment, whose.recipient)
        async for page in self._digests.pages(window):
            expired = tally.take(event for event in page if not is_covered(erased, event.accepted_at))
            await asyncio.gather(*(self._expire(record, window, event, closed_at) for event in expired))
        return tally

    async def _expire(self, record: Received, window: Window, event: Gathered, closed_at: datetime) -> None:
        row = await self._digests.expire(expired_row(window, event, closed_at, str(record.position)))
        if row.state == "EXPIRED":
            notification = await self._notifications.get(window.environment, event.notification_id)
            whose = notification.whose if notification else {}
            said = event_of(row, origin=record.position, **whose)
            await self._reporter.status(said, correlation_id="", traceparent="")

    async def _only_event(self, window: Window, tally: Tally) -> Notification | None:
        if not stays_as_it_is(tally):
            return None
        return await self._notifications.get(window.environment, tally.shown[0].notification_id)

    async def _note(self, window: Window, status: Literal["SCHEDULED", "EMPTY"], at: datetime) -> None:
        note = note_of(window, status, at)
        await self._notifications.note_unplanned(window.environment, window.window_id, note)


def _arrival(notification: Notification) -> Arrival:
    """A digest arrives from nowhere but the store."""
    return Arrival(
        notification.environment,
        notification.producer,
        notification.request_id,
        notification.request,
        notification.accepted_at,
        notification.origin,
        correlation_id="",
        traceparent="",
    )
