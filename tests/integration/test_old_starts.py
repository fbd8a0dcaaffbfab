"""The older services were started with uvicorn by hand; so can the API be."""

import os
import sys
from collections.abc import Mapping

import httpx2

from infrastructure.local.ports import any_free_port
from infrastructure.local.processes import Processes
from infrastructure.settings import Settings
from tests.product import ROOT, answers_ready


async def test_uvicorn_serves_the_application_as_it_served_the_older_ones(
    settings: Settings, processes: Processes, variables: Mapping[str, str], sandbox: object
) -> None:
    port = any_free_port()
    env = {**os.environ, **variables, "PUBLIC_URL": f"http://localhost:{port}"}
    command = [sys.executable, "-m", "uvicorn", "api.asgi:app", "--port", str(port)]
    child = await processes.start("uvicorn", command, cwd=ROOT, env=env)
    await child.until(lambda: answers_ready(port))
    async with httpx2.AsyncClient(base_url=f"http://localhost:{port}") as client:
        login = await client.get("/api/v1/auth/login")
        assert login.status_code == 303
        assert login.headers["location"].startswith(f"{variables['AUTH0_ISSUER']}authorize?")
    await child.stop()
