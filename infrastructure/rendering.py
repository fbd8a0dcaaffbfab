"""Texts from templates: those of somebody's locale and channel, filled with the request's variables."""

from collections.abc import Mapping
from typing import Any

from infrastructure.ports import Content
from infrastructure.sandbox import WRONG, line_of, reason_of, rendered
from schemas.requests import Channel, Message
from schemas.templates import Part, Template


class CannotRender(ValueError):
    """The template and the variables do not fit together; says where."""

    def __init__(self, named: str, part: str, line: int | None, reason: str) -> None:
        where = f", line {line}" if line else ""
        super().__init__(f"template {named}, {part}{where}: {reason}")
        self.part, self.line, self.reason = part, line, reason


def render(
    template: Template, variables: Mapping[str, Any], *, locale: str | None = None, channel: Channel = "in_app"
) -> Content:
    """Every part with the same variables. Pure: the same input gives the same text."""
    texts = template.chosen(locale, channel)
    return Content(
        title=_part(template, "title", texts.title or "", variables),
        body=_part(template, "body", texts.body or "", variables),
        html=_part(template, "html", texts.html, variables) if texts.html else None,
        url=_part(template, "url", texts.url, variables) if texts.url else None,
    )


def plain(message: Message) -> Content:
    return Content(title=message.title, body=message.body, url=message.url)


def _part(template: Template, part: Part, source: str, variables: Mapping[str, Any]) -> str:
    try:
        return rendered(source, variables, is_html=part == "html")
    except WRONG as error:
        raise CannotRender(template.pinned, part, line_of(error), reason_of(error)) from error
