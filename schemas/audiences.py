"""Audiences: whom a plan reaches without listing them, as of when, split how; and how far the walk over them has come."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import Field

from schemas.base import Record, UtcDatetime
from schemas.caps import Cap
from schemas.deliveries import State
from schemas.digest_terms import Digest
from schemas.outcomes import Policy
from schemas.requests import Channel, EveryoneTarget, NotificationRequest, TopicTarget
from schemas.topics import Environment, Priority
from schemas.types import NotificationType

EVERYONE = "_all"
"""The reserved topic of everybody with a contact; no request can name it, because a slug begins with a letter or digit."""
PAGE = 500
_LEDGER_SHARDS_OF_A_TOPIC, _LEDGER_SHARDS_OF_EVERYONE, _MOST_LEDGER_SHARDS = 16, 64, 256

Stop = Literal["cancelled", "deadline_passed"]


class Audience(Record):
    """Everything that is decided about an audience when its request is routed, and never anew while it is walked.

    Its people are those who belong to one of the `topics` as of `cutoff`; `shards` is how many walks share them.
    """

    topics: tuple[str, ...]
    cutoff: UtcDatetime
    shards: int
    channels: tuple[Channel, ...]
    priority: Priority = "bulk"
    policies: dict[Channel, Policy] = Field(default_factory=dict)
    caps: tuple[Cap, ...] = ()
    digest: Digest | None = None

    @property
    def may_gather(self) -> bool:
        return self.digest is not None or any(cap.over == "digest" for cap in self.caps)


class ExpandRecord(Record):
    """What travels on the expand Kafka topic: one shard of one audience, to be walked to its end."""

    environment: Environment
    notification_id: str
    shard: int
    correlation_id: str = ""
    traceparent: str = ""

    @property
    def key(self) -> str:
        return f"{self.notification_id}#{self.shard}"


class Moving(Record):
    """How far one walk has given what rests another time: the one wished for under the id `wish`.

    Done are its ledger shards before `ledger`, and of that one the rows up to the delivery `after`.
    """

    wish: str
    ledger: int
    after: str = ""
    moved: int = 0
    done: bool = False


class Progress(Record):
    """How far one shard has been walked: everybody up to `cursor` is handed out or skipped, each page counted once.

    Of the page up to `page_to` some may be handed out already. Once it is cancelled, the way to `cursor` is walked again:
    everybody up to `taken_back_to` has been asked to stop. Once it has another time, what rests is given that: `moving`.
    """

    environment: Environment
    notification_id: str
    shard: int
    version: int = 0
    cursor: str = ""
    page_to: str = ""
    members: int = 0
    planned: int = 0
    skipped: int = 0
    done: bool = False
    stopped: Stop | None = None
    taken_back_to: str = ""
    taken_back: bool = False
    moving: Moving | None = None
    updated_at: UtcDatetime

    @property
    def is_within_a_page(self) -> bool:
        return self.page_to > self.cursor

    def begun(self, page_to: str, at: datetime) -> "Progress":
        """Said before the first of a page is handed out: a page that was begun is finished, whatever comes in between."""
        return self.model_copy(update={"page_to": page_to, "updated_at": at})

    def past(self, page: "Progress") -> "Progress":
        """This progress with one page more, counted in `page`."""
        changes = {
            "cursor": page.cursor or self.cursor,
            "members": self.members + page.members,
            "planned": self.planned + page.planned,
            "skipped": self.skipped + page.skipped,
            "done": page.done,
            "updated_at": page.updated_at,
        }
        return self.model_copy(update=changes)

    def ended(self, why: Stop, at: datetime) -> "Progress":
        return self.model_copy(update={"done": True, "stopped": why, "updated_at": at})

    def has_moved(self, wish: str | None) -> bool:
        """Nobody has wished for another time, or all that rests has got it."""
        return wish is None or (self.moving is not None and self.moving.wish == wish and self.moving.done)

    def moved_past(self, moving: Moving, at: datetime) -> "Progress":
        return self.model_copy(update={"moving": moving, "updated_at": at})

    def taken_back_past(self, last: str, at: datetime, *, is_all: bool) -> "Progress":
        return self.model_copy(update={"taken_back_to": last, "taken_back": is_all, "updated_at": at})


def are_walked(walks: Iterable[Progress], *, is_cancelled: bool) -> bool:
    """To the end, and once it was cancelled also back."""
    return all(walk.taken_back if is_cancelled else walk.done for walk in walks)


@dataclass(frozen=True)
class Tally:
    """What the rows of a ledger add up to: how many stand in each state, and the sum of their versions."""

    states: Counter[State]
    versions: int


def topics_named(request: NotificationRequest) -> tuple[str, ...]:
    """The audiences of a request, each once."""
    found: dict[str, None] = {}
    for target in request.to:
        match target:
            case TopicTarget(topic=topic):
                found[topic] = None
            case EveryoneTarget():
                found[EVERYONE] = None
            case _:
                continue
    return tuple(found)


def audience_of(
    request: NotificationRequest,
    kind: NotificationType,
    cutoff: datetime,
    shards: int,
    policies: Mapping[Channel, Policy],
    digest: Digest | None = None,
) -> Audience | None:
    """None when the request names people only. Its priority holds for those; an audience is bulk, or what its type says."""
    topics = topics_named(request)
    if not topics:
        return None
    return Audience(
        topics=topics,
        cutoff=cutoff,
        shards=shards,
        channels=kind.channels_for(request),
        priority=kind.priority if "priority" in kind.model_fields_set else "bulk",
        policies={**policies, **kind.policy},
        caps=kind.caps,
        digest=digest,
    )


def ledger_shards(audience: Audience | None) -> int:
    """Over how many partitions the ledger of a plan is spread: 1 for people, 16 to 256 for audiences."""
    if audience is None:
        return 1
    wanted = sum(_LEDGER_SHARDS_OF_EVERYONE if topic == EVERYONE else _LEDGER_SHARDS_OF_A_TOPIC for topic in audience.topics)
    return min(wanted, _MOST_LEDGER_SHARDS)
