"""Versions are written once, each upon the one before: the fake, AWS's DynamoDB Local, and moto."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from schemas.templates import LocalTexts, Template
from schemas.versions import Head, Version, next_version
from tests.contract.conftest import Shelves

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
Unique = Callable[[str], str]


def a_version(name: str, after: int = 0, body: str | None = "Hi") -> Version[Template]:
    content = Template(name=name, body=body, locales={"fr": LocalTexts(body="Salut")}) if body is not None else None
    return next_version(name, after, content, "olga", NOON)


async def test_what_was_saved_is_read_as_it_was(shelves: Shelves, unique: Unique) -> None:
    name = unique("welcome")
    first = a_version(name)
    assert await shelves.templates.save("dev", first)
    assert await shelves.templates.get("dev", name, 1) == first
    assert await shelves.templates.head("dev", name) == Head(name=name, newest=1)
    assert await shelves.templates.get("dev", name, 2) is None
    assert await shelves.templates.head("test", name) is None, "each environment has its own"


async def test_a_version_follows_the_one_before_and_changes_nothing_of_it(shelves: Shelves, unique: Unique) -> None:
    name = unique("welcome")
    first, second = a_version(name), a_version(name, 1, "Hello")
    assert not await shelves.templates.save("dev", second), "nothing comes before it yet"
    assert await shelves.templates.save("dev", first)
    assert await shelves.templates.save("dev", second)
    assert not await shelves.templates.save("dev", a_version(name, 1, "Somebody else's"))
    assert not await shelves.templates.save("dev", a_version(name, 0, "Somebody else's"))
    assert [await shelves.templates.get("dev", name, number) for number in (1, 2)] == [first, second]


async def test_a_retired_name_keeps_its_versions_and_can_be_taken_up_again(shelves: Shelves, unique: Unique) -> None:
    name = unique("welcome")
    first = a_version(name)
    for version in (first, a_version(name, 1, None)):
        assert await shelves.templates.save("dev", version)
    head = await shelves.templates.head("dev", name)
    assert head == Head(name=name, newest=2, retired=True)
    assert await shelves.templates.get("dev", name, 1) == first
    assert await shelves.templates.save("dev", a_version(name, 2))
    assert await shelves.templates.head("dev", name) == Head(name=name, newest=3)


async def test_versions_are_listed_newest_first_page_by_page(shelves: Shelves, unique: Unique) -> None:
    name = unique("welcome")
    for after in range(11):
        assert await shelves.templates.save("dev", a_version(name, after))
    first = await shelves.templates.versions("dev", name, before=None, limit=8)
    rest = await shelves.templates.versions("dev", name, before=first[-1].version, limit=8)
    assert [each.version for each in (*first, *rest)] == list(range(11, 0, -1))


async def test_names_are_listed_in_order_page_by_page(shelves: Shelves, unique: Unique) -> None:
    names = sorted(unique(name) for name in ("names-a", "names-b", "names-c"))
    for name in names:
        assert await shelves.templates.save("dev", a_version(name))
    everything = [head.name for head in await shelves.templates.heads("dev")]
    assert everything == sorted(everything)
    assert set(names) <= set(everything)
    paged = await shelves.templates.heads("dev", after=names[0], limit=1)
    assert [head.name for head in paged] == [everything[everything.index(names[0]) + 1]]


async def test_of_two_who_write_the_next_version_one_does(racing_shelves: Shelves, unique: Unique) -> None:
    name = unique("welcome")
    texts = [f"text {number}" for number in range(6)]
    done = await asyncio.gather(*(racing_shelves.templates.save("dev", a_version(name, body=text)) for text in texts))
    assert sum(done) == 1
    stored = await racing_shelves.templates.get("dev", name, 1)
    assert stored is not None
    assert stored.content is not None
    assert stored.content.body == texts[done.index(True)]
