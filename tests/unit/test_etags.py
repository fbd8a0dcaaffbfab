"""Asking again for what has not changed."""

from pathlib import Path

import pytest

from tests.fakes.house import House

SEND = "/api/v1/notifications"


@pytest.fixture(name="house")
def a_house(tmp_path: Path) -> House:
    return House(tmp_path)


async def test_the_inbox_is_sent_again_only_when_it_has_changed(house: House) -> None:
    async with house.client(await house.token_of("ana")) as ana:
        await ana.post(SEND, json={"to": "ana", "message": "Hi", "channels": ["in_app"]})
        first = await ana.get(f"{SEND}/")
        same = await ana.get(f"{SEND}/", headers={"If-None-Match": f'"other", W/{first.headers["ETag"]}'})
        assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", first.headers["ETag"])
        await ana.post(f"{SEND}/mark-read/{first.json()['data'][0]['id']}")
        changed = await ana.get(f"{SEND}/", headers={"If-None-Match": first.headers["ETag"]})
        assert (changed.status_code, changed.json()["meta"]["unread"]) == (200, 0)


async def test_a_notification_is_sent_again_only_when_it_has_changed_and_to_those_who_may_see_it(house: House) -> None:
    async with house.client(await house.token_of("ana")) as ana, house.client(await house.token_of("ben")) as ben:
        sent = (await ana.post(SEND, json={"to": "ana", "message": "Hi"})).json()["data"]
        path = f"{SEND}/{sent['notification_id']}"
        tag = (await ana.get(path)).headers["ETag"]
        assert (await ana.get(path, headers={"If-None-Match": tag})).status_code == 304
        assert (await ben.get(path, headers={"If-None-Match": tag})).status_code == 404
