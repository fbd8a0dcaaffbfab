"""What was sent for later, over HTTP: whose it is, who sees it, who may give it another time."""

from datetime import timedelta
from typing import Any

import httpx2
import pytest

from schemas.base import iso
from tests.unit.clockwork import wall_in
from tests.unit.stories import now

SEND = "/api/v1/notifications"
HOUR = timedelta(hours=1)


def to_the_microsecond(hours: float) -> str:
    return (now() + hours * HOUR).replace(microsecond=123_456).isoformat()


async def sends(client: httpx2.AsyncClient, send_at: str, **body: Any) -> str:
    answer = await client.post(SEND, json={"to": "ana", "message": "Hi", "environment": "dev", "send_at": send_at} | body)
    assert answer.status_code == 202, answer.text
    found: str = answer.json()["data"]["notification_id"]
    return found


async def ids(client: httpx2.AsyncClient, path: str) -> list[str]:
    """Over all pages."""
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await client.get(f"{SEND}/{path}", params={"limit": 2, **cursor})
        assert answer.status_code == 200, answer.text
        found += [each["notification_id"] for each in answer.json()["data"]]
        if (after := answer.json()["meta"]["next_cursor"]) is None:
            return found
        cursor = {"cursor": after}


def in_hours(hours: float) -> str:
    return iso(now() + hours * HOUR)


async def test_its_sender_and_whom_it_reaches_see_it_in_the_order_of_time(
    olga: httpx2.AsyncClient, ana: httpx2.AsyncClient
) -> None:
    late, soon, middle = [await sends(olga, in_hours(hours)) for hours in (9, 1, 5)]
    bens = await sends(olga, to_the_microsecond(7), to="ben")
    assert await ids(olga, "scheduled") == [soon, middle, bens, late]
    assert await ids(ana, "pending") == [soon, middle, late]
    assert await ids(ana, "scheduled") == []


async def test_at_each_persons_clock_it_is_listed_with_the_time_as_it_was_said(
    olga: httpx2.AsyncClient, ana: httpx2.AsyncClient
) -> None:
    at = wall_in("UTC", 30 * HOUR)
    notification = await sends(olga, at)
    [mine] = (await ana.get(f"{SEND}/pending")).json()["data"]
    assert (mine["status"], mine["send_at"]) == ("SCHEDULED", at)
    shown = (await olga.get(f"{SEND}/{notification}")).json()["data"]
    assert (shown["status"], shown["send_at"]) == ("SCHEDULED", at)


async def test_planned_it_rests_and_its_person_sees_until_when(olga: httpx2.AsyncClient, ana: httpx2.AsyncClient) -> None:
    notification = await sends(olga, wall_in("UTC", 2 * HOUR))
    [mine] = (await ana.get(f"{SEND}/pending")).json()["data"]
    assert (mine["status"], mine["reason"], mine["channel"]) == ("HELD", "scheduled", "in_app")
    assert await ids(olga, "scheduled") == [notification]
    [delivery] = (await olga.get(f"{SEND}/{notification}")).json()["data"]["deliveries"]
    assert (delivery["state"], delivery["reason"], delivery["next_at"]) == ("RETRY", "scheduled", mine["due_at"])


async def test_another_time_is_for_its_sender_alone(olga: httpx2.AsyncClient, ana: httpx2.AsyncClient) -> None:
    notification = await sends(olga, in_hours(5))
    wanted = {"send_at": in_hours(9)}
    assert (await ana.patch(f"{SEND}/{notification}", json=wanted)).status_code == 404
    moved = await olga.patch(f"{SEND}/{notification}", json=wanted)
    assert (moved.status_code, moved.json()["data"]["deliveries"], moved.json()["message"]) == (200, [], "Moved.")
    [entry] = (await olga.get(f"{SEND}/scheduled")).json()["data"]
    assert entry["send_at"][:16] == wanted["send_at"][:16]


async def test_what_rests_is_moved_and_the_answer_says_so(olga: httpx2.AsyncClient) -> None:
    notification = await sends(olga, wall_in("UTC", 2 * HOUR))
    moved = await olga.patch(f"{SEND}/{notification}", json={"send_at": wall_in("UTC", 4 * HOUR)})
    [delivery] = moved.json()["data"]["deliveries"]
    assert (moved.status_code, delivery["answer"]) == (200, "moved")
    assert delivery["due_at"][:13] == in_hours(4)[:13]


@pytest.mark.parametrize("send_at", ["tomorrow", "2026-12-01", None])
async def test_what_is_no_time_is_named(olga: httpx2.AsyncClient, send_at: str | None) -> None:
    notification = await sends(olga, in_hours(5))
    refused = await olga.patch(f"{SEND}/{notification}", json={"send_at": send_at})
    assert (refused.status_code, refused.json()["error"]["errors"][0]["pointer"]) == (422, "/send_at")


async def test_what_goes_out_at_once_or_was_cancelled_has_no_time_to_change(olga: httpx2.AsyncClient) -> None:
    at_once = (await olga.post(SEND, json={"to": "ana", "message": "Hi", "environment": "dev"})).json()["data"]
    cancelled = await sends(olga, in_hours(5))
    assert (await olga.post(f"{SEND}/{cancelled}/cancel")).json()["data"]["status"] == "CANCELLED"
    for notification, words in ((at_once["notification_id"], "not sent for later"), (cancelled, "cancelled")):
        refused = await olga.patch(f"{SEND}/{notification}", json={"send_at": in_hours(9)})
        assert (refused.status_code, refused.json()["error"]["type"]) == (409, "not_in_this_state")
        assert words in refused.json()["message"]
    assert await ids(olga, "scheduled") == []


async def test_a_cursor_that_is_none_is_refused(ana: httpx2.AsyncClient) -> None:
    for path in ("scheduled", "pending"):
        assert (await ana.get(f"{SEND}/{path}", params={"cursor": "bm8"})).status_code == 400
