"""A browser for the whole run, and for each test a fresh profile in which nothing may go wrong unnoticed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit

import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright, expect

from infrastructure.local.processes import Child
from tests.browser import arguments, find_or_install

PATIENCE_MS = 20_000
LOOPBACK = {"localhost", "127.0.0.1"}
Opened = Callable[..., Awaitable[Page]]

expect.set_options(timeout=PATIENCE_MS)


@pytest_asyncio.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    executable = await asyncio.to_thread(find_or_install)
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=executable, args=arguments())
        yield started
        await started.close()


@pytest_asyncio.fixture
async def context(browser: Browser, api: str, workers: Child) -> AsyncIterator[BrowserContext]:
    """Afterwards: no script failed, no policy was violated, and nothing was asked of another computer."""
    context = await browser.new_context(base_url=api, reduced_motion="reduce")
    context.set_default_timeout(PATIENCE_MS)
    wrongs: list[str] = []

    def judge(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            wrongs.append(message.text)

    context.on("weberror", lambda error: wrongs.append(str(error.error)))
    context.on("console", judge)
    context.on("dialog", lambda dialog: wrongs.append(f"a dialog opened: {dialog.message}"))
    context.on("request", lambda asked: None if urlsplit(asked.url).hostname in LOOPBACK else wrongs.append(asked.url))
    yield context
    await context.close()
    assert not wrongs


@pytest_asyncio.fixture
async def opened(context: BrowserContext) -> Opened:
    """`await opened("/inbox", person="ben")`: a page, logged in by clicks."""

    async def open_page(path: str, *, person: str) -> Page:
        page = await context.new_page()
        await page.goto(path)
        await page.locator("#login").click()
        await page.locator(f"button[name=person][value={person}]").click()
        await expect(page.locator("#person")).not_to_be_empty()
        await expect(page.locator("#inbox-state")).to_have_text("live")
        return page

    return open_page
