"""One's own inbox. No permission is needed, and nobody else's can be named."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field

from api.auth import CurrentUser
from api.cursors import Cursor, Limit, TheCursors
from api.dependencies import House, InEnvironment
from api.envelope import ok
from api.etags import IfNoneMatch, unless_the_same
from api.paths import BY_ID, ITEM_ID
from api.problems import Problem
from api.wiring import ApiResources
from infrastructure.auth.user import User
from infrastructure.dynamo.inbox import CURSOR
from schemas.base import Value
from schemas.live import ItemChange
from schemas.topics import Environment

router = APIRouter(prefix="/api/v1/notifications", tags=["inbox"])

MARKED_AT_ONCE = 500
ItemId = Annotated[str, Path(pattern=f"^{ITEM_ID}$")]
# OpenAPI has one name for this place of the path, whatever is named there
DeletedId = Annotated[str, Path(alias="notification_id", pattern=f"^{ITEM_ID}$", description="The item's id: `dlv_…`")]


class SeenItems(Value):
    ids: tuple[Annotated[str, Field(pattern=f"^{ITEM_ID}$")], ...] = Field(max_length=100)


@router.get("/", operation_id="listInbox")
async def items(
    user: CurrentUser,
    house: House,
    environment: InEnvironment,
    cursors: TheCursors,
    limit: Limit = 20,
    cursor: Cursor = None,
    archived: Annotated[bool, Query(description="Those put away, instead of those that are not")] = False,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Newest first, without those archived; `meta.next_cursor` continues, null at the end."""
    inbox = house.stores.inbox
    pages = inbox.archived if archived else inbox.newest
    found = await pages(environment, user.id, before=cursors.place(cursor, CURSOR), limit=limit)
    more = cursors.write(found[-1].cursor) if len(found) == limit else None
    unread = await inbox.unread(environment, user.id)
    shown = [item.model_dump(mode="json", exclude={"person"}) for item in found]
    return unless_the_same(ok(shown, meta={"next_cursor": more, "unread": unread}), if_none_match)


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
    found = await house.stores.inbox.mark_read(environment, user.id, item_id, datetime.now(UTC))
    return await _changed(house, environment, user, item_id, "read", found=found)


@router.post("/mark-clicked/{item_id}", operation_id="markClicked")
async def mark_clicked(item_id: ItemId, user: CurrentUser, house: House, environment: InEnvironment) -> dict[str, Any]:
    """Its link or one of its actions was followed; that reads it, too."""
    found = await house.stores.inbox.mark_clicked(environment, user.id, item_id, datetime.now(UTC))
    return await _changed(house, environment, user, item_id, "read", found=found)


@router.post("/mark-all-read", operation_id="markAllRead")
async def mark_all_read(user: CurrentUser, house: House, environment: InEnvironment) -> dict[str, Any]:
    """Everything unread, at most 500 items a call; `unread` says what is left."""
    now = datetime.now(UTC)
    ids = await house.stores.inbox.unread_ids(environment, user.id, MARKED_AT_ONCE)
    for item_id in ids:
        await house.stores.inbox.mark_read(environment, user.id, item_id, now)
    await house.announcer.read(environment, user.id, ids)
    return ok({"read": len(ids), "unread": await house.stores.inbox.unread(environment, user.id)})


@router.post("/archive/{item_id}", operation_id="archiveItem")
async def archive(item_id: ItemId, user: CurrentUser, house: House, environment: InEnvironment) -> dict[str, Any]:
    """Out of the list and of the unread count, kept under `?archived=true`; other devices learn of it."""
    found = await house.stores.inbox.archive(environment, user.id, item_id, datetime.now(UTC))
    return await _changed(house, environment, user, item_id, "archived", found=found)


@router.post("/unarchive/{item_id}", operation_id="unarchiveItem")
async def unarchive(item_id: ItemId, user: CurrentUser, house: House, environment: InEnvironment) -> dict[str, Any]:
    """Back to its place in the list, unread if it was."""
    found = await house.stores.inbox.unarchive(environment, user.id, item_id)
    return await _changed(house, environment, user, item_id, "unarchived", found=found)


@router.delete(BY_ID, operation_id="deleteItem")
async def delete(item_id: DeletedId, user: CurrentUser, house: House, environment: InEnvironment) -> dict[str, Any]:
    """For good: nothing brings it back, not even a repeat of its request. Deleting twice changes nothing."""
    found = await house.stores.inbox.delete(environment, user.id, item_id, datetime.now(UTC))
    return await _changed(house, environment, user, item_id, "deleted", found=found)


async def _changed(
    house: ApiResources, environment: Environment, user: User, item_id: str, change: ItemChange, *, found: bool
) -> dict[str, Any]:
    """Tells the person's other devices, and how many are unread now."""
    if not found:
        raise _unknown()
    await house.announcer.changed(environment, user.id, change, (item_id,))
    return ok({"unread": await house.stores.inbox.unread(environment, user.id)})


def _unknown() -> Problem:
    return Problem(404, "Not found", "No item of yours has this id.")
