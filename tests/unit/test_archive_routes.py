"""Putting items of one's inbox away, taking them back, throwing them away."""

from typing import Any

import httpx2
import pytest

from tests.fakes.house import House

SEND = "/api/v1/notifications"
NOBODYS = "dlv_" + "2" * 26


@pytest.fixture(name="house")
def a_house(tmp_path: Any) -> House:
    return House(tmp_path)


async def items_of(client: httpx2.AsyncClient, **asked: Any) -> list[str]:
    listed = (await client.get(f"{SEND}/", params=asked)).json()
    return [item["id"] for item in listed["data"]]


async def an_item(client: httpx2.AsyncClient) -> str:
    """The id of what just came."""
    await client.post(SEND, json={"to": "ana", "message": "Hi", "channels": ["in_app"]})
    return (await items_of(client))[0]


async def test_an_archived_item_moves_to_the_other_list_and_back(house: House) -> None:
    async with house.client(await house.token_of("ana")) as ana:
        other, item = await an_item(ana), await an_item(ana)
        answer = await ana.post(f"{SEND}/archive/{item}")
        assert (answer.status_code, answer.json()["data"]) == (200, {"unread": 1})
        assert (await items_of(ana), await items_of(ana, archived=True)) == ([other], [item])
        answer = await ana.post(f"{SEND}/unarchive/{item}")
        assert answer.json()["data"] == {"unread": 2}
        assert (await items_of(ana), await items_of(ana, archived=True)) == ([item, other], [])


async def test_a_deleted_item_is_gone_and_a_repeat_of_its_request_brings_nothing_back(house: House) -> None:
    asked = {"to": "ana", "message": "Hi", "channels": ["in_app"], "request_id": "once"}
    async with house.client(await house.token_of("ana")) as ana:
        sent = (await ana.post(SEND, json=asked)).json()["data"]
        [item] = await items_of(ana)
        for _ in range(2):
            assert (await ana.delete(f"{SEND}/{item}")).json()["data"] == {"unread": 0}
        await ana.post(SEND, json=asked)
        assert await items_of(ana) == await items_of(ana, archived=True) == []
        became = (await ana.get(f"{SEND}/{sent['notification_id']}")).json()["data"]
        assert became["counts"] == {"SENT": 1}, "it was delivered; what its reader did with it is the reader's"
        cancelled = (await ana.post(f"{SEND}/{sent['notification_id']}/cancel")).json()["data"]
        assert [(each["answer"], each["state"]) for each in cancelled["deliveries"]] == [("ended", "SENT")]


@pytest.mark.parametrize(("method", "path"), [("POST", "/archive/"), ("POST", "/unarchive/"), ("DELETE", "/")])
async def test_what_is_not_ones_own_is_not_found(house: House, method: str, path: str) -> None:
    async with house.client(await house.token_of("ana")) as ana, house.client(await house.token_of("ben")) as ben:
        item = await an_item(ana)
        for name in (item, NOBODYS):
            assert (await ben.request(method, f"{SEND}{path}{name}")).status_code == 404
        assert (await ben.request(method, f"{SEND}{path}nonsense")).status_code in (404, 405, 422)
        assert await items_of(ana) == [item]
