"""Versions of types and templates in memory; one contract suite runs against these and the tables."""

# pylint: disable=super-init-not-called  # there is no client behind these

from typing import Generic

from infrastructure.dynamo.versions import VersionStore
from schemas.versions import Head, Noun, Version
from tests.fakes.stores import Outage


class FakeVersions(VersionStore[Noun], Generic[Noun]):
    def __init__(self, outage: Outage | None = None, name: str = "versions") -> None:
        self.rows: dict[tuple[str, str, int], Version[Noun]] = {}
        self.reads: list[str] = []
        self._newest: dict[tuple[str, str], Head] = {}
        self._outage = outage or Outage()
        self._name = name

    def _touch(self, what: str) -> None:
        self.reads.append(what)
        self._outage.touch(f"{self._name}.read")

    async def head(self, environment: str, name: str) -> Head | None:
        self._touch(f"head {name}")
        return self._newest.get((environment, name))

    async def get(self, environment: str, name: str, version: int) -> Version[Noun] | None:
        self._touch(f"{name}@{version}")
        return self.rows.get((environment, name, version))

    async def save(self, environment: str, version: Version[Noun]) -> bool:
        self._outage.write(f"{self._name}.save")
        head = self._newest.get((environment, version.name))
        if version.version != (head.newest if head else 0) + 1:
            return False
        self.rows[environment, version.name, version.version] = version
        self._newest[environment, version.name] = version.head
        return True

    async def heads(self, environment: str, *, after: str = "", limit: int | None = None) -> list[Head]:
        self._touch("heads")
        found = [head for (where, name), head in sorted(self._newest.items()) if where == environment and name > after]
        return found[:limit]

    async def versions(self, environment: str, name: str, *, before: int | None, limit: int) -> list[Version[Noun]]:
        self._touch(f"versions {name}")
        found = [
            version
            for (where, named, number), version in sorted(self.rows.items(), reverse=True)
            if (where, named) == (environment, name) and (before is None or number < before)
        ]
        return found[:limit]
