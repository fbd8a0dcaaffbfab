"""A request of a producer over its quota leaves the queue the others wait in: it goes on to the one for bulk, as it came.

Planning it there takes bulk's places. Its ids, its time and its first place in Kafka travel along under our seal, so that it
stays one notification however often it is set aside.
"""

import structlog

from consumers.arrivals import Arrival
from infrastructure.ports import Outgoing, Publisher, Received
from schemas import cloudevents, topics
from schemas.events import Position
from schemas.seal import seal

log = structlog.get_logger()


class SettingAside:
    def __init__(self, publisher: Publisher, key: bytes) -> None:
        self._publisher = publisher
        self._key = key

    async def put(self, record: Received, arrival: Arrival) -> Position:
        """Returns when Kafka has it; the record it came as may be committed then."""
        topic, value = topics.requests(arrival.environment, "bulk"), record.value or b""
        headers = cloudevents.text_headers(record.headers) | {
            "ce_id": arrival.request_id,
            "ce_source": arrival.producer,
            cloudevents.SET_ASIDE: f"{record.timestamp_ms} {record.position}",
            cloudevents.TRACEPARENT: arrival.traceparent,
            cloudevents.SEAL: seal(self._key, topic, arrival.request_id, arrival.producer, value),
        }
        position = await self._publisher.publish(Outgoing(topic, record.key, value, headers))
        log.debug("request.set_aside", producer=arrival.producer, at=str(record.position), to=str(position))
        return position
