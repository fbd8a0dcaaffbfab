"""One thing that came in over Redis: into Kafka as a request, or into quarantine with its reason."""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from infrastructure.kafka.entrance import Entrance
from infrastructure.kafka.quarantine import quarantine_record
from infrastructure.metrics import BRIDGE_ENTRIES
from infrastructure.ports import Publisher
from schemas.legacy import LegacyField
from schemas.outcomes import Unavailable
from schemas.pointers import field_errors
from schemas.requests import MAX_REQUEST_BYTES, CancelRequest, EveryoneTarget, NotificationRequest
from schemas.topics import Environment

log = structlog.get_logger()


@dataclass(frozen=True)
class Incoming:
    """What came in, where from, how to read it, and the request id for when it brings none."""

    source: str
    origin: str
    raw: Callable[[], bytes]  # asked only when it is refused: building it for every entry would cost throughput
    read: Callable[[], NotificationRequest | CancelRequest]
    fallback_id: str


class Copier:
    """Settles one incoming thing in Kafka; raises `Unavailable` when Kafka does not acknowledge, and changes nothing."""

    def __init__(self, entrance: Entrance, publisher: Publisher, *, environment: Environment, producer: str) -> None:
        self._entrance = entrance
        self._publisher = publisher
        self._environment = environment
        self._producer = producer

    async def copy(self, incoming: Incoming) -> None:
        """Afterwards the request, or its quarantine record, is acknowledged by Kafka."""
        try:
            await self._produce(incoming, incoming.read())
        except Unavailable:
            raise
        except ValueError as error:
            await self._refuse(incoming, error, reason="invalid_request")
        # a bug must not hold up the neighbours; the bytes are kept with its name
        except Exception as error:  # pylint: disable=broad-exception-caught
            log.exception("bridge.crashed", origin=incoming.origin)
            await self._refuse(incoming, ValueError(type(error).__name__), reason=f"crash:{type(error).__name__}")

    def _refuse_privileged(self, request: NotificationRequest | CancelRequest) -> None:
        """Redis authenticates nobody, so it may not address everybody, nor another environment than its own."""
        if request.environment not in (None, self._environment):
            raise LegacyField("/environment", f"{request.environment} was said in a stream of {self._environment}")
        if isinstance(request, NotificationRequest) and any(isinstance(each, EveryoneTarget) for each in request.to):
            raise LegacyField("/to", "a broadcast is not accepted over Redis; use the HTTP API with notifications:broadcast")

    async def _produce(self, incoming: Incoming, request: NotificationRequest | CancelRequest) -> None:
        self._refuse_privileged(request)
        if isinstance(request, CancelRequest):
            await self._entrance.cancel(
                request.cancel,
                entrance="bridge",
                environment=self._environment,
                producer=self._producer,
                correlation_id=incoming.origin,
            )
        else:
            await self._entrance.submit(
                request,
                entrance="bridge",
                environment=self._environment,
                producer=self._producer,
                request_id=request.request_id or incoming.fallback_id,
                correlation_id=incoming.origin,
            )
        BRIDGE_ENTRIES.labels(self._environment, incoming.source, "accepted").inc()

    async def _refuse(self, incoming: Incoming, error: ValueError, *, reason: str) -> None:
        errors = field_errors(error)
        await self._publisher.publish(
            quarantine_record(
                self._environment,
                key=incoming.fallback_id.encode(),
                value=incoming.raw(),
                headers=(),
                origin=incoming.origin,
                reason=reason,
                detail=errors,
            )
        )
        BRIDGE_ENTRIES.labels(self._environment, incoming.source, "quarantined").inc()
        pointers = [found.pointer for found in errors]
        log.warning("bridge.quarantined", origin=incoming.origin, reason=reason, pointers=pointers)


def as_text(fields: Mapping[bytes, bytes]) -> dict[str, str]:
    """The fields of an entry; a request is text, so other bytes are an error that names the field."""
    found: dict[str, str] = {}
    for name, value in fields.items():
        shown = name.decode(errors="replace")
        try:
            found[name.decode()] = value.decode()
        except UnicodeDecodeError as error:
            raise LegacyField(f"/{shown}", "not UTF-8") from error
    return found


def as_json(fields: Mapping[bytes, bytes]) -> bytes:
    """The fields for quarantine: text as text, other bytes as base64.

    Of an entry no request could be as large as, only the beginnings are kept: it must fit into a Kafka record, and the
    entry itself stays in its stream until somebody clears it.
    """
    size = sum(len(name) + len(value) for name, value in fields.items())
    if size > 2 * MAX_REQUEST_BYTES:
        shortened = {_shown(name[:100]): _shown(value[:1000]) for name, value in list(fields.items())[:100]}
        return json.dumps({"truncated_bytes": size, "fields": shortened}).encode()
    return json.dumps({_shown(name): _shown(value) for name, value in fields.items()}, ensure_ascii=False).encode()


def _shown(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(value).decode()
