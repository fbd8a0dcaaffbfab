"""What a full cap does with the next one, by its choice; and a person's own cap over all types, whoever counts at once."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx2

from infrastructure.dynamo.tables import create_tables
from infrastructure.kafka.topics import create_topics
from infrastructure.local.processes import Child
from infrastructure.resources import Resources
from infrastructure.settings import Settings
from schemas.caps import Cap
from tests.eventually import eventually
from tests.integration.test_email_and_slack import in_state, send
from tests.integration.test_quotas import HOME, two_routes
from tests.integration.test_types import TYPES, save

MOST, SENT = 4, 12
Unique = Callable[[str], str]


async def test_what_is_over_a_cap_that_drops_is_skipped_and_says_which(
    resources: Resources, workers: Child, unique: Unique
) -> None:
    """The example types' `account.nudge`: two a day."""
    said: dict[str, Any] = {"to": unique("person"), "type": "account.nudge", "message": None, "variables": {"text": "Tip"}}
    for _ in range(2):
        await in_state(resources, await send(resources, unique("nudge"), **said), "SENT")
    row = await in_state(resources, await send(resources, unique("nudge"), **said), "SKIPPED")
    assert row.reason == "capped:account.nudge:2/1d"


async def test_what_is_over_a_cap_that_gathers_is_in_a_digest_and_says_in_which(
    resources: Resources, workers: Child, olga: httpx2.AsyncClient, unique: Unique
) -> None:
    kind, person = unique("chatter"), unique("person")
    caps = [{"max": 1, "window": "4s", "over": "digest"}]
    await save(olga, f"{TYPES}/{kind}", {"channels": ["in_app"], "caps": caps})
    said: dict[str, Any] = {"to": person, "type": kind}
    by_itself = await in_state(resources, await send(resources, unique("first"), **said), "SENT")
    rows = [await in_state(resources, await send(resources, unique("next"), **said), "DIGESTED") for _ in range(2)]

    async def both() -> bool:
        found = await resources.stores.inbox.newest("dev", person, before=None, limit=9)
        counts = {item.notification_id: item.data.get("digest", {}).get("count") for item in found}
        [digest] = {(row.reason or "").removeprefix("digest:") for row in rows}
        return counts == {by_itself.notification_id: None, digest: 2}

    await eventually(both)
    (await olga.delete(f"{TYPES}/{kind}")).raise_for_status()


async def test_of_all_types_together_a_person_gets_so_many_whichever_worker_counts(
    settings: Settings, unique: Unique
) -> None:
    """In an environment of its own, where two workers of route plan what comes at once."""
    person = unique("person")
    changes = {
        "environments": (HOME,),
        "default_environment": HOME,
        "person_caps": [Cap.model_validate({"max": MOST, "window": "1d"})],
    }
    own = settings.model_copy(update=changes)
    await create_topics(own)
    await create_tables(own)
    kinds = [("order.shipped", {"order": "42"}), ("inventory.low-stock", {"product_name": "Tea"})]

    async with two_routes(own) as resources:

        async def sends(number: int, **more: Any) -> str:
            kind, variables = kinds[number % len(kinds)]
            said = {"to": person, "type": kind, "variables": variables, "message": None, "channels": ["in_app"]}
            return await send(resources, unique(f"event{number}"), HOME, **said | more)

        async def all_planned() -> list[str | None]:
            """For which reason each was skipped, or that it was not."""
            stored = [await resources.stores.notifications.get(HOME, each) for each in several]
            return [each.plan.lines[0].skipped for each in stored if each] if all(stored) else []

        several = await asyncio.gather(*map(sends, range(SENT)), sends(0, priority="urgent"))
        found = await eventually(all_planned)
    assert found.pop() is None, "what is urgent is not capped"
    assert Counter(found) == {None: MOST, f"capped:person:{MOST}/1d": SENT - MOST}
