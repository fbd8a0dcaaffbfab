"""Groups and streams, for operators."""

import pytest

from api.routes import ops_house
from infrastructure.kafka.lag_watch import LagWatch
from infrastructure.redis.provider_board import ProviderBoard
from schemas.providers import ProviderSeen
from tests.fakes.house import House
from tests.unit.test_ops import a_client, a_user, a_watch

OPS = "/api/v1/ops"


@pytest.fixture(name="watch")
def some_groups() -> LagWatch:
    return a_watch("test.route", "dev.route")


async def test_groups_are_listed_without_and_shown_with_their_partitions(watch: LagWatch) -> None:
    async with a_client(watch, a_user("ops:read"), ops_house.router) as client:
        listed = (await client.get(f"{OPS}/groups")).json()["data"]
        shown = (await client.get(f"{OPS}/groups/dev.route")).json()["data"]
        assert (await client.get(f"{OPS}/groups/nobody")).status_code == 404
    assert [(group["group"], group["lag"], group["partitions_total"]) for group in listed] == [
        ("test.route", 6, 1),
        ("dev.route", 6, 1),
    ]
    assert shown["partitions"][0] | {"start": 0, "committed": 4, "end": 10} == shown["partitions"][0]


async def test_a_key_sees_the_groups_of_its_own_environment_alone(watch: LagWatch) -> None:
    key = a_user("ops:read").model_copy(update={"environment": "test"})
    async with a_client(watch, key, ops_house.router) as client:
        assert [group["group"] for group in (await client.get(f"{OPS}/groups")).json()["data"]] == ["test.route"]
        assert (await client.get(f"{OPS}/groups/dev.route")).status_code == 404


async def test_providers_are_as_bad_as_the_worker_says_for_whom_they_are_worst(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    house = House(tmp_path_factory.mktemp("house"))
    board = ProviderBoard(house.app.state.resources.redis)
    well, ill = ProviderSeen(provider="smtp", state="in"), ProviderSeen(provider="smtp", state="out", failures=5)
    await board.tell("dev", "email", "one", (well,))
    await board.tell("dev", "email", "two", (ill,))
    await board.tell("test", "email", "three", (ill,))
    async with house.client(await house.token_of("olga")) as olga:
        [found] = (await olga.get(f"{OPS}/providers")).json()["data"]
    assert (found["channel"], found["provider"], found["state"]) == ("email", "smtp", "out")
    assert [(each["worker"], each["state"], each["failures"]) for each in found["workers"]] == [
        ("one", "in", 0),
        ("two", "out", 5),
    ]


async def test_streams_are_counted_and_an_absent_one_is_empty(tmp_path_factory: pytest.TempPathFactory) -> None:
    house = House(tmp_path_factory.mktemp("house"))
    await house.app.state.resources.redis.xadd("notifications:dev", {"message": "Hi"})
    async with house.client(await house.token_of("olga")) as olga:
        found = (await olga.get(f"{OPS}/streams")).json()["data"]
    assert found == [
        {"stream": "notifications:dev", "length": 1, "pending": 0},
        {"stream": "inventory:low-stock:stream", "length": 0, "pending": 0},
    ]
