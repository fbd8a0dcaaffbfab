"""From a Kafka record to a request we may act on, or to the reason why not. One parser for every entrance."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeGuard

from pydantic import TypeAdapter, ValidationError

from infrastructure.ports import Received
from schemas import cloudevents, topics
from schemas.events import FieldError
from schemas.ids import notification_id, record_request_id
from schemas.legacy import from_any
from schemas.pointers import field_errors
from schemas.requests import CancelRequest, NotificationRequest, RequestId, UnreadableJson, read_object
from schemas.seal import is_sealed
from schemas.topics import Environment

RAW_PRODUCER = "kafka"
_REQUEST_ID: TypeAdapter[str] = TypeAdapter(RequestId)
_LATEST_MS = 253_402_300_799_000  # the end of the year 9999


@dataclass(frozen=True)
class Arrival:
    """A request that arrived: whose it is, under which ids, and what it says."""

    environment: Environment
    producer: str
    request_id: str
    request: NotificationRequest
    accepted_at: datetime
    origin: str
    correlation_id: str
    traceparent: str
    waits_as_bulk: bool = False  # it came by bulk's queue
    set_aside: bool = False  # and was sent there by route, for its producer's quota

    @property
    def notification_id(self) -> str:
        return notification_id(self.environment, self.producer, self.request_id)


@dataclass(frozen=True)
class Withdrawn:
    """A request that somebody's earlier request be taken back: whose, and under which id it was sent."""

    environment: Environment
    producer: str
    request_id: str
    origin: str
    correlation_id: str
    traceparent: str

    @property
    def notification_id(self) -> str:
        return notification_id(self.environment, self.producer, self.request_id)


@dataclass(frozen=True)
class Refusal:
    """A record that is no request; `errors` name the fields."""

    environment: Environment
    producer: str
    request_id: str
    reason: str
    errors: tuple[FieldError, ...]

    @property
    def notification_id(self) -> str:
        """The id it would have had: under it people find out why there is no notification."""
        return notification_id(self.environment, self.producer, self.request_id)


def _is_request_id(text: object) -> TypeGuard[str]:
    try:
        _REQUEST_ID.validate_python(text, strict=True)
    except ValidationError:
        return False
    return True


def _moment(timestamp_ms: int) -> datetime:
    """A producer may write any number as its record's time."""
    return datetime.fromtimestamp(min(max(timestamp_ms, 0), _LATEST_MS) / 1000, UTC)


def _accepted(timestamp_ms: int, headers: Mapping[str, str]) -> datetime:
    """When the record came; for one that waited in a timer, when it first did. Nobody can claim to come later than that."""
    came = _moment(timestamp_ms)
    try:
        return min(came, datetime.fromisoformat(headers[cloudevents.ACCEPTED_AT]))
    except (KeyError, ValueError, TypeError):
        return came


@dataclass(frozen=True)
class _Sender:
    """What the headers say; `trouble` is the reason and the detail when they alone refuse the record."""

    environment: Environment
    producer: str
    request_id: str
    headers: dict[str, str]
    trouble: tuple[str, str] | None
    set_aside: str = ""

    @property
    def correlation_id(self) -> str:
        return self.headers.get(cloudevents.CORRELATION_ID, "")[:128]

    def refusal(self, reason: str, *errors: FieldError) -> Refusal:
        return Refusal(self.environment, self.producer, self.request_id, reason, errors)


class Arrivals:
    """Reads records of the requests topics.

    `keys` are the entrances' seal key and, after a rotation, the one before; `raw_producers` the sources let in raw.
    """

    def __init__(self, keys: tuple[bytes, ...], raw_producers: tuple[str, ...]) -> None:
        self._keys = keys
        self._raw_producers = frozenset(raw_producers)

    def read(self, record: Received) -> Arrival | Withdrawn | Refusal:
        sender = self._sender(record)
        if sender.trouble is not None:
            return sender.refusal(sender.trouble[0], FieldError(pointer="", detail=sender.trouble[1]))
        try:
            body = read_object(record.value or b"")
        except UnreadableJson as error:
            return sender.refusal("unreadable", FieldError(pointer="", detail=str(error)))
        return _withdrawn(record, sender, body) if "cancel" in body else _arrived(record, sender, body)

    def _sender(self, record: Received) -> _Sender:
        """Whose the record is and under which id, before anything in its value is believed."""
        headers = cloudevents.text_headers(record.headers)
        environment: Environment = topics.environment_of(record.topic)  # type: ignore[assignment]  # our own topic names
        claimed, given_id, value = headers.get("ce_source", ""), headers.get("ce_id", ""), record.value or b""
        sealed = self._is_sealed(headers, record.topic, given_id, claimed, value)
        producer = claimed if sealed or claimed in self._raw_producers else RAW_PRODUCER
        usable_id = given_id if _is_request_id(given_id) else ""
        place = record_request_id(record.topic, record.partition, record.offset, record.timestamp_ms, value)
        trouble = None
        if claimed and producer != claimed:
            trouble = "unknown_source", "ce_source is not among RAW_PRODUCERS"
        elif given_id and not usable_id:
            trouble = "invalid", "ce_id: 1 to 200 characters, none of them a control character"
        set_aside = headers.get(cloudevents.SET_ASIDE, "") if sealed else ""
        return _Sender(environment, producer, usable_id or place, headers, trouble, set_aside)

    def _is_sealed(self, headers: dict[str, str], topic: str, request_id: str, producer: str, value: bytes) -> bool:
        mark = headers.get(cloudevents.SEAL, "")
        return bool(mark) and any(is_sealed(key, mark, topic, request_id, producer, value) for key in self._keys)


def _arrived(record: Received, sender: _Sender, body: dict[str, Any]) -> Arrival | Refusal:
    own_id: object = body.get("request_id")
    if _is_request_id(own_id):
        sender = replace(sender, request_id=str(own_id))
    try:
        request = NotificationRequest.model_validate(from_any(body))
    except ValueError as error:
        return sender.refusal("invalid", *field_errors(error))
    if (wrong := _wrong_environment(sender, request.environment)) is not None:
        return wrong
    timestamp_ms, origin = record.timestamp_ms, str(record.position)
    if sender.set_aside:  # it stays what it was when it came first
        first, _, origin = sender.set_aside.partition(" ")
        timestamp_ms = int(first) if first.isascii() and first.isdigit() else timestamp_ms
    return Arrival(
        sender.environment,
        sender.producer,
        sender.request_id,
        request,
        _accepted(timestamp_ms, sender.headers),
        origin,
        sender.correlation_id,
        cloudevents.traceparent_of(sender.headers),
        waits_as_bulk=topics.priority_of(record.topic) == "bulk",
        set_aside=bool(sender.set_aside),
    )


def _withdrawn(record: Received, sender: _Sender, body: dict[str, Any]) -> Withdrawn | Refusal:
    try:
        request = CancelRequest.model_validate(body)
    except ValueError as error:
        return sender.refusal("invalid", *field_errors(error))
    if (wrong := _wrong_environment(sender, request.environment)) is not None:
        return wrong
    return Withdrawn(
        sender.environment,
        sender.producer,
        request.cancel,
        str(record.position),
        sender.correlation_id,
        cloudevents.traceparent_of(sender.headers),
    )


def _wrong_environment(sender: _Sender, said: Environment | None) -> Refusal | None:
    if said in (None, sender.environment):
        return None
    came_to = FieldError(pointer="/environment", detail=f"the record came to {sender.environment}")
    return sender.refusal("wrong_environment", came_to)
