"""The types and templates in force. A name may pin a version (`welcome@3`); without one the newest is meant."""

from collections import ChainMap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar, cast

from schemas.fallback import flaw_in
from schemas.requests import NotificationRequest
from schemas.templates import Template
from schemas.topics import Priority
from schemas.types import PLAIN, NotificationType
from schemas.versions import Head

Versioned = TypeVar("Versioned", NotificationType, Template)
_MOST_NAMED = 20


class UnknownName(LookupError):
    """No type or template has this name."""


class Unresolved(ValueError):
    """A request whose type and template give nothing to send; `pointer` names the field to change."""

    def __init__(self, reason: str, pointer: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.pointer, self.detail = reason, pointer, detail


@dataclass(frozen=True)
class Catalogue:
    types: Mapping[str, NotificationType]
    templates: Mapping[str, Template]
    # what else was ever saved, for whoever misspelt a name; nothing is found by it
    saved_types: Mapping[str, Head] = field(default_factory=dict)
    saved_templates: Mapping[str, Head] = field(default_factory=dict)

    @classmethod
    def of(cls, types: Iterable[NotificationType], templates: Iterable[Template]) -> "Catalogue":
        """Refuses two entries of one name and version, a template that does not exist, a fallback that cannot follow."""
        catalogue = cls(_by_name(types), _by_name(templates))
        for kind in catalogue.types.values():
            for name in kind.templates.values():
                catalogue.template(name)
            if flaw := flaw_in(kind.fallback, kind.channels):
                raise ValueError(f"type {kind.name}, {flaw[0]}: {flaw[1]}")
        return catalogue

    def with_types(self, types: Mapping[str, NotificationType], saved: Mapping[str, Head]) -> "Catalogue":
        """These besides; what is here already stays."""
        return replace(self, types=_over(self.types, types), saved_types=saved)

    def with_templates(self, templates: Mapping[str, Template], saved: Mapping[str, Head]) -> "Catalogue":
        return replace(self, templates=_over(self.templates, templates), saved_templates=saved)

    def type(self, name: str | None) -> NotificationType:
        return PLAIN if name is None else _find(self.types, name, "type", self.saved_types)

    def template(self, name: str) -> Template:
        return _find(self.templates, name, "template", self.saved_templates)

    def resolve(self, request: NotificationRequest) -> tuple[NotificationType, str | None]:
        """The request's type, and its template's pinned version unless it says its own message; raises `Unresolved`."""
        try:
            kind = self.type(request.type)
        except UnknownName as error:
            raise Unresolved("unknown_type", "/type", str(error)) from error
        if flaw := flaw_in(kind.steps_for(request), kind.channels_for(request)):
            raise Unresolved("impossible_fallback", *flaw)
        return kind, self._pinned_template(request, kind)

    def priority(self, request: NotificationRequest) -> Priority:
        """What the request asks for, else its type; normal for what will be refused."""
        if request.priority is not None:
            return request.priority
        try:
            return self.type(request.type).priority
        except UnknownName:
            return "normal"

    def _pinned_template(self, request: NotificationRequest, kind: NotificationType) -> str | None:
        """A message of the request's own comes before the type's template."""
        wanted = template_wanted(request, kind)
        if wanted is None and request.message is None:
            detail = f"type {kind.name} has no template: give message or template"
            raise Unresolved("nothing_to_send", "/message", detail)
        try:
            return self.template(wanted).pinned if wanted else None
        except UnknownName as error:
            raise Unresolved("unknown_template", "/template", str(error)) from error


NO_TYPES = Catalogue({}, {})


def _over(first: Mapping[str, Versioned], then: Mapping[str, Versioned]) -> Mapping[str, Versioned]:
    return ChainMap(cast(dict[str, Versioned], first), cast(dict[str, Versioned], then))  # only read: nothing is copied


def template_wanted(request: NotificationRequest, kind: NotificationType) -> str | None:
    return request.template or (kind.template if request.message is None else None)


def split_pin(name: str) -> tuple[str, int | None]:
    """`welcome@3` is `welcome` in version 3."""
    base, at, version = name.rpartition("@")
    if at and version.isascii() and version.isdigit() and len(version) < 10:
        return base, int(version)
    return name, None


def _by_name(entries: Iterable[Versioned]) -> dict[str, Versioned]:
    found: dict[str, Versioned] = {}
    for entry in sorted(entries, key=lambda each: each.version):
        if entry.pinned in found:
            raise ValueError(f"{entry.pinned} is defined twice")
        found[entry.pinned] = found[entry.name] = entry
    return found


def _find(entries: Mapping[str, Versioned], name: str, what: str, saved: Mapping[str, Head]) -> Versioned:
    if name in entries:
        return entries[name]
    head = saved.get(split_pin(name)[0])
    if head is not None and head.retired:
        raise UnknownName(f"the {what} {head.name} was retired; name another one, or save a new version of it")
    raise UnknownName(unknown(what, name, [*entries, *(each.name for each in saved.values() if not each.retired)]))


def unknown(what: str, name: str, there_are: Iterable[str]) -> str:
    """A sentence for whoever misspelt it."""
    known = sorted({each for each in there_are if "@" not in each})
    more = f" and {len(known) - _MOST_NAMED} more" if len(known) > _MOST_NAMED else ""
    return f"no {what} is named {name}; there are: {', '.join(known[:_MOST_NAMED]) or 'none'}{more}"
