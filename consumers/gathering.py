"""Puts an event into the window of its series, once: joined, it is in exactly one digest, whoever dies when."""

import asyncio
import json
import random
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from consumers.clocks import Clocks
from consumers.handlers.content import Wording
from infrastructure.dynamo.deliveries import WAITING, DeliveryStore
from infrastructure.dynamo.digests import DigestStore
from infrastructure.dynamo.notifications import NotificationStore
from infrastructure.dynamo.timers import TimerStore
from infrastructure.kafka.reporting import Reporter
from infrastructure.metrics import DELIVERIES, DIGEST_EVENTS
from infrastructure.ports import Received
from infrastructure.rendering import CannotRender
from schemas.catalogue import UnknownName
from schemas.deliveries import Delivery, DeliveryRecord
from schemas.digest_terms import Terms
from schemas.digests import (
    MOST_TEXT,
    MOST_TITLE,
    MOST_VARIABLES_BYTES,
    Gathered,
    Series,
    Window,
    cut,
    digested_row,
    link_or_none,
    new_window,
    note_of,
    series_of,
    window_timer,
)
from schemas.events import event_of
from schemas.plan import Notification, PlannedDelivery

log = structlog.get_logger()

_TRIES = 12
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.01, 0.5


class Crowded(Exception):
    """Too many join one window at once: this one comes back later, so that nobody else waits for it."""


class AheadOfItsRow(Exception):
    """Its timer fired before the row was written that says it waits for this turn: it comes back once that is there."""


@dataclass(frozen=True)
class _Joining:
    """One line on its way into a window of its series."""

    notification: Notification
    line: PlannedDelivery
    terms: Terms
    carried: DeliveryRecord
    origin: str
    series: Series
    due_at: datetime
    rested: Delivery | None = None  # its row, where it has waited for its own time

    def new_window(self, before: datetime | None, now: datetime) -> Window:
        pinned, priority = self.notification.plan.type, self.carried.priority
        return new_window(self.series, self.line, self.terms, before, now, pinned=pinned, priority=priority)


class Gathering:
    def __init__(
        self,
        digests: DigestStore,
        notifications: NotificationStore,
        deliveries: DeliveryStore,
        timers: TimerStore,
        wording: Wording,
        clocks: Clocks,
        reporter: Reporter,
    ) -> None:
        self._clocks = clocks
        self._digests = digests
        self._notifications = notifications
        self._deliveries = deliveries
        self._timers = timers
        self._wording = wording
        self._reporter = reporter

    async def gathers(
        self, record: Received, notification: Notification, line: PlannedDelivery, carried: DeliveryRecord
    ) -> bool:
        """True when the line has a row in the ledger afterwards; False when it is to go to its channel, by itself or to
        rest there until its own time. Raises `Crowded`.
        """
        if line.digest is None:
            return False
        send_at = notification.request.send_at
        due_at = await self._clocks.due_at(notification.environment, line, send_at) if send_at else notification.accepted_at
        if send_at is not None and datetime.now(UTC) < due_at:
            return False
        row = await self._known(carried) if send_at else None  # read again, it may rest by now
        if row is None:
            series, origin = series_of(notification, line, line.digest), str(record.position)
            row = await self._row(_Joining(notification, line, line.digest, carried, origin, series, due_at))
        if row is None:
            return False
        await self._say(record, notification, carried, row)
        return True

    async def joins(
        self, record: Received, notification: Notification, line: PlannedDelivery, carried: DeliveryRecord
    ) -> bool:
        """The same for one that is due now, as its channel asks it; False when it has begun to go by itself.

        Raises `Crowded` and `AheadOfItsRow`.
        """
        rested = await self._known(carried)
        if line.digest is not None and rested is not None and rested.state in WAITING and rested.turn < carried.turn:
            raise AheadOfItsRow(carried.delivery_id)
        if line.digest is None or not (rested is None or rested.state == "DIGESTED" or _only_rested(rested, carried)):
            return False
        series, due_at = series_of(notification, line, line.digest), line.due_at or notification.accepted_at
        origin = str(record.position)
        joining = _Joining(notification, line, line.digest, carried, origin, series, due_at, rested)
        row = rested if rested and rested.state == "DIGESTED" else await self._row(joining)
        if row is None or row.state != "DIGESTED":
            return False
        await self._say(record, notification, carried, row)
        return True

    async def _say(self, record: Received, notification: Notification, carried: DeliveryRecord, row: Delivery) -> None:
        event = event_of(row, origin=record.position, **notification.whose)
        await self._reporter.status(event, correlation_id=carried.correlation_id, traceparent=carried.traceparent)

    async def _row(self, joining: _Joining) -> Delivery | None:
        event = await self._event(joining)
        if event is None:  # whoever delivers it says why it cannot be rendered; unless it was rendered before
            return None if joining.rested else await self._known(joining.carried)
        for tried in range(_TRIES):
            now = datetime.now(UTC)
            window = await self._window(joining, now, sure=tried == 0)
            if window is not None:
                mine = event.model_copy(update={"late": window.is_late(max(event.accepted_at, joining.due_at))})
                row = digested_row(joining.carried, window, mine, now, joining.origin, joining.rested)
                if await self._digests.join(window, mine, row, now):
                    return _counted(row, mine)
                found = await self._known(joining.carried)
                if found is not None and (joining.rested is None or found.version != joining.rested.version):
                    return found
            wait = min(_FIRST_WAIT_S * 2**tried, _LONGEST_WAIT_S)
            await asyncio.sleep(wait * random.random())  # noqa: S311 - spreads, hides nothing
        raise Crowded(joining.series.id)

    async def _window(self, joining: _Joining, now: datetime, *, sure: bool) -> Window | None:
        """The newest window of the series if it is open to this line, else a new one; None when somebody was faster.

        `sure`: one whose time has not come is not asked; the transaction will tell.
        """
        environment, delivery = joining.series.environment, joining.line.delivery_id
        newest = await self._digests.current(joining.series)
        if newest is not None:
            young = sure and now < newest.opened_at + newest.terms.window
            if young or not await self._digests.is_closed(environment, newest.window_id, delivery):
                return newest
        last = await self._digests.find(environment, newest.window_id) if newest else None
        window = joining.new_window(last.closed_at if last else None, now)
        await asyncio.gather(  # timer first: a window that is open will be closed, whoever dies now
            self._timers.put(window_timer(environment, window.window_id, window.closes_at, delivery)),
            self._notifications.note_unplanned(environment, window.window_id, note_of(window, "SCHEDULED", now)),
        )
        if not await self._digests.open(window, newest):
            return None
        log.info("digest.opened", window=window.window_id, closes_at=window.closes_at.isoformat())
        return window

    async def _known(self, carried: DeliveryRecord) -> Delivery | None:
        return await self._deliveries.get(carried.environment, carried.notification_id, carried.delivery_id, carried.shard)

    async def _event(self, joining: _Joining) -> Gathered | None:
        notification, line = joining.notification, joining.line
        try:
            content = await self._wording.of(notification, line)
        except (CannotRender, UnknownName):
            return None
        variables = notification.request.variables
        return Gathered(
            notification_id=notification.notification_id,
            delivery_id=line.delivery_id,
            shards=joining.carried.shards,
            accepted_at=notification.accepted_at,
            expires_at=_expires(notification, joining.due_at),
            address=line.address,
            title=cut(content.title, MOST_TITLE),
            text=cut(content.body, MOST_TEXT),
            url=link_or_none(content.url),
            variables=variables if len(json.dumps(variables).encode()) <= MOST_VARIABLES_BYTES else {},
        )


def _expires(notification: Notification, due_at: datetime) -> datetime | None:
    plan = notification.plan
    return plan.expires_at or (due_at + plan.expires_after if plan.expires_after else None)


def _only_rested(row: Delivery, carried: DeliveryRecord) -> bool:
    """It waits for just this turn, and nothing of it has been tried: what an operator released goes by itself."""
    is_its_turn = row.state in WAITING and row.turn == carried.turn
    return is_its_turn and row.attempt == 0 and not row.doubtful and not row.released


def _counted(row: Delivery, event: Gathered) -> Delivery:
    DELIVERIES.labels(row.channel, row.state).inc()
    DIGEST_EVENTS.labels("late" if event.late else "in_time").inc()
    return row
