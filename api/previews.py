"""How a template looks before anybody gets it."""

import asyncio
from typing import Any

from pydantic import Field, JsonValue

from api.problems import Problem
from infrastructure.checking import template_flaws
from infrastructure.previewing import Order, TooLong, previewed
from schemas.base import Value
from schemas.locales import Locale
from schemas.requests import Channel
from schemas.templates import TemplateTerms

_AT_ONCE = asyncio.Semaphore(2)
_PATIENCE_S = 5.0


class PreviewIn(Value):
    """For whom: what the request would say, the person's locale, and the channel."""

    variables: dict[str, JsonValue] = Field(default_factory=dict)
    locale: Locale | None = None
    channel: Channel = "in_app"


class DraftIn(PreviewIn):
    """A template that nobody has saved yet."""

    template: TemplateTerms


async def preview(order: Order) -> dict[str, Any]:
    """The rendered parts. Raises `Problem`: 422 with part and line, or for what takes too long; 503 when too many look."""
    if flaws := await asyncio.to_thread(template_flaws, order.template):
        listed = [{"pointer": f"/template{flaw.pointer}", "detail": flaw.detail} for flaw in flaws]
        raise Problem(422, "Broken template", listed[0]["detail"], type="broken", errors=listed)
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await _AT_ONCE.acquire()
    except TimeoutError as error:
        raise Problem(503, "Busy", "Others are looking at their previews.", headers={"Retry-After": "5"}) from error
    try:
        found = await asyncio.to_thread(previewed, order)
    except TooLong as error:
        raise Problem(422, "Cannot be rendered", "It took too long, or too much memory.", type="cannot_render") from error
    finally:
        _AT_ONCE.release()
    if "content" not in found:
        line = f"line {found['line']}: " if found["line"] else ""
        detail = f"{found['part']}, {line}{found['reason']}"
        raise Problem(
            422,
            "Cannot be rendered",
            detail,
            type="cannot_render",
            errors=[{"pointer": f"/template/{found['part']}", "detail": f"{line}{found['reason']}"}],
        )
    content: dict[str, Any] = found["content"]
    return content
