"""A method that a path does not have is 405, and `Allow` lists those it has (RFC 9110 section 10.2.1)."""

from collections import defaultdict

import pytest

from api.openapi import document, operations
from tests.fakes.house import House
from tests.product import an_app

METHODS: dict[str, set[str]] = defaultdict(set)
for path, method, _ in operations(document(an_app())):
    METHODS[path].add(method.upper())

NOTIFICATION = "ntf_" + "2" * 26


@pytest.fixture(name="house", scope="module")
def a_house(tmp_path_factory: pytest.TempPathFactory) -> House:
    return House(tmp_path_factory.mktemp("house"))


@pytest.mark.parametrize("path", METHODS)
async def test_a_path_names_all_its_methods(house: House, path: str) -> None:
    async with house.client() as anybody:
        answer = await anybody.request("TRACE", path.replace("{notification_id}", NOTIFICATION))
    assert answer.status_code == 405
    assert set(answer.headers["Allow"].split(", ")) == METHODS[path]


@pytest.mark.parametrize("word", ["batch", "mark-all-read", "unread", "preferences"])
async def test_a_word_is_no_id(house: House, word: str) -> None:
    async with house.client(await house.token_of("ana")) as ana:
        assert (await ana.patch(f"/api/v1/notifications/{word}", json={})).status_code == 405
