"""One's own inbox. No permission is needed, and nobody else's can be named."""

import base64
import binascii
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import Field

from api.auth import CurrentUser
from api.dependencies import House, InEnvironment
from api.envelope import ok
from api.problems import Problem
from infrastructure.dynamo.inbox import CURSOR
from schemas.base import Value

router = APIRouter(prefix="/api/v1/notifications", tags=["inbox"])

MARKED_AT_ONCE = 500
ItemId = Annotated[str, Path(pattern=r"^dlv_[a-z2-7]{26}$")]


class SeenItems(Value):
    ids: tuple[Annotated[str, Field(pattern=r"^dlv_[a-z2-7]{26}$")], ...] = Field(max_length=100)


def page_cursor(cursor: str) -> str:
    return base64.urlsafe_b64encode(cursor.encode()).decode().rstrip("=")


def read_page_cursor(text: str | None) -> str | None:
    """Opaque to clients. It is bound to nobody: a foreign one only points at a moment in one's own inbox."""
    if text is None:
        return None
    try:
        cursor = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except (binascii.Error, ValueError):
        cursor = ""
    if not CURSOR.fullmatch(cursor):
        raise Problem(400, "Bad cursor", "Use next_cursor of the page before, unchanged.")
    return cursor


@router.get("/", operation_id="listInbox")
async def items(
    user: CurrentUser,
    house: House,
    environment: InEnvironment,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
) -> dict[str, Any]:
    """Newest first; `meta.next_cursor` continues, null at the end."""
    inbox = house.stores.inbox
    found = await inbox.newest(environment, user.id, before=read_page_cursor(cursor), limit=limit)
    more = page_cursor(found[-1].cursor) if len(found) == limit else None
    unread = await inbox.unread(environment, user.id)
    return ok(
        [item.model_dump(mode="json", exclude={"person"}) for item in found], meta={"next_cursor": more, "unread": unread}
    )


@router.get("/unread", operation_id="countUnread")
async def count_unread(user: CurrentUser, house: House, environment: InEnvironment) -> dict[str, Any]:
    """How many items nobody has read yet."""
    return ok({"unread": await house.stores.inbox.unread(environment, user.id)})


@router.post("/mark-seen", operation_id="markSeen")
async def mark_seen(body: SeenItems, user: CurrentUser, house: House, environment: InEnvironment) -> dict[str, Any]:
    """Shown to the person, not necessarily read. Unknown ids are passed over and counted out."""
    now = datetime.now(UTC)
    marked = [await house.stores.inbox.mark_seen(environment, user.id, item, now) for item in body.ids]
    return ok({"seen": sum(marked)})


@router.post("/mark-read/{item_id}", operation_id="markRead")
async def mark_read(item_id: ItemId, user: CurrentUser, house: House, environment: InEnvironment) -> dict[str, Any]:
    """Reading twice changes nothing; other devices learn of it."""
    if not await house.stores.inbox.mark_read(environment, user.id, item_id, datetime.now(UTC)):
        raise Problem(404, "Not found", "No item of yours has this id.")
    await house.announcer.read(environment, user.id, (item_id,))
    return ok({"unread": await house.stores.inbox.unread(environment, user.id)})


@router.post("/mark-clicked/{item_id}", operation_id="markClicked")
async def mark_clicked(item_id: ItemId, user: CurrentUser, house: House, environment: InEnvironment) -> dict[str, Any]:
    """Its link or one of its actions was followed; that reads it, too."""
    if not await house.stores.inbox.mark_clicked(environment, user.id, item_id, datetime.now(UTC)):
        raise Problem(404, "Not found", "No item of yours has this id.")
    await house.announcer.read(environment, user.id, (item_id,))
    return ok({"unread": await house.stores.inbox.unread(environment, user.id)})


@router.post("/mark-all-read", operation_id="markAllRead")
async def mark_all_read(user: CurrentUser, house: House, environment: InEnvironment) -> dict[str, Any]:
    """Everything unread, at most 500 items a call; `unread` says what is left."""
    now = datetime.now(UTC)
    ids = await house.stores.inbox.unread_ids(environment, user.id, MARKED_AT_ONCE)
    for item_id in ids:
        await house.stores.inbox.mark_read(environment, user.id, item_id, now)
    await house.announcer.read(environment, user.id, ids)
    return ok({"read": len(ids), "unread": await house.stores.inbox.unread(environment, user.id)})
