"""The desk where operators look through quarantine, put records back where they came from, or set them aside for good."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from infrastructure.dynamo.marks import QuarantineMarks
from infrastructure.kafka.browsing import Log, Span, at, newest, open_log
from infrastructure.kafka.connection import connection
from infrastructure.kafka.quarantine import read_quarantined
from infrastructure.ports import Outgoing, Publisher, Received
from infrastructure.settings import Settings
from schemas import topics
from schemas.events import Position
from schemas.quarantined import Mark, MarkKind, Quarantined, replay_headers, why_not
from schemas.topics import Environment

log = structlog.get_logger()

_MOST_REPLAYS = 1000


@dataclass(frozen=True)
class Sieve:
    """Which records to show: a reason's beginning, and a text their bytes contain (in any case)."""

    reason: str = ""
    text: str = ""

    def shows(self, record: Received) -> bool:
        found = read_quarantined(record)
        wanted = self.text.lower().encode()
        inside = wanted in (found.value or b"").lower() or wanted in (found.key or b"").lower()
        return found.reason.startswith(self.reason) and inside


@dataclass(frozen=True)
class Entry:
    """One record, and what a person did with it."""

    record: Quarantined
    mark: Mark | None = None


@dataclass(frozen=True)
class Replayed:
    to: Position


@dataclass(frozen=True)
class Refused:
    """Nothing was done, and why."""

    why: str
    mark: Mark | None = None


class Desk:
    """`publisher` must not seal: a foreign record that is put back stays as foreign as it came."""

    def __init__(self, kafka: Log, marks: QuarantineMarks, publisher: Publisher) -> None:
        self._log = kafka
        self._marks = marks
        self._publisher = publisher

    async def newest(
        self, environment: Environment, sieve: Sieve, span: Span, limit: int
    ) -> tuple[list[Entry], dict[int, int] | None]:
        found = await newest(self._log, topics.quarantine(environment), span, sieve.shows, limit)
        return await self._entries(environment, [read_quarantined(each) for each in found.records]), found.before

    async def at(self, environment: Environment, partition: int, offset: int) -> Entry | None:
        found = await at(self._log, topics.quarantine(environment), partition, offset)
        if found is None:
            return None
        [entry] = await self._entries(environment, [read_quarantined(found)])
        return entry

    async def replay(self, environment: Environment, entry: Entry, by: str, *, again: bool = False) -> Replayed | Refused:
        """Marked, produced, marked as over: dying in between, it may be replayed again, and stays one notification."""
        record, origin = entry.record, entry.record.origin_position
        if (why := why_not(record)) is not None or origin is None:
            return Refused(why or "")
        if (refused := await self._mark(environment, record, "replayed", by, again=again)) is not None:
            return refused
        out = Outgoing(origin.topic, record.key, record.value, replay_headers(record, by))
        to = await self._publisher.publish(out)
        await self._mark(environment, record, "replayed", by, again=True, to=to)
        log.info("quarantine.replayed", at=str(record.position), to=str(to), reason=record.reason, by=by)
        return Replayed(to)

    async def discard(self, environment: Environment, entry: Entry, by: str) -> Refused | None:
        """None when it is done, by whomever."""
        refused = await self._mark(environment, entry.record, "discarded", by, again=False)
        if refused is not None and refused.mark is not None and refused.mark.kind == "discarded":
            return None
        if refused is None:
            log.info("quarantine.discarded", at=str(entry.record.position), reason=entry.record.reason, by=by)
        return refused

    async def refused_since(self, environment: Environment, since: datetime) -> dict[Position, Quarantined]:
        """Replays that were refused again since then, by the place of the record that was replayed."""
        found = await newest(self._log, topics.quarantine(environment), Span(since=since), _is_a_replay, _MOST_REPLAYS)
        back: dict[Position, Quarantined] = {}
        for record in map(read_quarantined, found.records):
            with suppress(ValueError):
                back.setdefault(Position.of(record.replay_of or ""), record)
        return back

    async def _mark(
        self,
        environment: Environment,
        record: Quarantined,
        kind: MarkKind,
        by: str,
        *,
        again: bool,
        to: Position | None = None,
    ) -> Refused | None:
        now = datetime.now(UTC).replace(microsecond=0)
        mark = Mark(position=str(record.position), kind=kind, by=by, at=now, to=str(to) if to else None)
        found = await self._marks.put(environment, mark, again=again)
        if found == mark:
            return None
        return Refused(f"it was {found.kind} by {found.by} at {found.at:%Y-%m-%d %H:%M:%S} UTC", found)

    async def _entries(self, environment: Environment, records: Sequence[Quarantined]) -> list[Entry]:
        marks = await self._marks.get(environment, (str(each.position) for each in records))
        return [Entry(each, marks.get(str(each.position))) for each in records]


def _is_a_replay(record: Received) -> bool:
    return read_quarantined(record).replay_of is not None


@asynccontextmanager
async def open_desk(settings: Settings, marks: QuarantineMarks, publisher: Publisher) -> AsyncIterator[Desk]:
    """One more connection to the cluster, for as long as somebody looks."""
    async with open_log(connection(settings)) as kafka:
        yield Desk(kafka, marks, publisher)
