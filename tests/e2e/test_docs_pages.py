"""The documentation pages in a real browser; the fixture `context` holds that nothing foreign is asked for."""

import json

import pytest
from playwright.async_api import BrowserContext, expect

from api.openapi import DOCUMENT, operations
from schemas import asyncapi

NAMES = [operation["operationId"] for _, _, operation in operations(json.loads(DOCUMENT.read_text()))]


@pytest.mark.parametrize("path", ["/docs", "/api/v1/docs"])
async def test_every_operation_is_shown_to_be_tried_out(context: BrowserContext, path: str) -> None:
    page = await context.new_page()
    await page.goto(path)
    await expect(page.locator(".opblock")).to_have_count(len(NAMES))
    await page.locator("#operations-notifications-send").click()
    await expect(page.locator("#operations-notifications-send")).to_contain_text("application/json")
    await expect(page.locator("#operations-notifications-send")).to_contain_text("The type knows the rest")


@pytest.mark.parametrize("path", ["/redoc", "/api/v1/redoc"])
async def test_every_operation_can_be_read(context: BrowserContext, path: str) -> None:
    page = await context.new_page()
    await page.goto(path)
    for name in NAMES:
        await expect(page.locator(f"[id$='/operation/{name}']")).to_have_count(1)
    await expect(page.locator("h1")).to_contain_text("Carillon")
    styled = await page.locator("h1").evaluate("element => getComputedStyle(element).fontFamily")
    assert styled, "its styles are let in"


async def test_an_operation_tried_out_without_a_login_says_so(context: BrowserContext) -> None:
    page = await context.new_page()
    await page.goto("/docs")
    operation = page.locator("#operations-login-me")
    await operation.click()
    await operation.get_by_role("button", name="Try it out").click()
    await operation.get_by_role("button", name="Execute").click()
    await expect(operation.locator(".live-responses-table")).to_contain_text("401")


async def test_every_kafka_topic_and_what_is_said_there_can_be_read(context: BrowserContext) -> None:
    page = await context.new_page()
    await page.goto("/asyncapi")
    document = asyncapi.document()
    await expect(page.locator("h1")).to_contain_text("Carillon")
    for operation in document["operations"]:
        await expect(
            page.locator(f"[id='operation-{document['operations'][operation]['action']}-{operation}']")
        ).to_have_count(1)
    for channel in document["channels"].values():
        await expect(page.get_by_text(channel["address"], exact=True).first).to_be_visible()


async def test_what_a_record_holds_can_be_opened_down_to_its_parts(context: BrowserContext) -> None:
    page = await context.new_page()
    await page.goto("/asyncapi")
    requests = page.locator("[id='operation-receive-receive.requests']")
    payload = 2  # after parameters and the channel's configuration
    await requests.get_by_text("Expand all").nth(payload).click()
    await expect(requests).to_contain_text("collapse_key")
    await expect(requests).to_contain_text("overrides the address in their contact")
