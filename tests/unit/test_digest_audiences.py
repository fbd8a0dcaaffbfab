"""What goes to an audience is gathered too: for each of its people in a digest of their own."""

from collections import Counter
from datetime import timedelta

import pytest

from consumers import gathering
from schemas.digest_terms import DigestChoice
from schemas.preferences import Preferences
from tests.unit.stories import Floor, now
from tests.unit.test_cancel import a_cancellation
from tests.unit.windows import DIGESTS, a_floor, digests, sends, windows_close

PEOPLE = ("ana", "ben", "carla")
INSTANT = Preferences(version=1, digests=(DigestChoice(level="global", every="instant"),))


async def an_audience() -> Floor:
    floor = a_floor()
    for person in PEOPLE:
        await floor.contacts.subscribe("dev", person, ("news",), now() - timedelta(hours=1))
    return floor


async def reaches(floor: Floor, *numbers: int, walks: bool = True) -> None:
    await sends(floor, *numbers, to={"topic": "news"})
    if walks:
        await floor.walks()


def counts(floor: Floor) -> dict[str, int]:
    """How many events each person's digest tells about."""
    return {digest.plan.lines[0].recipient: digest.plan.told.count for digest in digests(floor) if digest.plan.told}


async def test_each_of_them_has_a_digest_of_their_own() -> None:
    floor = await an_audience()
    await reaches(floor, 1, 2)
    assert floor.handed_out("in-app.bulk") == []
    await windows_close(floor)
    assert counts(floor) == dict.fromkeys(PEOPLE, 2)
    assert len(floor.handed_out("in-app.bulk")) == len(PEOPLE)
    assert {digest.request.to[0].model_dump_json() for digest in digests(floor)} == {'{"topic":"news"}'}


async def test_who_wants_each_at_once_gets_each_at_once() -> None:
    floor = await an_audience()
    floor.preferences.chosen["dev", "ben"] = INSTANT
    await reaches(floor, 1, 2)
    assert len({record.value for record in floor.handed_out("in-app.bulk")}) == 2
    await windows_close(floor)
    assert counts(floor) == {"ana": 2, "carla": 2}


async def test_what_went_into_a_digest_stays_there_though_the_choice_changes_before_the_page_is_repeated() -> None:
    floor = await an_audience()
    await reaches(floor, 1)
    floor.expansions.rows.clear()  # the worker died before it had moved its cursor
    floor.preferences.chosen["dev", "ben"] = INSTANT
    await floor.walks()
    assert floor.handed_out("in-app.bulk") == []
    await windows_close(floor)
    assert counts(floor) == dict.fromkeys(PEOPLE, 1)


async def test_cancelled_while_their_windows_are_open_it_is_taken_out_of_every_one() -> None:
    floor = await an_audience()
    await reaches(floor, 1, 2)
    await floor.route.handle(a_cancellation("r-1"))
    await floor.walks()
    cancelled = next(found for found in floor.notifications.rows.values() if found.request_id == "r-1")
    tally = await floor.deliveries.tally("dev", cancelled.notification_id, cancelled.plan.shards)
    assert tally.states == {"CANCELLED": len(PEOPLE)}
    await windows_close(floor)
    assert counts(floor) == dict.fromkeys(PEOPLE, 1)


async def test_expired_in_their_windows_its_rows_are_found_in_their_shards() -> None:
    floor = await an_audience()
    await sends(floor, 1, to={"topic": "news"}, expires_at=(now() + timedelta(hours=1)).isoformat())
    await floor.walks()
    for events in floor.digests.events.values():
        for order, event in events.items():
            events[order] = event.model_copy(update={"expires_at": now() - timedelta(seconds=1)})
    await windows_close(floor)
    assert Counter(row.state for row in floor.deliveries.rows.values()) == {"EXPIRED": len(PEOPLE)}
    assert len({row.shards for row in floor.deliveries.rows.values()}) == 1
    assert digests(floor) == []


async def test_a_crowded_window_lets_the_walk_rest_in_a_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "_LONGEST_WAIT_S", 0.0)
    floor = await an_audience()
    await reaches(floor, 1, walks=False)
    floor.digests.crowded = 12
    await floor.walks()
    assert [timer.topic for timer in floor.timers.timers.values() if timer.topic != DIGESTS].count(
        "notifications.dev.expand"
    ) > 0
    await floor.walks()
    await windows_close(floor)
    assert counts(floor) == dict.fromkeys(PEOPLE, 1)
