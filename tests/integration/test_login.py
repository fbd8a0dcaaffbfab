import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from tests.fakes.login import AUDIENCE, BASE_URL, CLIENT_ID, IDENTITY, SECRET, World, a_world

SESSION_COOKIE, LOGIN_COOKIE = "carillon", "carillon-login"
OWN_ORIGIN = {"Origin": BASE_URL}


@pytest.fixture(name="world")
def an_api_and_its_provider(tmp_path: Path) -> World:
    return a_world(tmp_path)


async def sessions_in(world: World) -> int:
    return len([key async for key in world.redis.scan_iter("carillon:session:*")])


async def test_a_person_logs_in_and_is_known(world: World) -> None:
    async with world.browser() as ana:
        back = await world.log_in(ana, next_path="/inbox?unread=1")
        assert (back.status_code, back.headers["location"]) == (303, f"{BASE_URL}/inbox?unread=1")
        me = (await ana.get("/api/v1/auth/me")).json()
    assert me["success"]
    assert me["data"]["id"] == "ana"
    assert (me["data"]["email"], me["data"]["email_verified"]) == ("ana@example.com", True)
    assert me["data"]["permissions"] == ["notifications:send"]


async def test_the_verified_address_is_handed_on_at_login(world: World) -> None:
    async with world.browser() as ana:
        await world.log_in(ana)
    [user] = world.learned
    assert (user.id, user.email, user.email_verified) == ("ana", "ana@example.com", True)


async def test_the_login_page_is_asked_with_pkce_state_and_nonce(world: World) -> None:
    async with world.browser() as ana:
        begun = await ana.get("/api/v1/auth/login")
    asked = parse_qs(urlsplit(begun.headers["location"]).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert len(asked["code_challenge"][0]) == 43
    assert len(asked["state"][0]) >= 43
    assert len(asked["nonce"][0]) >= 43
    assert asked["audience"] == [AUDIENCE]
    assert asked["redirect_uri"] == [f"{BASE_URL}/api/v1/auth/callback"]


async def test_a_login_begun_elsewhere_does_not_end_here_and_its_state_is_burnt(world: World) -> None:
    async with world.browser() as attacker, world.browser() as victim:
        stolen = await world.callback_for(attacker, "ben")
        await victim.get("/api/v1/auth/login")
        refused = await victim.get(stolen)
        assert refused.status_code == 400
        assert SESSION_COOKIE not in victim.cookies
        assert (await attacker.get(stolen)).status_code == 400
    assert await sessions_in(world) == 0


async def test_a_browser_without_a_login_cookie_gets_no_session(world: World) -> None:
    async with world.browser() as attacker, world.browser() as victim:
        assert (await victim.get(await world.callback_for(attacker))).status_code == 400


async def test_of_fifty_callbacks_with_one_state_one_wins(world: World) -> None:
    async with world.browser() as ana:
        callback = await world.callback_for(ana)
        answers = await asyncio.gather(*(ana.get(callback) for _ in range(50)))
        assert sorted(answer.status_code for answer in answers) == [303] + [400] * 49
        assert (await ana.get("/api/v1/auth/me")).status_code == 200
    assert await sessions_in(world) == 1


async def test_a_callback_used_again_elsewhere_ends_the_session_it_opened(world: World) -> None:
    async with world.browser() as ana, world.browser() as thief:
        callback = await world.callback_for(ana)
        await ana.get(callback)
        assert (await thief.get(callback)).status_code == 400
        assert (await ana.get("/api/v1/auth/me")).status_code == 401


async def test_a_code_does_not_work_with_another_logins_verifier(world: World) -> None:
    async with world.browser() as ana:
        first, second = await world.callback_for(ana), await world.callback_for(ana)
        code, state = parse_qs(urlsplit(first).query)["code"][0], parse_qs(urlsplit(second).query)["state"][0]
        refused = await ana.get("/api/v1/auth/callback", params={"code": code, "state": state})
    assert refused.status_code == 400
    assert await sessions_in(world) == 0


@pytest.mark.parametrize(
    "query",
    ["", "?code=x", "?state=x", "?code=x&state=x", "?error=access_denied", "?code=x&state=" + "s" * 5000],
    ids=lambda query: query[:24] or "nothing",
)
async def test_a_forged_callback_is_refused(world: World, query: str) -> None:
    async with world.browser() as ana:
        await ana.get("/api/v1/auth/login")
        answer = await ana.get(f"/api/v1/auth/callback{query}")
    assert answer.status_code == 400
    assert answer.json()["error"]["title"] == "Login failed"
    assert SESSION_COOKIE not in answer.cookies


async def test_another_issuer_on_the_way_back_is_refused(world: World) -> None:
    async with world.browser() as ana:
        assert (await ana.get(await world.callback_for(ana) + "&iss=https://evil.example/")).status_code == 400
        assert (await ana.get(f"{await world.callback_for(ana)}&iss={IDENTITY}")).status_code == 303


async def test_an_id_token_of_another_login_is_refused(world: World) -> None:
    """Its nonce belongs to the login it was made for, be it the same person's."""
    kept: list[dict[str, Any]] = []

    def replay(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        if request.url.path != "/oauth/token":
            return response
        kept.append(response.json())
        return httpx2.Response(200, json={**kept[-1], "id_token": kept[0]["id_token"]})

    world.network.meddle = replay
    async with world.browser() as ana:
        assert (await world.log_in(ana)).status_code == 303
        assert (await world.log_in(ana)).status_code == 400


@pytest.mark.parametrize("missing", ["id_token", "access_token"])
async def test_an_answer_without_a_token_is_refused(world: World, missing: str) -> None:
    def without(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        if request.url.path != "/oauth/token":
            return response
        return httpx2.Response(200, json={name: value for name, value in response.json().items() if name != missing})

    world.network.meddle = without
    async with world.browser() as ana:
        assert (await world.log_in(ana)).status_code == 400


async def test_the_session_id_changes_at_every_login_and_the_old_one_ends(world: World) -> None:
    async with world.browser() as ana, world.browser() as before:
        before.cookies.set(SESSION_COOKIE, "planted-by-somebody", domain="localhost.local", path="/")
        ana.cookies.update(before.cookies)
        await world.log_in(ana)
        first = ana.cookies.get(SESSION_COOKIE, domain="localhost.local")
        assert first
        assert first != "planted-by-somebody"
        await world.log_in(ana)
        assert ana.cookies[SESSION_COOKIE] != first
    async with world.browser() as old:
        assert (await old.get("/api/v1/auth/me", headers={"Cookie": f"{SESSION_COOKIE}={first}"})).status_code == 401


async def test_the_session_cookie_is_kept_from_scripts_and_other_sites(world: World) -> None:
    async with world.browser() as ana:
        [cookie] = [each for each in (await world.log_in(ana)).headers.get_list("set-cookie") if "carillon=" in each]
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert attributes == {"httponly", "samesite=lax", "path=/"}


async def test_logout_ends_the_session_here_and_sends_the_browser_on(world: World) -> None:
    async with world.browser() as ana:
        await world.log_in(ana)
        cookie = ana.cookies[SESSION_COOKIE]
        out = await ana.post("/api/v1/auth/logout", headers=OWN_ORIGIN)
        assert out.status_code == 200
        assert out.json()["data"]["logout_url"].startswith(f"{IDENTITY}oidc/logout?")
        assert SESSION_COOKIE not in ana.cookies
        assert (await ana.get("/api/v1/auth/me", headers={"Cookie": f"{SESSION_COOKIE}={cookie}"})).status_code == 401
    assert await sessions_in(world) == 0


async def test_logout_works_with_a_tenant_that_announces_no_end_session_endpoint(tmp_path: Path) -> None:
    world = a_world(tmp_path, end_session_in_discovery=False)
    async with world.browser() as ana:
        await world.log_in(ana)
        url = (await ana.post("/api/v1/auth/logout", headers=OWN_ORIGIN)).json()["data"]["logout_url"]
    async with httpx2.AsyncClient(transport=world.network.inner) as page:
        answer = await page.get(url)
    assert url.startswith(f"{IDENTITY}v2/logout?")
    assert answer.headers["location"] == f"{BASE_URL}/"


async def test_another_site_cannot_log_somebody_out(world: World) -> None:
    async with world.browser() as ana:
        await world.log_in(ana)
        for headers in ({"Origin": "https://evil.example"}, {}):
            assert (await ana.post("/api/v1/auth/logout", headers=headers)).status_code == 403
        assert (await ana.get("/api/v1/auth/me")).status_code == 200


@pytest.mark.parametrize("profile", ["auth0", "rfc9068"])
async def test_a_machine_comes_with_a_bearer_token(tmp_path: Path, profile: str) -> None:
    world = a_world(tmp_path, access_token_profile=profile)
    token = await a_machine_token(world)
    async with world.browser() as machine:
        me = await machine.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {token}"})
        written = await machine.post("/api/v1/write", headers={"Authorization": f"Bearer {token}"})
    assert me.json()["data"]["kind"] == "machine"
    assert written.status_code == 200


async def test_an_id_token_opens_nothing(world: World) -> None:
    grants = {"grant_type": "password", "username": "ana", "password": "ana", "scope": "openid", "audience": AUDIENCE}
    tokens = await tokens_for(world, grants)
    async with world.browser() as caller:
        for name, status in (("id_token", 401), ("access_token", 200)):
            answer = await caller.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {tokens[name]}"})
            assert answer.status_code == status, name


async def test_a_bad_bearer_token_is_not_made_good_by_a_session(world: World) -> None:
    async with world.browser() as ana:
        await world.log_in(ana)
        refused = await ana.get("/api/v1/auth/me", headers={"Authorization": "Bearer nonsense"})
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"


async def test_a_missing_permission_is_403_and_a_missing_login_401(world: World) -> None:
    async with world.browser() as ana, world.browser() as olga, world.browser() as nobody:
        await world.log_in(ana, "ana")
        await world.log_in(olga, "olga")
        assert (await ana.get("/api/v1/operate")).status_code == 403
        assert (await olga.get("/api/v1/operate")).status_code == 200
        assert (await nobody.get("/api/v1/operate")).status_code == 401


async def test_without_redis_sessions_get_503_and_tokens_are_served(world: World) -> None:
    token = await a_machine_token(world)
    async with world.browser() as ana:
        await world.log_in(ana)
        world.server.connected = False
        away = await ana.get("/api/v1/auth/me")
        served = await ana.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {token}"})
    assert (away.status_code, served.status_code) == (503, 200)
    assert away.headers["retry-after"]


async def test_a_provider_that_is_away_is_503_and_not_a_refusal(world: World) -> None:
    world.network.away = True
    async with world.browser() as ana:
        assert (await ana.get("/api/v1/auth/login")).status_code == 503


async def test_redis_is_told_no_token_no_cookie_and_no_name(world: World) -> None:
    async with world.browser() as ana:
        await world.callback_for(ana)
        await world.log_in(ana)
        dump = repr([(key, await world.redis.get(key)) async for key in world.redis.scan_iter()])
        told = [ana.cookies[SESSION_COOKIE], ana.cookies[LOGIN_COOKIE], "eyJ", "ana@", "nonce", "verifier"]
    assert not [secret for secret in told if secret in dump]


async def test_a_login_begun_at_another_loopback_name_moves_to_the_public_one(world: World) -> None:
    async with world.browser() as ana:
        moved = await ana.get("http://127.0.0.1:8000/api/v1/auth/login?next=/inbox")
    assert moved.headers["location"] == f"{BASE_URL}/api/v1/auth/login?next=/inbox"


async def tokens_for(world: World, grant: dict[str, str]) -> dict[str, Any]:
    async with httpx2.AsyncClient(transport=world.network.inner, base_url=IDENTITY) as client:
        answer = await client.post("/oauth/token", data={"client_id": CLIENT_ID, "client_secret": SECRET, **grant})
    tokens: dict[str, Any] = json.loads(answer.content)
    return tokens


async def a_machine_token(world: World) -> str:
    return str((await tokens_for(world, {"grant_type": "client_credentials", "audience": AUDIENCE}))["access_token"])
