"""The event-driven platform (seed 003) on the running product: the login flow its README walks through, and /preferences."""

from collections.abc import Mapping

import httpx2

from infrastructure.auth.sessions import session_key
from infrastructure.local.processes import Child
from infrastructure.resources import Resources
from tests.tokens import log_in


async def test_a_login_is_kept_for_an_hour_and_is_who_one_is_in_every_call(
    api: str, workers: Child, variables: Mapping[str, str], resources: Resources
) -> None:
    async with httpx2.AsyncClient(base_url=api, timeout=30) as browser:
        assert (await browser.get("/api/v1/preferences")).status_code == 401
        await log_in(browser, variables, "ana")
        left = await resources.redis.ttl(session_key(browser.cookies["carillon"]))
        assert 3600 - 60 <= left <= 3600
        assert (await browser.get("/api/v1/auth/me")).json()["data"]["id"] == "ana"
        mine = await browser.get("/api/v1/preferences")
        assert mine.status_code == 200, mine.text
        changed = await browser.put(
            "/api/v1/preferences", json=mine.json()["data"], headers={"If-Match": mine.headers["ETag"], "Origin": api}
        )
        assert changed.status_code in (200, 202), changed.text
        (await browser.post("/api/v1/auth/logout", headers={"Origin": api})).raise_for_status()
        assert (await browser.get("/api/v1/preferences")).status_code == 401
