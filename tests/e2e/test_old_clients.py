"""The programs that the older services' READMEs print, run as they stand; at most the port is ours."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.async_api import expect

from infrastructure.local.ports import free_or_another
from infrastructure.local.processes import Child, Processes
from infrastructure.ports import Outgoing
from infrastructure.resources import Resources
from infrastructure.settings import Settings
from tests.e2e.conftest import Opened
from tests.eventually import eventually
from tests.product import answers_ready, start_module

CLIENTS = Path(__file__).parent / "clients"
PRINTED_PORT = 10000


@pytest.fixture
async def old_port(
    settings: Settings, processes: Processes, variables: Mapping[str, str], sandbox: object, workers: Child
) -> AsyncIterator[int]:
    """An API as `PORT=10000 API_TOKEN=your-secret-token make run` gives it."""
    port = free_or_another(PRINTED_PORT)
    extra = {"PORT": str(port), "API_TOKEN": "your-secret-token"}
    child = await start_module(processes, "old-api", "api", variables=variables, extra=extra)
    await child.until(lambda: answers_ready(port))
    yield port
    await child.stop()


async def test_the_python_client_of_the_redis_stream_service_reaches_slack(
    old_port: int, sandbox: httpx2.AsyncClient, tmp_path: Path
) -> None:
    printed = (CLIENTS / "seed_000.py").read_text(encoding="utf-8")
    program = tmp_path / "client.py"
    program.write_text(printed.replace(f"localhost:{PRINTED_PORT}", f"localhost:{old_port}"), encoding="utf-8")

    run = await asyncio.create_subprocess_exec(
        sys.executable, program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, complained = await asyncio.wait_for(run.communicate(), 30)

    first, second = said.decode().splitlines()
    assert (run.returncode, complained, first) == (0, b"", "Status code: 200")
    assert "'status': 'published'" in second

    async def on_slack() -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = (await sandbox.get("/calls", params={"provider": "slack"})).json()
        return [call for call in calls if call["request"]["message"]["text"] == "Hello from Python client!"]

    [call] = await eventually(on_slack)
    assert call["accepted"]


async def test_the_javascript_client_of_the_realtime_service_receives_a_notification(
    opened: Opened, api: str, resources: Resources, unique: Callable[[str], str]
) -> None:
    """On a page of ours, logged in as the person its URL names; what it says to the console is what its user sees."""
    printed = (CLIENTS / "seed_004.js").read_text(encoding="utf-8")
    page = await opened("/inbox", person="user123")
    async with page.expect_console_message(lambda said: said.text == "Connected to notification service"):
        await page.evaluate("() => {" + printed.replace("ws://localhost:8000", api.replace("http", "ws", 1)) + "}")
    text = unique("old")
    request = json.dumps({"to": "user123", "message": {"title": "Old", "body": text}}).encode()
    async with page.expect_console_message(lambda said: "Received notification" in said.text and text in said.text):
        await resources.publisher.publish(Outgoing("notifications.dev.requests", "user123", request))
    await expect(page.get_by_text(text).first).to_be_visible()
