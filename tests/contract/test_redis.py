# pylint: disable=redefined-outer-name  # a test names the fixtures it is given
"""What the parts on Redis promise, on fakeredis and on Valkey."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from redis.asyncio import Redis

from infrastructure.auth.user import User
from infrastructure.redis.live import Announcer, inbox_channel, outcome_channel
from infrastructure.redis.provider_board import ProviderBoard
from infrastructure.redis.seen import Seen, SeenRequests
from infrastructure.redis.tickets import Tickets
from infrastructure.redis.wakeups import CHANGED, open_wakeups
from schemas.events import Position
from schemas.providers import ProviderSeen

Unique = Callable[[str], str]


def an_answer(request_id: str, offset: int = 1) -> Seen:
    return Seen("kafka", request_id, "hash", Position(topic="t", partition=0, offset=offset))


async def test_the_first_answer_to_a_request_stays(redis: Redis, unique: Unique) -> None:
    seen, name = SeenRequests(redis, 60), unique("ntf")
    assert await seen.get("dev", name) is None
    await seen.remember("dev", name, an_answer("r-1", 1))
    await seen.remember("dev", name, an_answer("r-1", 2))
    assert await seen.get("dev", name) == an_answer("r-1", 1)
    assert await seen.get("test", name) is None, "environments do not see each other"


async def test_an_answer_is_forgotten_in_time(redis: Redis, unique: Unique) -> None:
    name = unique("ntf")
    await SeenRequests(redis, 60).remember("dev", name, an_answer("r-1"))
    assert 0 < await redis.ttl(f"carillon:dev:seen:{name}") <= 60


async def woken(queue: "asyncio.Queue[str]") -> str:
    return await asyncio.wait_for(queue.get(), 10)


async def subscribed(redis: Redis, channel: str) -> None:
    """The server knows of the subscription; what is said before that is rightly lost."""
    async with asyncio.timeout(10):
        while dict(await redis.pubsub_numsub(channel)).get(channel.encode(), 0) == 0:
            await asyncio.sleep(0.01)


async def test_everybody_who_listens_is_woken_and_nobody_else(valkey: Redis, unique: Unique) -> None:
    ana, ben = inbox_channel("dev", unique("ana")), inbox_channel("dev", unique("ben"))
    async with (
        open_wakeups(valkey) as wakeups,
        wakeups.listen(ana) as phone,
        wakeups.listen(ana) as laptop,
        wakeups.listen(ben) as other,
    ):
        await subscribed(valkey, ana)
        await subscribed(valkey, ben)
        for queue in (phone, laptop, other):
            while not queue.empty():
                queue.get_nowait()
        announcer = Announcer(valkey)
        await announcer.inbox_changed("dev", ana.rsplit(":", 1)[1])
        assert (await woken(phone), await woken(laptop)) == (CHANGED, CHANGED)
        await announcer.read("dev", ben.rsplit(":", 1)[1], ["dlv_1", "dlv_2"])
        assert await woken(other) == "read:dlv_1,dlv_2"
        assert phone.empty()


async def test_who_waits_for_an_outcome_is_told(valkey: Redis, unique: Unique) -> None:
    name = unique("ntf")
    async with open_wakeups(valkey) as wakeups, wakeups.listen(outcome_channel("dev", name)) as queue:
        await subscribed(valkey, outcome_channel("dev", name))
        await Announcer(valkey).outcome_known("dev", name)
        assert await woken(queue) == CHANGED


def a_listener(person: str) -> User:
    expires = datetime(2099, 1, 1, tzinfo=UTC)
    return User(id=person, sub=person, issuer="idp", name="Ana", email="ana@x.io", zone="Europe/Paris", expires_at=expires)


async def test_a_ticket_is_good_once_and_says_no_more_than_it_must(redis: Redis, unique: Unique) -> None:
    tickets, person = Tickets(redis, 30), unique("ana")
    text = await tickets.issue("test", a_listener(person))
    found = [ticket for ticket in await asyncio.gather(*(tickets.take(text) for _ in range(50))) if ticket]
    assert [(ticket.environment, ticket.user.id, ticket.user.email) for ticket in found] == [("test", person, "")]
    assert await tickets.take("made-up") is None


async def test_what_is_kept_of_a_ticket_does_not_open_anything_and_goes_soon(redis: Redis, unique: Unique) -> None:
    person = unique("ana")
    text = await Tickets(redis, 7).issue("dev", a_listener(person))
    found = {key: str(await redis.get(key)) async for key in redis.scan_iter("carillon:ticket:*")}
    [(key, kept)] = [(key, value) for key, value in found.items() if person in value]
    assert text not in f"{key!r} {kept}"
    assert 0 < await redis.ttl(key) <= 7
    assert "ana@x.io" not in kept


async def test_what_workers_tell_of_providers_is_read_until_they_fall_silent(redis: Redis, unique: Unique) -> None:
    board, environment = ProviderBoard(redis), unique("env")
    out = ProviderSeen(provider="smtp", state="out", failures=5, out_for_s=3.0, tried_again_in_s=27.0)
    await board.tell(environment, "email", "one", (out,))
    await board.tell(environment, "email", "two", (ProviderSeen(provider="smtp", state="in"),))
    await board.forget(environment, "email", "two")
    now = datetime.now(UTC)
    [told] = await board.read(environment, now)
    assert (told.worker, told.seen) == ("one", (out,))
    assert await board.read(environment, now + timedelta(minutes=1)) == []
    assert await board.read(environment, now) == [], "who was silent is told of no more"
