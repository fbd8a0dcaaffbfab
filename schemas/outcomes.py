"""What a channel can say about one attempt. A closed set: a new member makes mypy show every place to think about."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

Policy = Literal["at_least_once", "at_most_once"]
"""What happens when nobody can tell whether an attempt went out: it is made again, or it rests as UNKNOWN."""


@dataclass(frozen=True)
class Sent:
    """The provider took it; `provider_id` is its own name for the message, if it gave one."""

    answer: str
    provider_id: str | None = None
    provider: str | None = None


@dataclass(frozen=True)
class Retry:
    """Definitely not sent; worth another attempt, not before `asked` if the provider named a wait."""

    reason: str
    asked: timedelta | None = None


@dataclass(frozen=True)
class Ambiguous:
    """A byte left and no answer came: it may or may not have been sent."""

    reason: str


@dataclass(frozen=True)
class Dead:
    """The provider will never take this one. `gone`: nor anything else for this address, which is nobody's any more."""

    reason: str
    gone: bool = False


@dataclass(frozen=True)
class Deferred:
    """Not attempted: our own limits say later. Uses up no attempt."""

    reason: str
    wait: timedelta


Outcome = Sent | Retry | Ambiguous | Dead | Deferred


@dataclass(frozen=True)
class Found:
    """The provider has it: the attempt nobody had heard of went out."""

    answer: str
    provider_id: str | None = None


@dataclass(frozen=True)
class NotFound:
    """A complete look did not show it."""


@dataclass(frozen=True)
class CannotTell:
    """The provider offers no look, or did not answer."""


ReadBack = Found | NotFound | CannotTell


class Unavailable(Exception):
    """Our own floor (Kafka, DynamoDB, Redis) is out: not the message's fault, hold it and try again."""
