"""The one way a request of our own entrances gets into Kafka: HTTP, the legacy API and the bridge all come through here."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from infrastructure.metrics import PUBLISHED_MESSAGES
from infrastructure.ports import Outgoing, Publisher
from schemas import cloudevents, topics
from schemas.events import Position
from schemas.ids import notification_id
from schemas.plan import people_named
from schemas.requests import NotificationRequest
from schemas.seal import seal
from schemas.topics import Environment

EntranceName = Literal["http", "legacy", "bridge"]


@dataclass(frozen=True)
class Accepted:
    """The promise: the broker acknowledged the request."""

    notification_id: str
    request_id: str
    position: Position


class Entrance:
    """Seals a validated request with the entrance's key, so that route trusts the producer it names."""

    def __init__(self, publisher: Publisher, key: bytes) -> None:
        self._publisher = publisher
        self._key = key

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
        topic = topics.requests(environment, request.priority or "normal")
        value = request.model_dump_json(exclude={"request_id"}, exclude_defaults=True).encode()
        headers = cloudevents.event_headers(
            cloudevents.REQUEST_TYPE, event_id=request_id, source=producer, time=datetime.now(UTC)
        )
        headers[cloudevents.CORRELATION_ID] = correlation_id
        headers[cloudevents.TRACEPARENT] = cloudevents.traceparent_of({cloudevents.TRACEPARENT: traceparent})
        headers[cloudevents.SEAL] = seal(self._key, topic, request_id, producer, value)
        people = people_named(request)
        key = people[0] if people else request_id
        position = await self._publisher.publish(Outgoing(topic, key, value, headers))
        PUBLISHED_MESSAGES.labels(entrance, environment).inc()
        return Accepted(notification_id(environment, producer, request_id), request_id, position)
