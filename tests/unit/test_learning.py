"""What is told about a person, and that another zone moves what waits for a time on their clock."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from api.learning import learn
from infrastructure.auth.user import User
from tests.fakes.house import House

COMMANDS = "notifications.dev.preferences"


def ana_in(zone: str) -> User:
    in_an_hour = datetime.now(UTC) + timedelta(hours=1)
    return User(
        id="ana", sub="ana", issuer="x", email="ana@example.com", email_verified=True, zone=zone, expires_at=in_an_hour
    )


def commands(house: House) -> list[dict[str, Any]]:
    return [json.loads(each.value or b"") for each in house.floor.publisher.on(COMMANDS)]


async def test_a_login_from_another_zone_has_what_waits_ask_again_and_the_same_zone_does_not(house: House) -> None:
    resources = house.app.state.resources
    await learn(resources, ana_in("Europe/Berlin"))
    await learn(resources, ana_in("Europe/Berlin"))
    await learn(resources, ana_in(""))
    assert [(each["person"], each["change"]) for each in commands(house)] == [("ana", {"zone_told": True})]
    await learn(resources, ana_in("Asia/Tokyo"))
    assert len(commands(house)) == 2
    contact = await house.floor.contacts.get("dev", "ana")
    assert contact is not None
    assert contact.zone == "Asia/Tokyo"
    assert (await house.floor.preferences.get("dev", "ana")).version == 0, "it is no choice of hers"


async def test_kafka_being_away_keeps_nobody_from_logging_in(house: House) -> None:
    house.floor.publisher.is_away = True
    await learn(house.app.state.resources, ana_in("Europe/Berlin"))
    contact = await house.floor.contacts.get("dev", "ana")
    assert contact is not None
    assert contact.email == "ana@example.com"


async def test_a_zone_that_a_backend_tells_counts_likewise_and_can_be_told_again(house: House) -> None:
    async with house.client(await house.token_of("olga")) as olga:
        house.floor.publisher.is_away = True
        assert (await olga.patch("/api/v1/people/ana", json={"zone": "Asia/Tokyo"})).status_code == 503
        house.floor.publisher.is_away = False
        assert (await olga.patch("/api/v1/people/ana", json={"zone": "Asia/Tokyo"})).status_code == 200
        assert (await olga.patch("/api/v1/people/ana", json={"name": "Ana"})).status_code == 200
    assert [each["change"] for each in commands(house)] == [{"zone_told": True}]
