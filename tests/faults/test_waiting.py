"""Workers die by SIGKILL while much of what comes in waits: for its time, for a wall clock, for the end of quiet hours, or
until something newer replaces it. Nothing is lost, nothing goes out before its time, and the newest is what is left."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from infrastructure.kafka.sealing import SealingPublisher
from infrastructure.ports import Outgoing
from infrastructure.resources import Resources, seal_keys
from schemas import topics
from schemas.preference_changes import Change, PreferenceCommand
from schemas.quiet_hours import QuietHours
from tests.eventually import eventually
from tests.faults.conftest import Judge
from tests.faults.crew import Crew
from tests.faults.dump import dump_of
from tests.faults.flow import ENVIRONMENT, Doors, Request, unfinished
from tests.faults.ledger_check import Dump

PER_KIND, KILLS, FOR_S = 60, 4, 9
PEOPLE, ROUNDS = 12, 6
BOTH = ("in_app", "email")


@dataclass(frozen=True)
class AtAWallClock(Request):
    """At the same time of day as `send_at`, on whatever clock the person has."""

    @property
    def body(self) -> dict[str, Any]:
        assert self.send_at is not None
        return super().body | {"send_at": self.send_at.replace(tzinfo=None).isoformat()}


@dataclass(frozen=True)
class ToASleeper(Request):
    @property
    def person(self) -> str:
        return f"{self.run}-sleeper-{self.number % PEOPLE:02}"


@dataclass(frozen=True)
class Update(Request):
    """The n-th thing said about one person's order."""

    round: int = 0

    @property
    def person(self) -> str:
        return f"{self.run}-buyer-{self.number % PEOPLE:02}"

    @property
    def body(self) -> dict[str, Any]:
        return super().body | {"collapse_key": f"order-{self.number % PEOPLE}"}


def later(run: str, luck: Random) -> list[Request]:
    """Due while workers die, and after."""
    now = datetime.now(UTC)
    times = [(now + timedelta(seconds=luck.uniform(2, FOR_S + 4))).replace(microsecond=0) for _ in range(PER_KIND)]
    return [
        (AtAWallClock if number % 2 else Request)(run, "kafka", number, BOTH, send_at=at) for number, at in enumerate(times)
    ]


def held(run: str) -> list[Request]:
    return [ToASleeper(run, "kafka", PER_KIND + number, ("email",)) for number in range(PER_KIND)]


def updates(run: str) -> list[list[Update]]:
    first = 2 * PER_KIND
    return [
        [Update(run, "kafka", first + PEOPLE * each + number, BOTH, round=each) for number in range(PEOPLE)]
        for each in range(ROUNDS)
    ]


@dataclass(frozen=True)
class Sleepers:
    run: str
    resources: Resources

    async def change(self, quiet_hours: QuietHours | None) -> None:
        """As the API has it changed, by a command that its own worker carries out."""
        publisher = SealingPublisher(self.resources.publisher, seal_keys(self.resources.settings)[0])
        word = "wake" if quiet_hours is None else "sleep"
        for number in range(PEOPLE):
            person, now = f"{self.run}-sleeper-{number:02}", datetime.now(UTC)
            command = PreferenceCommand(
                environment=ENVIRONMENT,
                person=person,
                change_id=f"{word}-{person}",
                change=Change(quiet_hours=quiet_hours),
                at=now,
            )
            value = command.model_dump_json(exclude_unset=True).encode()
            headers = {"ce_id": command.change_id, "ce_source": "api"}
            await publisher.publish(Outgoing(topics.preferences(ENVIRONMENT), person, value, headers))

        async def are_known() -> bool:
            store = self.resources.stores.preferences
            people = (f"{self.run}-sleeper-{number:02}" for number in range(PEOPLE))
            return all([await store.verdict(ENVIRONMENT, person, f"{word}-{person}") for person in people])

        await eventually(are_known, within_s=60)


def from_now_on() -> QuietHours:
    now = datetime.now(UTC)
    return QuietHours.model_validate(
        {"start": f"{now - timedelta(minutes=5):%H:%M}", "end": f"{now + timedelta(hours=2):%H:%M}", "zone": "UTC"}
    )


async def test_what_waits_survives_whoever_dies_and_goes_out_at_its_time_alone(
    run: str, crew: Crew, doors: Doors, resources: Resources, variables: Mapping[str, str], judge: Judge
) -> None:
    luck, sleepers = Random(run), Sleepers(run, resources)
    await asyncio.gather(crew.add(), crew.add(), crew.add())
    await sleepers.change(from_now_on())
    due, resting, said = later(run, luck), held(run), updates(run)

    async def kills() -> None:
        for _ in range(KILLS):
            await asyncio.sleep(FOR_S / (KILLS + 1) * luck.uniform(0.7, 1.3))
            await crew.kill(luck.choice(crew.running))
            await crew.start()

    async def one_after_the_other() -> None:
        for each in said:
            await doors.hand_in_slowly(each, per_s=PEOPLE * ROUNDS / FOR_S)

    await asyncio.gather(
        kills(),
        doors.hand_in(due),
        doors.hand_in_slowly(resting, per_s=PER_KIND / FOR_S),
        one_after_the_other(),
    )
    since = time.monotonic()
    flow = [*due, *resting, *(update for each in said for update in each)]
    assert await unfinished([each for each in flow if each not in resting], resources) == []
    await all_rest(resources, resting)

    woken_at = datetime.now(UTC)
    await asyncio.gather(sleepers.change(None), crew.kill(luck.choice(crew.running)))  # what moves them may die over it
    report = await judge.verdict(flow, since=since, note=f"kills={crew.kills}")
    assert report.most_per_delivery <= 1, "a death in the middle of a call repeats it, once"
    assert too_early(judge, due, resting, woken_at) == []
    assert len(too_early(judge, due, resting, woken_at + timedelta(hours=1))) == PER_KIND, "a comparison that can fail"
    dump = await dump_of(variables, run)
    assert left_in_inboxes(dump, said) == {update.expected[0].delivery for update in said[-1]}
    reasons = Counter(row.get("reason") for row in dump.deliveries if row["state"] != "SENT")
    judge.say(f"superseded={reasons['superseded']}")
    assert reasons.keys() == {"superseded"}


async def all_rest(resources: Resources, resting: Sequence[Request]) -> None:
    """For their quiet hours, each mail of theirs."""

    async def do() -> bool:
        found = [await resources.stores.deliveries.of(ENVIRONMENT, each.notification) for each in resting]
        return all([row.reason for row in rows] == ["quiet_hours"] for rows in found)

    await eventually(do, within_s=60)


def too_early(judge: Judge, due: Sequence[Request], resting: Sequence[Request], woken_at: datetime) -> list[str]:
    """Mails that a provider had before their time."""
    earliest = {each.expected[-1].delivery: each.send_at or woken_at for each in (*due, *resting)}
    return [call.delivery for call in judge.calls() if call.at < earliest.get(call.delivery, call.at)]


def left_in_inboxes(dump: Dump, said: Sequence[Sequence[Request]]) -> set[str]:
    """Of everything that was said about the orders."""
    items = {update.expected[0].delivery for each in said for update in each}
    return {row["delivery_id"] for row in dump.inbox if "withdrawn_at" not in row} & items
