"""A page that the documentation prints, on the origin it names, in a browser that finds both where they are printed."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Page, async_playwright, expect

from infrastructure.local.processes import Child
from tests.browser import arguments, find_or_install
from tests.integration.reader import PRINTED
from tests.snippets import Snippet, all_snippets
from tests.tokens import token_of

APP = "localhost:5173"
PAGES = [pytest.param(each, id=each.name) for each in all_snippets() if each.is_run and each.language == "html"]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def app(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A folder, and the port it is served at."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield tmp_path, server.server_port
    server.shutdown()
    server.server_close()


@pytest_asyncio.fixture
async def page(api: str, app: tuple[Path, int], workers: Child) -> AsyncIterator[Page]:
    where = f"MAP {PRINTED} 127.0.0.1:{urlsplit(api).port}, MAP {APP} 127.0.0.1:{app[1]}"
    executable = await asyncio.to_thread(find_or_install)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=executable, args=[*arguments(), f"--host-resolver-rules={where}"]
        )
        yield await browser.new_page()
        await browser.close()


@pytest.mark.parametrize("snippet", PAGES)
async def test_a_page_does_what_it_says(
    snippet: Snippet, page: Page, app: tuple[Path, int], variables: Mapping[str, str]
) -> None:
    (app[0] / "index.html").write_text(snippet.text, encoding="utf-8")
    await page.goto(f"http://{APP}/#token={await token_of(variables, 'ana')}")
    await page.get_by_role("button").click()
    await expect(page.locator("#said")).to_have_text("Sent.")
    await expect(page.locator("li").first).to_contain_text("Hello from a browser")


@pytest.mark.parametrize("snippet", PAGES)
async def test_a_page_without_a_token_says_so(snippet: Snippet, page: Page, app: tuple[Path, int]) -> None:
    (app[0] / "index.html").write_text(snippet.text, encoding="utf-8")
    await page.goto(f"http://{APP}/")
    await page.get_by_role("button").click()
    await expect(page.locator("#said")).to_contain_text("valid bearer token")
