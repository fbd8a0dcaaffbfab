"""The way of a digest: events join, a timer closes, what was gathered goes out once. Repeated, it comes to the same end."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers import gathering
from infrastructure.ports import Outgoing, Received
from schemas.caps import Cap
from schemas.catalogue import Catalogue
from schemas.deliveries import Delivery
from schemas.digest_terms import Digest, DigestChoice
from schemas.digests import Window
from schemas.outcomes import Unavailable
from schemas.plan import Notification
from schemas.preferences import Preferences
from schemas.types import NotificationType, Template
from tests.unit.stories import Floor, a_request, as_read, now
from tests.unit.test_cancel import a_cancellation, answers_of

DIGESTS = "notifications.dev.digests"
DAY = timedelta(days=1)
CATALOGUE = Catalogue.of(
    [
        NotificationType(name="post.commented", category="social", digest=Digest(window=timedelta(minutes=15))),
        NotificationType(name="post.liked", digest=Digest(window=timedelta(minutes=15), template="likes", limit=2)),
        NotificationType(name="news.item", digest=Digest(by_choice=True)),
        NotificationType(name="tip", caps=(Cap(max=1, window=timedelta(hours=2), over="digest"),)),
        NotificationType(name="order", template="order", digest=Digest(window=timedelta(hours=1))),
    ],
    [
        Template(
            name="likes", title="{{ count }} likes", body="{% for item in items %}{{ item.title }};{% endfor %}+{{ more }}"
        ),
        Template(name="order", title="Order {{ order }}", body="Order {{ order }} is on its way."),
    ],
)


def a_floor() -> Floor:
    floor = Floor()
    floor.catalogue = CATALOGUE
    return floor


def an_event(number: int = 1, **said: Any) -> Received:
    message = {"title": f"Comment {number}", "body": f"Text {number}"}
    return a_request({"type": "post.commented", "message": message, "request_id": f"r-{number}"} | said, offset=number)


async def sends(floor: Floor, *numbers: int, **said: Any) -> None:
    for number in numbers:
        await floor.route.handle(an_event(number, **said))


def time_passes(floor: Floor, by: timedelta = DAY) -> None:
    """For every window: it was opened, and heard of its last event, so much earlier."""

    def earlier(window: Window) -> Window:
        return window.model_copy(update={"opened_at": window.opened_at - by})

    floor.digests.heads = {key: window and earlier(window) for key, window in floor.digests.heads.items()}
    floor.digests.newest = {key: earlier(window) for key, window in floor.digests.newest.items()}
    floor.digests.last_at = {key: at - by for key, at in floor.digests.last_at.items()}


def timers(floor: Floor) -> list[Received]:
    """Every window's timer, as schedule puts it back."""
    waiting = [timer for timer in floor.timers.timers.values() if timer.topic == DIGESTS]
    return [as_read(Outgoing(one.topic, one.key, one.value.encode()), offset) for offset, one in enumerate(waiting)]


async def windows_close(floor: Floor) -> None:
    time_passes(floor)
    for timer in timers(floor):
        await floor.digest.handle(timer)


def digests(floor: Floor) -> list[Notification]:
    return [found for found in floor.notifications.rows.values() if found.plan.told]


def the_digest(floor: Floor) -> Notification:
    [found] = digests(floor)
    return found


def row_of(floor: Floor, number: int) -> Delivery:
    [found] = [
        floor.deliveries.rows[row]
        for row in floor.deliveries.rows
        if floor.notifications.rows["dev", row[1]].request_id == f"r-{number}"
    ]
    return found


def told(floor: Floor) -> list[str]:
    """The events of all digests, by their request ids."""
    return sorted(
        floor.notifications.rows["dev", each].request_id
        for digest in digests(floor)
        for each in (digest.plan.told.notifications if digest.plan.told else ())
    )


async def test_events_wait_together_and_go_out_as_one() -> None:
    floor = a_floor()
    await sends(floor, 1, 2, 3)
    assert floor.handed_out("in-app") == [], "nothing goes by itself"
    assert floor.events() == ["digested", "routed"] * 3
    await windows_close(floor)
    [record] = floor.handed_out("in-app")
    await floor.in_app.handle(record)
    [item] = floor.inbox.items.values()
    assert item.title == "3 new: Comment 3"
    assert item.message == "3 new:\n• Comment 3\n• Comment 2\n• Comment 1"
    shown = item.data["digest"]
    assert (shown["count"], shown["more"], len(shown["notifications"])) == (3, 0, 3)
    assert told(floor) == ["r-1", "r-2", "r-3"]


async def test_the_row_of_an_event_names_its_digest_and_when_that_closes() -> None:
    floor = a_floor()
    await sends(floor, 1)
    row, [window] = row_of(floor, 1), floor.digests.newest.values()
    assert (row.state, row.reason, row.next_at) == ("DIGESTED", f"digest:{window.window_id}", window.closes_at)
    note = await floor.notifications.unplanned("dev", window.window_id)
    assert note is not None
    assert (note.status, note.due_at) == ("SCHEDULED", window.closes_at), "the digest can be looked up before it is one"
    assert [step.event for step in row.history] == ["digested"]


async def test_a_replayed_event_and_a_doubled_timer_add_nothing() -> None:
    floor = a_floor()
    await sends(floor, 1, 2, 1)
    floor.notifications.routed.clear()  # its worker died before it had said so
    await sends(floor, 1, 2)
    await windows_close(floor)
    await windows_close(floor)
    floor.notifications.routed.clear()
    await windows_close(floor)
    await sends(floor, 1)
    assert told(floor) == ["r-1", "r-2"]
    assert len({record.value for record in floor.handed_out("in-app")}) == 1


async def test_a_timer_that_comes_early_puts_the_next_under_another_name() -> None:
    floor = a_floor()
    await sends(floor, 1)
    [first] = floor.timers.timers.values()
    await floor.digest.handle(timers(floor)[0])
    second = next(timer for timer in floor.timers.timers.values() if timer != first)
    assert (second.due_at, second.timer_id != first.timer_id) == (first.due_at, True)
    assert digests(floor) == []


async def test_a_sliding_window_waits_for_the_last_event_and_no_longer_than_its_maximum() -> None:
    floor = a_floor()
    how = {"window": "10m", "mode": "sliding", "max": "25m"}
    await sends(floor, 1, digest=how)
    opened = now()
    for number, passed, waits in ((2, 9, 10), (3, 9, 7), (4, 6, 1)):
        time_passes(floor, timedelta(minutes=passed))
        await sends(floor, number, digest=how)
        await floor.digest.handle(timers(floor)[0])
        due = max(timer.due_at for timer in floor.timers.timers.values())
        assert timedelta(minutes=waits) - (due - opened) < timedelta(seconds=5)
    assert digests(floor) == []
    time_passes(floor, timedelta(minutes=1, seconds=1))
    await floor.digest.handle(timers(floor)[0])
    assert told(floor) == ["r-1", "r-2", "r-3", "r-4"]


async def test_what_comes_after_the_end_is_in_the_next_digest_and_what_was_late_is_named() -> None:
    floor = a_floor()
    await sends(floor, 1)
    straggler = replace(an_event(2), timestamp_ms=int(now().timestamp() * 1000) - 1000)  # its way was longer
    await windows_close(floor)
    time_passes(floor, -DAY)
    await floor.route.handle(straggler)
    await sends(floor, 3)
    late, in_time = row_of(floor, 2), row_of(floor, 3)
    assert late.reason == in_time.reason != row_of(floor, 1).reason
    assert (late.answer or "").startswith("late: accepted before the last digest was closed at ")
    assert in_time.answer is None
    await windows_close(floor)
    second = next(digest for digest in digests(floor) if digest.plan.told and digest.plan.told.count == 2)
    assert second.plan.told is not None
    assert second.plan.told.late == 1
    assert second.request.message is not None
    assert "• Comment 2 (late: from " in second.request.message.body


async def test_a_template_gets_items_count_and_more() -> None:
    floor = a_floor()
    await sends(floor, 1, 2, 3, type="post.liked")
    await windows_close(floor)
    [record] = floor.handed_out("in-app")
    await floor.in_app.handle(record)
    [item] = floor.inbox.items.values()
    assert (item.title, item.message) == ("3 likes", "Comment 3;Comment 2;+1")
    assert (item.data["digest"]["count"], item.data["digest"]["more"]) == (3, 1)


async def test_a_single_event_stays_as_it_was() -> None:
    floor = a_floor()
    long = "word " * 500
    await sends(floor, 1, message={"title": "Only", "body": long, "data": {"post": 7}})
    await windows_close(floor)
    [record] = floor.handed_out("in-app")
    await floor.in_app.handle(record)
    [item] = floor.inbox.items.values()
    assert (item.title, item.message, item.data["post"], item.data["digest"]["count"]) == ("Only", long, 7, 1)


async def test_what_cannot_be_rendered_goes_by_itself_and_says_so_as_ever() -> None:
    floor = a_floor()
    await floor.route.handle(a_request({"type": "order", "message": None, "request_id": "r-1"}))
    [record] = floor.handed_out("in-app")
    await floor.in_app.handle(record)
    assert floor.events()[-1] == "failed"
    assert floor.digests.events == {}


async def test_a_template_nobody_knows_is_refused() -> None:
    floor = a_floor()
    await sends(floor, 1, digest={"window": "1m", "template": "nobody"})
    await sends(floor, 2, type=None, digest={"key": "x"})
    refused = floor.receipts()
    assert [receipt["verdict"] for receipt in refused] == ["rejected", "rejected"]
    assert [receipt["errors"][0]["pointer"] for receipt in refused] == ["/digest/template", "/digest/window"]


@pytest.mark.parametrize("said", [{"digest": False}, {"digest": None}, {"priority": "urgent"}, {"category": "security"}])
async def test_some_go_at_once(said: dict[str, Any]) -> None:
    floor = a_floor()
    await sends(floor, 1, **said)
    assert len(floor.handed_out("in-app") + floor.handed_out("in-app.urgent")) == 1
    assert floor.digests.newest == {}


async def test_a_person_chooses_for_themselves_and_others_are_not_touched() -> None:
    floor = a_floor()
    await sends(floor, 1, type="news.item")
    assert len(floor.handed_out("in-app")) == 1, "only for those who choose it"
    daily = DigestChoice(level="type", name="news.item", every=timedelta(days=1))
    instant = DigestChoice(level="category", name="social", every="instant")
    floor.preferences.chosen["dev", "ana"] = Preferences(version=1, digests=(daily, instant))
    await sends(floor, 2, type="news.item")
    await sends(floor, 3)
    [window] = floor.digests.newest.values()
    assert (window.terms.window, window.series.type) == (timedelta(days=1), "news.item")
    assert len(floor.handed_out("in-app")) == 2


async def test_over_a_cap_it_is_gathered_where_the_cap_says_so() -> None:
    floor = a_floor()
    await sends(floor, 1, 2, 3, type="tip")
    await sends(floor, 4, type="tip", priority="urgent")
    assert len(floor.handed_out("in-app")) == 1
    assert row_of(floor, 2).state == row_of(floor, 3).state == "DIGESTED"
    urgent = floor.notifications.rows["dev", floor.receipts()[-1]["notification_id"]]
    assert [line.skipped for line in urgent.plan.lines] == ["capped"]
    [window] = floor.digests.newest.values()
    assert window.terms.window == timedelta(hours=2)
    await windows_close(floor)
    assert told(floor) == ["r-2", "r-3"]


async def test_what_is_gathered_anyway_counts_towards_no_cap() -> None:
    floor = a_floor()
    await sends(floor, 1, 2, 3, type="tip", digest={"window": "1m"})
    await sends(floor, 4, type="tip")
    assert len(floor.handed_out("in-app")) == 1


async def test_keys_people_and_producers_have_windows_of_their_own() -> None:
    floor = a_floor()
    await sends(floor, 1, digest={"key": "post-1"})
    await sends(floor, 2, digest={"key": "post-2"})
    await sends(floor, 3, to="ben", digest={"key": "post-1"})
    await sends(floor, 4, digest={"key": "post-1"})
    await windows_close(floor)
    assert sorted(digest.plan.told.count for digest in digests(floor) if digest.plan.told) == [1, 1, 2]


async def test_an_opt_out_in_between_holds_for_the_digest() -> None:
    floor = a_floor()
    await sends(floor, 1, 2)
    floor.preferences.chosen["dev", "ana"] = Preferences(version=1, muted_until=now() + DAY)
    await windows_close(floor)
    assert floor.handed_out("in-app") == []
    assert [line.skipped for line in the_digest(floor).plan.lines] == ["muted"]


async def test_cancelled_in_an_open_window_it_is_out_and_the_others_go() -> None:
    floor = a_floor()
    await sends(floor, 1, 2)
    await floor.route.handle(a_cancellation("r-1"))
    row = row_of(floor, 1)
    assert (row.state, [step.event for step in row.history]) == ("CANCELLED", ["digested", "cancelled"])
    cancellation = await floor.notifications.cancellation("dev", row.notification_id)
    assert cancellation is not None
    assert [each.answer for each in cancellation.deliveries or ()] == ["stopped"]
    await sends(floor, 1)
    await windows_close(floor)
    assert told(floor) == ["r-2"]


async def test_cancelled_before_it_joined_it_never_joins() -> None:
    floor = a_floor()
    floor.outage.failing["digests.join"] = 1
    with pytest.raises(Unavailable):
        await sends(floor, 1)
    await floor.route.handle(a_cancellation("r-1"))
    await sends(floor, 1)
    assert await answers_of(floor) == [("in_app", "stopped")]
    await windows_close(floor)
    assert digests(floor) == []


async def test_a_window_whose_events_are_all_cancelled_sends_nothing_and_says_so() -> None:
    floor = a_floor()
    await sends(floor, 1)
    await floor.route.handle(a_cancellation("r-1"))
    await windows_close(floor)
    assert digests(floor) == []
    [window] = floor.digests.newest.values()
    note = await floor.notifications.unplanned("dev", window.window_id)
    assert note is not None
    assert note.status == "EMPTY"


async def test_cancelled_after_the_end_it_is_what_its_digest_is() -> None:
    for sent, answer in ((False, "digested"), (True, "sent")):
        floor = a_floor()
        await floor.knows("ana", "ana@x.io")
        await sends(floor, 1, channels=["email"])
        await windows_close(floor)
        if sent:
            await floor.external().handle(floor.handed_out()[0])
        await floor.route.handle(a_cancellation("r-1"))
        cancellation = await floor.notifications.cancellation("dev", row_of(floor, 1).notification_id)
        assert cancellation is not None
        assert [each.answer for each in cancellation.deliveries or ()] == [answer]
        assert row_of(floor, 1).state == "DIGESTED"


async def test_what_expires_inside_its_window_is_taken_out_at_the_end() -> None:
    floor = a_floor()
    soon = now() + timedelta(milliseconds=30)
    await sends(floor, 1, expires_at=soon.isoformat())
    await sends(floor, 2)
    await asyncio.sleep((soon - now()).total_seconds() + 0.01)
    await windows_close(floor)
    row = row_of(floor, 1)
    assert (row.state, row.reason) == ("EXPIRED", f"deadline_passed:digest:{the_digest(floor).notification_id}")
    assert told(floor) == ["r-2"]
    assert floor.events().count("expired") == 1


async def test_a_window_whose_opener_died_before_it_opened_never_opens() -> None:
    floor = a_floor()
    floor.outage.failing["digests.open"] = 1
    with pytest.raises(Unavailable):
        await sends(floor, 1)
    assert len(timers(floor)) == 1, "timer first"
    await windows_close(floor)
    await sends(floor, 1)
    await windows_close(floor)
    assert told(floor) == ["r-1"]


async def test_a_crowded_window_holds_up_nobody_and_the_event_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "_LONGEST_WAIT_S", 0.0)
    floor = a_floor()
    floor.digests.crowded = 12
    await sends(floor, 1)
    [again] = [timer for timer in floor.timers.timers.values() if timer.topic != DIGESTS]
    assert json.loads(again.value)["request_id"] == "r-1"
    assert not floor.notifications.routed
    await floor.route.handle(as_read(Outgoing(again.topic, again.key, again.value.encode(), again.headers)))
    await windows_close(floor)
    assert told(floor) == ["r-1"]


STEPS = (
    "timers.put",
    "notifications.note_unplanned",
    "notifications.put",
    "notifications.mark_routed",
    "digests.open",
    "digests.join",
    "digests.find",
    "digests.close",
    "digests.pages",
)


@pytest.mark.parametrize("step", STEPS)
async def test_a_death_at_any_step_is_repeated_to_the_same_end(step: str) -> None:
    floor = a_floor()

    async def until_done(handle: Any, record: Received) -> None:
        floor.outage.failing[step] = 1
        while True:
            try:
                await handle(record)
            except Unavailable:
                continue
            return

    await until_done(floor.route.handle, an_event(1))
    await until_done(floor.route.handle, an_event(2))
    time_passes(floor)
    for timer in timers(floor):
        await until_done(floor.digest.handle, timer)
    assert told(floor) == ["r-1", "r-2"]
    assert len({record.value for record in floor.handed_out("in-app")}) == 1


async def test_records_nobody_of_ours_wrote_are_put_away() -> None:
    floor = a_floor()
    await floor.digest.handle(Received(DIGESTS, 0, 0, 0, None, b"{}", ()))
    await floor.digest.bury(Received(DIGESTS, 0, 1, 0, None, b"x", ()), KeyError("bug"))
    assert [reason for _, reason in floor.quarantined()] == ["unreadable", "crash:KeyError"]


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
