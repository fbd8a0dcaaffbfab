"""Every curl of the pages about what waits, fans out and goes first is run as it is printed."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from infrastructure.local.processes import Child
from tests.integration.conftest import Shell

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("audiences", "fallback", "priorities", "types", "waiting")  # test_digests.py runs the one of its page
EXAMPLES = [
    pytest.param(block, id=f"{page}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"```bash\n(.*?)```", (DOCS / f"{page}.md").read_text(), re.DOTALL))
]


@pytest.fixture(autouse=True)
async def _ana_chooses_nothing_afterwards(workers: Child, ana: httpx2.AsyncClient) -> AsyncIterator[None]:
    yield
    (await ana.put("/api/v1/preferences", json={}, headers={"If-Match": "*"})).raise_for_status()


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_an_example_and_no_curl_outside_of_one(page: str) -> None:
    text = (DOCS / f"{page}.md").read_text()
    examples = "".join(re.findall(r"```bash\n(.*?)```", text, re.DOTALL))
    assert text.count("curl ") == examples.count("curl ") > 0


@pytest.mark.parametrize("example", EXAMPLES)
async def test_an_example_does_what_it_says(example: str, shell: Shell) -> None:
    said = await shell(example)
    assert '"success":true' in said, said
    assert '"success":false' not in said, said
