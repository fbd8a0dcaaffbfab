"""What a person wants to be sent: their choices, and the one table that says which of them decides. Pure."""

import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from schemas.base import Record, UtcDatetime
from schemas.digest_terms import DigestChoice
from schemas.quiet_hours import SPREAD_S, QuietHours, released_at

Level = Literal["global", "category", "topic", "type"]
Decision = Literal["deliver", "skip"]
EVERY_CHANNEL = "*"
QUIET_HOURS = "quiet_hours"
"""The reason of a delivery that rests until its person may be disturbed."""


class Choice(Record):
    """One switch: a level, the name it is about there (none at the global level), a channel or `*`, on or off."""

    level: str
    name: str = ""
    channel: str = EVERY_CHANNEL
    enabled: bool

    @property
    def place(self) -> tuple[str, str, str]:
        return (self.level, self.name, self.channel)


class Preferences(Record):
    """Everything one person has chosen. `version` counts what changed it; nobody's choice is version 0."""

    version: int = 0
    choices: tuple[Choice, ...] = ()
    muted_until: UtcDatetime | None = None
    quiet_hours: QuietHours | None = None
    zone: str | None = None
    digests: tuple[DigestChoice, ...] = ()

    @property
    def zone_name(self) -> str | None:
        """Where they live, as far as they have said."""
        return self.zone or (self.quiet_hours.zone if self.quiet_hours else None)

    def choice(self, level: Level, name: str, channel: str) -> Choice | None:
        """What holds for this name: the choice for just this channel before the one for every channel."""
        found = {each.channel: each for each in self.choices if (each.level, each.name) == (level, name)}
        return found.get(channel) or found.get(EVERY_CHANNEL)


class About(Record):
    """What the rules need to know of a delivery."""

    channel: str
    category: str
    type: str = ""
    topics: tuple[str, ...] = ()
    urgent: bool = False

    def names(self, level: Level) -> tuple[str, ...]:
        match level:
            case "global":
                return ("",)
            case "category":
                return (self.category,)
            case "topic":
                return self.topics
            case "type":
                return (self.type,) if self.type else ()


@dataclass(frozen=True)
class Situation:
    """One delivery to one person at one moment; `mandatory` are the deployment's categories nobody can switch off."""

    chosen: Preferences
    about: About
    mandatory: Collection[str]
    now: datetime

    def chosen_at(self, level: Level) -> tuple[Choice, ...]:
        found = (self.chosen.choice(level, name, self.about.channel) for name in self.about.names(level))
        return tuple(choice for choice in found if choice is not None)


Found = tuple[Choice, ...] | bool
"""Whether a rule applies: the choices by which it does, or just yes or no."""


def _is_mandatory(at: Situation) -> bool:
    return at.about.category in at.mandatory


def _is_muted(at: Situation) -> bool:
    return at.chosen.muted_until is not None and at.now < at.chosen.muted_until


def _off(level: Level) -> Callable[[Situation], Found]:
    return lambda at: tuple(choice for choice in at.chosen_at(level) if not choice.enabled)


def _named_on(at: Situation) -> Found:
    levels: tuple[Level, ...] = ("type", "topic", "category")
    return tuple(choice for level in levels for choice in at.chosen_at(level) if choice.enabled)


@dataclass(frozen=True)
class Rule:
    """One row of the precedence table. `reason` stands in the ledger where the rule makes a skip."""

    name: str
    decision: Decision
    when: str
    applies: Callable[[Situation], Found]
    reason: str = ""


PRECEDENCE: tuple[Rule, ...] = (
    Rule("mandatory", "deliver", "the category is mandatory", _is_mandatory),
    Rule("muted", "skip", "everything is muted until later", _is_muted, "muted"),
    Rule("type", "skip", "the type is switched off", _off("type"), "preference:type"),
    Rule("topic", "skip", "a topic it was sent to is switched off", _off("topic"), "preference:topic"),
    Rule("category", "skip", "the category is switched off", _off("category"), "preference:category"),
    Rule("named", "deliver", "type, topic or category is switched on", _named_on),
    Rule("global", "skip", "the channel, or everything, is switched off", _off("global"), "preference:global"),
    Rule("default", "deliver", "nothing above applies", lambda at: True),
)
"""The first row that applies decides. docs/preferences.md shows this table, and a test holds the two together."""


class Consulted(Record):
    """A rule that was looked at, and what it said; `decided` is true for exactly one of them."""

    rule: str
    when: str
    decision: Decision
    applies: bool
    decided: bool
    choices: tuple[Choice, ...] = ()


def explain(at: Situation) -> tuple[Consulted, ...]:
    """Every rule in the order of precedence, also those below the one that decided."""
    consulted: list[Consulted] = []
    for rule in PRECEDENCE:
        found = rule.applies(at)
        said = Consulted(
            rule=rule.name,
            when=rule.when,
            decision=rule.decision,
            applies=bool(found),
            decided=bool(found) and not any(each.decided for each in consulted),
            choices=found if isinstance(found, tuple) else (),
        )
        consulted.append(said)
    return tuple(consulted)


def refusal(at: Situation) -> str | None:
    """Why this delivery is not wanted, as the ledger says it; None when it is."""
    decisive = next(rule for rule in PRECEDENCE if rule.applies(at))
    return decisive.reason if decisive.decision == "skip" else None


def held_until(at: Situation, delivery_id: str) -> datetime | None:
    """When a delivery that would come in quiet hours may go out; None when it may now. Spread by its id."""
    quiet = at.chosen.quiet_hours
    if quiet is None or at.about.urgent or at.about.category in at.mandatory:
        return None
    try:
        zone = ZoneInfo(quiet.zone)
    except (ZoneInfoNotFoundError, ValueError):  # a newer machine's zone: what cannot be judged holds up nobody's mail
        return None
    released = released_at(at.now, quiet, zone)
    return released + timedelta(seconds=zlib.crc32(delivery_id.encode()) % SPREAD_S) if released else None
