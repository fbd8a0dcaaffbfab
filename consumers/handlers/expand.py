"""expand: walks one shard of an audience, page by page, from a cursor kept in a row of its own.

A page is said to be begun, produced, its skips written, and then the cursor moves. A death in between repeats it: delivery
ids are the same again, and deliver absorbs them; what was begun is finished before anything stops the walk, so that the
cursor covers all that is out. Whoever finds that somebody else has moved on goes on from there. Once it is cancelled, a walk
ends at its cursor, and goes the same way again to take back what it handed out.
"""

import asyncio
import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from consumers.burial import crash, put_away
from consumers.cancelling import Canceller
from consumers.collapsing import Collapsing
from consumers.completing import Completing
from consumers.gathering import Crowded, Gathering
from consumers.handing_out import handed_over
from consumers.pages import Page, next_page
from consumers.planning import Planner
from infrastructure.dynamo.contacts import ContactStore
from infrastructure.dynamo.deliveries import DeliveryStore
from infrastructure.dynamo.expansions import ExpansionStore
from infrastructure.dynamo.notifications import NotificationStore
from infrastructure.dynamo.timers import TimerStore
from infrastructure.kafka.reporting import Reporter
from infrastructure.ports import Backlog, Publisher, Received
from schemas import cloudevents, topics
from schemas.audience_plan import audience_lines
from schemas.audiences import Audience, ExpandRecord, Progress, Stop
from schemas.deliveries import DeliveryRecord, row_of
from schemas.events import event_of
from schemas.fallback import at_once
from schemas.plan import Notification, PlannedDelivery
from schemas.timers import Timer

log = structlog.get_logger()

_PAGES_AT_ONCE = 4
"""Over all shards of this process: what is in memory does not grow with the audience, nor with how many there are."""
_PAUSE_S = 5.0
_STRETCH_S = 20.0
"""How long one shard is walked in one go: then the others have their turn, and a worker that is to stop can."""


@dataclass(frozen=True)
class _Walk:
    """One record on its way, and the notification as it was read for the step at hand."""

    record: Received
    carried: ExpandRecord
    notification: Notification
    audience: Audience

    def record_of(self, line: PlannedDelivery) -> DeliveryRecord:
        return self.notification.record_of(line, self.carried.correlation_id, self.carried.traceparent)


class Expand:
    def __init__(
        self,
        notifications: NotificationStore,
        expansions: ExpansionStore,
        contacts: ContactStore,
        deliveries: DeliveryStore,
        timers: TimerStore,
        planner: Planner,
        canceller: Canceller,
        gathering: Gathering,
        collapsing: Collapsing,
        publisher: Publisher,
        reporter: Reporter,
        backlog: Backlog,
        longest: timedelta,
        backlog_max_s: float,
    ) -> None:
        self._notifications = notifications
        self._expansions = expansions
        self._contacts = contacts
        self._deliveries = deliveries
        self._timers = timers
        self._completing = Completing(timers)
        self._planner = planner
        self._canceller = canceller
        self._collapsing = collapsing
        self._gathering = gathering
        self._publisher = publisher
        self._reporter = reporter
        self._backlog = backlog
        self._longest = longest
        self._backlog_max_s = backlog_max_s
        self._pages = asyncio.Semaphore(_PAGES_AT_ONCE)

    async def handle(self, record: Received) -> None:
        try:
            carried = ExpandRecord.model_validate_json(record.value or b"")
        except ValueError:
            await self._put_away(record, "unreadable")
            return
        with structlog.contextvars.bound_contextvars(
            notification=carried.notification_id,
            shard=carried.shard,
            correlation_id=carried.correlation_id,
            trace_id=cloudevents.trace_id(carried.traceparent),
        ):
            await self._walk(record, carried)

    async def bury(self, record: Received, error: Exception) -> None:
        await self._put_away(record, crash(error))

    async def _walk(self, record: Received, carried: ExpandRecord) -> None:
        """To the end of the shard, or until a timer holds what is left of it."""
        progress = await self._expansions.get(carried.environment, carried.notification_id, carried.shard)
        began = time.monotonic()
        while True:
            # read anew for each page: somebody may have cancelled
            notification = await self._notifications.get(carried.environment, carried.notification_id)
            audience = notification.plan.audience if notification else None
            if notification is None or audience is None:
                await self._put_away(record, "not_planned")
                return
            after = await self._step(_Walk(record, carried, notification, audience), progress, datetime.now(UTC))
            if after is None:
                return
            if time.monotonic() - began > _STRETCH_S:
                await self._rest(carried, datetime.now(UTC))
                return
            progress = after

    async def _step(self, walk: _Walk, progress: Progress, now: datetime) -> Progress | None:
        """Where the walk stands after its next page; None when there is no more to do, or not now."""
        if progress.done:
            if walk.notification.cancelled_at is not None and not progress.taken_back:
                return await self._take_back(walk, progress)
            await self._completing.ask(walk.carried.environment, walk.carried.notification_id, is_audience=True)
            log.info("audience.walked", members=progress.members, skipped=progress.skipped, stopped=progress.stopped)
            return None
        if not progress.is_within_a_page:
            if (stop := self._stopped(walk.notification, now)) is not None:
                return await self._expansions.advance(progress, progress.ended(stop, now))
            if await self._is_behind(walk):
                await self._pause(walk.carried, now)
                return None
        try:
            async with self._pages:
                return await self._page(walk, progress)
        except Crowded:
            await self._pause(walk.carried, now)
            return None

    def _stopped(self, notification: Notification, now: datetime) -> Stop | None:
        if notification.cancelled_at is not None:
            return "cancelled"
        over = now >= notification.plan.deadline(notification.due_at, self._longest)
        return "deadline_passed" if over else None

    async def _is_behind(self, walk: _Walk) -> bool:
        environment, priority = walk.carried.environment, walk.audience.priority
        looks = (self._backlog.seconds(environment, channel, priority) for channel in walk.audience.channels)
        return max(await asyncio.gather(*looks)) > self._backlog_max_s

    async def _pause(self, carried: ExpandRecord, now: datetime) -> None:
        spread = random.uniform(0.8, 1.2)  # noqa: S311 - spreads the shards
        await self._rest(carried, now + timedelta(seconds=_PAUSE_S * spread))

    async def _rest(self, carried: ExpandRecord, until: datetime) -> None:
        """The record comes back by itself; until then nothing of it is held here."""
        timer = Timer(
            environment=carried.environment,
            timer_id=f"expand#{carried.key}",
            due_at=until,
            topic=topics.expand(carried.environment),
            key=carried.key,
            value=carried.model_dump_json(exclude_defaults=True),
        )
        await self._timers.put(timer)
        log.info("audience.rests", until=until.isoformat())

    async def _page(self, walk: _Walk, progress: Progress) -> Progress:
        """Hands out the next page, or what is left of one that was begun; returns where the walk stands afterwards."""
        page = await self._next_page(walk, after=progress.cursor, up_to=progress.page_to)
        lines = await self._planner.page(walk.notification, page.people)
        if lines and page.last > progress.page_to:
            begun = await self._expansions.advance(progress, progress.begun(page.last, datetime.now(UTC)))
            if (begun.cursor, begun.page_to) != (progress.cursor, page.last):
                return begun  # somebody else was here
            progress = begun
        await self._collapsing.replace_older(walk.record, walk.notification, lines)
        await asyncio.gather(
            *(self._hand_out(walk, line) for line in at_once(lines)),
            *(self._skip(walk, line) for line in lines if line.skipped is not None),
        )
        skipped = sum(line.skipped is not None for line in lines)
        counted: dict[str, object] = {"members": len(page.people), "planned": len(lines) - skipped, "skipped": skipped}
        ends: dict[str, object] = {"cursor": page.last, "done": not page.more, "updated_at": datetime.now(UTC)}
        return await self._expansions.advance(progress, progress.past(progress.model_copy(update=counted | ends)))

    async def _take_back(self, walk: _Walk, progress: Progress) -> Progress:
        """Asks one page of what was handed out to stop, delivery by delivery; moves on once all have been asked."""
        async with self._pages:
            page = await self._next_page(walk, after=progress.taken_back_to)
            reached = [person for person in page.people if person <= progress.cursor]
            lines = audience_lines(walk.notification, reached, {})
            await self._canceller.take_back(walk.record, walk.notification, lines, walk.carried.traceparent)
        is_all = not page.more or page.last >= progress.cursor
        at = datetime.now(UTC)
        return await self._expansions.advance(progress, progress.taken_back_past(page.last, at, is_all=is_all))

    async def _next_page(self, walk: _Walk, *, after: str, up_to: str = "") -> Page:
        return await next_page(self._contacts, walk.notification, walk.audience, walk.carried, after=after, up_to=up_to)

    async def _hand_out(self, walk: _Walk, line: PlannedDelivery) -> None:
        delivery = walk.record_of(line)
        gathers = await self._gathering.gathers(walk.record, walk.notification, line, delivery)
        if not gathers and not await self._was_gathered(walk, delivery):
            await self._publisher.publish(handed_over(delivery))

    async def _was_gathered(self, walk: _Walk, delivery: DeliveryRecord) -> bool:
        """Somebody may change their choice between a page and its repetition: what went into a digest stays there."""
        if not walk.audience.may_gather:
            return False
        ids = delivery.environment, delivery.notification_id, delivery.delivery_id
        row = await self._deliveries.get(*ids, delivery.shard)
        return row is not None and row.state == "DIGESTED"

    async def _skip(self, walk: _Walk, line: PlannedDelivery) -> None:
        """A ledger row, put if absent: once skipped stays skipped, once handed out stays handed out."""
        skip = row_of(walk.record_of(line), datetime.now(UTC), state="SKIPPED", reason=line.skipped, version=1)
        row = await self._deliveries.record_if_absent(skip.with_step(str(walk.record.position)))
        if row.state != "SKIPPED":
            return
        event = event_of(row, origin=walk.record.position, **walk.notification.whose)
        carried = walk.carried
        await self._reporter.status(event, correlation_id=carried.correlation_id, traceparent=carried.traceparent)

    async def _put_away(self, record: Received, reason: str) -> None:
        await put_away(self._publisher, record, reason)
        log.error("expansion.quarantined", reason=reason, at=str(record.position))
