"""From an HTTP body to an acknowledged request. Only the broker's acknowledgement makes the answer 202."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from asgi_correlation_id import correlation_id

from api.auth import refuse_foreign_environment
from api.problems import Problem
from api.wiring import ApiResources
from infrastructure.auth.user import User
from infrastructure.kafka.entrance import EntranceName
from infrastructure.kafka.producer import RecordTooLarge
from infrastructure.metrics import IDEMPOTENCY_HITS
from infrastructure.redis.seen import Seen
from infrastructure.variables import check_variables
from schemas.catalogue import Unresolved
from schemas.events import FieldError, Position
from schemas.identity import body_hash
from schemas.ids import new_request_id, notification_id
from schemas.legacy import from_any
from schemas.outcomes import Unavailable
from schemas.pointers import field_errors
from schemas.requests import (
    CancelRequest,
    EveryoneTarget,
    NotificationRequest,
    RequestId,
    TopicTarget,
    UnreadableJson,
    read_object,
)
from schemas.topics import Environment

log = structlog.get_logger()

_LOOK_AT_MOST_S = 0.5  # a store that hangs must not hold up a request that does not need it


@dataclass(frozen=True)
class Submission:
    """A valid request with the names it goes by."""

    request: NotificationRequest
    environment: Environment
    producer: str
    request_id: str
    is_new_id: bool = False

    @property
    def notification_id(self) -> str:
        return notification_id(self.environment, self.producer, self.request_id)


@dataclass(frozen=True)
class Acceptance:
    """The answer: where in Kafka the request is, and whether it had been there before."""

    submission: Submission
    position: Position
    replayed: bool

    def described(self) -> dict[str, Any]:
        return {
            "notification_id": self.submission.notification_id,
            "request_id": self.submission.request_id,
            "environment": self.submission.environment,
            "status": "ACCEPTED",
            "position": self.position.model_dump(),
        }

    @property
    def location(self) -> str:
        return f"/api/v1/notifications/{self.submission.notification_id}?environment={self.submission.environment}"


def producer_of(user: User) -> str:
    if user.producer:
        return user.producer
    return f"client:{user.id}" if user.kind == "machine" else f"user:{user.id}"


def read_request(body: bytes) -> NotificationRequest | CancelRequest:
    """Raises `Problem` that names the field: 400 for what is no JSON, 422 for what is no request."""
    try:
        found = read_object(body)
        if "cancel" in found:
            return CancelRequest.model_validate(found)
        return NotificationRequest.model_validate(from_any(found))
    except UnreadableJson as error:
        raise Problem(400, "Unreadable body", str(error)) from error
    except ValueError as error:
        raise invalid(field_errors(error)) from error


def submission_of(
    request: NotificationRequest,
    idempotency_key: str | None,
    user: User,
    default: Environment,
    served: tuple[Environment, ...],
) -> Submission:
    """Raises `Problem`: 403 for no right, 422 for an environment that is not served or two request ids."""
    broad = any(isinstance(target, TopicTarget | EveryoneTarget) for target in request.to)
    if broad and not user.may("notifications:broadcast"):
        raise Problem(403, "Forbidden", "Sending to a topic or to all needs the permission notifications:broadcast.")
    environment = environment_of(request, user, default, served)
    given_id = _given_id(request, idempotency_key)
    return Submission(request, environment, producer_of(user), given_id or new_request_id(), is_new_id=not given_id)


def environment_of(
    request: NotificationRequest | CancelRequest, user: User, default: Environment, served: tuple[Environment, ...]
) -> Environment:
    """The one a request names, else the caller's or the deployment's own; 403 for a key that belongs to another."""
    environment = request.environment or user.environment or default
    refuse_foreign_environment(user, environment)
    if environment not in served:
        raise invalid((FieldError(pointer="/environment", detail=f"this deployment serves {', '.join(served)}"),))
    return environment


def invalid(errors: tuple[FieldError, ...]) -> Problem:
    return Problem(
        422,
        "Invalid request",
        "The request does not have the expected shape; see errors.",
        errors=[error.model_dump() for error in errors],
    )


def _given_id(request: NotificationRequest, idempotency_key: RequestId | None) -> str | None:
    """Two names of one thing: `request_id` in the body and the header `Idempotency-Key`."""
    if idempotency_key and request.request_id and idempotency_key != request.request_id:
        error = FieldError(pointer="/request_id", detail="differs from Idempotency-Key; give one of them, or both the same")
        raise invalid((error,))
    return request.request_id or idempotency_key


class Intake:
    def __init__(self, resources: ApiResources) -> None:
        self._catalogue = resources.catalogue
        self._entrance = resources.entrance
        self._seen = resources.seen
        self._notifications = resources.stores.notifications

    async def accept(self, submission: Submission, traceparent: str, *, entrance: EntranceName = "http") -> Acceptance:
        """Raises `Problem`: 409 for another body under a known id, 422 for a type or template that is not there,
        503 when the broker did not acknowledge in time.
        """
        digest = body_hash(submission.request)
        known = await self._known(submission)
        if known is not None:
            IDEMPOTENCY_HITS.labels(entrance).inc()
            if known.body_hash != digest:
                raise Problem(
                    409,
                    "Request id conflict",
                    "This request id came before with another body. The first one counts; use a new id for a new request.",
                    type="request_id_conflict",
                )
            return Acceptance(submission, known.position, replayed=True)
        await self._check(submission)
        position = await self._submit(submission, traceparent, entrance)
        seen = Seen(submission.producer, submission.request_id, digest, position)
        await self._seen.remember(submission.environment, submission.notification_id, seen)
        return Acceptance(submission, position, replayed=False)

    async def _known(self, submission: Submission) -> Seen | None:
        """What came before under this id, as far as Redis or the row tell in time; route knows for certain."""
        seen = await self._seen.get(submission.environment, submission.notification_id)
        if seen is not None or submission.is_new_id:
            return seen
        try:
            async with asyncio.timeout(_LOOK_AT_MOST_S):
                row = await self._notifications.get(submission.environment, submission.notification_id)
        except (Unavailable, TimeoutError) as error:
            log.warning("row.not_read", reason=repr(error))
            return None
        if row is None:
            return None
        return Seen(row.producer, row.request_id, row.body_hash, Position.of(row.origin))

    async def _check(self, submission: Submission) -> None:
        """Route would refuse it too, by receipt; whoever waits for an answer hears it now, if anybody can tell in time."""
        request = submission.request
        try:
            async with asyncio.timeout(_LOOK_AT_MOST_S):
                catalogue = await self._catalogue.for_request(submission.environment, request)
        except (Unavailable, TimeoutError) as error:
            log.warning("catalogue.not_read", reason=repr(error))
            return
        try:
            kind, template = catalogue.resolve(request)
        except Unresolved as error:
            raise invalid((FieldError(pointer=error.pointer, detail=error.detail),)) from error
        if flaws := check_variables(kind.variables_schema, request.variables) if template or request.variables else ():
            raise invalid(flaws)

    async def _submit(self, submission: Submission, traceparent: str, entrance: EntranceName) -> Position:
        with acknowledged(submission.request_id):
            accepted = await self._entrance.submit(
                submission.request,
                entrance=entrance,
                environment=submission.environment,
                producer=submission.producer,
                request_id=submission.request_id,
                correlation_id=correlation_id.get() or "",
                traceparent=traceparent,
            )
        return accepted.position


@contextmanager
def acknowledged(request_id: str) -> Iterator[None]:
    """Without the broker's acknowledgement the outcome is unknown, and saying so is the answer: 503."""
    try:
        yield
    except RecordTooLarge as error:
        raise Problem(413, "Too large", str(error)) from error
    except Unavailable as error:
        log.warning("request.not_acknowledged", reason=str(error), request=request_id)
        raise Problem(
            503,
            "Outcome unknown",
            "Kafka did not acknowledge in time, so the outcome is unknown. "
            f"Repeat with request id {request_id}: repeating is safe.",
            type="outcome_unknown",
            errors=[{"pointer": "/request_id", "detail": request_id}],
            headers={"Retry-After": "2"},
        ) from error
