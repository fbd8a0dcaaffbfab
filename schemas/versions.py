"""Versions of types and templates as they are kept: what was stored once never changes, the newest counts."""

from datetime import datetime
from typing import Annotated, Generic, TypeVar

from pydantic import Field, StringConstraints

from schemas.base import Record, UtcDatetime
from schemas.templates import Template
from schemas.types import NotificationType

Noun = TypeVar("Noun", NotificationType, Template)

MAX_VERSION = 999_999_999
MAX_CONTENT_BYTES = 256 * 1024  # a DynamoDB row takes 400 KB
SavedName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:+-]{0,99}$")]
"""Of what comes over the API: `@` pins a version, and `/` would be another path."""


class Head(Record):
    """What counts of a name now, and what one may want to know of it without reading it."""

    name: str
    newest: int
    retired: bool = False
    category: str | None = None  # of a type
    templates: tuple[str, ...] = ()  # of a type: the names it needs

    @property
    def etag(self) -> str:
        return f'"{self.newest}"'


class Version(Record, Generic[Noun]):
    """One version of a name; one without content says that the name was retired."""

    name: str
    version: Annotated[int, Field(ge=1, le=MAX_VERSION)]
    content: Noun | None
    saved_at: UtcDatetime
    saved_by: str

    @property
    def head(self) -> Head:
        return head_of(self.name, self.version, self.content)


def head_of(name: str, version: int, content: NotificationType | Template | None) -> Head:
    return Head(
        name=name,
        newest=version,
        retired=content is None,
        category=content.category if isinstance(content, NotificationType) else None,
        templates=tuple(content.templates.values()) if isinstance(content, NotificationType) else (),
    )


def next_version(name: str, newest: int, content: Noun | None, saved_by: str, now: datetime) -> Version[Noun]:
    """What follows the version that was seen; 0 for a name that is new."""
    number = newest + 1
    numbered = content.model_copy(update={"name": name, "version": number}) if content is not None else None
    return Version(name=name, version=number, content=numbered, saved_at=now, saved_by=saved_by)
