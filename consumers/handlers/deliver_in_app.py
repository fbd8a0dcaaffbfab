"""deliver.in_app: the inbox item is the effect, put once under its delivery id; no claim is needed."""

from datetime import datetime

from consumers.handlers.content import data_of
from consumers.handlers.deliver import Deliver, Shared, now_utc
from consumers.holding import Holding
from infrastructure.dynamo.inbox import InboxStore, Standing, cursor_of
from infrastructure.ports import Content, Received
from infrastructure.redis.live import Announcer
from schemas.deliveries import Delivery, DeliveryRecord, State, row_of
from schemas.holds import Hold
from schemas.live import InboxItem
from schemas.plan import Notification, PlannedDelivery
from schemas.preferences import Preferences


class DeliverInApp(Deliver):
    def __init__(self, shared: Shared, holding: Holding, inbox: InboxStore, announcer: Announcer) -> None:
        super().__init__(shared)
        self._holding = holding
        self._inbox = inbox
        self._announcer = announcer

    async def _give_up(
        self, record: Received, delivery: DeliveryRecord, notification: Notification | None, reason: str
    ) -> None:
        if await self._standing(delivery) is None:
            await self.report(record, delivery, _row(delivery, now_utc(), "FAILED", reason), notification)

    async def _act(
        self,
        record: Received,
        delivery: DeliveryRecord,
        notification: Notification,
        line: PlannedDelivery,
        chosen: Preferences,
    ) -> None:
        now = now_utc()
        stop = self.stopped(notification, line, chosen, now) or await self._following.needless(notification, line)
        if stop is not None and await self._standing(delivery) is None:
            await self.report(record, delivery, _row(delivery, now, *stop), notification)
            return
        hold = await self._waits.hold(notification, line, chosen, now) if stop is None else None
        if hold is not None and not await self._goes_out_all_the_same(record, delivery, notification, line, hold):
            return
        content = await self.content(notification, line)
        if isinstance(content, str):
            await self.report(record, delivery, _row(delivery, now, "FAILED", content), notification)
            return
        item = _item(delivery, notification, content, now)
        if await self._inbox.put_if_absent(delivery.environment, item) == "withdrawn":
            return  # whoever cancelled or replaced it has said so
        await self._announcer.inbox_changed(delivery.environment, delivery.recipient)
        await self.report(record, delivery, _row(delivery, now, "SENT", None), notification)

    async def _goes_out_all_the_same(
        self,
        record: Received,
        delivery: DeliveryRecord,
        notification: Notification,
        line: PlannedDelivery,
        hold: Hold,
    ) -> bool:
        """Lets it rest; true where an operator has said that nothing is to hold it."""
        if hold.until >= self.deadline_of(notification, line):
            if await self._standing(delivery) is None:
                expired = _row(delivery, now_utc(), "EXPIRED", f"deadline_passed:{hold.reason}")
                await self.report(record, delivery, expired, notification)
            return False
        row = await self._holding.rest(delivery, hold, str(record.position))
        if row.held:
            await self.report(record, delivery, row, notification)
            await self._waits.look_again(notification, delivery, row)
        return row.released and row.turn == delivery.turn

    async def _standing(self, delivery: DeliveryRecord) -> Standing | None:
        return await self._inbox.standing(delivery.environment, delivery.recipient, delivery.delivery_id)


def _item(delivery: DeliveryRecord, notification: Notification, content: Content, now: datetime) -> InboxItem:
    message = notification.request.message
    return InboxItem(
        person=delivery.recipient,
        id=delivery.delivery_id,
        notification_id=delivery.notification_id,
        cursor=cursor_of(now, delivery.delivery_id),
        title=content.title,
        message=content.body,
        url=content.url,
        actions=tuple(action.model_dump() for action in message.actions) if message else (),
        data=data_of(notification),
        category=notification.plan.category,
        created_at=now,
    )


def _row(delivery: DeliveryRecord, now: datetime, state: State, reason: str | None) -> Delivery:
    """persist writes this row: the inbox item, not the ledger, says that it happened."""
    return row_of(
        delivery,
        now,
        state=state,
        version=1 + 2 * delivery.turn,  # a redrive, too, is a step: it has the version in between
        turn=delivery.turn,
        reason=reason,
        answer="stored" if state == "SENT" else None,
    )
