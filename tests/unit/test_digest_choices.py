"""What is gathered and what goes by itself, as types, requests, people and caps have it."""

from datetime import timedelta
from typing import Any

import pytest

from schemas.digest_terms import DigestChoice
from schemas.preferences import Preferences
from tests.unit.stories import a_request, now
from tests.unit.windows import DAY, a_floor, digests, row_of, sends, the_digest, told, windows_close


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
    assert len(floor.handed_out("in-app.urgent")) == 1, "what is urgent passes every cap"
    assert row_of(floor, 2).state == row_of(floor, 3).state == "DIGESTED"
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
