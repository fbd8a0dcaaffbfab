"""An API key from its making to its end: what it opens, what it never shows, and what an outage changes."""

import json
from datetime import UTC, datetime, timedelta
from statistics import median
from time import perf_counter_ns

import pytest
import structlog

from infrastructure.auth.api_keys import BELIEVED, FRESH, READ_S, REMEMBERED_KEYS, InvalidKey, KeyHash, KeyVerifier
from infrastructure.auth.keyring import KeyIsOver, Keyring
from schemas.api_keys import ApiKey, NewKey, described, environment_of_key, read_key
from schemas.outcomes import Unavailable
from tests.fakes.keys import FakeKeys
from tests.fakes.stores import Outage

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
WANTED = NewKey(name="orders service", producer="orders", permissions=("notifications:send",), limit_per_minute=50)


class Scene:
    """One table, the keyring that fills it, and a verifier with a clock of ours."""

    def __init__(self) -> None:
        self.now = NOON
        self.outage = Outage()
        self.table = FakeKeys(self.outage)
        self.ring = Keyring(self.table, KeyHash("server"))
        self.verifier = self.a_verifier("server")

    def a_verifier(self, *server_secrets: str) -> KeyVerifier:
        return KeyVerifier(self.table, KeyHash(*server_secrets), ("dev", "test"), lambda: self.now)

    async def a_key(self, wanted: NewKey = WANTED) -> str:
        return (await self.ring.create(wanted, "dev", "olga", self.now)).presented

    async def rotate(self, presented: str, overlap: timedelta) -> str:
        return (await self.ring.rotate(presented.split("_")[1], overlap, "olga", self.now)).presented

    async def is_good(self, presented: str) -> bool:
        try:
            await self.verifier.verify(presented)
        except InvalidKey:
            return False
        return True


@pytest.fixture(name="scene")
def a_scene() -> Scene:
    return Scene()


async def test_a_key_is_a_machine_with_its_producer_in_its_one_environment(scene: Scene) -> None:
    presented = await scene.a_key()
    user = await scene.verifier.verify(presented)
    assert (user.kind, user.producer, user.environment, user.limit_per_minute) == ("machine", "orders", "dev", 50)
    assert user.may("notifications:send")
    assert not user.may("ops:read")
    named = read_key(presented)
    assert named
    assert environment_of_key(named[0]) == "dev"


async def test_the_secret_is_in_no_table_no_answer_and_no_log(scene: Scene) -> None:
    with structlog.testing.capture_logs() as lines:
        presented = await scene.a_key()
        issued = await scene.ring.rotate(presented.split("_")[1], timedelta(hours=1), "olga", NOON)
        await scene.is_good(presented)
        await scene.is_good(presented[:-1] + "b")
        await scene.ring.revoke(issued.key.key_id, "olga", NOON)
    [row] = scene.table.rows.values()
    told = row.model_dump_json() + json.dumps(described(row, NOON)) + repr(issued) + repr(lines)
    assert presented.split("_")[2] not in told
    assert issued.presented.split("_")[2] not in told
    assert {line["event"] for line in lines} >= {"key.created", "key.rotated", "key.revoked"}


@pytest.mark.parametrize(
    "change",
    [
        lambda key: "",
        lambda key: key[:-1],
        lambda key: key + "a",
        lambda key: key.upper(),
        lambda key: f" {key}",
        lambda key: key[:-1] + ("a" if key[-1] != "a" else "b"),
        lambda key: key.replace("crl_dev", "crl_test"),
        lambda key: key.replace("crl_dev", "crl_prod"),
        lambda key: f"crl_dev{'b' * 16}_{'b' * 52}",
        lambda key: "crl_" + "é" * 40,
        lambda key: "\udcff" * 10,
        lambda key: "a" * 100_000,
    ],
)
async def test_whatever_is_wrong_with_a_key_it_costs_one_read_and_is_no_key(scene: Scene, change: object) -> None:
    presented = await scene.a_key()
    assert callable(change)
    scene.table.reads = 0
    assert not await scene.is_good(change(presented))
    assert scene.table.reads == 1


async def test_a_hash_moved_to_another_row_opens_nothing(scene: Scene) -> None:
    mine, other = await scene.a_key(), await scene.a_key()
    mine_id, other_id = mine.split("_")[1], other.split("_")[1]
    scene.table.rows[other_id] = scene.table.rows[other_id].model_copy(update={"secrets": scene.table.rows[mine_id].secrets})
    assert not await scene.is_good(f"crl_{other_id}_{mine.split('_')[2]}")


async def test_while_a_rotation_overlaps_both_secrets_work_and_then_only_the_new_one(scene: Scene) -> None:
    first = await scene.a_key()
    second = await scene.rotate(first, timedelta(hours=24))
    assert await scene.is_good(first)
    assert await scene.is_good(second)
    scene.now += timedelta(hours=24)
    assert not await scene.is_good(first), "also when it was remembered a moment ago"
    assert await scene.is_good(second)


async def test_of_three_secrets_the_first_is_over_at_once(scene: Scene) -> None:
    first = await scene.a_key()
    second = await scene.rotate(first, timedelta(hours=24))
    third = await scene.rotate(first, timedelta(hours=24))
    assert [await scene.is_good(key) for key in (first, second, third)] == [False, True, True]


async def test_a_leaked_secret_can_be_ended_at_once(scene: Scene) -> None:
    first = await scene.a_key()
    second = await scene.rotate(first, timedelta(0))
    assert [await scene.is_good(key) for key in (first, second)] == [False, True]


async def test_a_revoked_key_is_refused_everywhere_within_30_seconds(scene: Scene) -> None:
    presented = await scene.a_key()
    assert await scene.is_good(presented)
    await scene.ring.revoke(presented.split("_")[1], "olga", scene.now)
    assert FRESH + timedelta(seconds=READ_S) <= timedelta(seconds=30)
    scene.now += FRESH
    assert not await scene.is_good(presented)
    with pytest.raises(KeyIsOver):
        await scene.rotate(presented, timedelta(0))


async def test_an_expired_key_is_refused_the_moment_it_expires(scene: Scene) -> None:
    presented = await scene.a_key(WANTED.model_copy(update={"expires_at": NOON + timedelta(seconds=10)}))
    assert await scene.is_good(presented)
    scene.now += timedelta(seconds=10)
    assert not await scene.is_good(presented)


async def test_a_remembered_key_costs_no_read(scene: Scene) -> None:
    presented = await scene.a_key()
    for _ in range(5):
        assert await scene.is_good(presented)
    assert scene.table.reads == 1


async def test_while_the_table_is_away_known_keys_work_on_and_others_are_not_called_bad(scene: Scene) -> None:
    known, unknown = await scene.a_key(), await scene.a_key()
    assert await scene.is_good(known)
    scene.outage.away = {"keys.get"}
    scene.now += FRESH
    assert await scene.is_good(known)
    with pytest.raises(Unavailable):
        await scene.verifier.verify(unknown)
    asked = scene.table.reads
    assert await scene.is_good(known)
    assert scene.table.reads == asked, "an outage is not asked about with every call"

    scene.now = NOON + BELIEVED
    with pytest.raises(Unavailable):
        await scene.verifier.verify(known)


async def test_what_is_remembered_is_bounded(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infrastructure.auth.api_keys.REMEMBERED_KEYS", 2)
    first, second, third = [await scene.a_key() for _ in range(3)]
    for presented in (first, second, first, third):
        await scene.is_good(presented)
    scene.table.reads = 0
    await scene.is_good(first)
    assert scene.table.reads == 0, "what was used last is kept"
    await scene.is_good(second)
    assert scene.table.reads == 1
    assert REMEMBERED_KEYS >= 1000


async def test_the_last_use_is_written_once_an_hour(scene: Scene) -> None:
    presented = await scene.a_key()
    for _ in range(12):
        await scene.is_good(presented)
        await scene.a_verifier("server").verify(presented)  # another process
        scene.now += timedelta(minutes=10)
    assert scene.table.uses == 2


async def test_a_use_that_cannot_be_written_holds_up_nobody(scene: Scene) -> None:
    presented = await scene.a_key()
    scene.outage.away = {"keys.note_use"}
    assert await scene.is_good(presented)


async def test_a_key_in_use_survives_a_rotation_of_the_servers_secret(scene: Scene) -> None:
    presented = await scene.a_key()
    await scene.a_verifier("new server", "server").verify(presented)
    user = await scene.a_verifier("new server").verify(presented)
    assert user.producer == "orders"
    with pytest.raises(InvalidKey):
        await scene.a_verifier("server").verify(presented)


async def test_two_who_rotate_at_once_both_get_a_working_secret(scene: Scene) -> None:
    presented = await scene.a_key()
    key_id = presented.split("_")[1]
    stale = scene.table.rows[key_id]
    first = await scene.rotate(presented, timedelta(hours=1))

    class Behind(FakeKeys):
        """Sees the row as it was, once."""

        async def get(self, key_id: str) -> ApiKey | None:
            self.reads += 1
            return stale if self.reads == 1 else scene.table.rows.get(key_id)

    behind = Behind()
    behind.rows = scene.table.rows
    second = await Keyring(behind, KeyHash("server")).rotate(key_id, timedelta(hours=1), "ben", NOON)
    assert await scene.is_good(first)
    assert await scene.is_good(second.presented)


async def test_an_unknown_id_and_a_wrong_secret_take_the_same_time(scene: Scene) -> None:
    """A guard against a forgotten comparison, not a statistical proof: the medians lie within a factor of 1.5."""
    presented = await scene.a_key()
    wrong, unknown = presented[:-3] + "aaa", f"crl_dev{'b' * 16}_{'b' * 52}"
    took: dict[str, list[int]] = {wrong: [], unknown: [], "malformed": []}
    for _ in range(400):
        for each, times in took.items():
            began = perf_counter_ns()
            await scene.is_good(each)
            times.append(perf_counter_ns() - began)
    medians = [median(times) for times in took.values()]
    assert max(medians) < 1.5 * min(medians), medians
