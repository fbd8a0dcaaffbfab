"""Workers die by SIGKILL while events stream into windows: each event in exactly one digest, each digest sent once.

The comparison is made of the store as boto3 reads it, with nothing of the product's own idea of what there is; then one
fault is planted in what is really there, and it must be named.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from infrastructure.ports import Outgoing
from infrastructure.resources import Resources
from schemas.outcomes import Unavailable
from tests.eventually import eventually
from tests.faults.crew import Crew
from tests.faults.dump import dump_of, rows_of_window
from tests.faults.flow import ENVIRONMENT, REQUESTS
from tests.faults.ledger_check import derived_id

TOTAL, PEOPLE, KILLS, FOR_S = 300, 8, 4, 9
RESTING, DUE_AFTER_S, DUE_FOR_S = 120, 8, 4
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Event:
    """One event of one person; the run's name is in everything it leaves behind."""

    run: str
    number: int
    window: str = "2s"
    at: datetime | None = None  # by the clock of whoever gets it

    @property
    def person(self) -> str:
        return f"{self.run}-reader-{self.number % PEOPLE}"

    @property
    def request_id(self) -> str:
        return f"{self.run}-{self.number}"

    @property
    def notification(self) -> str:
        return derived_id("ntf_", ENVIRONMENT, "kafka", self.request_id)

    @property
    def delivery(self) -> str:
        return derived_id("dlv_", self.notification, self.person, "in_app", "")

    @property
    def record(self) -> Outgoing:
        """Half of them slide. Under its own key: one person's events meet in several workers."""
        sliding = {"mode": "sliding", "max": "5s"} if self.number % PEOPLE % 2 else {}
        body = {
            "to": self.person,
            "message": {"title": self.run, "body": f"Number {self.number}"},
            "digest": {"key": "post-7", "window": self.window, **sliding},
            "request_id": self.request_id,
            **({"send_at": self.at.replace(tzinfo=None).isoformat()} if self.at else {}),
        }
        return Outgoing(REQUESTS, self.request_id, json.dumps(body).encode())


async def hand_in(resources: Resources, event: Event) -> None:
    while True:
        try:
            await resources.publisher.publish(event.record)
        except Unavailable:
            await asyncio.sleep(0.1)
        else:
            return


async def stream(resources: Resources, events: list[Event], *, for_s: float) -> None:
    """Evenly over the time, one in five of them twice."""
    begun = time.monotonic()
    for event in events:
        await asyncio.sleep(max(0.0, begun + for_s * event.number / len(events) - time.monotonic()))
        await hand_in(resources, event)
        if event.number % 5 == 0:
            await hand_in(resources, event)


@dataclass(frozen=True)
class Found:
    """What the store holds of a run."""

    ledger: Mapping[str, Row]
    windows: Mapping[str, frozenset[str]]
    items: tuple[Row, ...]

    @property
    def told(self) -> dict[str, Counter[int]]:
        """Per digest, the counts that its inbox items name: one of them, if all is well."""
        found: dict[str, Counter[int]] = {}
        for item in self.items:
            document = json.loads(item["document"])
            found.setdefault(document["notification_id"], Counter())[document["data"]["digest"]["count"]] += 1
        return found


async def found_of(variables: Mapping[str, str], run: str) -> Found:
    dump = await dump_of(variables, run)
    gathered = {row["delivery_id"]: row for row in dump.deliveries if row["state"] == "DIGESTED"}
    named = {row["reason"].removeprefix("digest:") for row in gathered.values()}
    windows = await rows_of_window(variables)
    inside = {
        window: frozenset(json.loads(row["document"])["delivery_id"] for row in rows)
        for window, rows in windows.items()
        if window in named or any(run in row["document"] for row in rows)
    }
    return Found(gathered, inside, dump.inbox)


def wrongs(events: Iterable[Event], found: Found) -> list[str]:
    """Everything that does not agree, in words."""
    said = []
    in_windows = Counter(delivery for inside in found.windows.values() for delivery in inside)
    for event in events:
        row = found.ledger.get(event.delivery)
        if row is None:
            said.append(f"lost {event.delivery}")
        elif in_windows[event.delivery] != 1:
            said.append(f"in {in_windows[event.delivery]} windows {event.delivery}")
        elif event.delivery not in found.windows.get(row["reason"].removeprefix("digest:"), ()):
            said.append(f"elsewhere {event.delivery}")
    ghosts = in_windows.keys() - {event.delivery for event in events}
    said += [f"ghost {delivery}" for delivery in sorted(ghosts)]
    full = {window: Counter({len(inside): 1}) for window, inside in found.windows.items() if inside}
    told = found.told
    unequal = sorted(one for one in full.keys() | told if told.get(one) != full.get(one))
    return said + [f"told {told.get(one)} of {full.get(one)} {one}" for one in unequal]


async def all_told(variables: Mapping[str, str], run: str, events: list[Event]) -> Found:
    async def are() -> Found | None:
        found = await found_of(variables, run)
        shown = sum(count * times for told in found.told.values() for count, times in told.items())
        return found if len(found.ledger) == len(events) and shown >= len(events) else None

    return await eventually(are, within_s=60)


async def test_every_event_is_in_exactly_one_digest_whoever_dies(
    run: str, crew: Crew, resources: Resources, variables: Mapping[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whole sets of workers die: route in the middle of a join, digest of a closing, schedule of a firing."""
    luck, events = Random(run), [Event(run, number) for number in range(TOTAL)]
    await asyncio.gather(crew.add(), crew.add(), crew.add())

    async def kills() -> None:
        for _ in range(KILLS):
            await asyncio.sleep(FOR_S / (KILLS + 1) * luck.uniform(0.7, 1.3))
            await crew.kill(luck.choice(crew.running))
            await crew.start()

    await asyncio.gather(stream(resources, events, for_s=FOR_S), kills())
    over = time.monotonic()
    found = await all_told(variables, run, events)
    with capsys.disabled():
        print(
            f"\n{TOTAL} events, {crew.kills} kills: {len(found.windows)} windows, recovery_s={time.monotonic() - over:.1f}"
        )
    assert wrongs(events, found) == []
    a_comparison_that_can_fail(events, found)


def a_comparison_that_can_fail(events: list[Event], found: Found) -> None:
    delivery, row = next(iter(found.ledger.items()))
    window = row["reason"].removeprefix("digest:")
    other = next(one for one in found.windows if one != window)
    lost = replace(found, ledger={each: row for each, row in found.ledger.items() if each != delivery})
    assert wrongs(events, lost) == [f"lost {delivery}"]
    twice = replace(found, windows={**found.windows, other: found.windows[other] | {delivery}})
    assert f"in 2 windows {delivery}" in wrongs(events, twice)
    doubled = replace(found, items=(*found.items, found.items[0]))
    assert [text.partition(" ")[0] for text in wrongs(events, doubled)] == ["told"]
    unsent = replace(found, items=found.items[1:])
    assert [text.partition(" ")[0] for text in wrongs(events, unsent)] == ["told"]


async def test_what_rests_until_its_own_time_is_gathered_then_and_once_whoever_dies(
    run: str, crew: Crew, resources: Resources, variables: Mapping[str, str]
) -> None:
    """Workers die while all of it rests, and again and again as it becomes due: route, schedule and deliver in a join."""
    luck = Random(run)
    await asyncio.gather(crew.add(), crew.add(), crew.add())
    first = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=DUE_AFTER_S)
    events = [
        Event(run, number, at=first + timedelta(seconds=number % (DUE_FOR_S + 1)), window="3s") for number in range(RESTING)
    ]
    await asyncio.gather(*(hand_in(resources, event) for event in (*events, *events[::5])))
    await all_rest(resources, events)
    for number in range(KILLS):
        await crew.kill(luck.choice(crew.running))
        await crew.start()
        due = first + timedelta(seconds=DUE_FOR_S * number / KILLS + luck.uniform(0, 1))
        await asyncio.sleep(max(0.0, (due - datetime.now(UTC)).total_seconds()))

    found = await all_told(variables, run, events)
    assert wrongs(events, found) == []
    assert too_early(events, found) == []
    in_an_hour = [replace(event, at=first + timedelta(hours=1)) for event in events]
    assert len(too_early(in_an_hour, found)) == RESTING, "a comparison that can fail"


async def all_rest(resources: Resources, events: Iterable[Event]) -> None:
    """Until their own time, each of them, and none has come to it yet."""

    async def do() -> bool:
        rows = [await resources.stores.deliveries.of(ENVIRONMENT, event.notification) for event in events]
        return all([(row.state, row.reason) for row in found] == [("RETRY", "scheduled")] for found in rows)

    await eventually(do)


def too_early(events: Iterable[Event], found: Found) -> list[str]:
    """Who joined a window before their own time."""
    joined = {delivery: datetime.fromisoformat(row["updated_at"]) for delivery, row in found.ledger.items()}
    return [event.delivery for event in events if event.at and joined[event.delivery] < event.at]


async def test_what_waited_while_route_was_dead_is_late_in_the_next_digest_and_named(
    run: str, crew: Crew, resources: Resources, variables: Mapping[str, str]
) -> None:
    """The window ends while its second event still lies in Kafka."""
    first, late = Event(run, 0, "3s"), Event(run, PEOPLE, "3s")
    route = await crew.add("consumers", "route")
    await asyncio.gather(*(crew.add("consumers", worker) for worker in ("digest", "schedule", "deliver.in_app", "persist")))
    await hand_in(resources, first)

    async def joined() -> bool:
        return bool((await found_of(variables, run)).ledger)

    await eventually(joined)
    await crew.kill(route)
    await hand_in(resources, late)
    await all_told(variables, run, [first])
    await crew.forget_dead("route")
    await crew.add("consumers", "route")
    found = await all_told(variables, run, [first, late])
    assert wrongs([first, late], found) == []
    answer = found.ledger[late.delivery]["answer"]
    assert answer.startswith("late: accepted before the last digest was closed at ")
    closed_at = datetime.fromisoformat(answer.rsplit(" ", 1)[1])
    [item] = [json.loads(item["document"]) for item in found.items if late.notification in item["document"]]
    assert item["data"]["digest"]["late"] == 1
    assert datetime.fromisoformat(found.ledger[late.delivery]["updated_at"]) > closed_at
