"""Templates over the API, in versions that never change; and how one looks before anybody gets it."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response

from api.auth import CurrentUser, requires
from api.checks import flaws_of_template, types_that_need
from api.cursors import Cursor, Limit, TheCursors
from api.dependencies import House, InEnvironment
from api.envelope import ok
from api.if_match import IfMatch
from api.previews import DraftIn, PreviewIn, preview
from api.problems import Problem
from api.saving import Saving, answered, refuse_strangers, said_name
from infrastructure.auth.user import User
from infrastructure.previewing import Order
from schemas.events import FieldError
from schemas.templates import Template, TemplateTerms
from schemas.versions import MAX_VERSION, SavedName

router = APIRouter(prefix="/api/v1/templates", tags=["templates"])

MayWrite = Annotated[User, Depends(requires("templates:write"))]
TemplateName = Annotated[SavedName, Path(examples=["order-shipped"])]
VersionAsked = Annotated[int | None, Query(ge=1, le=MAX_VERSION)]


class TemplateIn(TemplateTerms):
    """What GET gives. The name stands in the path; said here too, it is the same."""

    name: SavedName | None = None


class NewTemplateIn(TemplateTerms):
    name: SavedName


async def the_templates(house: House, environment: InEnvironment) -> Saving[Template]:
    async def check(content: Template) -> tuple[FieldError, ...]:
        return await flaws_of_template(house, environment, content.name, content)

    return Saving("template", environment, house.catalogue.templates, house.catalogue.folder.templates, check)


Templates = Annotated[Saving[Template], Depends(the_templates)]


def _content(name: str, terms: TemplateTerms) -> Template:
    return Template.model_validate(terms.model_dump(exclude_unset=True) | {"name": name})


@router.get("", operation_id="listTemplates")
async def templates(
    user: CurrentUser, saving: Templates, cursors: TheCursors, limit: Limit = 50, cursor: Cursor = None
) -> dict[str, Any]:
    """Every name with its newest version, the folder's too; `meta.next_cursor` continues, null at the end."""
    refuse_strangers(user)
    rows, following = await saving.page(cursors, cursor, limit)
    return ok(rows, meta={"next_cursor": following})


@router.post("", status_code=201, operation_id="createTemplate")
async def create(body: NewTemplateIn, user: MayWrite, saving: Templates, response: Response) -> dict[str, Any]:
    """A name that is new, or was retired. 428 for one that is in use: PUT says which version the next one follows."""
    return answered(await saving.save(body.name, _content(body.name, body), None, user), response)


@router.post("/preview", operation_id="previewDraft")
async def preview_draft(body: DraftIn, _user: MayWrite, _environment: InEnvironment) -> dict[str, Any]:
    """Texts that nobody has saved, as somebody with this locale would get them on this channel; or the error with its line.

    It is rendered in a process of its own, which is stopped after seconds.
    """
    template = Template.model_validate(body.template.model_dump(exclude_unset=True) | {"name": "draft"})
    return ok(await preview(_order(template, body)))


@router.get("/{template_name}", operation_id="getTemplate")
async def get(
    template_name: TemplateName, user: CurrentUser, saving: Templates, response: Response, version: VersionAsked = None
) -> dict[str, Any]:
    """The newest version, or the one that is asked for, as PUT takes it back; `meta` says which and who saved it."""
    refuse_strangers(user)
    shown = await saving.one(template_name, version)
    response.headers["ETag"] = shown.etag
    return ok(shown.described(), meta=shown.about())


@router.put("/{template_name}", operation_id="saveTemplate")
async def put(
    template_name: TemplateName,
    body: TemplateIn,
    user: MayWrite,
    saving: Templates,
    response: Response,
    if_match: IfMatch = None,
) -> dict[str, Any]:
    """The next version; in force at once here and within seconds everywhere. 412 when somebody saved one meanwhile."""
    name = said_name(template_name, body.name)
    return answered(await saving.save(name, _content(name, body), if_match, user), response)


@router.delete("/{template_name}", operation_id="retireTemplate")
async def retire(
    template_name: TemplateName,
    user: MayWrite,
    house: House,
    environment: InEnvironment,
    saving: Templates,
    if_match: IfMatch = None,
) -> dict[str, Any]:
    """New requests cannot name it any more, and no type may need it. What was accepted before keeps its version."""
    if needing := await types_that_need(house, environment, template_name):
        detail = f"It is needed by {', '.join(needing[:5])}: save these types with another template first."
        raise Problem(409, "Needed", detail, type="needed")
    head = await saving.retire(template_name, if_match, user)
    return ok({"name": head.name, "version": head.newest, "retired": True}, "Retired.")


@router.get("/{template_name}/versions", operation_id="listTemplateVersions")
async def versions(
    template_name: TemplateName,
    user: CurrentUser,
    saving: Templates,
    cursors: TheCursors,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """The newest first."""
    refuse_strangers(user)
    rows, following = await saving.versions(template_name, cursors, cursor, limit)
    return ok(rows, meta={"next_cursor": following})


@router.post("/{template_name}/preview", operation_id="previewTemplate")
async def preview_saved(
    template_name: TemplateName, body: PreviewIn, user: CurrentUser, saving: Templates, version: VersionAsked = None
) -> dict[str, Any]:
    """Likewise for a version that is saved; the newest, if none is asked for."""
    refuse_strangers(user)
    shown = await saving.one(template_name, version)
    return ok(await preview(_order(shown.content, body)), meta={"version": shown.version})


def _order(template: Template, asked: PreviewIn) -> Order:
    return Order(template=template, variables=asked.variables, locale=asked.locale, channel=asked.channel)
