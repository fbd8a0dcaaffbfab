"""The doors to preferences, with Kafka, store and Redis in memory: what each answers, also when nobody carries it out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest

from api import preferences as changing
from api.auth import get_current_user
from api.main import create_app
from consumers.handlers.preferences import ApplyPreferences
from infrastructure.auth.user import User
from infrastructure.kafka.sealing import is_ours
from infrastructure.live_catalogue import LiveCatalogue
from infrastructure.ports import Outgoing
from infrastructure.redis.wakeups import CHANGED
from infrastructure.settings import Settings
from schemas.events import Position
from schemas.unsubscribe import UnsubscribeScope, link_token
from tests.fakes.announcer import FakeAnnouncer
from tests.fakes.preferences import FakePreferences
from tests.fakes.publisher import FakePublisher
from tests.unit.stories import CATALOGUE, KEY, Floor, as_read

PREFERENCES, OLD = "/api/v1/preferences", "/api/v1/notifications/preferences"
ANA = User(id="ana", sub="ana", issuer="i", expires_at=datetime(2030, 1, 1, tzinfo=UTC))
OFF = {"choices": [{"level": "category", "name": "offers", "channel": "email", "enabled": False}]}


def a_worker(store: FakePreferences, publisher: FakePublisher) -> ApplyPreferences:
    floor = Floor()
    return ApplyPreferences(store, FakeAnnouncer(), publisher, floor.timers, floor.waking, floor.marks)


class HandsOver(FakePublisher):
    """What is published reaches the preferences worker at once, as long as there is one."""

    def __init__(self, store: FakePreferences) -> None:
        super().__init__()
        self.worker: ApplyPreferences | None = a_worker(store, FakePublisher())

    async def publish(self, record: Outgoing) -> Position:
        position = await super().publish(record)
        assert is_ours(as_read(record), (KEY,)), "commands are sealed"
        if self.worker is not None:
            await self.worker.handle(as_read(record))
        return position


class AlwaysAwake:
    @asynccontextmanager
    async def listen(self, channel: str) -> AsyncIterator["asyncio.Queue[str]"]:
        queue: asyncio.Queue[str] = asyncio.Queue()
        queue.put_nowait(CHANGED)
        yield queue


class House:
    """The API's preference routes for Ana."""

    def __init__(self) -> None:
        self.store = FakePreferences()
        self.publisher = HandsOver(self.store)
        settings = Settings(_env_file=None, deployment="local", app_secret_key=KEY.decode())
        app = create_app(settings)
        app.dependency_overrides[get_current_user] = lambda: ANA
        app.state.resources = SimpleNamespace(
            settings=settings,
            stores=SimpleNamespace(preferences=self.store),
            publisher=self.publisher,
            wakeups=AlwaysAwake(),
            catalogue=LiveCatalogue(CATALOGUE),
        )
        self.client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost:8000")

    async def etag(self) -> str:
        return (await self.client.get(PREFERENCES)).headers["ETag"]


@pytest.fixture(name="house")
def a_house() -> House:
    return House()


async def test_the_whole_is_replaced_upon_the_version_it_names(house: House) -> None:
    first = await house.etag()
    done = await house.client.put(PREFERENCES, json=OFF, headers={"If-Match": first})
    assert (done.status_code, done.headers["ETag"]) == (200, '"1"')
    assert done.json()["data"]["choices"] == OFF["choices"]
    stale = await house.client.put(PREFERENCES, json={}, headers={"If-Match": first})
    assert (stale.status_code, stale.headers["ETag"], stale.json()["error"]["type"]) == (412, '"1"', "version_mismatch")


@pytest.mark.parametrize(
    ("tag", "status"), [(None, 428), ("*", 200), ('"0"', 200), ('W/"0"', 412), ("0", 412), ('"x"', 412)]
)
async def test_what_if_match_may_say(house: House, tag: str | None, status: int) -> None:
    headers = {"If-Match": tag} if tag else {}
    assert (await house.client.put(PREFERENCES, json=OFF, headers=headers)).status_code == status


async def test_nobody_there_to_carry_it_out_is_202_and_it_is_carried_out_later(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changing, "WAIT_S", 0.05)
    worker, house.publisher.worker = house.publisher.worker, None
    answer = await house.client.patch(PREFERENCES, json=OFF)
    assert (answer.status_code, answer.json()["data"]["status"]) == (202, "ACCEPTED")
    assert await house.etag() == '"0"'
    assert worker is not None
    [command] = house.publisher.records
    await worker.handle(as_read(command))
    assert await house.etag() == '"1"'
    assert ("dev", "ana", answer.json()["data"]["change_id"]) in house.store.verdicts


async def test_without_kafka_the_outcome_is_unknown_and_said_so(house: House) -> None:
    house.publisher.is_away = True
    answer = await house.client.patch(PREFERENCES, json=OFF)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")


@pytest.mark.parametrize(
    "body",
    [
        {"choices": [{"level": "category", "channel": "email", "enabled": False}]},
        {"choices": [{"level": "global", "name": "x", "enabled": False}]},
        {"choices": [{"level": "planet", "name": "x", "enabled": False}]},
        {"choices": [{"level": "topic", "name": "x", "channel": "pigeon", "enabled": False}]},
        {"quiet_hours": {"start": "22:00", "end": "07:00", "zone": "Mars/Base"}},
        {"muted_until": "2026-12-01T00:00:00"},
        {"unknown": 1},
        {"choices": [{"level": "category", "name": "security", "enabled": False}]},
        {"digests": [{"level": "type", "every": "1h"}]},
        {"digests": [{"level": "topic", "name": "news", "every": "1h"}]},
        {"digests": [{"level": "global", "every": "8d"}]},
        {"digests": [{"level": "global", "every": "now"}]},
    ],
)
async def test_what_makes_no_sense_is_refused_and_never_reaches_kafka(house: House, body: dict[str, Any]) -> None:
    assert (await house.client.patch(PREFERENCES, json=body)).status_code == 422
    assert house.publisher.records == []


async def test_a_single_change_leaves_everything_else(house: House) -> None:
    night = {"start": "22:00", "end": "07:00", "zone": "Europe/Berlin"}
    await house.client.patch(PREFERENCES, json=OFF | {"quiet_hours": night, "muted_until": "2026-12-01T00:00:00Z"})
    after = (await house.client.patch(PREFERENCES, json={"muted_until": None})).json()["data"]
    assert after == {**OFF, "quiet_hours": night, "muted_until": None, "zone": None, "digests": []}


async def test_explain_for_one_that_might_come(house: House) -> None:
    await house.client.patch(PREFERENCES, json=OFF)
    answer = await house.client.get(f"{PREFERENCES}/explain", params={"channel": "email", "category": "offers"})
    said = answer.json()["data"]
    assert (said["decision"], said["reason"], said["preferences_version"]) == ("skip", "preference:category", 1)
    assert [rule["rule"] for rule in said["rules"] if rule["decided"]] == ["category"]
    assert len(said["rules"]) == 8


async def test_a_digest_is_chosen_explained_and_taken_away(house: House) -> None:
    where = {"level": "type", "name": "news.item", "channel": "email"}
    about = {"channel": "email", "type": "news.item"}

    async def explained(**more: str) -> Any:
        return (await house.client.get(f"{PREFERENCES}/explain", params=about | more)).json()["data"]["digest"]

    assert await explained() is None
    set_ = (await house.client.patch(PREFERENCES, json={"digests": [where | {"every": "1h"}]})).json()["data"]
    assert set_["digests"] == [where | {"every": 3600.0}]
    assert await explained() == {"window": 3600.0, "mode": "fixed", "max": None}
    assert await explained(priority="urgent") is None
    assert await explained(category="security") is None
    back = await house.client.put(PREFERENCES, json=set_, headers={"If-Match": "*"})
    assert back.json()["data"] == set_, "what was read can be sent back"
    gone = (await house.client.patch(PREFERENCES, json={"digests": [where | {"every": None}]})).json()["data"]
    assert gone["digests"] == []


async def test_an_older_preference_lives_under_its_id(house: House) -> None:
    body = {"category": "offers", "channel": "email", "enabled": False}
    made = (await house.client.post(OLD, json=body)).json()["data"]
    assert (await house.client.post(OLD, json=body)).json()["data"] == made
    assert (await house.client.get(OLD)).json()["data"] == [made]
    assert (await house.client.put(f"{OLD}/{made['id']}", json={"enabled": True})).json()["data"] == made | {"enabled": True}
    assert (await house.client.delete(f"{OLD}/{made['id']}")).status_code == 200
    assert (await house.client.put(f"{OLD}/{made['id']}", json={"enabled": True})).status_code == 404


@pytest.mark.parametrize("identifier", ["prf_bm9uZQ", "prf_W10", "prf_WyJnbG9iYWwiLCIiLCIqIl0A", "prf_____"])
async def test_an_id_we_never_gave_is_nobodys(house: House, identifier: str) -> None:
    assert (await house.client.delete(f"{OLD}/{identifier}")).status_code == 404


async def test_an_older_preference_is_not_read_as_the_id_of_a_notification(house: House) -> None:
    answer = await house.client.get(OLD)
    assert (answer.status_code, answer.json()["data"]) == (200, [])


def a_link(category: str = "offers", key: bytes = KEY) -> str:
    scope = UnsubscribeScope(environment="dev", person="ana", category=category)
    return f"/unsubscribe/{link_token(key, scope)}"


async def test_looking_at_an_unsubscribe_link_changes_nothing_and_one_click_does(house: House) -> None:
    page = await house.client.get(a_link("offers"))
    assert (page.status_code, page.headers["Cache-Control"]) == (200, "no-store")
    assert '<form method="post">' in page.text
    assert house.publisher.records == []
    for _ in range(2):
        assert (await house.client.post(a_link("offers"), data={"List-Unsubscribe": "One-Click"})).status_code == 200
    [choice] = (await house.store.get("dev", "ana")).choices
    assert (choice.place, choice.enabled) == (("category", "offers", "email"), False)
    assert (await house.store.get("dev", "ana")).version == 1


async def test_a_link_that_is_none_of_ours_is_nothing(house: House) -> None:
    for method in ("GET", "POST"):
        assert (await house.client.request(method, a_link(key=b"f" * 32))).status_code == 404
        assert (await house.client.request(method, "/unsubscribe/abc")).status_code == 404
    assert house.publisher.records == []


async def test_a_category_that_has_become_mandatory_stays_on(house: House) -> None:
    assert (await house.client.post(a_link("security"))).status_code == 409
    assert house.publisher.records == []


async def test_what_a_category_is_called_cannot_become_html(house: House) -> None:
    assert "<script>" not in (await house.client.get(a_link("<script>alert(1)</script>"))).text


async def test_a_command_that_cannot_be_read_or_belongs_elsewhere_is_put_away() -> None:
    store, away = FakePreferences(), FakePublisher()
    worker = a_worker(store, away)
    house = House()
    await house.client.patch(PREFERENCES, json=OFF)
    [command] = house.publisher.records
    elsewhere = Outgoing("notifications.test.preferences", command.key, command.value)
    for record in (Outgoing(command.topic, "ana", b"{"), elsewhere):
        await worker.handle(as_read(record))
    await worker.bury(as_read(command), ValueError("x"))
    reasons = [sent.headers["x-dlq-reason"] for sent in away.records]
    assert reasons == ["unreadable", "other_environment", "crash:ValueError"]
    assert not store.chosen
