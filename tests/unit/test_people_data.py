"""Export and erasure over HTTP: for oneself and for those with the right to; honest about what is not known yet."""

from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from api import erasing
from infrastructure.auth.sessions import Session
from infrastructure.auth.user import User
from infrastructure.ports import Outgoing
from schemas.base import iso
from tests.fakes.house import House
from tests.fakes.publisher import FakePublisher
from tests.unit.stories import Floor, a_request, as_read, now
from tests.unit.test_erasure import a_command, the_erasure

PEOPLE, SEND = "/api/v1/people", "/api/v1/notifications"


async def test_one_takes_everything_along_and_goes(ana: httpx2.AsyncClient) -> None:
    (await ana.post(SEND, json={"to": "ana", "message": "Hello", "environment": "dev"})).raise_for_status()
    (await ana.post(f"{PEOPLE}/me/subscriptions", json={"topics": ["news"]})).raise_for_status()
    exported = await ana.get(f"{PEOPLE}/me/export")
    assert (exported.headers["Cache-Control"], exported.json()["success"]) == ("no-store", True)
    mine = exported.json()["data"]
    assert (mine["person"], mine["complete"], [each["topic"] for each in mine["subscriptions"]]) == ("ana", True, ["news"])
    assert [item["message"] for item in mine["inbox"]] == ["Hello"]
    [sent] = mine["notifications"]
    assert sent["content"] == {"title": "", "body": "Hello", "url": None}
    assert [(each["channel"], each["state"]) for each in sent["deliveries"]] == [("in_app", "SENT")]
    gone = await ana.delete(f"{PEOPLE}/me")
    assert (gone.status_code, gone.json()["data"]["status"]) == (200, "DONE")
    assert gone.headers["Location"] == f"{PEOPLE}/me/erasure?environment=dev"
    assert (await ana.get(gone.headers["Location"])).json()["data"] == gone.json()["data"]
    left = (await ana.get(f"{PEOPLE}/me/export")).json()["data"]
    assert not [name for name in ("contact", "subscriptions", "inbox", "notifications") if left[name]]


async def test_of_what_went_to_several_one_gets_ones_own_part(ana: httpx2.AsyncClient, olga: httpx2.AsyncClient) -> None:
    body = {"to": ["ana", "ben"], "message": "Both of you", "variables": {"x": 1}, "metadata": {"m": 1}}
    (await olga.post(SEND, json=body | {"environment": "dev"})).raise_for_status()
    answer = await ana.get(f"{PEOPLE}/me/export")
    [sent] = answer.json()["data"]["notifications"]
    assert len(sent["deliveries"]) == 1
    assert not {"variables", "metadata"} & sent.keys()
    assert "ben" not in answer.text


async def test_while_the_store_is_away_an_export_is_503_and_not_half_a_document(
    house: House, ana: httpx2.AsyncClient
) -> None:
    house.floor.outage.away.add("contacts.get")
    answer = await ana.get(f"{PEOPLE}/me/export")
    assert (answer.status_code, answer.json()["success"]) == (503, False)


async def test_what_takes_longer_is_202_and_says_where_to_look(
    house: House, olga: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "WAIT_S", 0.01)
    house.app.state.resources.publisher = FakePublisher()  # nobody works on what is published
    answer = await olga.delete(f"{PEOPLE}/zoë")
    assert (answer.status_code, answer.json()["data"]["status"]) == (202, "ACCEPTED")
    assert answer.headers["Location"] == f"{PEOPLE}/zo%C3%AB/erasure?environment=dev"
    assert (await olga.get(answer.headers["Location"])).status_code == 404


async def test_without_kafka_nothing_is_promised(house: House, olga: httpx2.AsyncClient) -> None:
    house.floor.publisher.is_away = True
    answer = await olga.delete(f"{PEOPLE}/zoe")
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "outcome_unknown")
    assert answer.headers["Retry-After"] == "2"


async def test_of_what_was_for_later_theirs_is_refused_and_others_get_theirs() -> None:
    floor = Floor()
    later = iso(now() + timedelta(hours=5))
    await floor.route.handle(a_request({"request_id": "alone", "send_at": later, "message": "secret"}))
    await floor.route.handle(a_request({"request_id": "both", "to": ["ana", "ben"], "send_at": later}))
    await floor.erase.handle(a_command())
    assert the_erasure(floor).parts["schedules"] == 2
    assert [(each["request_id"], each["verdict"]) for each in floor.receipts()] == [("alone", "rejected")]
    waiting = [timer for timer in floor.timers.timers.values() if timer.topic == "notifications.dev.requests"]
    assert len(waiting) == 1
    assert not [word for word in ("ana", "secret") if word in waiting[0].model_dump_json()]
    refused, kept = sorted(floor.notifications.notes.values(), key=lambda note: note.request_id)
    assert (refused.status, refused.reason, refused.people) == ("REJECTED", "erased", ())
    assert (kept.status, kept.people) == ("SCHEDULED", ("ben",))


async def test_a_request_of_an_entrance_is_still_one_without_them(house: House, olga: httpx2.AsyncClient) -> None:
    """It had been sealed; changed it is sealed anew, or route would not believe whose it is."""
    later = iso(now() + timedelta(hours=5))
    body = {"to": ["ana", "ben"], "message": "Hi", "send_at": later, "environment": "dev"}
    sent = (await olga.post(SEND, json=body)).json()["data"]["notification_id"]
    floor = house.floor
    await floor.erase.handle(a_command())
    [timer] = [timer for timer in floor.timers.timers.values() if timer.topic == "notifications.dev.requests"]
    assert "ana" not in timer.value
    await floor.route.handle(as_read(Outgoing(timer.topic, timer.key, timer.value.encode(), timer.headers)))
    assert floor.quarantined() == []
    [(where, note)] = floor.notifications.notes.items()
    assert (where, note.producer, note.people) == (("dev", sent), "user:olga", ("ben",))


async def test_every_session_of_theirs_ends_and_nobody_elses() -> None:
    floor = Floor()
    mine, theirs = [await floor.sessions.create(a_session(person)) for person in ("ana", "ben")]
    assert await floor.ending.forget("ana") == 1
    assert await floor.sessions.read(mine) is None
    assert await floor.sessions.read(theirs) is not None


def a_session(person: str) -> Session:
    in_an_hour = datetime.now(UTC) + timedelta(hours=1)
    user = User(id=person, sub=person, issuer="x", expires_at=in_an_hour)
    return Session(user=user, access_token="t", access_expires_at=in_an_hour.timestamp(), renew_at=in_an_hour.timestamp())
