"""What a browser may do with a cookie alone, and from which page."""

from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.responses import Response
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from api.auth import EXPIRED, NOT_YOURS
from api.cookies import Cookies
from tests.fakes.login import BASE_URL, World, a_world

FOREIGN = [
    "null",
    "https://evil.example",
    "http://localhost",
    "http://localhost:8001",
    "https://localhost:8000",
    "http://localhost:8000.evil.example",
    "http://evil.example:8000",
    "http://localhost:8000@evil.example",
    "http://LOCALHOST:8000",
    "http://127.0.0.1:8000",
    "http://localhost:8000/",
    "localhost:8000",
    "",
]


@pytest.fixture(name="world")
def a_site(tmp_path: Path) -> World:
    return a_world(tmp_path)


async def a_write(world: World, headers: dict[str, str], content: bytes = b"") -> httpx2.Response:
    async with world.browser() as ana:
        await world.log_in(ana)
        return await ana.post("/api/v1/write", headers=headers, content=content)


@pytest.mark.parametrize("origin", FOREIGN)
async def test_a_write_from_another_origin_is_refused(world: World, origin: str) -> None:
    refused = await a_write(world, {"Origin": origin, "Sec-Fetch-Site": "same-origin"})
    assert refused.status_code == 403
    assert "access-control-allow-origin" not in refused.headers


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}], ids=str)
async def test_a_write_that_does_not_say_where_it_comes_from_is_refused(world: World, headers: dict[str, str]) -> None:
    assert (await a_write(world, headers)).status_code == 403


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""])
async def test_a_body_that_a_form_could_send_is_refused(world: World, kind: str) -> None:
    assert (await a_write(world, {"Origin": BASE_URL, "Content-Type": kind}, b"{}")).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": BASE_URL},
        {"Origin": BASE_URL, "Content-Type": "application/json; charset=utf-8"},
        {"Sec-Fetch-Site": "same-origin"},
    ],
    ids=str,
)
async def test_our_own_pages_may_write(world: World, headers: dict[str, str]) -> None:
    assert (await a_write(world, headers)).status_code == 200


async def test_without_any_credential_a_write_is_401(world: World) -> None:
    async with world.browser() as nobody:
        refused = await nobody.post("/api/v1/write", headers={"Origin": "https://evil.example"})
    assert refused.status_code == 401
    assert refused.json()["error"]["status"] == 401


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer a b", "bearer\ta.b.c", "Digest x", "Bearer e30.e30."]
)
async def test_what_is_no_bearer_token_is_401(world: World, authorization: str) -> None:
    async with world.browser() as nobody:
        assert (await nobody.get("/api/v1/auth/me", headers={"Authorization": authorization})).status_code == 401


async def a_session_cookie(world: World) -> str:
    async with world.browser() as ana:
        await world.log_in(ana)
        return f"carillon={ana.cookies['carillon']}"


def hello(world: World, headers: dict[str, str]) -> str:
    with TestClient(world.app, base_url=BASE_URL).websocket_connect("/ws", headers=headers) as socket:
        return socket.receive_text()


async def test_a_socket_from_our_own_page_is_the_persons(world: World) -> None:
    assert hello(world, {"Cookie": await a_session_cookie(world), "Origin": BASE_URL}) == "ana"


async def test_a_socket_from_another_page_is_refused_before_it_opens(world: World) -> None:
    cookie = await a_session_cookie(world)
    cases: list[dict[str, Any]] = [{"Cookie": cookie}, *({"Cookie": cookie, "Origin": origin} for origin in FOREIGN)]
    for headers in cases:
        with pytest.raises(WebSocketDisconnect) as refused:
            hello(world, headers)
        assert refused.value.code == NOT_YOURS


async def test_a_socket_with_an_ended_session_or_a_bad_token_is_refused(world: World) -> None:
    for headers in ({"Cookie": "carillon=ended", "Origin": BASE_URL}, {"Authorization": "Bearer x.y.z"}):
        with pytest.raises(WebSocketDisconnect) as refused:
            hello(world, headers)
        assert refused.value.code == EXPIRED


def test_a_socket_without_credentials_is_nobodys_yet(world: World) -> None:
    assert hello(world, {}) == "nobody"


def test_on_https_the_cookie_is_bound_to_host_and_transport() -> None:
    response = Response()
    Cookies("https://carillon.example").set_session(response, "value")
    name, *attributes = response.headers["set-cookie"].split("; ")
    assert name == "__Host-carillon=value"
    assert {attribute.lower() for attribute in attributes} == {"secure", "httponly", "samesite=lax", "path=/"}


def test_outside_loopback_there_is_no_cookie_without_https() -> None:
    with pytest.raises(ValueError, match="https"):
        Cookies("http://carillon.example")
