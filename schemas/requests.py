"""The request: one shape for HTTP bodies and Kafka values alike. Shapes only; the rules: planning.py and identity.py."""

import json
import math
import re
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    EmailStr,
    Field,
    JsonValue,
    StringConstraints,
    model_validator,
)

from schemas.base import UtcDatetime, Value
from schemas.digest_terms import DigestOrNot
from schemas.durations import Duration
from schemas.schedules import SendAt
from schemas.topics import Environment, Priority

MAX_REQUEST_BYTES = 256 * 1024
MAX_BATCH_BYTES = 1024 * 1024
MAX_BATCH = 100
MAX_MESSAGE_BYTES = 128 * 1024
MAX_RECIPIENTS = 100
MAX_NESTING = 32
MAX_INTEGER = 2**53 - 1  # what every JSON implementation reads alike (RFC 7493 section 2.2)

Name = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\s\x00-\x1f\x7f#]+$")]
Slug = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}$")]
RequestId = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
CollapseKey = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")]
Channel = Literal["in_app", "email", "slack", "push"]
CHANNELS: tuple[Channel, ...] = ("in_app", "email", "slack", "push")


class PersonTarget(Value):
    """A person; `email` here overrides the address in their contact, `slack` names a configured Slack target for them."""

    user: Name
    email: EmailStr | None = None
    slack: Slug | None = None


class EmailTarget(Value):
    email: EmailStr


class SlackTarget(Value):
    """The name of a configured Slack target, never a URL."""

    slack: Slug


class TopicTarget(Value):
    """An audience people subscribe to."""

    topic: Slug


class EveryoneTarget(Value):
    all: Literal[True]


Target = PersonTarget | EmailTarget | SlackTarget | TopicTarget | EveryoneTarget
_TARGETS: dict[str, type[Value]] = {
    "user": PersonTarget,
    "email": EmailTarget,
    "slack": SlackTarget,
    "topic": TopicTarget,
    "all": EveryoneTarget,
}


# An absolute http(s) address or a path of one's own site; `//host` and `\\` would leave it unseen.
Link = Annotated[str, StringConstraints(max_length=2000, pattern=r"^(https?://[^\s\\]+|/([^\s\\/][^\s\\]*)?)$")]


class Action(Value):
    label: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    url: Link


class Message(Value):
    title: Annotated[str, StringConstraints(max_length=500)] = ""
    body: Annotated[str, StringConstraints(min_length=1, max_length=40_000)]
    url: Link | None = None
    actions: tuple[Action, ...] = Field(default=(), max_length=5)
    data: dict[str, JsonValue] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits_an_inbox_row(self) -> "Message":
        """DynamoDB takes rows of 400 KB, and the inbox holds an item twice: in the table and in its index."""
        size = len(self.model_dump_json().encode())
        if size > MAX_MESSAGE_BYTES:
            raise ValueError(f"{size} bytes as JSON; a message may have {MAX_MESSAGE_BYTES}")
        return self


Unless = Literal["seen", "read", "clicked"]
MAX_STEPS = 4
LONGEST_AFTER = timedelta(days=7)


class FallbackStep(Value):
    """Further channels for whoever has not seen, read or clicked the inbox item that long after the step before."""

    after: Annotated[Duration, Field(gt=timedelta(0), le=LONGEST_AFTER)]
    unless: Unless = "seen"
    channels: tuple[Channel, ...] = Field(min_length=1, max_length=len(CHANNELS))


def _message_from_text(value: Any) -> Any:
    return {"body": value} if isinstance(value, str) else value


def _targets(value: Any) -> Any:
    return [{"user": value}] if isinstance(value, str) else [value] if isinstance(value, dict) else value


def _target(value: Any) -> Any:
    """Picks the kind of target by its key, so that an error names the one field that is wrong."""
    if isinstance(value, str):
        return PersonTarget(user=value)
    if isinstance(value, dict):
        kind = next((model for key, model in _TARGETS.items() if key in value), None)
        if kind is None:
            raise ValueError(f"a target has one of the keys {', '.join(_TARGETS)}")
        return kind.model_validate(value)
    if not isinstance(value, Value):
        raise ValueError("a target is a person's name or an object")  # noqa: TRY004 - pydantic takes it as a wrong value
    return value


class NotificationRequest(Value):
    """What came in: `{"type", "to", "variables"}` every day, everything else when needed."""

    type: Slug | None = None
    to: Annotated[
        tuple[Annotated[Target, BeforeValidator(_target)], ...],
        BeforeValidator(_targets),
        Field(min_length=1, max_length=MAX_RECIPIENTS),
    ]
    message: Annotated[Message, BeforeValidator(_message_from_text)] | None = None
    template: Slug | None = None
    variables: dict[str, JsonValue] = Field(default_factory=dict)
    category: Slug | None = None
    channels: tuple[Channel, ...] | None = Field(default=None, min_length=1, max_length=len(CHANNELS))
    collapse_key: CollapseKey | None = None
    fallback: tuple[FallbackStep, ...] | None = Field(default=None, max_length=MAX_STEPS)
    priority: Priority | None = None
    send_at: SendAt | None = None
    expires_at: UtcDatetime | None = None
    digest: DigestOrNot = Field(default=None, exclude_if=lambda said: said is None)  # null is a word: it must not appear
    request_id: RequestId | None = None
    environment: Environment | None = None
    metadata: dict[str, JsonValue] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _says_what_to_send(self) -> "NotificationRequest":
        if self.message is not None and self.template is not None:
            raise ValueError("message and template exclude each other; give one")
        if self.message is None and self.template is None and self.type is None:
            raise ValueError("nothing to send: give message, template or a type that has a template")
        return self


class CancelRequest(Value):
    """Takes back what the same producer sent under this request id."""

    cancel: RequestId
    environment: Environment | None = None


class RescheduleRequest(Value):
    """Gives what the same producer sent under this request id, for later, another time."""

    reschedule: RequestId
    send_at: SendAt
    environment: Environment | None = None


class UnreadableJson(ValueError):
    """Bytes that are not one JSON object as every entrance understands it."""


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise UnreadableJson("an object has the same key twice")
    return found


def _no_constants(name: str) -> Any:
    raise UnreadableJson(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise UnreadableJson("a number is too large")
    return number


def _exact(text: str) -> int:
    number = int(text)
    if abs(number) > MAX_INTEGER:
        raise UnreadableJson(f"an integer is beyond {MAX_INTEGER}; send it as text")
    return number


def _refuse_half_characters(payload: bytes, found: object) -> None:
    """A lone surrogate can only come as an escape, and no text can be made of it (RFC 7493 section 2.1)."""
    if b"\\ud" in payload.lower():
        try:
            json.dumps(found, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise UnreadableJson("a text has half of a surrogate pair") from error


# Linear on every input: possessive, and a text without its end is taken up to the last byte.
_TEXTS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)


def _nesting(payload: bytes) -> int:
    """The nesting depth, counted before anything recursive touches the bytes; brackets inside texts are only text."""
    depth = deepest = 0
    for byte in _TEXTS.sub(b"", payload):
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def read_object(payload: bytes) -> dict[str, Any]:
    """The one parser of every entrance (RFC 8259; duplicate keys, NaN and deep nesting refused)."""
    found = _read(payload, MAX_REQUEST_BYTES, MAX_NESTING)
    if not isinstance(found, dict):
        raise UnreadableJson("a JSON object is expected")
    return found


def read_batch(payload: bytes) -> list[bytes]:
    """The requests of `[…]` or `{"requests": […]}`, each as JSON again, to be read like any other request."""
    found = _read(payload, MAX_BATCH_BYTES, MAX_NESTING + 2)
    listed = found.get("requests") if isinstance(found, dict) and found.keys() == {"requests"} else found
    if not isinstance(listed, list) or not 0 < len(listed) <= MAX_BATCH:
        raise UnreadableJson(f'a list of 1 to {MAX_BATCH} requests is expected, or {{"requests": […]}} with one')
    return [json.dumps(each).encode() for each in listed]


def _read(payload: bytes, most_bytes: int, deepest: int) -> Any:
    if len(payload) > most_bytes:
        raise UnreadableJson(f"{len(payload)} bytes; at most {most_bytes} are accepted")
    if _nesting(payload) > deepest:
        raise UnreadableJson(f"nested deeper than {deepest} levels")
    try:
        found = json.loads(
            payload.decode(),
            object_pairs_hook=_no_duplicates,
            parse_constant=_no_constants,
            parse_float=_finite,
            parse_int=_exact,
        )
    except UnreadableJson:
        raise
    except ValueError as error:
        raise UnreadableJson(f"not JSON in UTF-8: {error}") from error
    _refuse_half_characters(payload, found)
    return found
