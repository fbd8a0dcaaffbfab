"""`python -m tests.pictures [SITE]`: the README's pictures, taken of a running `make run`, into docs/pictures/."""

import asyncio
import sys
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright, expect

from tests.browser import arguments, find_or_install

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
SITE = "http://localhost:8000"
PATIENCE_MS = 30_000
STORY = (
    ("Ben commented on your plan", "“Looks good to me, let us ship it on Monday.”"),
    ("Your invoice is ready", "Invoice 2026-118 over 42 euros is due on 4 December."),
    ("Your parcel is on its way", "Order 4711 left our warehouse this morning. It should ring your bell tomorrow."),
)
# A look every five seconds: enough of them for a line in the chart.
LOOKS_FOR_A_CHART = 20
CROWD = [f"guest-{number}" for number in range(100)]


async def log_in(browser: Browser, site: str, path: str, person: str) -> Page:
    context = await browser.new_context(base_url=site, viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    context.set_default_timeout(PATIENCE_MS)
    page = await context.new_page()
    await page.goto(f"/api/v1/auth/login?next={path}")
    await page.locator(f"button[name=person][value={person}]").click()
    await page.wait_for_url(f"{site}{path}")
    return page


async def send(page: Page, title: str, body: str, *, slack: bool) -> None:
    await page.get_by_role("textbox", name="Title").fill(title)
    await page.get_by_role("textbox", name="Message").fill(body)
    await page.get_by_role("checkbox", name="Slack").set_checked(slack)
    await page.get_by_role("button", name="Send").click()
    await expect(page.locator("#inbox-items .item").first.locator(".title")).to_contain_text(title)
    await expect(page.locator("#mail-items .call", has_text=title).first).to_be_visible()
    await expect(page.locator("#way-steps").get_by_role("heading", name="Settled")).to_be_visible()


async def take_playground(browser: Browser, site: str) -> None:
    page = await log_in(browser, site, "/", "ana")
    await expect(page.locator("#inbox-state")).to_have_text("live")
    for place, (title, body) in enumerate(STORY):
        await send(page, title, body, slack=place == len(STORY) - 1)
        if place == 0:
            await page.get_by_role("button", name="Mark all read").click()
            await expect(page.locator("#unread")).to_be_hidden()
    await expect(page.locator("#slack-items .call", has_text=STORY[-1][0]).first).to_be_visible()
    await page.get_by_role("button", name="Send").blur()
    await page.mouse.move(0, 0)
    await page.screenshot(path=PICTURES / "playground.png", full_page=True)


async def take_inbox(browser: Browser, site: str) -> None:
    page = await log_in(browser, site, "/inbox", "ana")
    await expect(page.locator("#inbox-state")).to_have_text("live")
    await expect(page.locator(".item").first).to_be_visible()
    await page.set_viewport_size({"width": 900, "height": 560})
    await page.screenshot(path=PICTURES / "inbox.png")


async def take_operators(browser: Browser, site: str) -> None:
    page = await log_in(browser, site, "/ops", "olga")
    looks = 0
    while looks < LOOKS_FOR_A_CHART:
        async with page.expect_response("**/api/v1/ops/lag") as answered:
            pass
        told = await (await answered.value).json()
        looks = max((len(group["history"]) for group in told["data"]["groups"]), default=0)
        await make_work(page, site, requests=12 if looks % 4 == 1 else 0)
    await page.screenshot(path=PICTURES / "operators.png")


async def make_work(page: Page, site: str, *, requests: int) -> None:
    """Something for the chart to show."""
    body = {"to": CROWD, "message": {"title": "Doors open at eight", "body": "See you there."}, "channels": ["in_app"]}
    for _ in range(requests):
        answer = await page.request.post("/api/v1/notifications", data=body, headers={"Origin": site})
        await expect(answer).to_be_ok()


async def take_all(site: str) -> None:
    executable = await asyncio.to_thread(find_or_install)
    expect.set_options(timeout=PATIENCE_MS)
    PICTURES.mkdir(parents=True, exist_ok=True)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=arguments())
        for take in (take_playground, take_inbox, take_operators):
            await take(browser, site)
        await browser.close()


if __name__ == "__main__":
    asyncio.run(take_all(sys.argv[1] if len(sys.argv) > 1 else SITE))
