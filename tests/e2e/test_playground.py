"""What a person who has typed `make run` can do at `/`, in a real browser."""

import asyncio
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx2
import pytest
from playwright.async_api import BrowserContext, Page, expect

from infrastructure.resources import Resources
from tests.e2e.conftest import Opened

ROOT = Path(__file__).parents[2]
PHONE = {"width": 360, "height": 740}


async def compose(page: Page, title: str, *channels: str, to: str = "") -> None:
    if to:
        await page.get_by_role("combobox", name="To", exact=True).fill(to)
    await page.get_by_role("textbox", name="Title").fill(title)
    await page.get_by_role("textbox", name="Message").fill("Sent from the playground")
    for name in ("Inbox", "E-mail", "Slack"):
        await page.get_by_role("checkbox", name=name).set_checked(name in channels)


async def test_whoever_is_not_logged_in_is_told_how_and_comes_back_here(context: BrowserContext, api: str) -> None:
    page = await context.new_page()
    await page.goto("/")
    await expect(page.locator("#welcome")).to_contain_text("log in")
    await expect(page.get_by_role("button", name="Send")).to_be_hidden()
    await page.get_by_role("link", name="Log in to send").click()
    await page.locator("button[name=person][value=ana]").click()
    await expect(page).to_have_url(f"{api}/")
    await expect(page.get_by_role("heading", name="Ana's inbox")).to_be_visible()
    await expect(page.get_by_role("button", name="Send")).to_be_enabled()


async def test_what_ana_sends_herself_arrives_everywhere_and_its_way_is_shown(
    opened: Opened, unique: Callable[[str], str]
) -> None:
    page, title = await opened("/", person="ana"), unique("Invoice")
    await compose(page, title, "Inbox", "E-mail", "Slack")

    await page.get_by_role("button", name="Send").click()

    await expect(page.locator("#inbox-items .item", has_text=title)).to_have_count(1)
    await expect(page.locator("#unread")).to_be_visible()
    await expect(page.locator("#mail-items .call", has_text=title)).to_contain_text("to ana@example.com")
    await expect(page.locator("#slack-items .call", has_text=title)).to_have_count(1)
    way = page.locator("#way-steps")
    await expect(way.get_by_role("heading", name="Settled")).to_be_visible()
    await expect(way.locator(".step").first.locator(".place")).to_contain_text("notifications.dev.requests")
    mail = way.locator(".lane", has_text="E-mail")
    await expect(mail.locator(".pill")).to_have_text("sent")
    await expect(mail.locator(".answer")).to_contain_text("250")
    await expect(mail.locator(".place")).to_contain_text("notifications.dev.email")
    assert all(text.isdigit() for text in await way.locator(".place div:nth-child(n+2) dd").all_inner_texts())
    await expect(way.locator(".lane", has_text="#default").locator(".pill")).to_have_text("sent")


async def test_a_provider_that_fails_once_shows_both_attempts(
    opened: Opened, sandbox: httpx2.AsyncClient, unique: Callable[[str], str]
) -> None:
    page, title = await opened("/", person="ana"), unique("Again")
    await compose(page, title, "E-mail")
    (await sandbox.put("/faults/email", json={"mode": "error", "times": 1})).raise_for_status()

    await page.get_by_role("button", name="Send").click()

    mail = page.locator("#way-steps .lane", has_text="E-mail")
    await expect(mail.locator(".pill")).to_have_text(["retrying", "sent"])
    await expect(mail.locator(".facts").last).to_have_text("attempt 2")


async def test_a_request_the_api_refuses_is_explained_and_nothing_is_lost(opened: Opened) -> None:
    page = await opened("/", person="ana")
    await compose(page, "Kept", "E-mail", to="nobody@")
    await page.get_by_role("button", name="Send").click()
    await expect(page.locator("#composer-trouble")).to_contain_text("Not sent: /to")
    await expect(page.get_by_role("textbox", name="Title")).to_have_value("Kept")


async def test_markup_stays_text_wherever_it_arrives(opened: Opened, unique: Callable[[str], str]) -> None:
    page = await opened("/", person="user123")
    title = f"{unique('x')} <img src=x onerror='window.pwned=true'>"
    await compose(page, title, "Inbox", "E-mail", "Slack")
    await page.get_by_role("button", name="Send").click()
    for arrived in ("#inbox-items .item", "#mail-items .call", "#slack-items .call"):
        await expect(page.locator(arrived, has_text=title)).to_have_count(1)
    assert await page.locator("main img").count() == 0
    assert await page.evaluate("window.pwned") is None


@pytest.fixture
async def folder(tmp_path: Path, variables: Mapping[str, str]) -> Path:
    """As Carillon's folder looks while `make run` runs."""
    (tmp_path / ".local").mkdir()
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tmp_path / ".venv" / "bin" / "python").chmod(0o755)
    grant = {
        "grant_type": "password",
        "username": "ana",
        "password": "ana",
        "client_id": variables["AUTH0_CLIENT_ID"],
        "client_secret": variables["AUTH0_CLIENT_SECRET"],
        "audience": variables["AUTH0_AUDIENCE"],
    }
    async with httpx2.AsyncClient() as client:
        answer = await client.post(f"{variables['AUTH0_ISSUER']}oauth/token", data=grant)
    (tmp_path / ".local" / "token").write_text(answer.json()["access_token"])
    return tmp_path


def words_of(command: str) -> list[str]:
    return shlex.split(command.replace("\\\n", " "))


async def the_code(page: Page, tongue: str) -> str:
    await page.get_by_role("tab", name=tongue).click()
    return await page.locator("#code").inner_text()


@pytest.mark.parametrize("tongue", ["Kafka", "Python"])
async def test_the_same_request_runs_as_it_is_copied(
    opened: Opened, unique: Callable[[str], str], folder: Path, tongue: str
) -> None:
    page, title = await opened("/", person="ana"), unique('it\'s "quoted" \\ ünï')
    await compose(page, title, "Inbox")
    command = await the_code(page, tongue)
    shell = await asyncio.create_subprocess_exec("sh", "-c", command, cwd=folder, env=os.environ)
    assert await shell.wait() == 0
    await expect(page.locator("#inbox-items .item", has_text=title)).to_have_count(1)


async def test_the_redis_entry_says_the_same(opened: Opened, unique: Callable[[str], str], resources: Resources) -> None:
    page, title = await opened("/", person="ana"), unique("it's from Redis")
    await compose(page, title, "Inbox")
    words = words_of(await the_code(page, "Redis"))
    await resources.redis.execute_command(*words[words.index("XADD") :])  # type: ignore[no-untyped-call]
    await expect(page.locator("#inbox-items .item", has_text=title)).to_have_count(1)


async def test_the_curl_command_says_the_same(opened: Opened, unique: Callable[[str], str], folder: Path, api: str) -> None:
    page, title = await opened("/", person="ana"), unique("it's from curl")
    await compose(page, title, "Inbox")
    words = words_of(await the_code(page, "curl"))
    assert words[1] == f"{api}/api/v1/notifications"
    token = (folder / ".local" / "token").read_text()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    async with httpx2.AsyncClient() as client:
        (await client.post(words[1], content=words[-1], headers=headers)).raise_for_status()
    await expect(page.locator("#inbox-items .item", has_text=title)).to_have_count(1)


async def test_an_operator_sees_the_lag_and_others_a_hint(opened: Opened) -> None:
    page = await opened("/", person="olga")
    await expect(page.locator("#lag-groups li", has_text="dev.route")).to_be_visible()
    await expect(page.locator("#lag-hint")).to_be_hidden()


async def test_it_fits_a_phone(opened: Opened, unique: Callable[[str], str]) -> None:
    page = await opened("/", person="ana")
    await page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    await compose(page, unique("An unbreakable " + "w" * 120), "Inbox", "E-mail")
    await page.get_by_role("button", name="Send").click()
    await expect(page.locator("#way-steps").get_by_role("heading", name="Settled")).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
