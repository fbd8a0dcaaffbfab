"""Archive and delete in the inbox of the running product, and what other devices hear of it."""

from collections.abc import Callable
from typing import Any

import httpx2

from infrastructure.local.processes import Child
from tests.integration.conftest import TokenOf
from tests.integration.test_live import SEND, frame, send, socket_of, until


async def listed(client: httpx2.AsyncClient, **asked: Any) -> list[str]:
    return [item["id"] for item in (await client.get(f"{SEND}/", params=asked)).json()["data"]]


async def test_what_one_device_puts_away_or_deletes_every_other_does(
    api: str, ana: httpx2.AsyncClient, bearer_of: TokenOf, workers: Child, unique: Callable[[str], str]
) -> None:
    text = unique("archive")
    async with socket_of(api, "?cursor=", additional_headers=await bearer_of("ana")) as phone:
        await send(ana, text)
        item = (await until(phone, text))["id"]
        for method, path, told in (
            ("POST", f"archive/{item}", "archived"),
            ("POST", f"unarchive/{item}", "unarchived"),
            ("POST", f"archive/{item}", "archived"),
            ("DELETE", item, "deleted"),
        ):
            answer = await ana.request(method, f"{SEND}/{path}")
            assert answer.status_code == 200, answer.text
            unread = answer.json()["data"]["unread"]
            assert await frame(phone) == {"type": told, "ids": [item], "unread": unread}
            assert (item in await listed(ana)) == (told == "unarchived")
            assert (item in await listed(ana, archived=True)) == (told == "archived")
    # what is gone is not missed by whoever comes back later either
    async with socket_of(api, "?cursor=2026-01-01T00:00:00.000Z~", additional_headers=await bearer_of("ana")) as tablet:
        await send(ana, later := unique("later"))
        seen = [found := await frame(tablet)]
        while found.get("message") != later:
            seen.append(found := await frame(tablet))
    assert item not in {each.get("id") for each in seen}
