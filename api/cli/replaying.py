"""The three kinds of replay a person may ask for: what each finds, what carrying it out means, what came of it."""
# pylint: disable=import-outside-toplevel  # `--help` needs none of it

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from api.cli.names import DeliveryName, PlaceName
from api.cli.workbench import Workbench, refuse

if TYPE_CHECKING:
    from api.repairs import Wanted
    from schemas.events import Position
    from schemas.troubled import Look

MOST_RECORDS = 1000
LOOK_EVERY_S = 0.5

Done = tuple[str, str | None]
"""In a word what became of one, and the sentence to a person when it was not done."""


@dataclass(frozen=True)
class Found:
    """What would be replayed: for a person as lines, for a program as a document."""

    total: int
    lines: list[str]
    document: dict[str, Any]
    whole: bool = True


class Task(Protocol):
    @property
    def put_back(self) -> Sequence[tuple[int, int]]:
        """Places in quarantine from which records go back: they may be refused again."""

    async def find(self, bench: Workbench) -> Found:
        """Changes nothing."""

    def carry_out(self, bench: Workbench, by: str, per_s: float) -> AsyncIterator[Done]:
        """One after the other, so many a second."""


@dataclass
class DeliveriesOf:
    """Every delivery that the options describe."""

    look: "Look"
    notification_id: str = ""
    total: int = 0
    put_back: Sequence[tuple[int, int]] = ()

    @property
    def wanted(self) -> "Wanted":
        from api.repairs import Wanted

        return Wanted(self.look, self.notification_id or None)

    async def find(self, bench: Workbench) -> Found:
        from api.cli.letters_table import deliveries, groups
        from api.shown import shown_delivery, shown_groups

        preview = await bench.repairs.preview(bench.environment, self.wanted)
        self.total = preview.total
        samples = [shown_delivery(row) for row in preview.samples]
        lines = [*groups(preview.counts), "For instance:", *deliveries(samples)] if samples else ["Nothing matches."]
        document = {"total": preview.total, "groups": shown_groups(preview.counts), "samples": samples}
        return Found(preview.total, lines, document, preview.whole)

    async def carry_out(self, bench: Workbench, by: str, per_s: float) -> AsyncIterator[Done]:
        from api.repairs import Differs

        redriving = bench.repairs.replay(bench.environment, self.wanted, by, expected=self.total, per_s=per_s)
        try:
            async for result in redriving:
                yield result, None
        except Differs as differs:
            raise refuse(f"{differs.found.total} match now, not {self.total}. Nothing was done.") from differs


@dataclass
class Records:
    """Every record in quarantine that the options describe and nobody has dealt with."""

    reason: str
    text: str
    since: datetime | None
    until: datetime
    again: bool
    places: list["Position"] = field(default_factory=list)

    async def find(self, bench: Workbench) -> Found:
        from api.cli.letters_table import entries, groups
        from api.quarantine import Sieve
        from api.shown import shown_entry
        from infrastructure.kafka.browsing import Span

        span, sieve = Span(self.since, self.until), Sieve(self.reason, self.text)
        found, before = await bench.desk.newest(bench.environment, sieve, span, MOST_RECORDS)
        shown = [(entry, shown_entry(entry)) for entry in found]
        possible = [(entry, each) for entry, each in shown if not each["cannot_be_replayed"]]
        chosen = [(entry, each) for entry, each in possible if self.again or entry.mark is None or not entry.mark.is_final]
        self.places = [entry.record.position for entry, _ in chosen][::-1]
        counts = Counter(("", entry.record.reason) for entry, _ in chosen)
        passed_over = {"impossible": len(shown) - len(possible), "dealt_with": len(possible) - len(chosen)}
        samples = [each for _, each in chosen[:5]]
        lines = [*groups(counts), "For instance:", *entries(samples)] if samples else ["Nothing matches."]
        lines += [
            f"Passed over: {passed_over['impossible']} that cannot be replayed, {passed_over['dealt_with']} dealt with."
        ]
        reasons = [{"reason": why, "count": count} for (_, why), count in counts.most_common()]
        document = {"total": len(chosen), "groups": reasons, "samples": samples, "passed_over": passed_over}
        return Found(len(chosen), lines, document, before is None)

    async def carry_out(self, bench: Workbench, by: str, per_s: float) -> AsyncIterator[Done]:
        from api.pacing import paced

        async for place in paced(_each(self.places), per_s):
            yield await _put_back(bench, PlaceName(place.partition, place.offset), by, again=self.again)

    @property
    def put_back(self) -> Sequence[tuple[int, int]]:
        return [(each.partition, each.offset) for each in self.places]


@dataclass
class Named:
    """Those a person named, of either kind."""

    names: Sequence[tuple[str, DeliveryName | PlaceName]]
    again: bool = False
    release: bool = False

    async def find(self, bench: Workbench) -> Found:
        names = [name for name, _ in self.names]
        lines = [f"{name}  {await _standing(bench, wanted)}" for name, wanted in self.names]
        return Found(len(names), lines, {"total": len(names), "names": names})

    async def carry_out(self, bench: Workbench, by: str, per_s: float) -> AsyncIterator[Done]:
        from api.pacing import paced

        async for name, wanted in paced(_each(self.names), per_s):
            if isinstance(wanted, PlaceName):
                yield await _put_back(bench, wanted, by, again=self.again)
            else:
                yield await _send_on(bench, name, wanted, by, release=self.release)

    @property
    def put_back(self) -> Sequence[tuple[int, int]]:
        return [(name.partition, name.offset) for _, name in self.names if isinstance(name, PlaceName)]


async def _each(items: Sequence[Any]) -> AsyncIterator[Any]:
    for item in items:
        yield item


async def _standing(bench: Workbench, wanted: DeliveryName | PlaceName) -> str:
    """What it is right now, for the person who named it."""
    from api.audiences import row_named
    from api.cli.lag_table import plain
    from api.cli.letters_table import remark
    from api.shown import shown_entry

    if isinstance(wanted, DeliveryName):
        row = await row_named(bench.stores, bench.environment, wanted.notification_id, wanted.delivery_id)
        return plain(f"{row.state} {row.reason or ''}".rstrip()) if row else "there is no such delivery"
    entry = await bench.desk.at(bench.environment, wanted.partition, wanted.offset)
    if entry is None:
        return "there is no such record, or not any more"
    shown = shown_entry(entry)
    why = f"cannot be replayed: {shown['cannot_be_replayed']}" if shown["cannot_be_replayed"] else ""
    return plain(", ".join(part for part in (entry.record.reason, remark(shown), why) if part))


async def _send_on(bench: Workbench, name: str, wanted: DeliveryName, by: str, *, release: bool) -> Done:
    from infrastructure.dynamo.troubled import Already, NotSo

    act = bench.repairs.release if release else bench.repairs.redrive
    change = await act(bench.environment, wanted.notification_id, wanted.delivery_id, by)
    if change is None:
        return "missing", f"There is no delivery {name}."
    if isinstance(change, NotSo):
        return "left alone", f"{name} is {change.delivery.state}: there is nothing to {'release' if release else 'replay'}."
    if isinstance(change, Already):
        return "already on its way", None
    return ("released" if release else "redriven"), None


async def _put_back(bench: Workbench, place: PlaceName, by: str, *, again: bool) -> Done:
    from api.quarantine import Refused

    name = f"{place.partition}/{place.offset}"
    entry = await bench.desk.at(bench.environment, place.partition, place.offset)
    if entry is None:
        return "missing", f"There is no record at {name}, or not any more."
    answer = await bench.desk.replay(bench.environment, entry, by, again=again)
    if isinstance(answer, Refused):
        advice = " (--again replays it all the same)" if answer.mark else ""
        return "left alone", f"{name} was left as it is: {answer.why}{advice}."
    return "put back", None


async def refused_again(bench: Workbench, places: Sequence[tuple[int, int]], since: datetime, wait_s: float) -> list[str]:
    """What came back to quarantine: looks until all have, or the time is over."""
    if not places:
        return []
    until = time.monotonic() + wait_s
    while True:
        back = await bench.desk.refused_since(bench.environment, since)
        known = {(place.partition, place.offset): found for place, found in back.items()}
        missing = [place for place in places if place not in known]
        if not missing or time.monotonic() >= until:
            return [
                f"{number}/{offset} was refused again: {known[number, offset].reason}, now {_name(known[number, offset])}."
                for number, offset in places
                if (number, offset) in known
            ]
        await asyncio.sleep(LOOK_EVERY_S)


def _name(found: Any) -> str:
    return f"{found.position.partition}/{found.position.offset}"
