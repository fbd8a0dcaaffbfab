"""What the floors above ask of the outside world. Each port has a real part and a fake, and one contract suite for both."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

from schemas.deliveries import DeliveryRecord
from schemas.events import Position
from schemas.outcomes import Outcome, Policy, ReadBack
from schemas.topics import Environment, Priority


@dataclass(frozen=True)
class Outgoing:
    """A record on its way to Kafka. Bytes stay as they are (a refused record is kept as it came), text becomes UTF-8."""

    topic: str
    key: str | bytes | None
    value: bytes | None
    headers: Mapping[str, str | bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Received:
    """A record as it was read: bytes in, decoding is the handler's."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()

    @property
    def position(self) -> Position:
        return Position(topic=self.topic, partition=self.partition, offset=self.offset)


class Publisher(Protocol):
    async def publish(self, record: Outgoing) -> Position:
        """The place of the record, once every in-sync replica has it; raises `Unavailable` otherwise."""


class Backlog(Protocol):
    async def seconds(self, environment: Environment, channel: str, priority: Priority) -> float:
        """How long the oldest delivery of that priority has waited for its channel; 0 when none waits or nobody can tell."""


class Handler(Protocol):
    """One worker's step. Raises `Unavailable` when our own floor is out; anything else it raises is a bug."""

    async def handle(self, record: Received) -> None:
        """Settles one record completely: afterwards its offset may be committed."""

    async def bury(self, record: Received, error: Exception) -> None:
        """Puts away a record that crashed the handler again and again, with its bytes and the reason."""


class Gate(Protocol):
    """What a worker waits for before it takes in more, for example a provider that is out."""

    def closed_for_s(self) -> float:
        """How long it stays closed as far as is known; 0 is open. Asked several times a second, so it asks nobody."""


class AlwaysOpen:
    """The gate of a worker that waits for nothing."""

    def closed_for_s(self) -> float:
        return 0.0


@dataclass(frozen=True)
class Gap:
    """Offsets of a Kafka topic that were deleted before the group could read them, without `end`."""

    group: str
    topic: str
    partition: int
    first: int
    end: int


class GapLog(Protocol):
    async def record(self, gap: Gap) -> None:
        """Returns when it is where operators look; raises `Unavailable` otherwise. Recording twice does no harm."""


@dataclass(frozen=True)
class Content:
    """What a person reads, rendered."""

    title: str
    body: str
    html: str | None = None
    url: str | None = None
    unsubscribe_url: str | None = None
    collapse: str | None = None  # on a device, what is shown under it already is replaced
    until: datetime | None = None  # after that nobody needs it any more


class Provider(Protocol):
    """An adapter to one of a channel's providers: says what happened and decides nothing."""

    @property
    def name(self) -> str: ...

    @property
    def channel(self) -> str: ...

    def destination(self, address: str) -> str | None:
        """Where a call for this address ends up (a mail domain, a channel); None when this provider does not serve it."""

    async def send(self, delivery: DeliveryRecord, address: str, content: Content) -> Outcome:
        """One attempt, no retry inside, bounded by the provider time-out."""


@runtime_checkable
class ReadsBack(Protocol):
    """A provider that can be asked what became of an attempt."""

    async def look(self, delivery: DeliveryRecord, address: str, since: datetime) -> ReadBack: ...


class Sender(Protocol):
    """One attempt at a delivery, through whichever of a channel's providers; never raises for what a provider does."""

    @property
    def reads_back(self) -> bool:
        """Whether a provider of this channel can be asked what became of an attempt."""

    async def send(self, delivery: DeliveryRecord, address: str, content: Content, policy: Policy) -> Outcome: ...

    async def look(self, delivery: DeliveryRecord, address: str, since: datetime) -> ReadBack:
        """Whether a provider has it, as far as it can be asked."""
