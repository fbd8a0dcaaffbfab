"""The line a delivery follows: from the stored plan, or rebuilt for somebody of its audience, who is not listed there."""

from infrastructure.dynamo.contacts import ContactStore
from infrastructure.dynamo.devices import DeviceStore
from schemas import topics
from schemas.audience_plan import audience_lines
from schemas.audiences import Audience
from schemas.deliveries import DeliveryRecord
from schemas.devices import DEVICE_GONE, named
from schemas.ids import delivery_id
from schemas.plan import Notification, PlannedDelivery
from schemas.recipients import people_named


class Lines:
    def __init__(self, contacts: ContactStore, devices: DeviceStore) -> None:
        self._contacts = contacts
        self._devices = devices

    async def of(
        self, topic: str, delivery: DeliveryRecord, notification: Notification, names: tuple[str, ...]
    ) -> PlannedDelivery | None:
        """None when nobody planned this record: it says something else than its line, or came over another's topic.

        `names` are those its recipient may have in the plan.
        """
        line = notification.line(delivery.delivery_id)
        audience = notification.plan.audience
        if line is None and audience is not None:
            line = await self._of_audience(delivery, notification, audience)
        if line is None or topic not in topics.subscription(notification.environment, f"deliver.{line.channel}"):
            return None
        said = delivery.channel, delivery.shards
        is_theirs = line.recipient in names and said == (line.channel, notification.plan.shards)
        return await self._on_device(line, delivery) if is_theirs else None

    async def _on_device(self, line: PlannedDelivery, delivery: DeliveryRecord) -> PlannedDelivery:
        """With what it takes to send there, read now: a device may have gone since, or be somebody else's."""
        if line.channel != "push" or line.skipped is not None:
            return line
        device = named(await self._devices.of(delivery.environment, line.recipient), line.endpoint)
        return line.model_copy(update={"address": device.address} if device else {"skipped": DEVICE_GONE})

    async def _of_audience(
        self, delivery: DeliveryRecord, notification: Notification, audience: Audience
    ) -> PlannedDelivery | None:
        """Only our own workers can have sealed the record, and its id is what expand would have made of its parts.

        The address is read now: it is where the person is to be reached at this moment, and what the ids do not carry.
        """
        listed = delivery.recipient in people_named(notification.request)
        is_known = delivery.channel in notification.plan.channels_of(audience)
        ids = notification.notification_id, delivery.recipient, delivery.channel, delivery.endpoint
        if listed or not is_known or delivery.delivery_id != delivery_id(*ids):
            return None
        needs_address = delivery.channel not in ("in_app", "push")
        people = (delivery.recipient,)
        known = await self._contacts.get_many(delivery.environment, people) if needs_address else {}
        lines = audience_lines(notification, people, known, {delivery.recipient: delivery.known_devices})
        return next((line for line in lines if line.delivery_id == delivery.delivery_id), None)
