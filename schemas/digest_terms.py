"""Gathering events into one digest: what a request or a type says, what a person prefers, and what comes of both. Pure."""

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from schemas.base import WHOLE, Flag, Record, Value
from schemas.durations import Duration

SHORTEST, LONGEST = timedelta(seconds=1), timedelta(days=7)
SHOWN, MOST_SHOWN = 20, 50
_MAX_WINDOWS = 4
"""A sliding window without a `max` stays open for at most so many of its windows."""

Span = Annotated[Duration, Field(ge=SHORTEST, le=LONGEST)]
Key = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Mode = Literal["fixed", "sliding"]
TemplateName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}$")]


class Digest(Value):
    """How events are gathered, fixed unless it says sliding. A request need say only what differs from its type.

    `key` is what they are about (a post, an order); `limit` how many of them the digest shows, the rest is counted.
    `by_choice`: only for people who have chosen a digest; everybody else gets each at once.
    """

    key: Key | None = None
    window: Span | None = None
    mode: Mode | None = None
    max: Span | None = None
    limit: Annotated[int, Field(ge=1, le=MOST_SHOWN), WHOLE] | None = None
    template: TemplateName | None = None
    by_choice: Flag = False

    @model_validator(mode="after")
    def _max_is_for_sliding(self) -> "Digest":
        if self.max is not None and self.mode == "fixed":
            raise ValueError("max is for a sliding window; a fixed one ends when its window does")
        if self.max is not None and self.window is not None and self.max < self.window:
            raise ValueError("max is shorter than the window")
        return self

    def over(self, other: "Digest | None") -> "Digest":
        """What this one says, and where it is silent what the other one says."""
        if other is None:
            return self
        said = {name: value for name in _SAID if (value := getattr(self, name)) is not None}
        kept = {name: getattr(other, name) for name in _SAID if name not in said}
        if said.get("mode") == "fixed":
            kept["max"] = None
        return Digest(**kept | said, by_choice=self.by_choice)


_SAID = ("key", "window", "mode", "max", "limit", "template")


def _read(value: Any) -> Any:
    """Reads the object by itself, so that an error names the one field that is wrong."""
    if value is None:
        return False
    if isinstance(value, dict):
        return Digest.model_validate(value)
    if value is not False and not isinstance(value, Digest):
        raise ValueError("an object is expected, or false for no digest")
    return value


DigestOrNot = Annotated[Digest | Literal[False] | None, BeforeValidator(_read)]
"""In a request: false or null is a word of its own (not this one, whatever the type says); unsaid is None."""


class Terms(Record):
    """What holds for one delivery that is gathered. The terms of the event that opens a window are the window's."""

    key: str = ""
    window: Duration
    mode: Mode = "fixed"
    max: Duration | None = None
    limit: int = SHOWN
    template: str | None = None


ChoiceLevel = Literal["type", "category", "global"]
"""The finest one that was chosen decides."""
LEVELS: tuple[ChoiceLevel, ...] = ("type", "category", "global")
INSTANT: Literal["instant"] = "instant"
Every = Span | Literal["instant"]


class DigestChoice(Record):
    """A person's word: on this level, by this channel or `*`, gathered `every` so long, or each at once."""

    level: ChoiceLevel
    name: str = ""
    channel: str = "*"
    every: Duration | Literal["instant"]

    @property
    def place(self) -> tuple[str, str, str]:
        return (self.level, self.name, self.channel)


def chosen_for(choices: Collection[DigestChoice], names: Mapping[ChoiceLevel, str], channel: str) -> DigestChoice | None:
    """Type before category before global; on one level just this channel before every channel."""
    places = {choice.place: choice for choice in choices}
    wanted = ((level, names[level], each) for level in LEVELS for each in (channel, "*"))
    return next((places[place] for place in wanted if place in places), None)


def terms_of(digest: Digest, choice: DigestChoice | None) -> Terms | None:
    """None: at once. A person's window is a fixed one: "every hour" ends an hour after it began."""
    shown, key = digest.limit or SHOWN, digest.key or ""
    if choice is not None and choice.every != INSTANT:
        return Terms(key=key, window=choice.every, limit=shown, template=digest.template)
    if choice is not None or digest.by_choice or digest.window is None:
        return None
    if digest.mode != "sliding":
        return Terms(key=key, window=digest.window, limit=shown, template=digest.template)
    longest = digest.max or min(digest.window * _MAX_WINDOWS, LONGEST)
    return Terms(key=key, window=digest.window, mode="sliding", max=longest, limit=shown, template=digest.template)
