"""Inbox items and the frames that announce them."""

from typing import Any, Literal, get_args

from pydantic import Field

from schemas.base import Record, UtcDatetime


class InboxItem(Record):
    """One notification as its reader sees it."""

    person: str
    id: str
    notification_id: str
    cursor: str
    title: str = ""
    message: str
    url: str | None = None
    actions: tuple[dict[str, str], ...] = ()
    data: dict[str, Any] = Field(default_factory=dict)
    category: str = "general"
    created_at: UtcDatetime
    seen_at: UtcDatetime | None = None
    read_at: UtcDatetime | None = None
    clicked_at: UtcDatetime | None = None
    archived_at: UtcDatetime | None = None


class NotificationFrame(Record):
    """The frame old and new clients get for a new item."""

    type: Literal["notification"] = "notification"
    cursor: str
    id: str
    title: str
    message: str
    data: dict[str, Any]
    created_at: UtcDatetime

    @classmethod
    def of(cls, item: InboxItem) -> "NotificationFrame":
        return cls(
            cursor=item.cursor,
            id=item.id,
            title=item.title,
            message=item.message,
            data=item.data,
            created_at=item.created_at,
        )


ItemChange = Literal["read", "archived", "unarchived", "deleted", "recalled"]
ITEM_CHANGES: tuple[ItemChange, ...] = get_args(ItemChange)


class ChangeFrame(Record):
    """Read, archived or deleted on one device, so on all; recalled by its sender, gone everywhere."""

    type: ItemChange
    ids: tuple[str, ...]
    unread: int


class GapFrame(Record):
    """The cursor cannot be followed: this is what is there now."""

    type: Literal["gap"] = "gap"
    snapshot: dict[str, Any]
