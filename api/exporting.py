"""Everything held about one person, read page by page as it is written out. docs/people.md has the shape."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fastapi.encoders import jsonable_encoder

from infrastructure.dynamo.schedules import Entry, of_person
from infrastructure.live_catalogue import LiveCatalogue
from infrastructure.rendering import CannotRender, plain, render
from infrastructure.resources import Stores
from schemas.catalogue import UnknownName
from schemas.deliveries import Delivery
from schemas.digests import window_in
from schemas.forgetting import is_only_for
from schemas.legacy import from_any
from schemas.plan import Notification
from schemas.preference_changes import Verdict
from schemas.requests import read_object
from schemas.topics import Environment

_CHANGE = "change#"
_PAGE = 100
_OF_OPERATORS = {"by", "note", "origin"}
_ROW = {"channel", "state", "reason", "attempt", "answer", "provider", "provider_id", "next_at", "updated_at"}

Shown = dict[str, Any]


@dataclass(frozen=True)
class Export:
    """One person's, in one environment."""

    stores: Stores
    catalogue: LiveCatalogue
    environment: Environment
    person: str

    async def text(self) -> AsyncIterator[str]:
        """One JSON object in pieces; it ends with `complete`, so whoever has that has everything."""
        head = {"person": self.person, "environment": self.environment, "exported_at": datetime.now(UTC)}
        contact = await self.stores.traces.contact(self.environment, self.person)
        chosen = await self.stores.preferences.get(self.environment, self.person)
        yield f'{_written(head)[:-1]},"contact":{_written(contact)},"preferences":{_written(chosen)}'
        for name, items in self._sections():
            yield f',"{name}":['
            comma = ""
            async for item in items:
                yield comma + _written(item)
                comma = ","
            yield "]"
        yield ',"complete":true}'

    def _sections(self) -> tuple[tuple[str, AsyncIterator[Shown]], ...]:
        return (
            ("devices", self._devices()),
            ("preference_changes", self._changes()),
            ("subscriptions", self._subscriptions()),
            ("inbox", self._inbox()),
            ("notifications", self._notifications()),
            ("scheduled", self._scheduled()),
            ("caps", self._caps()),
        )

    async def _changes(self) -> AsyncIterator[Shown]:
        """The verdicts on what was changed in the last two weeks."""
        async for rows in self.stores.traces.preferences(self.environment, self.person):
            for row in rows:
                if "verdict" in row:
                    verdict = Verdict.model_validate_json(row["verdict"])
                    yield {"change_id": str(row["entry"]).removeprefix(_CHANGE), **verdict.model_dump()}

    async def _devices(self) -> AsyncIterator[Shown]:
        for device in await self.stores.devices.of(self.environment, self.person):
            yield device.shown

    async def _subscriptions(self) -> AsyncIterator[Shown]:
        async for rows in self.stores.traces.subscriptions(self.environment, self.person):
            for row in rows:
                yield {"topic": str(row["topic"]).rsplit("#", 1)[0], "since": row["subscribed_at"]}

    async def _inbox(self) -> AsyncIterator[Shown]:
        """Of what was taken back only that it was is left."""
        async for rows in self.stores.traces.inbox(self.environment, self.person):
            for row in rows:
                item = json.loads(row.get("document", "{}"))
                marks: Shown = {
                    name: row[name] for name in ("seen_at", "read_at", "clicked_at", "withdrawn_at") if name in row
                }
                shown = {name: value for name, value in item.items() if name not in ("person", "cursor")}
                yield {"id": row["delivery_id"], **shown, **marks}

    async def _notifications(self) -> AsyncIterator[Shown]:
        """Each with this person's own deliveries and no one else's."""
        async for rows in self.stores.traces.deliveries(self.environment, self.person):
            mine: dict[str, list[Delivery]] = {}
            for row in rows:
                mine.setdefault(row.notification_id, []).append(row)
            found = await asyncio.gather(*(self.stores.notifications.get(self.environment, each) for each in mine))
            for (notification_id, own), notification in zip(mine.items(), found, strict=True):
                yield {
                    "notification_id": notification_id,
                    **(await self._said(notification) if notification else {}),
                    "deliveries": [self._delivery(row, notification) for row in own],
                }

    async def _said(self, notification: Notification) -> Shown:
        """What was said to them; what it was made of only where nobody else got it."""
        plan, request = notification.plan, notification.request
        shown: Shown = {
            "type": plan.type,
            "category": plan.category,
            "accepted_at": notification.accepted_at,
            "content": await self._content(notification),
        }
        if plan.told is not None:
            shown["digest_of"] = plan.told.model_dump()
        if is_only_for(notification, self.person):
            shown |= {"variables": request.variables, "metadata": request.metadata}
        return shown

    async def _content(self, notification: Notification) -> Shown | None:
        """The text, in their language; None where its template is gone."""
        try:
            if notification.request.message is not None:
                content = plain(notification.request.message)
            else:
                template = await self.catalogue.template(self.environment, notification.plan.template or "")
                known = await self.stores.contacts.get(self.environment, self.person) if template.has_locales else None
                content = render(template, notification.request.variables, locale=known.locale if known else None)
        except (CannotRender, UnknownName):
            return None
        return {"title": content.title, "body": content.body, "url": content.url}

    def _delivery(self, row: Delivery, notification: Notification | None) -> Shown:
        line = notification.line(row.delivery_id) if notification else None
        return {
            "delivery_id": row.delivery_id,
            **row.model_dump(include=_ROW),
            "address": line.address if line else None,
            "gathered_in": window_in(row),
            "timeline": [step.model_dump(exclude=_OF_OPERATORS, exclude_none=True) for step in row.history],
        }

    async def _scheduled(self) -> AsyncIterator[Shown]:
        """What is to come and has no plan yet; what has one is among the notifications."""
        after = " "
        while True:
            entries = await self.stores.schedules.page(self.environment, of_person(self.person), after=after, limit=_PAGE)
            for entry in entries:
                yield await self._waiting(entry)
            if len(entries) < _PAGE:
                return
            after = entries[-1].place

    async def _waiting(self, entry: Entry) -> Shown:
        note = await self.stores.notifications.unplanned(self.environment, entry.notification_id)
        shown: Shown = {"notification_id": entry.notification_id, "by": entry.by}
        if note is None or note.timer_id is None or note.due_at is None:
            return shown
        timer = await self.stores.timers.get(self.environment, note.timer_id, note.due_at)
        request: Shown = dict(from_any(read_object(timer.value.encode()))) if timer else {}
        said: Shown = {name: request[name] for name in ("type", "category", "message", "template") if name in request}
        return shown | {"due_at": note.due_at, "send_at": note.send_at, **said}

    async def _caps(self) -> AsyncIterator[Shown]:
        async for rows in self.stores.traces.caps(self.environment, self.person):
            for row in rows:
                yield {"scope": row["scope"], "counted": json.loads(row["counted"])}


def _written(value: Any) -> str:
    return json.dumps(jsonable_encoder(value), ensure_ascii=False, separators=(",", ":"))
