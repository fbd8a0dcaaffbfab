"""Types and templates over the API: what there is, one of it, and the next version, written upon the one before."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, Literal

import structlog
from fastapi import Response

from api.cursors import Cursors
from api.envelope import ok
from api.if_match import expected_version
from api.problems import Problem
from infrastructure.auth.user import User
from infrastructure.live_catalogue import Shelf
from schemas.catalogue import split_pin
from schemas.events import FieldError
from schemas.types import NotificationType
from schemas.versions import MAX_CONTENT_BYTES, Head, Noun, Version, head_of, next_version

log = structlog.get_logger()

Check = Callable[[Noun], Awaitable[tuple[FieldError, ...]]]
"""What is wrong with it, with what the others are there."""
What = Literal["type", "template"]
_NAME, _NUMBER = re.compile(r"[^\s#]{1,128}"), re.compile(r"[1-9][0-9]{0,8}")
READERS = ("notifications:send", "types:write", "templates:write", "ops:read")


def refuse_strangers(user: User) -> None:
    """Who sends or writes may see what there is to send."""
    if not any(user.may(permission) for permission in READERS):
        raise Problem(403, "Forbidden", f"This needs one of the permissions {', '.join(READERS)}.")


@dataclass(frozen=True)
class Shown(Generic[Noun]):
    """One version with what is known about it."""

    content: Noun
    version: int
    newest: int
    source: Literal["folder", "api"]
    saved: Version[Noun] | None = None

    @property
    def etag(self) -> str:
        return f'"{self.version}"'

    def described(self) -> dict[str, Any]:
        """Without the version, so that PUT takes it back."""
        return self.content.model_dump(mode="json", exclude={"version"}, exclude_none=True)

    def about(self) -> dict[str, Any]:
        said = {"version": self.version, "newest": self.newest, "source": self.source}
        return said | ({"saved_at": self.saved.saved_at, "saved_by": self.saved.saved_by} if self.saved else {})


class Saving(Generic[Noun]):
    """One noun in one environment. Names of the folder belong to the folder: what runs there came with the deployment."""

    def __init__(
        self, what: What, environment: str, shelf: Shelf[Noun], folder: Mapping[str, Noun], check: Check[Noun]
    ) -> None:
        self._what = what
        self._check: Check[Noun] = check
        self._environment = environment
        self._shelf: Shelf[Noun] = shelf
        self._folder: Mapping[str, Noun] = folder

    async def page(self, cursors: Cursors, cursor: str | None, limit: int) -> tuple[list[dict[str, Any]], str | None]:
        """Every name there is or was, in the order of names, and where the next page begins."""
        after = cursors.place(cursor, _NAME) or ""
        saved = await self._shelf.store.heads(self._environment, after=after, limit=limit)
        rows = {head.name: _row(head, "api") for head in saved}
        rows |= {
            name: _row(head_of(name, each.version, each), "folder")
            for name, each in self._folder.items()
            if name > after and name != each.pinned
        }
        names = sorted(rows)[:limit]
        more = len(rows) > limit or len(saved) == limit
        return [rows[name] for name in names], cursors.write(names[-1]) if more and names else None

    async def one(self, name: str, version: int | None) -> Shown[Noun]:
        """The newest, or a version as it was stored; 404 for what is not there, and for a newest one that was retired."""
        if (found := self._folder.get(f"{name}@{version}" if version else name)) is not None:
            return Shown(found, found.version, self._folder[name].version, "folder")
        head = await self._shelf.store.head(self._environment, name)
        if head is None:
            raise self._unknown(name)
        if version is None and head.retired:
            raise Problem(
                404, "Not found", f"The {self._what} {name} was retired. Its versions are still there.", type="retired"
            )
        found_version = await self._shelf.version(self._environment, name, version or head.newest)
        if found_version is None or found_version.content is None:
            raise self._unknown(f"{name}@{version}")
        return Shown(found_version.content, found_version.version, head.newest, "api", found_version)

    async def versions(
        self, name: str, cursors: Cursors, cursor: str | None, limit: int
    ) -> tuple[list[dict[str, Any]], str | None]:
        """A name's versions, the newest first."""
        place = cursors.place(cursor, _NUMBER)
        before = int(place) if place else None
        if name in self._folder:
            own = {each.version for each in self._folder.values() if each.name == name}
            return [{"version": each, "source": "folder", "retired": False} for each in sorted(own, reverse=True)], None
        found = await self._shelf.store.versions(self._environment, name, before=before, limit=limit)
        if not found and before is None:
            raise self._unknown(name)
        rows = [_version_row(each) for each in found]
        return rows, cursors.write(str(found[-1].version)) if len(found) == limit else None

    async def save(self, name: str, content: Noun, if_match: str | None, user: User) -> Version[Noun]:
        """The next version. Raises `Problem`: 409, 412, 428 by what was seen, 422 by what is wrong with it."""
        self._refuse_the_folders(name)
        head = await self._shelf.store.head(self._environment, name)
        seen = _seen(head, if_match)
        if listed := [flaw.model_dump() for flaw in await self._check(content)]:
            raise Problem(422, f"Broken {self._what}", listed[0]["detail"], type="broken", errors=listed)
        if len(content.model_dump_json(exclude_defaults=True).encode()) > MAX_CONTENT_BYTES:
            raise Problem(422, f"Broken {self._what}", f"A {self._what} may have {MAX_CONTENT_BYTES} bytes.", type="broken")
        return await self._put(next_version(name, seen, content, user.id, datetime.now(UTC)))

    async def retire(self, name: str, if_match: str | None, user: User) -> Head:
        """From now on nothing new can use it; what has pinned a version of it keeps it."""
        self._refuse_the_folders(name)
        head = await self._shelf.store.head(self._environment, name)
        if head is None:
            raise self._unknown(name)
        seen = _seen(head, if_match or "*")
        if head.retired:
            return head
        last: Version[Noun] = next_version(name, seen, None, user.id, datetime.now(UTC))
        return (await self._put(last)).head

    async def _put(self, version: Version[Noun]) -> Version[Noun]:
        if not await self._shelf.store.save(self._environment, version):
            head = await self._shelf.store.head(self._environment, version.name)
            raise _changed(head)
        self._shelf.note(self._environment, version.head)
        done = "retired" if version.content is None else "saved"
        log.info(f"{self._what}.{done}", name=version.name, version=version.version, by=version.saved_by)
        return version

    def _refuse_the_folders(self, name: str) -> None:
        if name in self._folder or split_pin(name)[0] in self._folder:
            detail = f"The {self._what} {name} comes from the deployment's TYPES_DIR: change it there, or take another name."
            raise Problem(409, "Belongs to the folder", detail, type="belongs_to_folder")

    def _unknown(self, name: str) -> Problem:
        return Problem(404, "Not found", f"There is no {self._what} {name}.")


def answered(saved: Version[Noun], response: Response) -> dict[str, Any]:
    """What a writer is told: the version it became, whose ETag the next one follows."""
    response.headers["ETag"] = saved.head.etag
    return ok({"name": saved.name, "version": saved.version}, f"Saved as version {saved.version}.")


def said_name(in_path: str, in_body: str | None) -> str:
    if in_body not in (None, in_path):
        detail = f"The path says {in_path}, the body another name."
        raise Problem(422, "Invalid request", detail, errors=[{"pointer": "/name", "detail": detail}])
    return in_path


def _seen(head: Head | None, if_match: str | None) -> int:
    """The version the next one is written upon."""
    newest = head.newest if head else 0
    if if_match is None:
        if head is not None and not head.retired:
            detail = (
                "There is such a name: say with If-Match which version the new one follows, the ETag of the last GET or *."
            )
            raise Problem(428, "Precondition required", detail, headers={"ETag": head.etag})
        return newest
    expected = expected_version(if_match)
    if head is None or expected not in (None, newest):
        raise _changed(head)
    return newest


def _changed(head: Head | None) -> Problem:
    if head is None:
        return Problem(412, "Changed meanwhile", "There is no version yet; leave out If-Match.", type="version_mismatch")
    detail = f"The newest version is {head.newest}. Read it, then repeat."
    return Problem(412, "Changed meanwhile", detail, type="version_mismatch", headers={"ETag": head.etag})


def _row(head: Head, source: Literal["folder", "api"]) -> dict[str, Any]:
    row = {"name": head.name, "version": head.newest, "source": source, "retired": head.retired}
    return row | ({"category": head.category} if head.category else {})


def _version_row(version: Version[Noun]) -> dict[str, Any]:
    is_type = isinstance(version.content, NotificationType)
    said = {"version": version.version, "source": "api", "retired": version.content is None}
    category = {"category": version.head.category} if is_type else {}
    return said | category | {"saved_at": version.saved_at, "saved_by": version.saved_by}
