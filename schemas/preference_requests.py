"""Preferences as people write them over HTTP: strict where our own records are tolerant."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from schemas.base import Flag, UtcDatetime, Value
from schemas.digest_terms import ChoiceLevel, Every
from schemas.preference_changes import MAX_CHOICES, Change, DigestSetting, Setting
from schemas.preferences import Level
from schemas.quiet_hours import QuietHoursIn, ZoneName
from schemas.requests import Channel, Slug

ChannelOrAll = Channel | Literal["*"]


class SwitchIn(Value):
    """One switch: where it is, and on, off or (null) taken away."""

    level: Level
    name: Slug | Literal[""] = ""
    channel: ChannelOrAll = "*"
    enabled: Flag | None

    @model_validator(mode="after")
    def _is_about_something(self) -> "SwitchIn":
        if (self.level == "global") != (self.name == ""):
            raise ValueError("the global level has no name, every other level needs one")
        return self

    def setting(self) -> Setting:
        return Setting(**self.model_dump())


class ChoiceIn(SwitchIn):
    enabled: Flag


class DigestSwitchIn(Value):
    """How often: gathered for so long, `instant` for each at once, or (null) taken away. Only where a type allows it."""

    level: ChoiceLevel
    name: Slug | Literal[""] = ""
    channel: ChannelOrAll = "*"
    every: Every | None

    @model_validator(mode="after")
    def _is_about_something(self) -> "DigestSwitchIn":
        if (self.level == "global") != (self.name == ""):
            raise ValueError("the global level has no name, every other level needs one")
        return self

    def setting(self) -> DigestSetting:
        return DigestSetting(level=self.level, name=self.name, channel=self.channel, every=self.every)


class DigestChoiceIn(DigestSwitchIn):
    every: Every


class PreferencesIn(Value):
    """The whole: what is not in it is not chosen."""

    choices: Annotated[tuple[ChoiceIn, ...], Field(max_length=MAX_CHOICES)] = ()
    muted_until: UtcDatetime | None = None
    quiet_hours: QuietHoursIn | None = None
    zone: ZoneName | None = None
    digests: Annotated[tuple[DigestChoiceIn, ...], Field(max_length=MAX_CHOICES)] = ()

    def change(self) -> Change:
        return Change(
            settings=tuple(each.setting() for each in self.choices),
            muted_until=self.muted_until,
            quiet_hours=self.quiet_hours,
            zone=self.zone,
            digests=tuple(each.setting() for each in self.digests),
            replace=True,
        )


class PreferencesPatch(Value):
    """Single changes: what is not said stays as it is, what is said to be null is cleared."""

    choices: Annotated[tuple[SwitchIn, ...], Field(max_length=MAX_CHOICES)] = ()
    muted_until: UtcDatetime | None = None
    quiet_hours: QuietHoursIn | None = None
    zone: ZoneName | None = None
    digests: Annotated[tuple[DigestSwitchIn, ...], Field(max_length=MAX_CHOICES)] = ()

    def change(self) -> Change:
        said = {name: getattr(self, name) for name in self.model_fields_set & {"muted_until", "quiet_hours", "zone"}}
        digests = tuple(each.setting() for each in self.digests)
        return Change(settings=tuple(each.setting() for each in self.choices), digests=digests, **said)
