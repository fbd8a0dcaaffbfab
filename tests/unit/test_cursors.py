"""Where a list goes on: handed back unchanged, by the same person, to the same list."""

import base64
from typing import Any

import httpx2
import pytest

from api.cursors import Cursors
from api.problems import Problem
from tests.fakes.house import House

SEND = "/api/v1/notifications"
INBOX = f"{SEND}/"
PLACE = "2026-12-01T12:00:00.000Z#dlv_1"


@pytest.fixture(name="house", scope="module")
def a_house(tmp_path_factory: pytest.TempPathFactory) -> House:
    return House(tmp_path_factory.mktemp("house"))


async def a_cursor(house: House, person: str, **asked: Any) -> str:
    """Of the first of two pages in this person's inbox."""
    async with house.client(await house.token_of(person)) as client:
        for _ in range(2):
            await client.post(SEND, json={"to": person, "message": "Hi", "channels": ["in_app"]})
        first = await client.get(INBOX, params={"limit": 1} | asked)
    return str(first.json()["meta"]["next_cursor"])


async def page(house: House, person: str, cursor: str, path: str = INBOX, **asked: str) -> httpx2.Response:
    async with house.client(await house.token_of(person)) as client:
        return await client.get(path, params={"limit": "1", "cursor": cursor, **asked})


async def test_the_next_page_follows(house: House) -> None:
    cursor = await a_cursor(house, "ana")
    answer = await page(house, "ana", cursor)
    assert answer.status_code == 200
    assert len(answer.json()["data"]) == 1


async def test_a_cursor_is_good_for_nobody_else_and_nowhere_else(house: House) -> None:
    cursor = await a_cursor(house, "ana")
    assert (await page(house, "ben", cursor)).status_code == 400
    assert (await page(house, "ana", cursor, environment="test")).status_code == 400
    assert (await page(house, "ana", cursor, f"{SEND}/pending")).status_code == 400


async def test_a_cursor_that_was_changed_or_cut_is_none(house: House) -> None:
    cursor = await a_cursor(house, "ana")
    changed = "B" if cursor[-2] != "B" else "C"
    unsigned = base64.urlsafe_b64encode(f'"{PLACE}"'.encode()).decode()
    for other in (cursor[:-2] + changed + cursor[-1], cursor[:-4], "", "%00", "AAAA", "é", unsigned):
        answer = await page(house, "ana", other)
        assert (answer.status_code, answer.json()["error"]["title"]) == (400, "Bad cursor"), other


def test_what_was_written_is_read_and_another_secret_cannot_read_it() -> None:
    ours, theirs = Cursors("s" * 32, "/list", "dev", "ana"), Cursors("t" * 32, "/list", "dev", "ana")
    for place in (PLACE, {"0": 7}, [1, "é"]):
        assert ours.read(ours.write(place)) == place
        with pytest.raises(Problem):
            theirs.read(ours.write(place))
    assert ours.write(None) is ours.read(None) is None


def test_names_cannot_move_into_each_other() -> None:
    """`/a` of `b` and of nobody else: the parts are joined so that none can be longer at another's cost."""
    written = Cursors("s" * 32, "/a", "b", "c").write(PLACE)
    for parts in (("/ab", "", "c"), ("/a", "bc"), ("/a", "b", "c", "")):
        with pytest.raises(Problem):
            Cursors("s" * 32, *parts).read(written)


def test_a_place_of_another_shape_is_not_taken_even_if_it_is_ours() -> None:
    cursors = Cursors("s" * 32, "/list")
    assert cursors.place(cursors.write(PLACE)) == PLACE
    for other in ("elsewhere", {"0": 7}, 7):
        with pytest.raises(Problem):
            cursors.place(cursors.write(other))
