"""What waits, on the real stack: held and released, at each person's clock and moved, capped and let through."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx2
import pytest

from infrastructure.local.processes import Child
from infrastructure.resources import Resources
from schemas.preference_changes import Change, PreferenceCommand
from schemas.quiet_hours import QuietHours
from tests.eventually import eventually
from tests.integration.test_email_and_slack import accepted, calls, in_state, send
from tests.integration.test_preferences import PREFERENCES, a_person_with_mail, choose

SEND, HOLDS = "/api/v1/notifications", "/api/v1/ops/holds"
Unique = Callable[[str], str]
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
async def _nobody_has_chosen_anything(workers: Child, ana: httpx2.AsyncClient) -> AsyncIterator[None]:
    yield
    (await ana.put(PREFERENCES, json={}, headers={"If-Match": "*"})).raise_for_status()


def wall_in(zone: str, ahead: timedelta) -> str:
    return (datetime.now(UTC) + ahead).astimezone(ZoneInfo(zone)).replace(tzinfo=None, microsecond=0).isoformat()


def quiet_now() -> dict[str, str]:
    now = datetime.now(UTC)
    return {"start": f"{now - timedelta(minutes=5):%H:%M}", "end": f"{now + 2 * HOUR:%H:%M}", "zone": "UTC"}


async def sends(client: httpx2.AsyncClient, request_id: str, **body: Any) -> str:
    known = {"message": "Hi", "request_id": request_id, "environment": "dev"}
    answer = await client.post(SEND, json=known | body)
    assert answer.status_code == 202, answer.text
    found: str = answer.json()["data"]["notification_id"]
    return found


async def states(client: httpx2.AsyncClient, notification: str, **wanted: str) -> dict[str, Any]:
    """The notification, as soon as its deliveries stand so by their channels."""

    async def look() -> dict[str, Any] | None:
        found: dict[str, Any] = (await client.get(f"{SEND}/{notification}")).json()["data"] or {}
        seen = {each["channel"]: each["state"] for each in found.get("deliveries", ())}
        return found if seen == wanted else None

    return await eventually(look)


async def test_what_is_held_can_be_seen_counted_and_released_and_goes_out_once(
    resources: Resources, sandbox: httpx2.AsyncClient, ana: httpx2.AsyncClient, olga: httpx2.AsyncClient, unique: Unique
) -> None:
    await choose(ana, quiet_hours=quiet_now())
    to = {"to": {"user": "ana", "email": "ana@example.com"}, "channels": ["email"]}
    held = [await sends(olga, unique("held"), **to) for _ in range(2)]
    rows = [await in_state(resources, each, "RETRY") for each in held]

    async def listed() -> list[dict[str, Any]]:
        answer = await olga.get(HOLDS, params={"reason": "quiet_hours", "limit": 100})
        found = [each for each in answer.json()["data"] if each["notification_id"] in held]
        return found if len(found) == 2 else []

    shown = await eventually(listed)
    assert {each["recipient"] for each in shown} == {"ana"}
    assert (await olga.get(f"{HOLDS}/counts")).json()["data"]["total"] >= 2

    one = f"{HOLDS}/{rows[0].notification_id}/{rows[0].delivery_id}/release"
    assert (await ana.post(one)).status_code == 403
    assert [(await olga.post(one)).json()["data"]["changed"] for _ in range(2)] == [True, False]
    many = {"notification_id": held[1], "reason": "quiet_hours"}
    dry = (await olga.post(f"{HOLDS}/release", json=many)).json()["data"]
    assert (dry["dry_run"], dry["expected"]) == (True, 1)
    real = many | {"dry_run": False, "expected": 1, "until": dry["until"]}
    assert (await olga.post(f"{HOLDS}/release", json=real)).json()["data"]["results"] == {"released": 1}
    for each in held:
        row = await in_state(resources, each, "SENT")
        assert accepted(await calls(sandbox, row)) == [True]
        assert [(step.event, bool(step.by)) for step in row.history] == [
            ("held", False),
            ("released", True),
            ("sent", False),
        ]


async def test_what_is_held_for_many_is_let_go_over_minutes(resources: Resources, workers: Child, unique: Unique) -> None:
    """The window of all of them ends in one moment."""
    people, quiet, now = [unique("sleeper") for _ in range(20)], quiet_now(), datetime.now(UTC)
    hours = Change(quiet_hours=QuietHours.model_validate(quiet))
    for person in people:
        command = PreferenceCommand(environment="dev", person=person, change_id=f"sleep-{person}", change=hours, at=now)
        await resources.stores.preferences.apply(command)
    to = [{"user": person, "email": f"{person}@example.com"} for person in people]
    notification = await send(resources, unique("many"), to=to, channels=["email"])

    async def all_rest() -> list[datetime]:
        rows = await resources.stores.deliveries.of("dev", notification)
        return [row.next_at for row in rows if row.next_at] if len(rows) == len(people) else []

    let_go = sorted(await eventually(all_rest))
    end = (now + 2 * HOUR).replace(second=0, microsecond=0)
    assert end <= let_go[0] < let_go[-1] <= end + timedelta(minutes=5)
    assert let_go[-1] - let_go[0] > timedelta(minutes=1)


async def test_at_each_persons_own_clock_and_who_moves_gets_it_at_the_new_one(
    resources: Resources, ana: httpx2.AsyncClient, olga: httpx2.AsyncClient, unique: Unique
) -> None:
    await choose(ana, zone="America/New_York")
    at = wall_in("America/New_York", 3 * HOUR)
    to = {"to": {"user": "ana", "email": "ana@example.com"}, "channels": ["in_app", "email"]}
    notification = await sends(olga, unique("wall"), send_at=at, **to)
    found = await states(ana, notification, in_app="RETRY", email="RETRY")
    assert {each["reason"] for each in found["deliveries"]} == {"scheduled"}
    [due] = {each["next_at"] for each in found["deliveries"]}
    assert abs(datetime.fromisoformat(due) - datetime.now(UTC) - 3 * HOUR) < timedelta(minutes=1)
    mine = (await ana.get(f"{SEND}/pending")).json()["data"]
    assert {(each["channel"], each["status"]) for each in mine if each["notification_id"] == notification} == {
        ("in_app", "HELD"),
        ("email", "HELD"),
    }
    await choose(ana, zone="Europe/Berlin")  # where that time was hours ago
    await states(ana, notification, in_app="SENT", email="SENT")
    assert all(each["notification_id"] != notification for each in (await ana.get(f"{SEND}/pending")).json()["data"])


async def test_what_is_to_be_gathered_joins_its_digest_when_its_own_time_comes(
    resources: Resources, ana: httpx2.AsyncClient, olga: httpx2.AsyncClient, unique: Unique
) -> None:
    await choose(ana, zone="America/New_York")
    at, digest = wall_in("America/New_York", 3 * HOUR), {"key": unique("post"), "window": "2s"}
    several = [
        await sends(olga, unique("gathered"), to="ana", channels=["in_app"], send_at=at, digest=digest) for _ in range(3)
    ]
    for each in several:
        [row] = (await states(ana, each, in_app="RETRY"))["deliveries"]
        assert row["reason"] == "scheduled"
    await choose(ana, zone="Europe/Berlin")  # where that time was hours ago
    found = [(await states(ana, each, in_app="DIGESTED"))["deliveries"] for each in several]
    [digest_of_all] = {row["reason"].removeprefix("digest:") for [row] in found}
    await states(ana, digest_of_all, in_app="SENT")
    items = await resources.stores.inbox.newest("dev", "ana", before=None, limit=50)
    assert [item.data["digest"]["count"] for item in items if item.notification_id == digest_of_all] == [3]


async def test_a_zone_that_their_contact_tells_moves_what_waits_too(olga: httpx2.AsyncClient, unique: Unique) -> None:
    person = unique("mover")
    contact = f"/api/v1/people/{person}"
    (await olga.patch(contact, json={"zone": "America/New_York"})).raise_for_status()
    at = wall_in("America/New_York", 3 * HOUR)
    notification = await sends(olga, unique("wall"), send_at=at, to=person, channels=["in_app"])
    await states(olga, notification, in_app="RETRY")
    (await olga.patch(contact, json={"zone": "Europe/Berlin"})).raise_for_status()  # where that time was hours ago
    await states(olga, notification, in_app="SENT")


async def test_another_time_for_what_was_sent_for_later_is_its_senders_to_give(
    ana: httpx2.AsyncClient, olga: httpx2.AsyncClient, unique: Unique
) -> None:
    later = (datetime.now(UTC) + 30 * HOUR).isoformat()
    notification = await sends(olga, unique("later"), to="ana", channels=["in_app"], send_at=later)

    async def is_listed() -> bool:
        lists = [(await client.get(f"{SEND}/{path}")).json() for client, path in ((olga, "scheduled"), (ana, "pending"))]
        return all(notification in {each["notification_id"] for each in found["data"]} for found in lists)

    await eventually(is_listed)
    assert (await ana.patch(f"{SEND}/{notification}", json={"send_at": later})).status_code == 404
    moved = await olga.patch(f"{SEND}/{notification}", json={"send_at": datetime.now(UTC).isoformat()})
    assert moved.status_code == 200, moved.text
    await states(olga, notification, in_app="SENT")
    too_late = (await olga.patch(f"{SEND}/{notification}", json={"send_at": later})).json()["data"]["deliveries"]
    assert [each["answer"] for each in too_late] == ["sent"]


async def test_what_rests_at_a_clock_is_moved_exactly(
    resources: Resources, sandbox: httpx2.AsyncClient, olga: httpx2.AsyncClient, unique: Unique
) -> None:
    person = await a_person_with_mail(resources, unique("mia"))
    notification = await sends(olga, unique("wall"), to=person, channels=["email"], send_at=wall_in("UTC", 2 * HOUR))
    await states(olga, notification, email="RETRY")
    moved = await olga.patch(f"{SEND}/{notification}", json={"send_at": wall_in("UTC", 4 * HOUR)})
    [delivery] = moved.json()["data"]["deliveries"]
    assert delivery["answer"] == "moved"
    assert abs(datetime.fromisoformat(delivery["due_at"]) - datetime.now(UTC) - 4 * HOUR) < timedelta(minutes=1)
    await olga.patch(f"{SEND}/{notification}", json={"send_at": wall_in("UTC", -HOUR)})
    row = await in_state(resources, notification, "SENT")
    assert accepted(await calls(sandbox, row)) == [True]


async def test_an_audience_moves_although_its_walk_has_begun_and_says_how_many_it_moved(
    resources: Resources, ana: httpx2.AsyncClient, olga: httpx2.AsyncClient, unique: Unique
) -> None:
    topic = unique("news")
    people = [unique("reader") for _ in range(12)]
    for person in ("ana", *people):
        await resources.stores.contacts.subscribe("dev", person, (topic,))
    await choose(ana, zone="Asia/Tokyo")  # where that time was hours ago
    to = {"to": [{"topic": topic}], "channels": ["in_app"]}
    notification = await sends(olga, unique("campaign"), send_at=wall_in("UTC", 2 * HOUR), **to)

    async def counted(**wanted: int) -> dict[str, Any]:
        async def look() -> dict[str, Any] | None:
            found: dict[str, Any] = (await olga.get(f"{SEND}/{notification}")).json()["data"]
            is_there = found.get("counts") == wanted and found["audience"]["done"]
            return found["audience"] if is_there else None

        return await eventually(look)

    assert (await counted(SENT=1, RETRY=12))["moving"] is None
    moved = await olga.patch(f"{SEND}/{notification}", json={"send_at": wall_in("UTC", 5 * HOUR)})
    assert (moved.status_code, moved.json()["data"]["deliveries"]) == (202, []), moved.text

    async def is_moved() -> bool:
        found = (await olga.get(f"{SEND}/{notification}")).json()["data"]["audience"]["moving"]
        return bool(found["done"]) and found["moved"] == 12

    await eventually(is_moved)
    rows = [row for person in people for row in await resources.stores.deliveries.resting_of("dev", person)]
    assert {round((row.next_at - datetime.now(UTC)) / HOUR) for row in rows if row.next_at} == {5}
    await olga.patch(f"{SEND}/{notification}", json={"send_at": wall_in("UTC", -HOUR)})
    await counted(SENT=13)


@pytest.mark.parametrize("waiting", ["scheduled", "at_their_clock", "quiet_hours"])
async def test_cancelled_while_it_waits_it_was_stopped(
    ana: httpx2.AsyncClient, olga: httpx2.AsyncClient, unique: Unique, waiting: str
) -> None:
    to: dict[str, Any] = {"to": {"user": "ana", "email": "ana@example.com"}, "channels": ["email"]}
    if waiting == "quiet_hours":
        await choose(ana, quiet_hours=quiet_now())
    else:
        to["send_at"] = wall_in("UTC", 5 * HOUR) + ("Z" if waiting == "scheduled" else "")
    notification = await sends(olga, unique("stop"), **to)

    async def waits() -> bool:
        found = (await olga.get(f"{SEND}/{notification}")).json()["data"] or {}
        return found.get("status") == "SCHEDULED" or [each["state"] for each in found.get("deliveries", ())] == ["RETRY"]

    await eventually(waits)
    answer = await olga.post(f"{SEND}/{notification}/cancel")
    assert (answer.status_code, answer.json()["data"]["status"]) == (200, "CANCELLED")
    assert [each["answer"] for each in answer.json()["data"]["deliveries"]] == (
        [] if waiting == "scheduled" else ["stopped"]
    )
    assert (await olga.get(f"{SEND}/{notification}")).json()["data"]["cancelled_at"] is not None


async def test_a_cap_that_holds_says_which_and_its_deadline_ends_it(
    resources: Resources, ana: httpx2.AsyncClient, olga: httpx2.AsyncClient, unique: Unique
) -> None:
    """The example types' `calendar.reminder`: three a day, more of them wait."""
    person = unique("cap")
    request: dict[str, Any] = {"type": "calendar.reminder", "to": person, "message": "Hi", "channels": ["in_app"]}
    for _ in range(3):
        await states(olga, await sends(olga, unique("cap"), **request), in_app="SENT")
    held = await states(olga, await sends(olga, unique("cap"), **request), in_app="RETRY")
    assert held["deliveries"][0]["reason"] == "capped:calendar.reminder:3/1d"
    soon = (datetime.now(UTC) + HOUR).isoformat()
    ended = await states(olga, await sends(olga, unique("cap"), expires_at=soon, **request), in_app="EXPIRED")
    assert ended["deliveries"][0]["reason"] == "deadline_passed:capped:calendar.reminder:3/1d"
    urgent = await sends(olga, unique("cap"), priority="urgent", **request)
    await states(olga, urgent, in_app="SENT")
