"""Reads types and templates from a folder of YAML files; anything wrong stops the start with the file's name."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from infrastructure.checking import template_flaws, type_flaws
from schemas.base import Value
from schemas.catalogue import Catalogue
from schemas.events import FieldError
from schemas.templates import Template
from schemas.types import NotificationType


class CatalogueFile(Value):
    """One file: any number of types and templates."""

    types: tuple[NotificationType, ...] = ()
    templates: tuple[Template, ...] = ()


_FILE = TypeAdapter(CatalogueFile)


class BrokenCatalogue(ValueError):
    """A file of the folder cannot be used."""


def load_catalogue(folder: Path) -> Catalogue:
    """Every `*.yaml` of the folder; a folder that is not there is a mistake, not an empty catalogue."""
    if not folder.is_dir():
        raise BrokenCatalogue(f"TYPES_DIR={folder} is no folder")
    files = [_read(path) for path in sorted(folder.glob("*.yaml"))]
    try:
        catalogue = Catalogue.of(
            (each for file in files for each in file.types), (each for file in files for each in file.templates)
        )
        for kind in catalogue.types.values():
            _refuse(f"type {kind.pinned}", type_flaws(kind, catalogue.template))
    except (ValueError, LookupError) as error:
        raise BrokenCatalogue(f"TYPES_DIR={folder}: {error}") from error
    return catalogue


def _read(path: Path) -> CatalogueFile:
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        file = _FILE.validate_python(content or {})
        for template in file.templates:
            _refuse(f"template {template.pinned}", template_flaws(template))
    except (yaml.YAMLError, ValidationError, ValueError, RecursionError) as error:
        raise BrokenCatalogue(f"{path}: {error}") from error
    return file


def _refuse(named: str, flaws: Iterable[FieldError]) -> None:
    said = "; ".join(f"{flaw.pointer.removeprefix('/')}, {flaw.detail}" for flaw in flaws)
    if said:
        raise ValueError(f"{named}, {said}")
