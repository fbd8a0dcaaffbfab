"""The types and templates in force. A name may pin a version (`welcome@3`); without one the newest is meant."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from schemas.types import PLAIN, NotificationType, Template

Versioned = TypeVar("Versioned", NotificationType, Template)


class UnknownName(LookupError):
    """No type or template has this name."""


@dataclass(frozen=True)
class Catalogue:
    types: Mapping[str, NotificationType]
    templates: Mapping[str, Template]

    @classmethod
    def of(cls, types: Iterable[NotificationType], templates: Iterable[Template]) -> "Catalogue":
        """Refuses two entries of one name and version, and types whose template does not exist."""
        catalogue = cls(_by_name(types), _by_name(templates))
        for kind in catalogue.types.values():
            if kind.template is not None:
                catalogue.template(kind.template)
        return catalogue

    def type(self, name: str | None) -> NotificationType:
        return PLAIN if name is None else _find(self.types, name, "type")

    def template(self, name: str) -> Template:
        return _find(self.templates, name, "template")


def _by_name(entries: Iterable[Versioned]) -> dict[str, Versioned]:
    found: dict[str, Versioned] = {}
    for entry in sorted(entries, key=lambda each: each.version):
        if entry.pinned in found:
            raise ValueError(f"{entry.pinned} is defined twice")
        found[entry.pinned] = found[entry.name] = entry
    return found


def _find(entries: Mapping[str, Versioned], name: str, what: str) -> Versioned:
    if name not in entries:
        known = ", ".join(sorted(each for each in entries if "@" not in each)) or "none"
        raise UnknownName(f"no {what} is named {name}; there are: {known}")
    return entries[name]
