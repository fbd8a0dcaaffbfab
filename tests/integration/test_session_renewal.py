import asyncio
from pathlib import Path

import httpx2
import pytest

from infrastructure.auth.renewal import LiveSessions
from schemas.outcomes import Unavailable
from tests.fakes.login import World, a_world

COOKIE = "carillon"
TOKEN_PATH = "/oauth/token"


@pytest.fixture(name="world")
def an_api_and_its_provider(tmp_path: Path) -> World:
    return a_world(tmp_path)


def live(world: World) -> LiveSessions:
    sessions: LiveSessions = world.app.state.resources.sessions
    return sessions


async def a_due_session(world: World, *, access_left_s: float = 600) -> str:
    """The cookie of a session that wants to be renewed, with so much left of its access token."""
    async with world.browser() as ana:
        await world.log_in(ana)
        fresh = await live(world).end(ana.cookies[COOKIE])
    assert fresh is not None
    world.network.asked.clear()
    now = fresh.user.expires_at.timestamp() - 3600
    return await live(world).create(fresh.model_copy(update={"renew_at": now - 1, "access_expires_at": now + access_left_s}))


async def test_a_session_that_is_not_due_asks_nobody(world: World) -> None:
    async with world.browser() as ana:
        await world.log_in(ana)
        world.network.asked.clear()
        assert (await ana.get("/api/v1/auth/me")).status_code == 200
    assert world.network.asked == []


async def test_a_session_in_use_is_renewed_once_for_many_requests(world: World) -> None:
    cookie = await a_due_session(world, access_left_s=-1)
    seen = await asyncio.gather(*(live(world).read(cookie) for _ in range(20)))
    assert world.network.asked.count(TOKEN_PATH) == 1
    assert {session.user.id for session in seen if session} == {"ana"}
    assert None not in seen


async def test_the_provider_rotates_and_the_next_renewal_works_too(world: World) -> None:
    cookie = await a_due_session(world)
    first = await live(world).read(cookie)
    assert first is not None
    due = first.model_copy(update={"renew_at": 0.0})
    again = await live(world).read(await live(world).create(due))
    assert again is not None
    assert first.refresh_token != again.refresh_token
    assert again.user.may("notifications:send")


async def test_two_processes_do_not_use_one_refresh_token_twice(world: World) -> None:
    cookie = await a_due_session(world, access_left_s=-1)
    gate = Gate.before(world)
    ours = asyncio.create_task(live(world).read(cookie))
    await gate.reached.wait()
    theirs = asyncio.create_task(another_process(world).read(cookie))
    for _ in range(100):
        await asyncio.sleep(0)  # far enough for the other process to have asked, were it not for the lock
    gate.open.set()
    assert await ours == await theirs
    assert await ours is not None
    assert world.network.asked.count(TOKEN_PATH) == 1


async def test_a_grant_that_was_withdrawn_ends_the_session(world: World) -> None:
    cookie = await a_due_session(world)

    def withdrawn(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        body = {"error": "invalid_grant", "error_description": "Unknown or invalid refresh token."}
        return httpx2.Response(403, json=body) if request.url.path == TOKEN_PATH else response

    world.network.meddle = withdrawn
    assert await live(world).read(cookie) is None
    world.network.meddle = None
    assert await live(world).read(cookie) is None


@pytest.mark.parametrize("error", ["access_denied", "too_many_requests"])
async def test_a_refusal_that_is_not_about_the_person_ends_no_session(world: World, error: str) -> None:
    cookie = await a_due_session(world)
    world.network.meddle = lambda _request, _response: httpx2.Response(429, json={"error": error})
    assert await live(world).read(cookie) is not None


async def test_while_the_provider_is_away_good_tokens_do_and_ended_ones_are_503(world: World) -> None:
    good, ended = await a_due_session(world), await a_due_session(world, access_left_s=-1)
    world.network.away = True
    assert await live(world).read(good) is not None
    with pytest.raises(Unavailable):
        await live(world).read(ended)


async def test_a_request_that_hangs_up_does_not_lose_the_new_tokens(world: World) -> None:
    cookie = await a_due_session(world)
    gate = Gate.before(world)
    reading = asyncio.create_task(live(world).read(cookie))
    await gate.reached.wait()
    reading.cancel()
    gate.open.set()
    renewed = await live(world).read(cookie)
    assert reading.cancelled()
    assert renewed is not None
    assert world.network.asked.count(TOKEN_PATH) == 1


async def test_logging_out_during_a_renewal_stays_logged_out(world: World) -> None:
    cookie = await a_due_session(world)
    gate = Gate.before(world)
    reading = asyncio.create_task(live(world).read(cookie))
    await gate.reached.wait()
    await live(world).end(cookie)
    gate.open.set()
    assert await reading is None
    assert await live(world).read(cookie) is None


class Gate(httpx2.AsyncBaseTransport):
    """Holds what goes to the provider until a test opens it."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner
        self.reached, self.open = asyncio.Event(), asyncio.Event()

    @classmethod
    def before(cls, world: World) -> "Gate":
        world.network.inner = gate = cls(world.network.inner)
        return gate

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.reached.set()
        await self.open.wait()
        return await self._inner.handle_async_request(request)


def another_process(world: World) -> LiveSessions:
    """Another API process on the same Redis and the same provider."""
    ours = live(world)
    return LiveSessions(ours._store, ours._oauth, world.redis)  # pylint: disable=protected-access
