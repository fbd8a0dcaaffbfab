"""Who may be made to belong to which topics: oneself to the open ones, others and closed ones with the right to."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from api.problems import Problem
from infrastructure.auth.user import User
from infrastructure.settings import Settings
from schemas.requests import Slug

PEOPLE_WRITE = "people:write"
MOST_TOPICS = 100
TopicNames = Annotated[tuple[Slug, ...], Field(min_length=1, max_length=MOST_TOPICS)]


def refuse_others(user: User, person: str) -> None:
    """Somebody else's affairs need a permission; a program has none of its own."""
    if (user.kind != "person" or person != user.id) and not user.may(PEOPLE_WRITE):
        raise Problem(403, "Forbidden", f"That is somebody else's: it needs the permission {PEOPLE_WRITE}.")


def refuse_closed(user: User, topics: Iterable[str], settings: Settings) -> None:
    """Into a closed topic nobody lets themselves in."""
    closed = sorted(set(topics) & set(settings.closed_topics))
    if closed and not user.may(PEOPLE_WRITE):
        detail = f"{', '.join(closed)}: subscribing to a closed topic needs the permission {PEOPLE_WRITE}."
        raise Problem(403, "Forbidden", detail, type="closed_topic")
