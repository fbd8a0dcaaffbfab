"""Notification types over the API: what a name means, in versions that never change."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response

from api.auth import CurrentUser, requires
from api.checks import flaws_of_type
from api.cursors import Cursor, Limit, TheCursors
from api.dependencies import House, InEnvironment
from api.envelope import ok
from api.if_match import IfMatch
from api.saving import Saving, answered, refuse_strangers, said_name
from infrastructure.auth.user import User
from schemas.events import FieldError
from schemas.types import NotificationType, TypeTerms
from schemas.versions import MAX_VERSION, SavedName

router = APIRouter(prefix="/api/v1/types", tags=["types"])

MayWrite = Annotated[User, Depends(requires("types:write"))]
TypeName = Annotated[SavedName, Path(examples=["order.shipped"])]
VersionAsked = Annotated[int | None, Query(ge=1, le=MAX_VERSION)]


class TypeIn(TypeTerms):
    """What GET gives. The name stands in the path; said here too, it is the same."""

    name: SavedName | None = None


class NewTypeIn(TypeTerms):
    name: SavedName


async def the_types(house: House, environment: InEnvironment) -> Saving[NotificationType]:
    async def check(content: NotificationType) -> tuple[FieldError, ...]:
        return await flaws_of_type(house, environment, content)

    return Saving("type", environment, house.catalogue.types, house.catalogue.folder.types, check)


Types = Annotated[Saving[NotificationType], Depends(the_types)]


def _content(name: str, terms: TypeTerms) -> NotificationType:
    return NotificationType.model_validate(terms.model_dump(exclude_unset=True) | {"name": name})


@router.get("", operation_id="listTypes")
async def types(
    user: CurrentUser, saving: Types, cursors: TheCursors, limit: Limit = 50, cursor: Cursor = None
) -> dict[str, Any]:
    """Every name with its newest version, the folder's too; `meta.next_cursor` continues, null at the end."""
    refuse_strangers(user)
    rows, following = await saving.page(cursors, cursor, limit)
    return ok(rows, meta={"next_cursor": following})


@router.post("", status_code=201, operation_id="createType")
async def create(body: NewTypeIn, user: MayWrite, saving: Types, response: Response) -> dict[str, Any]:
    """A name that is new, or was retired. 428 for one that is in use: PUT says which version the next one follows."""
    return answered(await saving.save(body.name, _content(body.name, body), None, user), response)


@router.get("/{type_name}", operation_id="getType")
async def get(
    type_name: TypeName, user: CurrentUser, saving: Types, response: Response, version: VersionAsked = None
) -> dict[str, Any]:
    """The newest version, or the one that is asked for, as PUT takes it back; `meta` says which and who saved it."""
    refuse_strangers(user)
    shown = await saving.one(type_name, version)
    response.headers["ETag"] = shown.etag
    return ok(shown.described(), meta=shown.about())


@router.put("/{type_name}", operation_id="saveType")
async def put(
    type_name: TypeName,
    body: TypeIn,
    user: MayWrite,
    saving: Types,
    response: Response,
    if_match: IfMatch = None,
) -> dict[str, Any]:
    """The next version; in force at once here and within seconds everywhere. 412 when somebody saved one meanwhile."""
    name = said_name(type_name, body.name)
    return answered(await saving.save(name, _content(name, body), if_match, user), response)


@router.delete("/{type_name}", operation_id="retireType")
async def retire(type_name: TypeName, user: MayWrite, saving: Types, if_match: IfMatch = None) -> dict[str, Any]:
    """New requests cannot name it any more. What was accepted before goes on; saving a version takes it up again."""
    head = await saving.retire(type_name, if_match, user)
    return ok({"name": head.name, "version": head.newest, "retired": True}, "Retired.")


@router.get("/{type_name}/versions", operation_id="listTypeVersions")
async def versions(
    type_name: TypeName, user: CurrentUser, saving: Types, cursors: TheCursors, limit: Limit = 50, cursor: Cursor = None
) -> dict[str, Any]:
    """The newest first."""
    refuse_strangers(user)
    rows, following = await saving.versions(type_name, cursors, cursor, limit)
    return ok(rows, meta={"next_cursor": following})
