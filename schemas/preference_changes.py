"""How preferences change: commands on their way through Kafka, and the verdict on each. Pure."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from schemas.base import Record, UtcDatetime
from schemas.digest_terms import ChoiceLevel, DigestChoice
from schemas.durations import Duration
from schemas.preferences import EVERY_CHANNEL, Choice, Level, Preferences
from schemas.quiet_hours import QuietHours
from schemas.topics import Environment

MAX_CHOICES = 500
ChangeId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class Setting(Record):
    """One switch to be set, or with `enabled` null to be taken away."""

    level: Level
    name: str = ""
    channel: str = EVERY_CHANNEL
    enabled: bool | None


class DigestSetting(Record):
    """How often, on one level; with `every` null the choice is taken away."""

    level: ChoiceLevel
    name: str = ""
    channel: str = EVERY_CHANNEL
    every: Duration | Literal["instant"] | None


class Change(Record):
    """What a person changes; what is not said stays as it is. With `replace` everything not said is cleared."""

    settings: tuple[Setting, ...] = ()
    muted_until: UtcDatetime | None = None
    quiet_hours: QuietHours | None = None
    zone: str | None = None
    digests: tuple[DigestSetting, ...] = ()
    replace: bool = False
    zone_told: bool = False  # their contact says another zone: no choice of theirs, but it may move what waits

    @property
    def moves_what_waits(self) -> bool:
        """Whether something of this person's may have to go out at another time than before."""
        return self.replace or self.zone_told or bool(self.model_fields_set & {"quiet_hours", "zone"})


def changed(chosen: Preferences, change: Change) -> Preferences:
    """The preferences afterwards: each switch touches its own place alone. No difference, no new version."""
    start = Preferences(version=chosen.version) if change.replace else chosen
    places = {choice.place: choice for choice in start.choices}
    for each in change.settings:
        place = (each.level, each.name, each.channel)
        places.pop(place, None)
        if each.enabled is not None:
            places[place] = Choice(level=each.level, name=each.name, channel=each.channel, enabled=each.enabled)
    said = change.model_fields_set & {"muted_until", "quiet_hours", "zone"}
    after = start.model_copy(
        update={"choices": _in_order(places.values()), "digests": _digests_after(start.digests, change.digests)}
        | {name: getattr(change, name) for name in said}
    )
    return after if after == chosen else after.model_copy(update={"version": chosen.version + 1})


def _digests_after(chosen: tuple[DigestChoice, ...], settings: tuple[DigestSetting, ...]) -> tuple[DigestChoice, ...]:
    places = {choice.place: choice for choice in chosen}
    for each in settings:
        places.pop((each.level, each.name, each.channel), None)
        if each.every is not None:
            choice = DigestChoice(level=each.level, name=each.name, channel=each.channel, every=each.every)
            places[choice.place] = choice
    return tuple(sorted(places.values(), key=lambda choice: choice.place))


def _in_order(choices: Iterable[Choice]) -> tuple[Choice, ...]:
    return tuple(sorted(choices, key=lambda choice: choice.place))


class PreferenceCommand(Record):
    """A change on its way through Kafka. `expected` is the version it was made upon; None takes any."""

    environment: Environment
    person: str
    change_id: ChangeId
    expected: int | None = None
    change: Change
    at: UtcDatetime


class Verdict(Record):
    """What became of a command; `version` is the one that stood afterwards."""

    result: Literal["applied", "version_mismatch", "too_many_choices"]
    version: int
    at: UtcDatetime


def judge(command: PreferenceCommand, chosen: Preferences) -> tuple[Verdict, Preferences]:
    """The verdict on a command, and the preferences after it."""
    after = changed(chosen, command.change)
    if command.expected is not None and command.expected != chosen.version:
        return Verdict(result="version_mismatch", version=chosen.version, at=command.at), chosen
    if len(after.choices) + len(after.digests) > MAX_CHOICES:
        return Verdict(result="too_many_choices", version=chosen.version, at=command.at), chosen
    return Verdict(result="applied", version=after.version, at=command.at), after
