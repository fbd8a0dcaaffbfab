"""What rows look like once a person in them is forgotten; and that no table, Redis key or Kafka topic was overlooked."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from infrastructure.dynamo.tables import TABLES
from schemas import topics
from schemas.audiences import Progress
from schemas.deliveries import Delivery, Step
from schemas.erasures import PARTS, covers, is_covered, pseudonym
from schemas.forgetting import forgotten, is_only_for, walked_past, without
from schemas.plan import Notification
from schemas.requests import CHANNELS
from tests.unit.stories import KEY, Floor, a_request, now

ROOT = Path(__file__).parents[2]
GONE = pseudonym(KEY, "dev", "ana")


async def a_notification(**said: object) -> Notification:
    floor = Floor()
    await floor.knows("ana", "ana@x.io")
    body = {"message": {"title": "T", "body": "secret", "data": {"n": "secret"}}, "variables": {"v": "secret"}}
    await floor.route.handle(a_request({**body, "metadata": {"m": "secret"}, "channels": ["in_app", "email"], **said}))
    return floor.notification


async def test_of_what_was_theirs_alone_nothing_is_left_but_ids() -> None:
    found = await a_notification()
    after = without(found, "ana", GONE)
    text = after.model_dump_json()
    assert not [word for word in ("secret", "ana", "x.io") if word in text]
    assert [line.delivery_id for line in after.plan.lines] == [line.delivery_id for line in found.plan.lines]
    assert (after.body_hash, after.notification_id) == (found.body_hash, found.notification_id)
    assert without(after, "ana", GONE) == after
    assert Notification.model_validate_json(text) == after, "it can be read again"


async def test_what_was_said_to_others_as_well_stays_theirs() -> None:
    found = await a_notification(to=[{"user": "ana", "email": "ana@x.io"}, "ben"])
    assert not is_only_for(found, "ana")
    after = without(found, "ana", GONE)
    assert (after.request.message, after.request.variables) == (found.request.message, found.request.variables)
    assert "ana" not in after.model_dump_json()
    assert [line for line in after.plan.lines if line.recipient == "ben"] == [
        line for line in found.plan.lines if line.recipient == "ben"
    ]


async def test_what_went_to_an_audience_too_is_not_theirs_alone() -> None:
    assert not is_only_for(await a_notification(to=["ana", {"topic": "news"}]), "ana")


@pytest.mark.parametrize(("producer", "shown"), [("user:ana", GONE), ("user:anabel", "user:anabel"), ("ana", "ana")])
async def test_who_wrote_to_themselves_is_not_named_as_the_sender(producer: str, shown: str) -> None:
    found = (await a_notification()).model_copy(update={"producer": producer})
    assert without(found, "ana", GONE).producer == shown


def a_row(state: str, **fields: object) -> Delivery:
    step = Step(event="retrying", at=now(), attempt=1, answer="450 ana@x.io is busy", provider_id="p-1", note="a call")
    known = {"environment": "dev", "notification_id": "ntf_1", "delivery_id": "dlv_1", "recipient": "ana"}
    row = known | {"channel": "email", "shards": 64, "state": state, "version": 3, "updated_at": now(), "history": (step,)}
    return Delivery.model_validate(row | {"answer": "450 ana@x.io is busy", "next_at": now()} | fields)


@pytest.mark.parametrize("state", ["RETRY", "PENDING"])
def test_what_waits_ends_here(state: str) -> None:
    after = forgotten(a_row(state), GONE, now())
    assert (after.state, after.reason, after.next_at, after.history[-1].event) == ("SKIPPED", "erased", None, "skipped")


@pytest.mark.parametrize("state", ["SENT", "FAILED", "UNKNOWN", "IN_FLIGHT", "DIGESTED"])
def test_what_has_ended_or_is_under_way_only_loses_its_name(state: str) -> None:
    row = a_row(state)
    after = forgotten(row, GONE, now())
    assert (after.state, after.recipient, after.shard) == (state, GONE, row.shard), "it stays where it is"
    assert "ana" not in after.model_dump_json()
    assert after.version == row.version + 1


def test_a_walk_that_ended_at_them_is_past_everybody_and_one_that_goes_on_is_left_alone() -> None:
    walk = Progress(environment="dev", notification_id="n", shard=0, cursor="ana", page_to="ana", updated_at=now())
    assert walked_past(walk, "ana") == walk
    ended = walked_past(walk.model_copy(update={"done": True}), "ana")
    assert ended.cursor > "zoe"
    assert not ended.is_within_a_page


async def test_an_erasure_covers_what_came_before_by_whichever_clock() -> None:
    found = await a_notification()
    later = found.accepted_at + timedelta(hours=1)
    ahead = found.model_copy(update={"accepted_at": later})
    assert covers(found.planned_at + timedelta(milliseconds=1), ahead), "a producer's clock may be ahead"
    assert not covers(found.accepted_at, found)
    assert not covers(None, found)
    assert not is_covered(None, found.accepted_at)


def test_a_pseudonym_needs_the_key_and_is_another_one_elsewhere() -> None:
    assert pseudonym(KEY, "dev", "ana") == GONE
    assert len({GONE, pseudonym(b"x" * 32, "dev", "ana"), pseudonym(KEY, "test", "ana"), pseudonym(KEY, "dev", "ben")}) == 4


def the_rows(part: str) -> set[str]:
    """The names in the first column of a table of docs/people.md."""
    text = (ROOT / "docs" / "people.md").read_text().partition(f"<!-- {part} -->")[2].partition(f"<!-- /{part} -->")[0]
    return set(re.findall(r"^\| `([^`]+)`", text, re.MULTILINE))


def test_every_table_has_a_decision() -> None:
    assert the_rows("tables") == {table.noun for table in TABLES}


def test_every_kafka_topic_has_a_decision() -> None:
    known = {topic.name.removeprefix("notifications.dev.") for topic in topics.registry("dev", CHANNELS)}
    kinds = {"channels" if name.split(".")[0].replace("-", "_") in CHANNELS else name.split(".")[0] for name in known}
    assert the_rows("kafka") == kinds


def test_every_kind_of_redis_key_has_a_decision() -> None:
    """By the names in the code: `carillon:{environment}:seen:…` is the kind `seen`."""
    code = "".join(path.read_text() for path in (ROOT / "infrastructure").rglob("*.py"))
    kinds = set(re.findall(r'"carillon:(?:\{[a-z_]+\}:)?([a-z0-9-]+)', code))
    assert the_rows("redis") == kinds


def test_every_part_of_an_erasure_is_told() -> None:
    text = (ROOT / "docs" / "people.md").read_text()
    assert not [part for part in PARTS if f"`{part}`" not in text]
