"""route: decides once what a request becomes, stores that plan, and hands out the deliveries. A replay follows the plan."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import structlog

from consumers.arrivals import RAW_PRODUCER, Arrival, Arrivals, Moved, Refusal, Withdrawn
from consumers.burial import crash, put_away
from consumers.cancelling import Canceller
from consumers.collapsing import Collapsing
from consumers.gathering import Crowded, Gathering
from consumers.handing_out import HandingOut
from consumers.planning import Planner, Refused
from consumers.rescheduling import Rescheduler
from consumers.schedules import Schedules
from consumers.setting_aside import SettingAside
from infrastructure.dynamo.notifications import NotificationStore
from infrastructure.dynamo.timers import TimerStore
from infrastructure.kafka.reporting import Reporter
from infrastructure.ports import Publisher, Received
from schemas import cloudevents, topics
from schemas.base import iso
from schemas.events import FieldError, Receipt, StatusEvent
from schemas.identity import body_hash
from schemas.plan import Notification, Unplanned
from schemas.requests import NotificationRequest
from schemas.schedules import first_moment, last_moment
from schemas.timers import Timer

log = structlog.get_logger()

_CROWDED_S = (1.0, 5.0)


class _OverQuota(Exception):
    """To be planned among what waits as bulk: nothing of it is stored yet."""


class Route:
    def __init__(
        self,
        arrivals: Arrivals,
        notifications: NotificationStore,
        planner: Planner,
        canceller: Canceller,
        schedules: Schedules,
        rescheduler: Rescheduler,
        collapsing: Collapsing,
        timers: TimerStore,
        publisher: Publisher,
        reporter: Reporter,
        gathering: Gathering,
        setting_aside: SettingAside,
    ) -> None:
        self._arrivals = arrivals
        self._planner = planner
        self._notifications = notifications
        self._canceller = canceller
        self._schedules = schedules
        self._rescheduler = rescheduler
        self._timers = timers
        self._publisher = publisher
        self._reporter = reporter
        self._setting_aside = setting_aside
        self._handing_out = HandingOut(notifications, collapsing, publisher, reporter, gathering)

    async def handle(self, record: Received) -> None:
        arrival = self._arrivals.read(record)
        if isinstance(arrival, Refusal):
            await self._refuse(record, arrival)
            return
        with structlog.contextvars.bound_contextvars(
            notification=arrival.notification_id,
            **_traced(arrival),
        ):
            if isinstance(arrival, Withdrawn):
                await self._cancel(record, arrival)
            elif isinstance(arrival, Moved):
                await self._move(record, arrival)
            else:
                await self._accept(record, arrival, datetime.now(UTC))

    async def _accept(self, record: Received, arrival: Arrival, now: datetime) -> None:
        request = await self._schedules.as_moved(arrival)
        if request.send_at is not None and (first := first_moment(request.send_at)) > now:
            await self._postpone(record, arrival, first, request)
            return
        if await self._planner.is_over_for_now(arrival):
            await self._setting_aside.put(record, arrival)
            return
        if request.send_at is not None and last_moment(request.send_at) > now:  # not everybody is due yet
            await self._schedules.listed(arrival.environment, arrival.notification_id, arrival.producer, request)
        try:
            notification, is_new = await self._notification(
                replace(arrival, request=request), body_hash(arrival.request), now
            )
        except Refused as error:
            refusal = Refusal(arrival.environment, arrival.producer, arrival.request_id, error.reason, error.errors)
            await self._refuse(record, refusal)
            return
        except _OverQuota:
            await self._setting_aside.put(record, arrival)
            return
        if not is_new and await self._notifications.is_routed(arrival.environment, arrival.notification_id):
            same = notification.origin == arrival.origin
            await self._handing_out.receipt(record, arrival, notification, "accepted" if same else "duplicate")
            return
        if notification.cancelled_at is not None:
            await self._canceller.carry_out(record, notification, arrival.traceparent)
            await self._handing_out.tell(record, arrival, notification, now)
            return
        try:
            await self._handing_out.hand_out(record, arrival, notification, now)
        except Crowded as crowded:
            # its plan stands, and comes back to it: whoever waits behind this record is not held up by a busy window
            log.warning("digest.crowded", series=str(crowded))
            await self._postpone(record, arrival, now + timedelta(seconds=random.uniform(*_CROWDED_S)))  # noqa: S311

    async def _cancel(self, record: Received, withdrawn: Withdrawn) -> None:
        """First the mark that every later step reads, then each delivery that is under way already."""
        environment, notification_id = withdrawn.environment, withdrawn.notification_id
        planned = await self._notifications.cancel(environment, notification_id, datetime.now(UTC))
        if planned is None:
            await self._canceller.nothing_planned(environment, notification_id)
            return
        await self._canceller.carry_out(record, planned, withdrawn.traceparent)
        await self._handing_out.expand(planned, withdrawn.correlation_id, withdrawn.traceparent)

    async def _move(self, record: Received, moved: Moved) -> None:
        """The deliveries that the plan lists, and then those of its audience, by the walks that handed them out."""
        with_audience = await self._rescheduler.carry_out(record, moved)
        if with_audience is not None:
            await self._handing_out.expand(with_audience, correlation_id="", traceparent="")

    async def bury(self, record: Received, error: Exception) -> None:
        environment = topics.environment_of(record.topic)
        producer, request_id = self._whose(record)
        refusal = Refusal(
            environment,  # type: ignore[arg-type]  # our own topic names
            producer,
            request_id,
            crash(error),
            (FieldError(pointer="", detail="the request could not be routed; the operators know"),),
        )
        await self._refuse(record, refusal)

    def _whose(self, record: Received) -> tuple[str, str]:
        """Whatever crashed may have been the reading itself; it must not keep the record from being put away."""
        try:
            arrival = self._arrivals.read(record)
        except Exception:  # pylint: disable=broad-exception-caught
            log.exception("request.unreadable", at=str(record.position))
            return RAW_PRODUCER, str(record.position)
        return arrival.producer, arrival.request_id

    async def _notification(self, arrival: Arrival, digest: str, now: datetime) -> tuple[Notification, bool]:
        """The stored row and whether we put it; a replay finds the first one and follows its plan."""
        found = await self._notifications.get(arrival.environment, arrival.notification_id)
        planned = None
        if found is None:
            plan = await self._planner.plan(arrival)
            if plan.moved_from and plan.priority == "bulk" and not arrival.waits_as_bulk:
                raise _OverQuota
            planned = Notification(
                notification_id=arrival.notification_id,
                environment=arrival.environment,
                producer=arrival.producer,
                request_id=arrival.request_id,
                body_hash=digest,
                origin=arrival.origin,
                accepted_at=arrival.accepted_at,
                planned_at=now,
                request=arrival.request,
                plan=plan,
            )
            found = await self._notifications.put_if_absent(planned)
        if found.body_hash != digest:
            raise Refused(
                "request_id_conflict", "/request_id", "this request id came before with another body; the first one counts"
            )
        return found, found is planned

    async def _refuse(self, record: Received, refusal: Refusal) -> None:
        """The bytes to quarantine, the reason to the producer; the neighbours flow on."""
        await put_away(self._publisher, record, refusal.reason, refusal.errors)
        note = Unplanned(
            status="REJECTED",
            producer=refusal.producer,
            request_id=refusal.request_id,
            at=datetime.now(UTC),
            reason=refusal.reason,
            errors=refusal.errors,
        )
        await self._notifications.note_unplanned(refusal.environment, refusal.notification_id, note)
        receipt = Receipt(
            producer=refusal.producer,
            request_id=refusal.request_id,
            notification_id=None,
            verdict="rejected",
            errors=refusal.errors,
            origin=record.position,
            at=datetime.now(UTC),
        )
        await self._reporter.receipt(refusal.environment, receipt)
        log.warning("request.refused", producer=refusal.producer, reason=refusal.reason, at=str(record.position))

    async def _postpone(
        self, record: Received, arrival: Arrival, until: datetime, request: NotificationRequest | None = None
    ) -> None:
        """A later request rests in a timer and comes back as it was, under its first ids."""
        headers = cloudevents.text_headers(record.headers)
        headers.setdefault("ce_id", arrival.request_id)
        headers.setdefault(cloudevents.ACCEPTED_AT, iso(arrival.accepted_at))
        timer = Timer(
            environment=arrival.environment,
            # by its place in Kafka: a record that comes back too early gets a timer of its own, not one just deleted
            timer_id=f"{arrival.notification_id}#{record.position}",
            due_at=until,
            topic=record.topic,
            key=None if record.key is None else record.key.decode(errors="replace"),
            value=(record.value or b"").decode(),
            headers=headers,
        )
        await self._timers.put(timer)
        if request is not None:
            await self._schedules.note(arrival, request, timer.timer_id, datetime.now(UTC))
        event = StatusEvent(
            environment=arrival.environment,
            notification_id=arrival.notification_id,
            event="scheduled",
            at=datetime.now(UTC),
            next_at=until,
            origin=record.position,
        )
        await self._reporter.status(event, correlation_id=arrival.correlation_id, traceparent=arrival.traceparent)


def _traced(arrival: Arrival | Withdrawn | Moved) -> dict[str, str]:
    """A new time travels without a trace of its own."""
    if isinstance(arrival, Moved):
        return {}
    return {"correlation_id": arrival.correlation_id, "trace_id": cloudevents.trace_id(arrival.traceparent)}
