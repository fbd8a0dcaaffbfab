"""Notification types: what others call a workflow, as data."""

from collections.abc import Sequence

from pydantic import Field, JsonValue, model_validator

from schemas.base import Value
from schemas.caps import Cap
from schemas.digest_terms import Digest
from schemas.durations import Duration
from schemas.outcomes import Policy
from schemas.requests import MAX_STEPS, Channel, FallbackStep, NotificationRequest, Slug
from schemas.topics import Priority


class TypeTerms(Value):
    """A type without its name: category, template, channels, priority, expiry, policies, caps and what its variables are.

    `policy` says per channel what happens when nobody can tell whether an attempt went out; a channel it does not name
    keeps the deployment's DELIVERY_POLICY.
    """

    category: Slug = "general"
    template: Slug | None = None
    channels: tuple[Channel, ...] = Field(default=("in_app",), min_length=1)
    fallback: tuple[FallbackStep, ...] = Field(default=(), max_length=MAX_STEPS)
    priority: Priority = "normal"
    expires_after: Duration | None = None
    policy: dict[Channel, Policy] = Field(default_factory=dict)
    caps: tuple[Cap, ...] = Field(default=(), max_length=4)
    digest: Digest | None = None
    variables_schema: dict[str, JsonValue] | None = None  # JSON Schema 2020-12

    @model_validator(mode="after")
    def _digest_has_a_window(self) -> "TypeTerms":
        if self.digest is not None and self.digest.window is None and not self.digest.by_choice:
            raise ValueError("a digest needs a window, unless it is only by_choice")
        return self

    @property
    def templates(self) -> dict[str, str]:
        """Every template it needs, by the JSON pointer that names it."""
        named = {"/template": self.template, "/digest/template": self.digest.template if self.digest else None}
        return {pointer: name for pointer, name in named.items() if name is not None}

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


class NotificationType(TypeTerms):
    """A named version of it; pinned when a request is routed."""

    name: Slug
    version: int = Field(default=1, ge=1)

    @property
    def pinned(self) -> str:
        return f"{self.name}@{self.version}"


def in_turn(channels: Sequence[Channel], steps: Sequence[FallbackStep]) -> tuple[tuple[int, Channel], ...]:
    """Every channel with its step: 0 for the first ones."""
    turns = (channels, *(step.channels for step in steps))
    return tuple((number, channel) for number, turn in enumerate(turns) for channel in turn)


PLAIN = NotificationType(name="plain")
"""What a request without a type is: its own message, in the inbox unless it names other channels."""
