"""What is wrong with a type or a template that somebody wants to save, with what the others are there."""

import asyncio

from api.wiring import ApiResources
from infrastructure.checking import template_flaws, type_flaws, undeclared
from schemas.events import FieldError
from schemas.templates import TemplateTerms
from schemas.topics import Environment
from schemas.types import TypeTerms

_MOST_TYPES = 100  # whose schemas a template is held against


async def flaws_of_type(house: ApiResources, environment: Environment, kind: TypeTerms) -> tuple[FieldError, ...]:
    catalogue = await house.catalogue.knowing(environment, templates=kind.templates.values())
    return await asyncio.to_thread(type_flaws, kind, catalogue.template)


async def flaws_of_template(
    house: ApiResources, environment: Environment, name: str, terms: TemplateTerms
) -> tuple[FieldError, ...]:
    """Its own; and what it uses that the types which send it do not declare."""
    if flaws := await asyncio.to_thread(template_flaws, terms):
        return flaws
    found: list[FieldError] = []
    for needing in (await types_that_need(house, environment, name))[:_MOST_TYPES]:
        kind = await house.catalogue.type_now(environment, needing)
        if kind is not None and kind.template == name and kind.variables_schema is not None:
            unknown = await asyncio.to_thread(lambda schema: list(undeclared(terms, schema)), kind.variables_schema)
            found += [FieldError(pointer=pointer, detail=f"{detail} ({needing})") for pointer, detail in unknown]
    return tuple(found)


async def types_that_need(house: ApiResources, environment: Environment, template: str) -> list[str]:
    """Those saved over the API; a folder's types use the folder's templates."""
    heads = await house.stores.types.heads(environment)
    return [
        head.name
        for head in heads
        if not head.retired and any(each.partition("@")[0] == template for each in head.templates)
    ]
