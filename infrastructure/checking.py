"""The one validator of types and templates: a folder's at start, the API's when they are saved, previews too."""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from jinja2 import meta, nodes

from infrastructure.sandbox import WRONG, compiled, known_globals, line_of, parsed, reason_of
from infrastructure.variables import BadSchema, check_schema, declared_by
from schemas.catalogue import UnknownName
from schemas.events import FieldError
from schemas.fallback import flaw_in
from schemas.templates import Template, TemplateTerms
from schemas.types import TypeTerms

MAX_TEXTS = 160_000

TemplateNamed = Callable[[str], Template]
"""Raises `UnknownName`."""


def template_flaws(terms: TemplateTerms) -> tuple[FieldError, ...]:
    """Every text that cannot be compiled, with its line. Long ones take seconds: nothing for an event loop."""
    if sum(len(source) for _, _, source in terms.sources()) > MAX_TEXTS:
        return (FieldError(pointer="", detail=f"all texts together may have {MAX_TEXTS} characters"),)
    return tuple(
        FieldError(pointer=pointer, detail=flaw)
        for pointer, part, source in terms.sources()
        if (flaw := _flaw_of(source, is_html=part == "html")) is not None
    )


def type_flaws(kind: TypeTerms, template_named: TemplateNamed) -> tuple[FieldError, ...]:
    """What a type needs and does not get: its templates, a fallback that can follow, a schema that fits its template."""
    found: list[FieldError] = []
    for pointer, name in kind.templates.items():
        try:
            template_named(name)
        except UnknownName as error:
            found.append(FieldError(pointer=pointer, detail=str(error)))
    if flaw := flaw_in(kind.fallback, kind.channels):
        found.append(FieldError(pointer=flaw[0], detail=flaw[1]))
    if kind.variables_schema is not None:
        try:
            check_schema(kind.variables_schema)
        except BadSchema as error:
            return (*found, FieldError(pointer=f"/variables_schema{error.pointer}", detail=error.detail))
        if kind.template is not None and not found:
            unknown = undeclared(template_named(kind.template), kind.variables_schema)
            found += [FieldError(pointer="/template", detail=f"{pointer}, {detail}") for pointer, detail in unknown]
    return tuple(found)


def undeclared(terms: TemplateTerms, schema: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What a template's texts use and a type's schema does not know: (pointer of the text, line and name)."""
    known = declared_by(schema)
    if known is None:
        return
    for pointer, _, source in terms.sources():
        for name, line in _names_in(source):
            if name not in known:
                yield pointer, f"line {line}: {name} is not among the properties of the type's variables_schema"


@lru_cache(maxsize=1000)
def _names_in(source: str) -> tuple[tuple[str, int], ...]:
    """The variables a text asks for, each with the line where it first does."""
    tree = parsed(source)
    names = sorted(meta.find_undeclared_variables(tree) - known_globals())
    lines = {name: min(each.lineno for each in tree.find_all(nodes.Name) if each.name == name) for name in names}
    return tuple(lines.items())


def _flaw_of(source: str, *, is_html: bool) -> str | None:
    try:
        compiled(source, is_html=is_html)
    except WRONG as error:
        line = line_of(error)
        return f"line {line}: {reason_of(error)}" if line else reason_of(error)
    return None
