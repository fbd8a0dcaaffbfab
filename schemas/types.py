"""Notification types and templates: what others call a workflow, as data."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from schemas.base import Value
from schemas.caps import Cap
from schemas.digest_terms import Digest
from schemas.durations import Duration
from schemas.outcomes import Policy
from schemas.requests import MAX_STEPS, Channel, FallbackStep, NotificationRequest, Slug
from schemas.topics import Priority

TemplateText = Annotated[str, StringConstraints(max_length=40_000)]


class Template(Value):
    """Texts in Jinja2; `html` is for e-mail only and is escaped where the others are not."""

    name: Slug
    version: int = Field(default=1, ge=1)
    title: TemplateText = ""
    body: TemplateText
    html: TemplateText | None = None
    url: TemplateText | None = None

    @property
    def pinned(self) -> str:
        return f"{self.name}@{self.version}"


class NotificationType(Value):
    """Binds a name to category, template, channels, priority, expiry, policies and caps; pinned when a request is routed.

    `policy` says per channel what happens when nobody can tell whether an attempt went out; a channel it does not name
    keeps the deployment's DELIVERY_POLICY.
    """

    name: Slug
    version: int = Field(default=1, ge=1)
    category: Slug = "general"
    template: Slug | None = None
    channels: tuple[Channel, ...] = Field(default=("in_app",), min_length=1)
    fallback: tuple[FallbackStep, ...] = Field(default=(), max_length=MAX_STEPS)
    priority: Priority = "normal"
    expires_after: Duration | None = None
    policy: dict[Channel, Policy] = Field(default_factory=dict)
    caps: tuple[Cap, ...] = Field(default=(), max_length=4)
    digest: Digest | None = None

    @model_validator(mode="after")
    def _digest_has_a_window(self) -> "NotificationType":
        if self.digest is not None and self.digest.window is None and not self.digest.by_choice:
            raise ValueError("a digest needs a window, unless it is only by_choice")
        return self

    @property
    def pinned(self) -> str:
        return f"{self.name}@{self.version}"

    def channels_for(self, request: NotificationRequest) -> tuple[Channel, ...]:
        """The first channels of a person: the request's, else the type's."""
        return request.channels or self.channels

    def all_channels_for(self, request: NotificationRequest) -> tuple[Channel, ...]:
        """Every channel a person may be reached on, sooner or later."""
        return tuple(channel for _, channel in in_turn(self.channels_for(request), self.steps_for(request)))

    def steps_for(self, request: NotificationRequest) -> tuple[FallbackStep, ...]:
        """A request that names its channels has said all of them; the type's fallback is not added to these."""
        if request.fallback is not None:
            return request.fallback
        return self.fallback if request.channels is None else ()


def in_turn(channels: Sequence[Channel], steps: Sequence[FallbackStep]) -> tuple[tuple[int, Channel], ...]:
    """Every channel with its step: 0 for the first ones."""
    turns = (channels, *(step.channels for step in steps))
    return tuple((number, channel) for number, turn in enumerate(turns) for channel in turn)


PLAIN = NotificationType(name="plain")
"""What a request without a type is: its own message, in the inbox unless it names other channels."""
