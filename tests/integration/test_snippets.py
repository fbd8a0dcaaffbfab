"""Every script and program of the README and of docs/ runs as it is printed, and what it sends arrives."""

import re
from collections import Counter
from collections.abc import AsyncIterator

import httpx2
import pytest

from infrastructure.local.processes import Child
from infrastructure.resources import Resources
from schemas.live import InboxItem
from tests.eventually import eventually
from tests.integration.reader import Reader
from tests.snippets import Snippet, all_snippets

PROGRAMS = [pytest.param(each, id=each.name) for each in all_snippets() if each.is_run and each.language != "html"]
GREETING = re.compile(r"Hello from [\w-]+(?: [\w-]+)*")


@pytest.fixture(autouse=True)
async def _ana_chooses_nothing_afterwards(workers: Child, ana: httpx2.AsyncClient) -> AsyncIterator[None]:
    yield
    (await ana.put("/api/v1/preferences", json={}, headers={"If-Match": "*"})).raise_for_status()


async def greetings(resources: Resources, sandbox: httpx2.AsyncClient) -> Counter[str]:
    """What has greeted Ana in her inbox, or everybody in Slack, and how often."""
    slack = (await sandbox.get("/calls", params={"provider": "slack"})).text
    return Counter([*(item.message for item in await the_inbox(resources)), *GREETING.findall(slack)])


async def the_inbox(resources: Resources) -> list[InboxItem]:
    return await resources.stores.inbox.newest("dev", "ana", before=None, limit=100)


@pytest.mark.parametrize("snippet", PROGRAMS)
async def test_a_snippet_does_what_it_says(
    snippet: Snippet, reader: Reader, resources: Resources, sandbox: httpx2.AsyncClient
) -> None:
    wanted, before = set(GREETING.findall(snippet.text)), await greetings(resources, sandbox)
    said = await reader.run(snippet.language, snippet.text)
    print(said)  # shown when what follows fails
    assert '"success":false' not in said
    if snippet.language == "bash" and "/api/v1/" in snippet.text and "/stream" not in snippet.text:
        assert '"success":true' in said
    if "notifications.dev.receipts" in snippet.text:
        assert said.startswith("final {'SENT': 1}")

    async def arrived() -> bool:
        now = await greetings(resources, sandbox)
        return all(now[text] > before[text] for text in wanted)

    await eventually(arrived)
    if snippet.shows:
        await _is_shown(snippet.shows, said, resources)


async def _is_shown(text: str, said: str, resources: Resources) -> None:
    """It is printed, or Ana's inbox says it in the end."""

    async def seen() -> bool:
        return text in said or text in [f"{item.title}\n\n{item.message}\n" for item in await the_inbox(resources)]

    await eventually(seen, within_s=30)
