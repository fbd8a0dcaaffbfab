"""The types and templates in force: those of the folder, and on top of them what was saved over the API.

The API's are read through a cache. Which version counts is read anew every few seconds; a version itself never changes, so
it is kept. A name or a pinned version that the cache does not know is read by its key before anybody calls it unknown.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Generic

import structlog

from infrastructure.dynamo.versions import VersionStore
from schemas.catalogue import Catalogue, UnknownName, split_pin, template_wanted, unknown
from schemas.outcomes import Unavailable
from schemas.requests import NotificationRequest
from schemas.templates import Template
from schemas.types import NotificationType
from schemas.versions import Head, Noun, Version

log = structlog.get_logger()

_KEPT = 1000  # versions of each noun in memory


class Retired(UnknownName):
    """There was such a name, and it is not to be used any more."""


class NothingSaved(VersionStore[Noun], Generic[Noun]):
    """Where there is no table: the folder is all."""

    def __init__(self) -> None:  # pylint: disable=super-init-not-called
        """Asks nobody."""

    async def head(self, environment: str, name: str) -> Head | None:
        return None

    async def get(self, environment: str, name: str, version: int) -> Version[Noun] | None:
        return None

    async def heads(self, environment: str, *, after: str = "", limit: int | None = None) -> list[Head]:
        return []


class Shelf(Generic[Noun]):
    """One noun's versions in every environment, as far as they were asked for."""

    def __init__(self, store: VersionStore[Noun], refresh_s: float, clock: Callable[[], float]) -> None:
        self.store: VersionStore[Noun] = store
        self._refresh_s = refresh_s
        self._clock = clock
        self._heads: dict[str, dict[str, Head]] = {}
        self._read_at: dict[str, float] = {}
        self._reading: dict[str, asyncio.Lock] = {}
        self._kept: OrderedDict[tuple[str, str, int], Version[Noun]] = OrderedDict()

    async def heads(self, environment: str) -> Mapping[str, Head]:
        """At most as old as the refresh interval; older while the store is out, if they were ever read."""
        async with self._reading.setdefault(environment, asyncio.Lock()):
            if self._clock() - self._read_at.get(environment, float("-inf")) >= self._refresh_s:
                await self._refresh(environment)
        return self._heads[environment]

    async def _refresh(self, environment: str) -> None:
        try:
            found = await self.store.heads(environment)
        except Unavailable as error:
            if environment not in self._heads:
                raise
            log.warning("catalogue.stale", environment=environment, reason=str(error))
        else:
            self._heads[environment] = {head.name: head for head in found}
        self._read_at[environment] = self._clock()

    async def head(self, environment: str, name: str, at_least: int = 1) -> Head | None:
        """Asked of the store where the cache does not know the name, or not that version, or takes it for retired."""
        heads = await self.heads(environment)
        if name not in heads or heads[name].newest < at_least or heads[name].retired:
            found = await self.store.head(environment, name)
            if found is not None:
                self.note(environment, found)
            return found
        return heads[name]

    def note(self, environment: str, head: Head) -> None:
        """What this process has just seen or written counts here at once."""
        known = self._heads.setdefault(environment, {})
        if head.name not in known or known[head.name].newest < head.newest:
            known[head.name] = head

    async def version(self, environment: str, name: str, version: int) -> Version[Noun] | None:
        """One version, whatever has become of its name since."""
        key = (environment, name, version)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        found = await self.store.get(environment, name, version)
        if found is not None:
            self._kept[key] = found
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return found

    async def find(self, environment: str, named: str) -> Noun | None:
        """What a new request means by this name. Raises `Retired`."""
        name, pinned = split_pin(named)
        head = await self.head(environment, name, pinned or 1)
        if head is None:
            return None
        if head.retired:
            raise Retired(f"{name} was retired; use another one, or save a new version of it")
        found = await self.version(environment, name, pinned or head.newest)
        return found.content if found is not None else None


class LiveCatalogue:
    """Without stores it is the folder alone."""

    def __init__(
        self,
        folder: Catalogue,
        types: VersionStore[NotificationType] | None = None,
        templates: VersionStore[Template] | None = None,
        refresh_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = folder
        self.types: Shelf[NotificationType] = Shelf(types or NothingSaved(), refresh_s, clock)
        self.templates: Shelf[Template] = Shelf(templates or NothingSaved(), refresh_s, clock)

    async def for_request(self, environment: str, request: NotificationRequest) -> Catalogue:
        """A catalogue that knows whatever there is of what this request names. Raises `Unavailable`.

        What the folder knows costs nothing: only for other names is anybody asked.
        """
        asked = request.type
        catalogue = await self.knowing(environment, types=(asked,) if asked else ())
        kind = catalogue.types.get(asked or "")
        wanted = {request.template} if kind is None else {template_wanted(request, kind), *kind.templates.values()}
        wanted.add(request.digest.template if request.digest else None)
        return await self.knowing(environment, catalogue, templates=[name for name in wanted if name is not None])

    async def knowing(
        self,
        environment: str,
        already: Catalogue | None = None,
        *,
        types: Iterable[str] = (),
        templates: Iterable[str] = (),
    ) -> Catalogue:
        """A catalogue that knows these names, as far as there are such. A retired one is not there for something new."""
        catalogue = already or self.folder
        asked = [name for name in types if name not in catalogue.types]
        if asked:
            catalogue = catalogue.with_types(*await _found(self.types, environment, asked))
        wanted = [name for name in templates if name not in catalogue.templates]
        if wanted:
            catalogue = catalogue.with_templates(*await _found(self.templates, environment, wanted))
        return catalogue

    async def template(self, environment: str, pinned: str) -> Template:
        """The very version a plan has pinned, retired or not. Raises `UnknownName`, or `Unavailable`."""
        if pinned in self.folder.templates:
            return self.folder.templates[pinned]
        name, version = split_pin(pinned)
        if version is not None:
            found = await self.templates.version(environment, name, version)
            if found is not None and found.content is not None:
                return found.content
        raise UnknownName(unknown("template", pinned, self.folder.templates))

    async def type_now(self, environment: str, name: str) -> NotificationType | None:
        """The newest version of a type; None where there is none, or it was retired."""
        if name in self.folder.types:
            return self.folder.types[name]
        try:
            return await self.types.find(environment, name)
        except Retired:
            return None

    async def categories(self, environment: str) -> frozenset[str]:
        """Every category that a type in force belongs to."""
        heads = await self.types.heads(environment)
        saved = {head.category for head in heads.values() if head.category and not head.retired}
        return frozenset(saved | {kind.category for kind in self.folder.types.values()})


async def _found(shelf: Shelf[Noun], environment: str, names: Iterable[str]) -> tuple[dict[str, Noun], Mapping[str, Head]]:
    """What there is of these names, and all that was ever saved."""
    found: dict[str, Noun] = {}
    for name in names:
        with suppress(Retired):
            content = await shelf.find(environment, name)
            if content is not None:
                found[name] = content
    return found, await shelf.heads(environment)
