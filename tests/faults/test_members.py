"""Workers come and go under load: restarted one after the other, added and removed, frozen in the middle of a send."""

import asyncio
import signal
import time
from collections.abc import Callable

import httpx2

from tests.eventually import eventually
from tests.faults.conftest import Judge
from tests.faults.crew import Crew, settled_by
from tests.faults.flow import Doors, a_flow

LONGEST_EXIT_S = 25
LONGEST_STANDSTILL_S = 15
STORM_S = 20


async def test_a_rolling_restart_costs_nothing(
    run: str, crew: Crew, doors: Doors, judge: Judge, provider: httpx2.AsyncClient
) -> None:
    """SIGTERM to each of two workers in turn, twice, while mails are on their way to a slow provider."""
    await provider.put("/faults/email", json={"mode": "slow", "delay_s": 0.1})
    await asyncio.gather(crew.add(), crew.add())
    flow = a_flow(run, 500)
    sending = asyncio.create_task(doors.hand_in_slowly(flow, per_s=20))
    exits = []
    for _ in range(4):
        exits.append(await crew.stop(crew.running[0]))
        await crew.add()
    await sending

    report = await judge.verdict(flow, since=time.monotonic(), note=f"longest_exit_s={max(exits):.1f}")
    assert report.duplicates == ()
    assert report.unknown == ()
    assert max(exits) <= LONGEST_EXIT_S


async def test_a_rebalance_storm_is_only_a_nuisance(
    run: str, crew: Crew, doors: Doors, judge: Judge, provider: httpx2.AsyncClient
) -> None:
    """A worker joins or leaves about every two seconds; somebody always gets on."""
    await provider.put("/faults/email", json={"mode": "slow", "delay_s": 0.05})
    steady = await crew.add()
    flow = a_flow(run, 500)
    sending = asyncio.create_task(doors.hand_in_slowly(flow, per_s=500 / STORM_S))
    watching = asyncio.create_task(longest_standstill(lambda: sum(map(settled_by, crew.everybody)), until=sending))

    async def comes_and_goes() -> None:
        while not sending.done():
            guest = await crew.add()
            await asyncio.wait([sending], timeout=1)
            await crew.stop(guest)

    await asyncio.gather(comes_and_goes(), comes_and_goes())
    standstill, guests = await watching, len(crew.everybody) - 1
    report = await judge.verdict(flow, since=time.monotonic(), note=f"{guests=} {standstill=:.1f}")
    assert steady.is_alive
    assert report.duplicates == ()
    assert standstill <= LONGEST_STANDSTILL_S


async def longest_standstill(count: Callable[[], int], *, until: asyncio.Task[None]) -> float:
    """The longest time in which the count did not move."""
    longest, seen, moved = 0.0, count(), time.monotonic()
    while not until.done():
        await asyncio.wait([until], timeout=0.2)
        if (now := count()) != seen:
            seen, moved = now, time.monotonic()
        longest = max(longest, time.monotonic() - moved)
    return longest


async def test_a_zombie_comes_back_and_its_result_is_too_late(
    run: str, crew: Crew, doors: Doors, judge: Judge, provider: httpx2.AsyncClient
) -> None:
    """Frozen while the provider answers, for longer than the lease; another has taken over by the time it thaws."""
    await provider.put("/faults/email", json={"mode": "slow", "delay_s": 0.5})
    zombie = await crew.add("consumers", "deliver.email")
    for worker in ("route", "persist", "schedule"):
        await crew.add("consumers", worker)
    flow = a_flow(run, 4, channels=("email",))
    await doors.hand_in(flow)

    async def in_the_middle() -> bool:
        return bool(judge.calls())

    await eventually(in_the_middle)
    zombie.process.send_signal(signal.SIGSTOP)
    frozen = len(judge.calls())
    heir = await crew.add("consumers", "deliver.email")

    async def all_repeated() -> bool:
        return settled_by(heir) >= len(flow)

    await eventually(all_repeated, within_s=40)
    thawed = time.monotonic()
    zombie.process.send_signal(signal.SIGCONT)

    async def too_late() -> bool:
        return zombie.output.count('"delivery.late_result"') >= 1

    await eventually(too_late, within_s=20)
    report = await judge.verdict(flow, since=thawed, note=f"paused_sends={frozen}")
    assert 1 <= len(report.duplicates) <= frozen
    assert report.most_per_delivery == 1
