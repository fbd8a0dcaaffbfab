"""Whatever happens at the same time and whoever fails: every event is in exactly one digest or taken out of it."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from infrastructure.ports import Received
from schemas.outcomes import Unavailable
from tests.unit.test_cancel import a_cancellation
from tests.unit.windows import a_floor, an_event, digests, row_of, time_passes, timers, windows_close

FAILURES = ("digests.join", "digests.open", "timers.put", "digests.close", "notifications.put", "notifications.mark_routed")
MOVES = st.tuples(st.sampled_from(("send", "close", "cancel", "fail", "meanwhile")), st.integers(0, 5))


class Life:
    """Moves at random, those in between two meanwhiles at the same time; a step that finds a store away is repeated."""

    def __init__(self, limit: int, turns: int) -> None:
        self.floor, self.sent = a_floor(), set[int]()
        self.floor.digests.turns = turns
        self._how = {"key": "post-7", "window": "15m", "limit": limit}
        self._under_way: list[Callable[[], Awaitable[None]]] = []

    async def move(self, what: str, number: int) -> None:
        floor = self.floor
        match what:
            case "send":
                self.sent.add(number)
                floor.notifications.routed.clear()  # a replay whose first worker died before it had said so
                self._under_way.append(partial(floor.route.handle, an_event(number, digest=self._how)))
            case "cancel" if number in self.sent:
                self._under_way.append(partial(floor.route.handle, a_cancellation(f"r-{number}")))
            case "close":
                time_passes(floor)
                self._under_way += [partial(self._closes, timer, number * 3) for timer in timers(floor)]
            case "fail":
                floor.outage.failing[FAILURES[number % len(FAILURES)]] = 1
            case _:
                await self.meanwhile()

    async def _closes(self, timer: Received, turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        await self.floor.digest.handle(timer)

    async def meanwhile(self) -> None:
        while self._under_way:
            running, self._under_way = self._under_way, []
            outcomes = await asyncio.gather(*(step() for step in running), return_exceptions=True)
            for step, outcome in zip(running, outcomes, strict=True):
                if isinstance(outcome, Unavailable):
                    self._under_way.append(step)
                elif outcome is not None:
                    raise outcome


@settings(max_examples=100, deadline=None)
@given(moves=st.lists(MOVES, min_size=10, max_size=50), limit=st.integers(1, 3), turns=st.integers(1, 20))
def test_the_union_of_the_digests_is_the_set_of_events_each_once(
    moves: list[tuple[str, int]], limit: int, turns: int
) -> None:
    life = Life(limit, turns)

    async def lived() -> None:
        for move in moves:
            await life.move(*move)
        await life.meanwhile()
        life.floor.outage.failing.clear()
        await windows_close(life.floor)

    asyncio.run(lived())
    rows = [row_of(life.floor, number) for number in life.sent]
    assert {row.state for row in rows} <= {"DIGESTED", "CANCELLED"}
    in_digests = Counter(row.reason for row in rows if row.state == "DIGESTED")
    made = [(digest, digest.plan.told) for digest in digests(life.floor) if digest.plan.told]
    assert in_digests == {f"digest:{digest.notification_id}": facts.count for digest, facts in made}
    for digest, facts in made:
        of_it = {row.notification_id for row in rows if row.reason == f"digest:{digest.notification_id}"}
        assert len(facts.notifications) == min(limit, len(of_it))
        assert set(facts.notifications) <= of_it
