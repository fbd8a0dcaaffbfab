# pylint: disable=redefined-outer-name  # a test names the fixtures it is given
import stat
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from pydantic import SecretStr

from infrastructure.local.identity import IdentitySettings, identity_app
from infrastructure.local.identity.people import OPERATOR_PERMISSIONS
from infrastructure.local.identity.token_endpoint import s256
from infrastructure.local.loopback import NotLocal

ISSUER = "http://localhost:8002/"
API = "https://carillon.local/api"
CALLBACK = "http://localhost:8000/api/v1/auth/callback"
VERIFIER = "a-verifier-that-is-long-enough-for-rfc-7636-section-4"
CLIENT = {"client_id": "carillon-local", "client_secret": "a-secret"}
EVERYTHING = "openid profile email offline_access"


class FakeClock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def settings(tmp_path: Path) -> IdentitySettings:
    return IdentitySettings(
        issuer=ISSUER,
        client_id=CLIENT["client_id"],
        client_secret=SecretStr(CLIENT["client_secret"]),
        audience=API,
        callback_urls=(CALLBACK,),
        logout_urls=("http://localhost:8000/", "http://localhost:8000/bye"),
        key_dir=tmp_path / "identity",
        deployment="local",
    )


def a_client(settings: IdentitySettings, clock: FakeClock) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=identity_app(settings, clock)), base_url="http://localhost:8002"
    )


@pytest.fixture
async def idp(settings: IdentitySettings, clock: FakeClock) -> AsyncIterator[httpx2.AsyncClient]:
    async with a_client(settings, clock) as client:
        yield client


def a_request(**changes: str) -> dict[str, str]:
    return {
        "response_type": "code",
        "client_id": CLIENT["client_id"],
        "redirect_uri": CALLBACK,
        "scope": EVERYTHING,
        "state": "the-state",
        "nonce": "the-nonce",
        "audience": API,
        "code_challenge": s256(VERIFIER),
        "code_challenge_method": "S256",
        **changes,
    }


def told(response: httpx2.Response) -> dict[str, str]:
    """What a redirect to the callback says."""
    assert response.headers["location"].startswith(f"{CALLBACK}?")
    return dict(parse_qsl(urlsplit(response.headers["location"]).query))


async def a_code(idp: httpx2.AsyncClient, person: str = "ana", **changes: str) -> str:
    answer = told(await idp.post("/authorize/decision", data={**a_request(**changes), "person": person}))
    assert answer["state"] == "the-state"
    return answer["code"]


async def exchange(idp: httpx2.AsyncClient, code: str, **changes: str) -> httpx2.Response:
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
    return await idp.post("/oauth/token", data={**CLIENT, **form, **changes})


async def refresh(idp: httpx2.AsyncClient, token: str) -> httpx2.Response:
    return await idp.post("/oauth/token", data={**CLIENT, "grant_type": "refresh_token", "refresh_token": token})


async def read(idp: httpx2.AsyncClient, token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims, verified with the published keys."""
    keys = KeySet.import_key_set((await idp.get("/.well-known/jwks.json")).json())
    decoded = jwt.decode(token, keys, algorithms=["RS256"])
    return dict(decoded.header), dict(decoded.claims)


def assert_refused(response: httpx2.Response, status: int, error: str) -> None:
    assert (response.status_code, response.json()["error"]) == (status, error)


async def test_the_page_offers_every_demo_person_and_runs_no_script(idp: httpx2.AsyncClient) -> None:
    page = await idp.get("/authorize", params=a_request(login_hint="ben"))
    assert page.status_code == 200
    assert all(f'value="{person}"' in page.text for person in ("ana", "ben", "user123", "olga"))
    assert 'value="ben" autofocus' in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "form-action 'self' http://localhost:8000;" in page.headers["content-security-policy"]


async def test_what_the_client_sends_is_escaped_on_the_page(idp: httpx2.AsyncClient) -> None:
    page = await idp.get("/authorize", params=a_request(state='"><script>alert(1)</script>'))
    assert "<script>" not in page.text


async def test_a_login_gives_tokens_shaped_as_auth0_shapes_them(idp: httpx2.AsyncClient) -> None:
    answer = await exchange(idp, await a_code(idp))
    assert answer.headers["cache-control"] == "no-store"
    tokens = answer.json()

    header, access = await read(idp, tokens["access_token"])
    assert header["typ"] == "JWT"
    assert access["iss"] == ISSUER
    assert access["sub"] == "ana"
    assert access["aud"] == [API, f"{ISSUER}userinfo"]
    assert access["azp"] == CLIENT["client_id"]
    assert access["permissions"] == ["notifications:send"]

    _, identity = await read(idp, tokens["id_token"])
    assert identity["aud"] == CLIENT["client_id"]
    assert identity["nonce"] == "the-nonce"
    assert (identity["email"], identity["email_verified"]) == ("ana@example.com", True)


async def test_the_operator_carries_the_operators_permissions(idp: httpx2.AsyncClient) -> None:
    tokens = (await exchange(idp, await a_code(idp, "olga"))).json()
    _, access = await read(idp, tokens["access_token"])
    assert access["permissions"] == list(OPERATOR_PERMISSIONS)


async def test_without_an_api_the_access_token_is_opaque_and_still_opens_userinfo(idp: httpx2.AsyncClient) -> None:
    token = (await exchange(idp, await a_code(idp, audience=""))).json()["access_token"]
    assert "." not in token
    person = await idp.get("/userinfo", headers={"Authorization": f"Bearer {token}"})
    assert person.json()["sub"] == "ana"
    assert person.json()["email_verified"] is True


async def test_userinfo_opens_for_access_tokens_only(idp: httpx2.AsyncClient, clock: FakeClock) -> None:
    tokens = (await exchange(idp, await a_code(idp))).json()

    async def status(token: str) -> int:
        return (await idp.get("/userinfo", headers={"Authorization": f"Bearer {token}"})).status_code

    assert await status(tokens["access_token"]) == 200
    assert await status(tokens["id_token"]) == 401
    assert await status("nonsense") == 401
    clock.now += 2 * 86_400
    assert await status(tokens["access_token"]) == 401


@pytest.mark.parametrize("verifier", ["", "another-verifier-that-is-long-enough-for-rfc-7636"])
async def test_a_wrong_or_missing_verifier_is_refused_and_burns_the_code(idp: httpx2.AsyncClient, verifier: str) -> None:
    code = await a_code(idp)
    assert_refused(await exchange(idp, code, code_verifier=verifier), 403, "invalid_grant")
    assert_refused(await exchange(idp, code), 403, "invalid_grant")


@pytest.mark.parametrize(
    "changes",
    [
        {"code_challenge_method": "plain", "code_challenge": VERIFIER},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": ""},
        {"code_challenge": ""},
    ],
)
async def test_no_code_without_an_s256_challenge(idp: httpx2.AsyncClient, changes: dict[str, str]) -> None:
    assert told(await idp.get("/authorize", params=a_request(**changes)))["error"] == "invalid_request"
    decided = await idp.post("/authorize/decision", data={**a_request(**changes), "person": "ana"})
    assert told(decided)["error"] == "invalid_request"


async def test_a_code_used_twice_is_refused_and_ends_what_the_first_use_got(idp: httpx2.AsyncClient) -> None:
    code = await a_code(idp)
    tokens = (await exchange(idp, code)).json()
    assert_refused(await exchange(idp, code), 403, "invalid_grant")
    assert_refused(await refresh(idp, tokens["refresh_token"]), 403, "invalid_grant")


async def test_a_code_grows_old(idp: httpx2.AsyncClient, clock: FakeClock) -> None:
    code = await a_code(idp)
    clock.now += 601
    assert_refused(await exchange(idp, code), 403, "invalid_grant")


@pytest.mark.parametrize(
    "redirect_uri", ["", f"{CALLBACK}/", f"{CALLBACK}?x=1", "http://localhost:8001/api/v1/auth/callback", "//evil"]
)
async def test_an_unknown_callback_gets_a_page_and_no_redirect(idp: httpx2.AsyncClient, redirect_uri: str) -> None:
    asked = a_request(redirect_uri=redirect_uri)
    for response in (
        await idp.get("/authorize", params=asked),
        await idp.post("/authorize/decision", data={**asked, "person": "ana"}),
    ):
        assert response.status_code == 403
        assert "Callback URL mismatch." in response.text
        assert "location" not in response.headers


async def test_the_exchange_names_the_same_callback(idp: httpx2.AsyncClient) -> None:
    assert_refused(await exchange(idp, await a_code(idp), redirect_uri="http://localhost/"), 403, "invalid_grant")


@pytest.mark.parametrize(
    ("changes", "error", "description"),
    [
        ({"prompt": "none"}, "login_required", "Login required"),
        ({"audience": "https://nobody"}, "access_denied", "Service not found: https://nobody"),
        ({"response_type": "token"}, "unsupported_response_type", "This stand-in knows response_type=code"),
    ],
)
async def test_authorize_refuses_by_redirect(
    idp: httpx2.AsyncClient, changes: dict[str, str], error: str, description: str
) -> None:
    answer = told(await idp.get("/authorize", params=a_request(**changes)))
    assert answer == {"error": error, "error_description": description, "state": "the-state"}


async def test_cancel_is_told_to_the_callback(idp: httpx2.AsyncClient) -> None:
    answer = told(await idp.post("/authorize/decision", data={**a_request(), "person": ""}))
    assert answer["error"] == "access_denied"


async def test_refresh_tokens_rotate_and_a_reused_one_revokes_the_family(idp: httpx2.AsyncClient) -> None:
    first = (await exchange(idp, await a_code(idp))).json()["refresh_token"]
    second = (await refresh(idp, first)).json()["refresh_token"]
    assert second != first
    assert_refused(await refresh(idp, first), 403, "invalid_grant")
    assert_refused(await refresh(idp, second), 403, "invalid_grant")


async def test_within_the_overlap_the_previous_refresh_token_still_works(
    settings: IdentitySettings, clock: FakeClock
) -> None:
    async with a_client(replace(settings, refresh_overlap_s=5.0), clock) as idp:
        first = (await exchange(idp, await a_code(idp))).json()["refresh_token"]
        assert (await refresh(idp, first)).status_code == 200
        clock.now += 4
        assert (await refresh(idp, first)).status_code == 200
        clock.now += 1
        assert_refused(await refresh(idp, first), 403, "invalid_grant")


async def test_a_machine_is_its_own_subject(idp: httpx2.AsyncClient) -> None:
    asked = {**CLIENT, "grant_type": "client_credentials", "audience": API}
    _, claims = await read(idp, (await idp.post("/oauth/token", json=asked)).json()["access_token"])
    assert claims["sub"] == "carillon-local@clients"
    assert claims["aud"] == API
    assert claims["permissions"] == ["notifications:send", "notifications:broadcast"]
    nowhere = await idp.post("/oauth/token", json={**asked, "audience": "https://nobody"})
    assert nowhere.json()["error_description"] == "Service not found: https://nobody"


async def test_the_password_of_a_demo_person_is_the_name(idp: httpx2.AsyncClient) -> None:
    asked = {**CLIENT, "grant_type": "password", "username": "user123", "password": "user123", "audience": API}
    _, claims = await read(idp, (await idp.post("/oauth/token", data=asked)).json()["access_token"])
    assert (claims["sub"], claims["aud"]) == ("user123", API)
    assert_refused(await idp.post("/oauth/token", data={**asked, "password": "other"}), 403, "invalid_grant")
    assert_refused(await idp.post("/oauth/token", data={**asked, "client_secret": ""}), 401, "access_denied")


async def test_the_client_may_come_by_http_basic(idp: httpx2.AsyncClient) -> None:
    form = {"grant_type": "client_credentials", "audience": API}
    client = (CLIENT["client_id"], CLIENT["client_secret"])
    assert (await idp.post("/oauth/token", data=form, auth=client)).status_code == 200
    assert_refused(await idp.post("/oauth/token", data=form, auth=(client[0], "wrong")), 401, "access_denied")


async def test_what_cannot_be_read_is_an_invalid_request(idp: httpx2.AsyncClient) -> None:
    as_json = {"Content-Type": "application/json"}
    assert_refused(await idp.post("/oauth/token", content="[", headers=as_json), 400, "invalid_request")
    not_basic = {"Authorization": "Basic %%%"}
    assert_refused(await idp.post("/oauth/token", headers=not_basic), 400, "invalid_request")
    assert_refused(await idp.post("/oauth/token", data={**CLIENT, "grant_type": "x"}), 403, "unsupported_grant_type")


@pytest.mark.parametrize(("path", "back"), [("/v2/logout", "returnTo"), ("/oidc/logout", "post_logout_redirect_uri")])
async def test_logout_leads_to_allowed_places_only(idp: httpx2.AsyncClient, path: str, back: str) -> None:
    async def leave(**params: str) -> httpx2.Response:
        return await idp.get(path, params=params)

    allowed = await leave(client_id=CLIENT["client_id"], **{back: "http://localhost:8000/bye"})
    assert allowed.headers["location"] == "http://localhost:8000/bye"
    assert (await leave(client_id=CLIENT["client_id"])).headers["location"] == "http://localhost:8000/"
    for elsewhere in ("http://localhost:8000/bye/", "http://localhost:8000.evil/", "//evil", "http://localhost:8000"):
        refused = await leave(client_id=CLIENT["client_id"], **{back: elsewhere})
        assert (refused.status_code, "location" in refused.headers) == (400, False)
    assert (await leave(client_id="somebody")).status_code == 400


async def test_discovery_names_auth0s_paths(idp: httpx2.AsyncClient, settings: IdentitySettings, clock: FakeClock) -> None:
    document = (await idp.get("/.well-known/openid-configuration")).json()
    assert document["issuer"] == ISSUER
    assert document["token_endpoint"] == f"{ISSUER}oauth/token"
    assert document["end_session_endpoint"] == f"{ISSUER}oidc/logout"
    async with a_client(replace(settings, end_session_in_discovery=False), clock) as older:
        assert "end_session_endpoint" not in (await older.get("/.well-known/openid-configuration")).json()


async def test_the_key_is_private_and_tokens_survive_a_restart(settings: IdentitySettings, clock: FakeClock) -> None:
    async with a_client(settings, clock) as before:
        token = (await exchange(before, await a_code(before))).json()["access_token"]
    async with a_client(settings, clock) as after:
        _, claims = await read(after, token)
        assert claims["sub"] == "ana"
        assert set((await after.get("/.well-known/jwks.json")).json()["keys"][0]) & {"d", "p", "q"} == set()
    assert stat.S_IMODE((settings.key_dir / "signing-key.pem").stat().st_mode) == 0o600


async def test_the_other_profile_and_no_rbac_can_be_had(settings: IdentitySettings, clock: FakeClock) -> None:
    async with a_client(replace(settings, access_token_profile="rfc9068", rbac=False), clock) as idp:
        header, claims = await read(idp, (await exchange(idp, await a_code(idp))).json()["access_token"])
    assert header["typ"] == "at+jwt"
    assert {"client_id", "jti"} <= claims.keys()
    assert {"azp", "permissions"}.isdisjoint(claims)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [({"deployment": "production"}, "DEPLOYMENT=local"), ({"host": "0.0.0.0"}, "loopback only")],
)
def test_it_starts_nowhere_but_on_loopback_with_deployment_local(
    settings: IdentitySettings, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(NotLocal, match=sentence):
        replace(settings, **changes)


def test_the_issuer_ends_with_a_slash(settings: IdentitySettings) -> None:
    with pytest.raises(ValueError, match="slash"):
        replace(settings, issuer="http://localhost:8002")


async def test_a_foreign_host_name_is_turned_away(idp: httpx2.AsyncClient) -> None:
    answer = await idp.get("/authorize", params=a_request(), headers={"Host": "rebound.example"})
    assert answer.status_code == 400


async def test_the_form_carries_the_whole_request(idp: httpx2.AsyncClient) -> None:
    """What /authorize was asked comes back unchanged from the page, so that nothing has to be remembered."""
    page = await idp.get("/authorize", params=a_request())
    for name, value in a_request().items():
        assert f'name="{name}" value="{value}"' in page.text
    assert CLIENT["client_secret"] not in page.text
