"""Logging in, as programs and as browsers do it, at the stand-in for Auth0."""

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

import httpx2


async def token_of(variables: Mapping[str, str], person: str) -> str:
    """The access token of a demo person, whose password is the name."""
    return await _token(variables, grant_type="password", username=person, password=person)


async def machine_token(variables: Mapping[str, str]) -> str:
    return await _token(variables, grant_type="client_credentials")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def log_in(browser: httpx2.AsyncClient, variables: Mapping[str, str], person: str) -> None:
    """The authorization-code flow; afterwards the browser has its session cookie."""
    begun = await browser.get("/api/v1/auth/login")
    assert begun.status_code == 303, begun.text
    asked = dict(parse_qsl(urlsplit(begun.headers["location"]).query))
    async with httpx2.AsyncClient(base_url=variables["AUTH0_ISSUER"]) as page:
        decided = await page.post("/authorize/decision", data={**asked, "person": person})
    back = await browser.get(decided.headers["location"])
    assert back.status_code == 303, back.text


async def _token(variables: Mapping[str, str], **grant: str) -> str:
    asked = {
        "client_id": variables["AUTH0_CLIENT_ID"],
        "client_secret": variables["AUTH0_CLIENT_SECRET"],
        "audience": variables["AUTH0_AUDIENCE"],
    }
    async with httpx2.AsyncClient(base_url=variables["AUTH0_ISSUER"]) as provider:
        answer = await provider.post("/oauth/token", data={**asked, **grant})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])
