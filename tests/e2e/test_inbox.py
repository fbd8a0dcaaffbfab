"""A person with the inbox open, in a real browser, while a backend writes to Kafka."""

import json
from collections.abc import Callable

from playwright.async_api import Page, WebSocketRoute, expect

from infrastructure.ports import Outgoing
from infrastructure.resources import Resources
from tests.e2e.conftest import Opened
from tests.eventually import eventually

HOSTILE = (
    "<script>window.pwned = true</script>",
    "<img src=x onerror='window.pwned = true'>",
    "<svg/onload=window.pwned=true>",
    "</title></style><iframe srcdoc='<script>parent.pwned = true</script>'></iframe>",
    "{{constructor.constructor('window.pwned = true')()}}",
    "javascript:window.pwned=true",
)


async def send(resources: Resources, person: str, title: str, body: str = "Hello") -> None:
    request = {"to": person, "message": {"title": title, "body": body}, "channels": ["in_app"]}
    await resources.publisher.publish(Outgoing("notifications.dev.requests", person, json.dumps(request).encode()))


async def read_everything(page: Page) -> None:
    """From here on the bell counts from nothing."""
    if await page.locator("#unread").is_visible():
        await page.get_by_role("button", name="Mark all read").click()
    await expect(page.locator("#unread")).to_be_hidden()


class Network:
    """What a page's sockets go through; cut, it also refuses new ones."""

    def __init__(self) -> None:
        self.is_up = True
        self._sockets: list[WebSocketRoute] = []

    async def through(self, socket: WebSocketRoute) -> None:
        if self.is_up:
            self._sockets.append(socket)
            socket.connect_to_server()
        else:
            await socket.close(code=1001)

    async def cut(self) -> None:
        self.is_up = False
        await self._sockets[-1].close(code=1001)


async def network_under(page: Page) -> Network:
    network = Network()
    await page.route_web_socket("**/ws/notifications*", network.through)
    await page.reload()
    await expect(page.locator("#inbox-state")).to_have_text("live")
    return network


async def test_whoever_is_not_logged_in_is_asked_to_and_comes_back_here(opened: Opened) -> None:
    page = await opened("/inbox", person="user123")
    await expect(page).to_have_url("/inbox")
    await expect(page.locator("#person")).to_have_text("User 123")
    await expect(page.locator("#welcome")).to_be_hidden()


async def test_an_item_arrives_by_itself_and_the_bell_counts_it(
    opened: Opened, resources: Resources, unique: Callable[[str], str]
) -> None:
    page, title = await opened("/inbox", person="ben"), unique("Parcel")
    await read_everything(page)

    await send(resources, "ben", title)

    await expect(page.locator("#inbox-items .item").first.locator(".title")).to_contain_text(title)
    await expect(page.locator("#unread")).to_have_text("1")
    await expect(page.locator("#bell")).to_have_accessible_name("Inbox, 1 unread")
    await expect(page.locator("#announcements")).to_have_text(f"New notification: {title}")


async def test_what_is_read_in_one_tab_is_read_in_the_other(
    opened: Opened, resources: Resources, unique: Callable[[str], str]
) -> None:
    one = await opened("/inbox", person="ben")
    await read_everything(one)
    other = await one.context.new_page()
    await other.goto("/inbox")
    await expect(other.locator("#inbox-state")).to_have_text("live")
    first, second = unique("First"), unique("Second")
    await send(resources, "ben", first)
    await send(resources, "ben", second)
    await expect(one.locator("#unread")).to_have_text("2")
    await expect(other.locator("#unread")).to_have_text("2")

    await one.get_by_role("button", name=f"Mark read: {first}").click()

    for tab in (one, other):
        await expect(tab.locator("#unread")).to_have_text("1")
        await expect(tab.locator(".item.read", has_text=first)).to_be_visible()
        await expect(tab.locator(".item.unread", has_text=second)).to_be_visible()


async def test_what_is_archived_or_deleted_in_one_tab_is_gone_from_the_other(
    opened: Opened, resources: Resources, unique: Callable[[str], str]
) -> None:
    one = await opened("/inbox", person="ben")
    other = await one.context.new_page()
    await other.goto("/inbox")
    await expect(other.locator("#inbox-state")).to_have_text("live")
    away, deleted = unique("Away"), unique("Deleted")
    for title in (away, deleted):
        await send(resources, "ben", title)
        await expect(one.locator(".item", has_text=title)).to_be_visible()
        await expect(other.locator(".item", has_text=title)).to_be_visible()

    await one.get_by_role("button", name=f"Archive: {away}").click()
    await one.get_by_role("button", name=f"Delete: {deleted}").click()

    for tab in (one, other):
        for title in (away, deleted):
            await expect(tab.locator(".item", has_text=title)).to_have_count(0)


async def test_whoever_follows_an_items_link_has_clicked_and_read_it(
    opened: Opened, resources: Resources, unique: Callable[[str], str]
) -> None:
    page, title = await opened("/inbox", person="ben"), unique("Link")
    message = {"title": title, "body": "Look", "url": "/inbox?order=42"}
    request = {"to": "ben", "message": message, "channels": ["in_app"]}
    await resources.publisher.publish(Outgoing("notifications.dev.requests", "ben", json.dumps(request).encode()))

    await page.locator("#inbox-items .item", has_text=title).get_by_role("link", name="Open").click()
    await expect(page).to_have_url("/inbox?order=42")

    async def clicked() -> bool:
        newest = await resources.stores.inbox.newest("dev", "ben", before=None, limit=20)
        [item] = [each for each in newest if each.title == title]
        return item.clicked_at is not None and item.read_at is not None

    await eventually(clicked)
    await expect(page.locator("#inbox-items .item.unread", has_text=title)).to_have_count(0)


async def test_a_newer_one_takes_the_place_of_the_older_while_one_looks(
    opened: Opened, resources: Resources, unique: Callable[[str], str]
) -> None:
    page, key = await opened("/inbox", person="ben"), unique("order")
    for state in ("packed", "sent"):
        body = {"to": "ben", "message": f"{key} is {state}", "channels": ["in_app"], "collapse_key": key}
        await resources.publisher.publish(Outgoing("notifications.dev.requests", "ben", json.dumps(body).encode()))
        await expect(page.locator("#inbox-items .item", has_text=f"{key} is {state}")).to_have_count(1)
    await expect(page.locator("#inbox-items .item", has_text=key)).to_have_count(1)


async def test_markup_in_a_message_stays_text(opened: Opened, resources: Resources, unique: Callable[[str], str]) -> None:
    page = await opened("/inbox", person="user123")
    for hostile in HOSTILE:
        title = f"{unique('t')} {hostile}"
        await send(resources, "user123", title, hostile)
        item = page.locator(".item", has_text=title)
        await expect(item.locator(".text")).to_have_text(hostile)
    assert await page.locator("#inbox-items").locator("script, img, svg, iframe, a").count() == 0
    assert await page.evaluate("window.pwned") is None


async def test_what_was_sent_while_the_socket_was_cut_arrives_once_after_it_is_back(
    opened: Opened, resources: Resources, unique: Callable[[str], str]
) -> None:
    page = await opened("/inbox", person="ben")
    network = await network_under(page)
    before, meanwhile, after = unique("Before"), unique("Meanwhile"), unique("After")
    await send(resources, "ben", before)
    await expect(page.locator(".item", has_text=before)).to_have_count(1)

    await network.cut()
    await expect(page.locator("#inbox-state")).to_have_text("reconnecting")
    await send(resources, "ben", meanwhile)
    network.is_up = True

    await expect(page.locator("#inbox-state")).to_have_text("live")
    await expect(page.locator(".item", has_text=meanwhile)).to_have_count(1)
    await send(resources, "ben", after)
    await expect(page.locator(".item", has_text=after)).to_have_count(1)
    await expect(page.locator(".item", has_text=before)).to_have_count(1)
    await expect(page.locator(".item", has_text=meanwhile)).to_have_count(1)


async def test_older_items_are_fetched_on_demand(opened: Opened, resources: Resources, unique: Callable[[str], str]) -> None:
    page, batch = await opened("/inbox", person="olga"), unique("batch")
    for number in range(25):
        await send(resources, "olga", f"{batch} {number}")
    await expect(page.locator(".item", has_text=batch)).to_have_count(25)
    await page.reload()
    await expect(page.locator(".item")).to_have_count(20)

    await page.get_by_role("button", name="Show older ones").click()

    await expect(page.locator(".item", has_text=batch)).to_have_count(25)


async def test_logging_out_ends_here_what_could_be_seen(opened: Opened) -> None:
    page = await opened("/inbox", person="user123")
    await page.get_by_role("button", name="Log out").click()
    await expect(page.get_by_role("link", name="Log in", exact=True)).to_be_visible()
    await page.goto("/inbox")
    await expect(page.locator("#welcome")).to_be_visible()
    await expect(page.locator("#inbox")).to_be_hidden()


async def test_a_page_left_open_says_that_the_login_has_ended(opened: Opened) -> None:
    page = await opened("/inbox", person="user123")
    network = await network_under(page)
    elsewhere = await page.context.new_page()
    await elsewhere.goto("/inbox")
    await elsewhere.get_by_role("button", name="Log out").click()
    await expect(elsewhere.get_by_role("link", name="Log in", exact=True)).to_be_visible()

    await network.cut()

    await expect(page.locator("#inbox-state")).to_have_text("logged out")
    await expect(page.locator("#inbox-trouble")).to_contain_text("Your login has ended. Log in again")
