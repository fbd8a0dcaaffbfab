"""What a channel can say about one attempt. A closed set: a new member makes mypy show every place to think about."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class Sent:
    """The provider took it; `provider_id` is its own name for the message, if it gave one."""

    answer: str
    provider_id: str | None = None


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
    """The provider will never take this one."""

    reason: str


Outcome = Sent | Retry | Ambiguous | Dead


class Unavailable(Exception):
    """Our own floor (Kafka, DynamoDB, Redis) is out: not the message's fault, hold it and try again."""
