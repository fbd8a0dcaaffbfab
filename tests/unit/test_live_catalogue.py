"""What is in force: the folder, on top of it what was saved, through a cache that nobody has to wait for."""

from typing import Any

import pytest

from infrastructure.live_catalogue import LiveCatalogue
from schemas.catalogue import Catalogue, UnknownName, Unresolved, split_pin
from schemas.outcomes import Unavailable
from schemas.requests import NotificationRequest
from schemas.templates import Template
from schemas.types import NotificationType
from schemas.versions import Noun, next_version
from tests.fakes.stores import Outage
from tests.fakes.versions import FakeVersions
from tests.unit.stories import now

FOLDER = Catalogue.of(
    [NotificationType(name="order", template="order", category="orders")], [Template(name="order", body="From the folder")]
)
REFRESH_S = 5.0


class House:
    """Two tables, and one process that reads them."""

    def __init__(self) -> None:
        self.outage = Outage()
        self.types: FakeVersions[NotificationType] = FakeVersions(self.outage, "types")
        self.templates: FakeVersions[Template] = FakeVersions(self.outage, "templates")
        self.monotonic_s = 0.0
        self.catalogue = LiveCatalogue(FOLDER, self.types, self.templates, REFRESH_S, lambda: self.monotonic_s)

    async def saves(self, body: str, name: str = "welcome") -> None:
        """Somebody else does, in another process."""
        await _save(self.templates, name, Template(name=name, body=body))

    async def saves_type(self, **terms: Any) -> None:
        await _save(self.types, "signup", NotificationType(name="signup", **terms))

    async def retires(self, name: str = "welcome") -> None:
        await _save(self.templates, name, None)

    async def pinned(self, **fields: Any) -> str | None:
        request = NotificationRequest.model_validate({"to": "ana", **fields})
        catalogue = await self.catalogue.for_request("dev", request)
        return catalogue.resolve(request)[1]


async def _save(store: FakeVersions[Noun], name: str, content: Noun | None) -> None:
    head = await store.head("dev", name)
    assert await store.save("dev", next_version(name, head.newest if head else 0, content, "olga", now()))


async def test_what_the_folder_knows_is_asked_of_nobody() -> None:
    house = House()
    house.outage.away = {"types.read", "templates.read"}
    assert await house.pinned(type="order") == "order@1"
    assert await house.pinned(message="Hi") is None
    assert (house.types.reads, house.templates.reads) == ([], [])


async def test_a_name_just_saved_works_at_once() -> None:
    house = House()
    with pytest.raises(Unresolved):
        await house.pinned(template="welcome")
    await house.saves("Hello")
    assert await house.pinned(template="welcome") == "welcome@1"


async def test_a_new_version_counts_after_the_refresh_interval_and_a_pinned_one_at_once() -> None:
    house = House()
    await house.saves("one")
    assert await house.pinned(template="welcome") == "welcome@1"
    await house.saves("two")
    assert await house.pinned(template="welcome@2") == "welcome@2"
    await house.saves("three")
    assert await house.pinned(template="welcome") == "welcome@2", "what was seen meanwhile counts"
    house.monotonic_s += REFRESH_S
    assert await house.pinned(template="welcome") == "welcome@3"
    assert await house.pinned(template="welcome@1") == "welcome@1"


async def test_whoever_misspells_a_name_is_told_which_there_are() -> None:
    house = House()
    await house.saves("Hello")
    await house.saves("Hello", "gone")
    await house.retires("gone")
    with pytest.raises(Unresolved, match=r"no template is named welcom; there are: order, welcome$"):
        await house.pinned(template="welcom")


async def test_a_version_is_read_once_however_often_it_is_rendered() -> None:
    house = House()
    await house.saves("one")
    for _ in range(3):
        house.monotonic_s += REFRESH_S
        assert (await house.catalogue.template("dev", "welcome@1")).body == "one"
    assert house.templates.reads.count("welcome@1") == 1


async def test_a_type_brings_the_templates_it_needs() -> None:
    house = House()
    await house.saves("Hello")
    await house.saves_type(template="welcome", digest={"window": "15m", "template": "welcome@1"}, category="account")
    assert await house.pinned(type="signup") == "welcome@1"
    assert await house.catalogue.categories("dev") == {"account", "orders"}
    assert await house.catalogue.categories("test") == {"orders"}


async def test_a_retired_name_is_there_for_what_pinned_it_and_for_nothing_new() -> None:
    house = House()
    await house.saves("one")
    await house.retires()
    for name in ("welcome", "welcome@1"):
        with pytest.raises(Unresolved, match="template welcome was retired"):
            await house.pinned(template=name)
    assert (await house.catalogue.template("dev", "welcome@1")).body == "one"
    with pytest.raises(UnknownName):
        await house.catalogue.template("dev", "welcome@2")
    await house.saves("three")
    assert await house.pinned(template="welcome") == "welcome@3", "taken up again, it works at once"


async def test_a_store_that_is_out_is_not_an_unknown_name() -> None:
    house = House()
    house.outage.away = {"types.read", "templates.read"}
    for fields in ({"type": "signup"}, {"template": "welcome"}):
        with pytest.raises(Unavailable):
            await house.pinned(**fields)
    with pytest.raises(Unavailable):
        await house.catalogue.template("dev", "welcome@1")
    with pytest.raises(Unavailable):
        await house.catalogue.categories("dev")


async def test_what_was_known_before_the_outage_goes_on() -> None:
    house = House()
    await house.saves("one")
    assert await house.pinned(template="welcome") == "welcome@1"
    house.outage.away = {"templates.read"}
    house.monotonic_s += REFRESH_S
    assert await house.pinned(template="welcome") == "welcome@1"
    with pytest.raises(Unavailable):
        await house.pinned(template="bye")


async def test_a_name_of_the_folder_is_the_folders() -> None:
    house = House()
    await house.saves("Somebody had this before the folder did", "order")
    assert (await house.catalogue.template("dev", "order@1")).body == "From the folder"
    assert await house.pinned(template="order") == "order@1"


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("a@3", ("a", 3)),
        ("a", ("a", None)),
        ("a@b", ("a@b", None)),
        ("a@²", ("a@²", None)),
        ("a@" + "9" * 20, ("a@" + "9" * 20, None)),
    ],
)
def test_a_pin_is_a_number_behind_the_last_at(name: str, split: tuple[str, int | None]) -> None:
    assert split_pin(name) == split
