"""The one way a request of our own entrances gets into Kafka: HTTP, the legacy API and the bridge all come through here."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import structlog

from infrastructure.live_catalogue import LiveCatalogue
from infrastructure.metrics import PUBLISHED_MESSAGES
from infrastructure.ports import Outgoing, Publisher
from schemas import cloudevents, topics
from schemas.catalogue import NO_TYPES
from schemas.events import Position
from schemas.ids import new_request_id, notification_id
from schemas.outcomes import Unavailable
from schemas.recipients import people_named
from schemas.requests import CancelRequest, NotificationRequest, RescheduleRequest
from schemas.seal import seal
from schemas.topics import Environment, Priority

log = structlog.get_logger()

_LOOK_AT_MOST_S = 0.5

EntranceName = Literal["http", "legacy", "bridge"]


@dataclass(frozen=True)
class Accepted:
    """The promise: the broker acknowledged the request."""

    notification_id: str
    request_id: str
    position: Position


@dataclass(frozen=True)
class Sender:
    """Who a record is from, as its headers say it."""

    producer: str
    event_id: str
    correlation_id: str
    traceparent: str


class Entrance:
    """Seals a validated request with the entrance's key, so that route trusts the producer it names."""

    def __init__(self, publisher: Publisher, key: bytes, catalogue: LiveCatalogue | None = None) -> None:
        self._publisher = publisher
        self._key = key
        self._catalogue = catalogue or LiveCatalogue(NO_TYPES)

    async def submit(
        self,
        request: NotificationRequest,
        *,
        entrance: EntranceName,
        environment: Environment,
        producer: str,
        request_id: str,
        correlation_id: str,
        traceparent: str = "",
    ) -> Accepted:
        """Returns after the broker's acknowledgement; raises `Unavailable` when there is none in time.

        The record may still land after `Unavailable`: repeat with the same request id.
        """
        people = people_named(request)
        position = await self._publish(
            topics.requests(environment, await self._priority(environment, request)),
            people[0] if people else request_id,
            request.model_dump_json(exclude={"request_id"}, exclude_defaults=True).encode(),
            Sender(producer, request_id, correlation_id, traceparent),
        )
        PUBLISHED_MESSAGES.labels(entrance, environment).inc()
        return Accepted(notification_id(environment, producer, request_id), request_id, position)

    async def cancel(
        self,
        request_id: str,
        *,
        entrance: EntranceName,
        environment: Environment,
        producer: str,
        correlation_id: str,
        traceparent: str = "",
    ) -> Accepted:
        """Like `submit`, for taking back what this producer sent under that id. It overtakes what waits to be routed."""
        value = CancelRequest(cancel=request_id).model_dump_json(exclude_defaults=True).encode()
        sender = Sender(producer, new_request_id(), correlation_id, traceparent)
        position = await self._publish(topics.requests(environment, "urgent"), request_id, value, sender)
        PUBLISHED_MESSAGES.labels(entrance, environment).inc()
        return Accepted(notification_id(environment, producer, request_id), request_id, position)

    async def reschedule(
        self,
        request_id: str,
        send_at: datetime,
        *,
        environment: Environment,
        producer: str,
        correlation_id: str,
        traceparent: str = "",
    ) -> str:
        """Like `cancel`, for giving what was sent for later another time; the name of this wish."""
        value = RescheduleRequest(reschedule=request_id, send_at=send_at).model_dump_json(exclude_defaults=True).encode()
        sender = Sender(producer, new_request_id(), correlation_id, traceparent)
        await self._publish(topics.requests(environment, "urgent"), request_id, value, sender)
        return sender.event_id

    async def _priority(self, environment: Environment, request: NotificationRequest) -> Priority:
        """Normal where nobody can tell in time: a store that is out must not keep a request from Kafka."""
        try:
            async with asyncio.timeout(_LOOK_AT_MOST_S):
                return (await self._catalogue.for_request(environment, request)).priority(request)
        except (Unavailable, TimeoutError) as error:
            log.warning("priority.not_known", reason=repr(error))
            return request.priority or "normal"

    async def _publish(self, topic: str, key: str, value: bytes, sender: Sender) -> Position:
        headers = cloudevents.event_headers(
            cloudevents.REQUEST_TYPE, event_id=sender.event_id, source=sender.producer, time=datetime.now(UTC)
        )
        headers[cloudevents.CORRELATION_ID] = sender.correlation_id
        headers[cloudevents.TRACEPARENT] = cloudevents.traceparent_of({cloudevents.TRACEPARENT: sender.traceparent})
        headers[cloudevents.SEAL] = seal(self._key, topic, sender.event_id, sender.producer, value)
        return await self._publisher.publish(Outgoing(topic, key, value, headers))
