"""Versions of types and templates: written once, each upon the one before it, and never changed.

A row per version, and one per name under `#newest`, written in the same transaction: so of two who write the next version
one does, and a list of what there is reads no texts.
"""

import secrets
from datetime import datetime
from typing import Generic

from infrastructure.dynamo.client import Dynamo, Item
from infrastructure.dynamo.tables import TEMPLATES, TYPES, Table
from schemas.base import iso
from schemas.templates import Template
from schemas.types import NotificationType
from schemas.versions import Head, Noun, Version

_NEWEST = "#newest"


class VersionStore(Generic[Noun]):
    def __init__(self, dynamo: Dynamo, table: Table, noun: type[Noun]) -> None:
        self._dynamo = dynamo
        self._table = table
        self._noun: type[Noun] = noun

    async def head(self, environment: str, name: str) -> Head | None:
        """What counts of a name now: a consistent read, batched with the others of the moment."""
        key = {"named": _NEWEST, "version": name}
        found = await self._dynamo.get(self._table.named(environment), key)
        return _head(found) if found else None

    async def get(self, environment: str, name: str, version: int) -> Version[Noun] | None:
        """Likewise consistent; what it finds is true for ever."""
        key = {"named": name, "version": _number(version)}
        found = await self._dynamo.get(self._table.named(environment), key)
        return self._version(found) if found else None

    async def save(self, environment: str, version: Version[Noun]) -> bool:
        """False when its number is not the next one any more: somebody else was faster."""
        table, head = self._table.named(environment), _head_row(version.head)
        row = {"named": version.name, "version": _number(version.version)} | _content(version)
        writes = [
            self._dynamo.put_if(table, row, "attribute_not_exists(named)"),
            self._dynamo.put_if(table, head, "newest = :seen", {":seen": version.version - 1})
            if version.version > 1
            else self._dynamo.put_if(table, head, "attribute_not_exists(named)"),
        ]
        return await self._dynamo.transact(writes, secrets.token_hex(16))

    async def heads(self, environment: str, *, after: str = "", limit: int | None = None) -> list[Head]:
        """Every name there is or was, in the order of names, behind the name `after`."""
        rows = await self._dynamo.query(
            self._table.named(environment),
            "named = :newest" + (" AND version > :after" if after else ""),
            {":newest": _NEWEST} | ({":after": after} if after else {}),
            limit=limit,
        )
        return [_head(row) for row in rows]

    async def versions(self, environment: str, name: str, *, before: int | None, limit: int) -> list[Version[Noun]]:
        """A name's versions, the newest first, before the version `before`."""
        rows = await self._dynamo.query(
            self._table.named(environment),
            "named = :name" + (" AND version < :before" if before is not None else ""),
            {":name": name} | ({":before": _number(before)} if before is not None else {}),
            forward=False,
            limit=limit,
        )
        return [self._version(row) for row in rows]

    def _version(self, row: Item) -> Version[Noun]:
        content = row.get("content")
        return Version(
            name=row["named"],
            version=int(row["version"]),
            content=self._noun.model_validate_json(content) if content is not None else None,
            saved_at=datetime.fromisoformat(row["saved_at"]),
            saved_by=row["saved_by"],
        )


def type_store(dynamo: Dynamo) -> VersionStore[NotificationType]:
    return VersionStore(dynamo, TYPES, NotificationType)


def template_store(dynamo: Dynamo) -> VersionStore[Template]:
    return VersionStore(dynamo, TEMPLATES, Template)


def _number(version: int) -> str:
    """Sorts as text."""
    return f"{version:09d}"


def _content(version: Version[Noun]) -> Item:
    content = version.content.model_dump_json(exclude_defaults=True) if version.content is not None else None
    return {"content": content, "saved_at": iso(version.saved_at), "saved_by": version.saved_by}


def _head_row(head: Head) -> Item:
    return {"named": _NEWEST, "version": head.name} | head.model_dump(mode="json", exclude={"name"})


def _head(row: Item) -> Head:
    return Head.model_validate({"name": row["version"]} | {key: row[key] for key in row if key not in ("named", "version")})
