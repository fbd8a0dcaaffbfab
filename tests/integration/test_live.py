"""The live socket, by a WebSocket client that is not ours."""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from infrastructure.local.processes import Child
from infrastructure.ports import Outgoing
from infrastructure.resources import Resources
from schemas import topics
from tests.eventually import eventually
from tests.integration.conftest import TokenOf
from tests.tokens import log_in

SEND = "/api/v1/notifications"


def socket_of(api: str, query: str = "", **options: Any) -> connect:
    return connect(f"{api.replace('http', 'ws', 1)}/ws/notifications{query}", **options)


async def frame(socket: ClientConnection) -> dict[str, Any]:
    """The next frame."""
    found: dict[str, Any] = json.loads(await asyncio.wait_for(socket.recv(), 20))
    return found


async def until(socket: ClientConnection, message: str) -> dict[str, Any]:
    """The frame of this notification; what others sent to the same person is passed over."""
    while (found := await frame(socket)).get("message") != message:
        pass
    return found


async def send(ana: httpx2.AsyncClient, text: str) -> None:
    answer = await ana.post(
        SEND, json={"to": "ana", "message": {"title": "Live", "body": text}}, headers={"Prefer": "wait=5"}
    )
    assert answer.status_code == 200, answer.text


async def test_what_is_sent_arrives_while_one_listens(
    api: str, ana: httpx2.AsyncClient, bearer_of: TokenOf, workers: Child, unique: Callable[[str], str]
) -> None:
    text = unique("live")
    async with socket_of(api, "?cursor=", additional_headers=await bearer_of("ana")) as socket:
        await send(ana, text)
        found = await until(socket, text)
    assert found.keys() == {"type", "cursor", "id", "title", "message", "data", "created_at"}
    assert (found["type"], found["title"]) == ("notification", "Live")


async def test_whoever_comes_back_with_a_cursor_gets_what_was_missed_and_no_more(
    api: str, ana: httpx2.AsyncClient, bearer_of: TokenOf, workers: Child, unique: Callable[[str], str]
) -> None:
    headers, seen, missed = await bearer_of("ana"), unique("seen"), [unique("missed") for _ in range(3)]
    async with socket_of(api, "?cursor=", additional_headers=headers) as socket:
        await send(ana, seen)
        last = await until(socket, seen)
    for text in missed:
        await send(ana, text)

    async with socket_of(api, f"?cursor={last['cursor']}", additional_headers=headers) as socket:
        await send(ana, last_text := unique("last"))
        frames: list[dict[str, Any]] = []
        while not frames or frames[-1]["message"] != last_text:
            frames.append(await frame(socket))
    assert {found["type"] for found in frames} == {"notification"}
    new = [found["message"] for found in frames if found["cursor"] > last["cursor"]]
    assert new == [*missed, last_text], "in order, each once; the few before the cursor are the overlap"


async def test_more_than_a_page_of_missed_items_arrives_completely(
    api: str,
    resources: Resources,
    ana: httpx2.AsyncClient,
    bearer_of: TokenOf,
    workers: Child,
    unique: Callable[[str], str],
) -> None:
    """A burst within the overlap that the server looks at again must not hide what follows it."""
    headers, first = await bearer_of("ana"), unique("first")
    async with socket_of(api, "?cursor=", additional_headers=headers) as socket:
        await send(ana, first)
        last = await until(socket, first)
    burst = {unique("burst") for _ in range(250)}
    values = (json.dumps({"to": "ana", "message": text}).encode() for text in burst)
    await asyncio.gather(
        *(resources.publisher.publish(Outgoing(topics.requests("dev"), str(key), value)) for key, value in enumerate(values))
    )

    async def all_stored() -> bool:
        found = await resources.stores.inbox.since("dev", "ana", after=last["cursor"], limit=500)
        return burst <= {item.message for item in found}

    await eventually(all_stored, within_s=30)
    left = set(burst)
    async with socket_of(api, f"?cursor={last['cursor']}", additional_headers=headers) as socket:
        while left:
            left.discard((await frame(socket))["message"])


@pytest.mark.parametrize("cursor", ["nonsense", "2026-13-45T99:99:99.000Z~", "0001-01-01T00:00:00.000Z~"])
async def test_a_cursor_nobody_can_follow_is_answered_by_a_gap_and_what_is_there(
    api: str, ana: httpx2.AsyncClient, bearer_of: TokenOf, workers: Child, unique: Callable[[str], str], cursor: str
) -> None:
    text = unique("there")
    await send(ana, text)
    async with socket_of(api, f"?cursor={cursor}", additional_headers=await bearer_of("ana")) as socket:
        gap = await frame(socket)
        await send(ana, later := unique("later"))
        await until(socket, later)
    assert gap["type"] == "gap"
    assert gap["snapshot"]["unread"] >= 1
    assert gap["snapshot"]["items"][0]["message"] == text


async def test_read_on_one_device_is_read_on_the_other(
    api: str, ana: httpx2.AsyncClient, bearer_of: TokenOf, workers: Child, unique: Callable[[str], str]
) -> None:
    headers, text = await bearer_of("ana"), unique("read")
    async with (
        socket_of(api, "?cursor=", additional_headers=headers) as phone,
        socket_of(api, additional_headers=headers) as old_client,
    ):
        await send(ana, text)
        item = (await until(phone, text))["id"]
        await until(old_client, text)
        unread = (await ana.post(f"{SEND}/mark-read/{item}")).json()["data"]["unread"]
        told = await frame(phone)
        assert told == {"type": "read", "ids": [item], "unread": unread}

        await send(ana, after := unique("after"))
        assert (await frame(old_client))["message"] == after, "old clients know one kind of frame"


async def test_nobody_listens_to_somebody_elses_inbox(
    api: str,
    ana: httpx2.AsyncClient,
    bearer_of: TokenOf,
    workers: Child,
    unique: Callable[[str], str],
) -> None:
    bens = await bearer_of("ben")
    assert await refused(api, "?user_id=ana", additional_headers=bens) == 403
    async with socket_of(api, "?user_id=ben&topics=topic1,topic2", additional_headers=bens) as socket:
        await send(ana, unique("secret"))
        answer = await ana.post(SEND, json={"to": "ben", "message": (text := unique("for-ben"))})
        assert answer.status_code == 202
        assert (await frame(socket))["message"] == text


async def test_without_a_credential_of_ones_own_there_is_no_socket(
    api: str, variables: Mapping[str, str], workers: Child
) -> None:
    async with httpx2.AsyncClient(base_url=api) as browser:
        await log_in(browser, variables, "ana")
        cookie = {"Cookie": f"carillon={browser.cookies['carillon']}"}
    assert await refused(api) == 403
    assert await refused(api, "?user_id=ana") == 403
    assert await refused(api, additional_headers={"Authorization": "Bearer ey.ey.ey"}) == 403
    assert await refused(api, additional_headers={"Cookie": "carillon=made-up"}, origin=api) == 403
    assert await refused(api, additional_headers=cookie, origin="https://evil.example") == 403
    assert await refused(api, additional_headers=cookie) == 403, "a browser always names its page"
    async with socket_of(api, additional_headers=cookie, origin=api):
        pass


async def test_logging_out_ends_the_socket(api: str, variables: Mapping[str, str], workers: Child) -> None:
    async with httpx2.AsyncClient(base_url=api) as browser:
        await log_in(browser, variables, "user123")
        cookie = {"Cookie": f"carillon={browser.cookies['carillon']}"}
        async with socket_of(api, "?cursor=&user_id=user123", additional_headers=cookie, origin=api) as socket:
            await browser.post("/api/v1/auth/logout", headers={"Origin": api})
            with suppress(ConnectionClosed):
                while True:
                    await frame(socket)
            assert socket.close_code == 4401


async def refused(api: str, query: str = "", **options: Any) -> int:
    """The status that answers the handshake."""
    with pytest.raises(InvalidStatus) as refusal:
        async with socket_of(api, query, **options):
            pass
    return refusal.value.response.status_code
