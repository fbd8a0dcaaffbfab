"""Listening by server-sent events and by one-time tickets, on the running product."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from websockets.exceptions import InvalidStatus

from infrastructure.local.ports import any_free_port
from infrastructure.local.processes import Child, Processes
from tests.integration.conftest import TokenOf
from tests.integration.test_live import SEND, send, socket_of, until
from tests.product import answers_ready, start_module

STREAM = f"{SEND}/stream"


class Events:
    """What an EventSource reads."""

    def __init__(self, answer: httpx2.Response) -> None:
        self._lines = answer.aiter_lines()

    async def next(self) -> dict[str, str]:
        """The fields of the next event; comments and the time to reconnect are none."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(20):
            async for line in self._lines:
                name, _, value = line.partition(": ")
                if line and name in ("id", "event", "data"):
                    fields[name] = value
                elif not line and fields:
                    return fields
        raise AssertionError("the stream has ended")

    async def until(self, text: str) -> dict[str, str]:
        while json.loads((found := await self.next())["data"]).get("message") != text:
            pass
        return found


@asynccontextmanager
async def listening(
    client: httpx2.AsyncClient, headers: dict[str, str] | None = None, **asked: str
) -> AsyncIterator[Events]:
    async with client.stream("GET", STREAM, params=asked, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Events(answer)


async def a_ticket(client: httpx2.AsyncClient, **asked: Any) -> str:
    answer = await client.post(f"{SEND}/ticket", params=asked)
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return str(answer.json()["data"]["ticket"])


async def test_a_stream_tells_what_comes_and_goes_on_where_it_was_left(
    ana: httpx2.AsyncClient, workers: Child, unique: Callable[[str], str]
) -> None:
    first, missed = unique("first"), unique("missed")
    async with listening(ana) as events:
        await send(ana, first)
        found = await events.until(first)
        item = json.loads(found["data"])["id"]
        await ana.post(f"{SEND}/mark-read/{item}")
        assert (read := await events.next())["event"] == "read"
        assert json.loads(read["data"])["ids"] == [item]
    assert found["event"] == "notification"
    await send(ana, missed)
    async with listening(ana, {"Last-Event-ID": found["id"]}) as events:
        await events.until(missed)


async def test_a_page_elsewhere_listens_with_a_ticket_that_is_good_once(
    api: str, ana: httpx2.AsyncClient, workers: Child, unique: Callable[[str], str]
) -> None:
    text, ticket = unique("ticket"), await a_ticket(ana)
    async with httpx2.AsyncClient(base_url=api, timeout=30) as page:
        async with listening(page, ticket=ticket) as events:
            await send(ana, text)
            await events.until(text)
        assert (await page.get(STREAM, params={"ticket": ticket})).status_code == 401
        foreign = {"Origin": "https://evil.example"}
        assert (await page.get(STREAM, params={"ticket": await a_ticket(ana)}, headers=foreign)).status_code == 401


async def test_a_socket_takes_a_ticket_too_and_in_its_environment(
    api: str, ana: httpx2.AsyncClient, workers: Child, unique: Callable[[str], str]
) -> None:
    text, ticket = unique("socket"), await a_ticket(ana, environment="test")
    async with socket_of(api, f"?cursor=&ticket={ticket}") as socket:
        asked = {"to": "ana", "message": text, "channels": ["in_app"], "environment": "test"}
        await ana.post(SEND, json=asked, headers={"Prefer": "wait=5"})
        await until(socket, text)
    for spent in (ticket, "made-up"):
        with pytest.raises(InvalidStatus):
            async with socket_of(api, f"?ticket={spent}"):
                pass


async def test_a_ticket_needs_a_token_of_ones_own(api: str, ana: httpx2.AsyncClient, bearer_of: TokenOf) -> None:
    async with httpx2.AsyncClient(base_url=api) as nobody:
        assert (await nobody.post(f"{SEND}/ticket")).status_code == 401
        assert (await nobody.get(STREAM)).status_code == 401


async def test_a_stream_ends_when_the_server_leaves_and_holds_it_up_no_longer(
    processes: Processes, variables: Mapping[str, str], bearer_of: TokenOf, workers: Child
) -> None:
    port = any_free_port()
    child = await start_module(processes, "leaving", "api", variables=variables, extra={"PORT": str(port)})
    await child.until(lambda: answers_ready(port))
    async with (
        httpx2.AsyncClient(base_url=f"http://localhost:{port}", headers=await bearer_of("ana"), timeout=30) as ana,
        ana.stream("GET", STREAM) as answer,
    ):
        lines = answer.aiter_lines()
        assert await anext(lines) == "retry: 2000"
        child.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(5):  # a stream that is waited for takes ten
            assert [line async for line in lines if line.startswith("event")] == []
            assert await child.process.wait() in (0, -signal.SIGTERM)
