"""Collapse, as route and expand do it: before anything of a newer notification goes out, the older one is taken back.

What the pointer shows is taken back first, and only then the pointer moves. So whatever it ever pointed to and does not any
more has been taken back, whoever dies in between; and what came too late to be pointed to is found behind it by deliver.
"""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime

import structlog

from consumers.taking_out import TakingOut
from infrastructure.dynamo.deliveries import DeliveryStore
from infrastructure.dynamo.inbox import InboxStore
from infrastructure.dynamo.notifications import NotificationStore
from infrastructure.dynamo.pointers import PointerStore
from infrastructure.kafka.reporting import Reporter
from infrastructure.ports import Received
from infrastructure.redis.live import Announcer
from schemas.collapse import SUPERSEDED, Pointer, collapse_id, pointer_to
from schemas.deliveries import ENDED, WITHDRAWN, Delivery, DeliveryRecord, row_of
from schemas.events import event_of
from schemas.fallback import lines_for
from schemas.plan import Notification, PlannedDelivery

log = structlog.get_logger()


class Collapsing:
    def __init__(
        self,
        pointers: PointerStore,
        notifications: NotificationStore,
        deliveries: DeliveryStore,
        inbox: InboxStore,
        announcer: Announcer,
        reporter: Reporter,
        taking_out: TakingOut,
    ) -> None:
        self._pointers = pointers
        self._notifications = notifications
        self._deliveries = deliveries
        self._inbox = inbox
        self._announcer = announcer
        self._reporter = reporter
        self._taking_out = taking_out

    async def replace_older(self, record: Received, newer: Notification, lines: Iterable[PlannedDelivery]) -> None:
        """For everybody who gets something of the newer one. Repeating it finds the same and changes nothing."""
        if newer.request.collapse_key is None:
            return
        reached = dict.fromkeys(line.recipient for line in lines if line.skipped is None)
        await asyncio.gather(*(self._replace(record, newer, recipient) for recipient in reached))

    async def _replace(self, record: Received, newer: Notification, recipient: str) -> None:
        name, own = collapse_id(newer, recipient), pointer_to(newer)
        if name is None:
            return
        newest = await self._pointers.newest(newer.environment, name)
        while newest is None or newest.is_behind(own):
            if newest is not None:
                await self._take_back(record, newer, newest, recipient)
            newest = await self._pointers.advance(newer.environment, name, newest, own)

    async def _take_back(self, record: Received, newer: Notification, pointer: Pointer, recipient: str) -> None:
        older = await self._notifications.get(newer.environment, pointer.notification_id)
        if older is None:
            return
        lines = lines_for(older, recipient)
        rows = await asyncio.gather(*(self._supersede(record, older, line) for line in lines))
        ended = [row for row in rows if row is not None]
        await asyncio.gather(*(self._report(record, older, row) for row in ended))
        log.info("notification.superseded", older=older.notification_id, newer=newer.notification_id, deliveries=len(ended))

    async def _supersede(self, record: Received, older: Notification, line: PlannedDelivery) -> Delivery | None:
        """The row of a delivery that ended by this; None where it had ended, was read, or is just being attempted."""
        delivery, origin = older.record_of(line), str(record.position)
        if line.digest is not None or await self._is_gathered(delivery):
            taken_out = await self._taking_out.supersede(older, delivery, origin)
            if taken_out is not None:
                return taken_out
        if delivery.channel != "in_app":
            return await self._deliveries.supersede(delivery, datetime.now(UTC), origin)
        return await self._withdraw(delivery)

    async def _is_gathered(self, delivery: DeliveryRecord) -> bool:
        row = await self._row(delivery)
        return row is not None and (row.state == "DIGESTED" or row.gathers is not None)

    async def _withdraw(self, delivery: DeliveryRecord) -> Delivery | None:
        row, now = await self._row(delivery), datetime.now(UTC)
        if row is not None and row.state in ENDED - {"SENT"} and row.reason != SUPERSEDED:
            return None  # it is in no inbox and will be in none, and its row says why
        if not await self._inbox.supersede(delivery.environment, delivery.recipient, delivery.delivery_id, now):
            return None
        await self._announcer.recalled(delivery.environment, delivery.recipient, delivery.delivery_id)
        return row_of(delivery, now, state="SKIPPED", version=WITHDRAWN, reason=SUPERSEDED)

    async def _row(self, delivery: DeliveryRecord) -> Delivery | None:
        return await self._deliveries.get(
            delivery.environment, delivery.notification_id, delivery.delivery_id, delivery.shard
        )

    async def _report(self, record: Received, older: Notification, row: Delivery) -> None:
        event = event_of(row, origin=record.position, unclaimed=row.version == WITHDRAWN, **older.whose)
        await self._reporter.status(event, correlation_id="", traceparent="")
