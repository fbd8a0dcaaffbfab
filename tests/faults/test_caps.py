"""Workers die by SIGKILL while mails rest because a cap is full: each goes out, and none before the cap lets it through.

A cap of two in any eight seconds lets the n-th mail of a person through eight seconds after the first for every two before
it, at the earliest. Calls come after they were counted, so the n-th call of a person may not come before that either.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from infrastructure.resources import Resources
from tests.faults.conftest import Judge
from tests.faults.crew import Crew
from tests.faults.dump import dump_of
from tests.faults.flow import Doors, Request, unfinished
from tests.faults.ledger_check import Call
from tests.faults.under_fire import Accepted, kills_under_load

PEOPLE, EACH, KILLS = 12, 5, 4
MOST, WINDOW = 2, timedelta(seconds=8)


@dataclass(frozen=True)
class Nudge(Request):
    @property
    def person(self) -> str:
        return f"{self.run}-nudged-{self.number % PEOPLE:02}"


def too_soon(calls: Sequence[Call], begun: datetime, window: timedelta) -> list[str]:
    """The n-th mails that a person had before their cap could let n through; a repeated call is not another mail."""
    first: dict[str, dict[str, datetime]] = defaultdict(dict)
    for call in sorted(calls, key=lambda each: each.at):
        first[call.address].setdefault(call.delivery, call.at)
    return [
        delivery
        for mails in first.values()
        for number, (delivery, at) in enumerate(mails.items())
        if at < begun + (number // MOST) * window
    ]


async def test_what_a_cap_holds_survives_whoever_dies_and_goes_out_when_there_is_room(
    run: str, crew: Crew, doors: Doors, resources: Resources, variables: Mapping[str, str], judge: Judge
) -> None:
    await asyncio.gather(crew.add(), crew.add())
    flow = [Nudge(run, "kafka", number, ("email",), kind="faults.capped") for number in range(PEOPLE * EACH)]
    mails = Accepted(Path(variables["SANDBOX_LEDGER"]), run)
    begun = datetime.now(UTC).replace(microsecond=0)
    await asyncio.gather(
        doors.hand_in(flow),
        kills_under_load(crew, ("consumers", "all"), KILLS, progress=mails, total=len(flow), luck=Random(run)),
    )
    since = time.monotonic()
    assert await unfinished(flow, resources) == []
    report = await judge.verdict(flow, since=since, note=f"kills={crew.kills}")
    assert report.most_per_delivery <= 1, "a death in the middle of a call repeats it, once"
    calls = judge.calls()
    assert too_soon(calls, begun, WINDOW) == []
    assert too_soon(calls, begun, 10 * WINDOW), "a comparison that can fail"
    dump = await dump_of(variables, run)
    assert {row["state"] for row in dump.deliveries} == {"SENT"}
    held = [
        row for row in dump.deliveries if any((step.get("reason") or "").startswith("capped:") for step in row["history"])
    ]
    judge.say(f"held={len(held)}")
    assert len(held) >= PEOPLE, "much of it rested while workers died"
