"""Texts from templates: sandboxed Jinja2, strict about missing variables, bounded in what it may produce."""

from collections.abc import Mapping
from typing import Any

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from infrastructure.ports import Content
from schemas.requests import Message
from schemas.types import Template

MAX_OUTPUT = 64 * 1024  # characters per part; a rendered item must fit a row of the inbox


class CannotRender(ValueError):
    """The template and the variables do not fit together; says where."""


# What makes much out of little (padding, formatting) or says something else each time.
_WITHOUT_FILTERS = {"attr", "batch", "center", "format", "indent", "pprint", "random", "slice"}
_WITHOUT_METHODS = {"center", "expandtabs", "format", "format_map", "ljust", "rjust", "zfill"}


class _Bounded(ImmutableSandboxedEnvironment):
    """Multiplying and padding strings is how a sandboxed template eats memory: `{{ 'a' * 50000000 }}`."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def __init__(self, *, autoescape: bool) -> None:
        super().__init__(undefined=StrictUndefined, autoescape=autoescape, auto_reload=False, cache_size=500)
        self.globals = {"range": self.globals["range"]}
        self.filters = {name: found for name, found in self.filters.items() if name not in _WITHOUT_FILTERS}

    def wrap_str_format(self, value: Any) -> None:
        """`str.format` gets no way of its own around `is_safe_attribute`."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return attr not in _WITHOUT_METHODS and super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if not (isinstance(left, int | float) and isinstance(right, int | float)) or abs(right) > MAX_OUTPUT:
            raise TemplateError(f"'{operator}' is for small numbers only")
        return super().call_binop(context, operator, left, right)


_text = _Bounded(autoescape=False)
_html = _Bounded(autoescape=True)


def check_template(template: Template) -> None:
    """Raises `CannotRender` with part and line when a text does not parse."""
    for part in ("title", "body", "html", "url"):
        source = getattr(template, part)
        if source is not None:
            try:
                (_html if part == "html" else _text).compile(source)
            except TemplateError as error:
                raise CannotRender(
                    f"template {template.pinned}, {part}, line {getattr(error, 'lineno', '?')}: {error}"
                ) from error


def render(template: Template, variables: Mapping[str, Any]) -> Content:
    """Every part with the same variables. Pure: the same input gives the same text."""
    return Content(
        title=_part(template, "title", template.title, variables),
        body=_part(template, "body", template.body, variables),
        html=_part(template, "html", template.html, variables) if template.html else None,
        url=_part(template, "url", template.url, variables) if template.url else None,
    )


def plain(message: Message) -> Content:
    return Content(title=message.title, body=message.body, url=message.url)


def _part(template: Template, name: str, source: str, variables: Mapping[str, Any]) -> str:
    environment = _html if name == "html" else _text
    produced: list[str] = []
    size = 0
    try:
        for chunk in environment.from_string(source).generate(variables):
            size += len(chunk)
            if size > MAX_OUTPUT:
                raise CannotRender(f"template {template.pinned}, {name}: more than {MAX_OUTPUT} characters")
            produced.append(chunk)
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise CannotRender(f"template {template.pinned}, {name}: {error}") from error
    return "".join(produced)
