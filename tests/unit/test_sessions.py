import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from fakeredis import FakeAsyncRedis, FakeServer

from infrastructure.auth.box import EncryptedBox, Unreadable
from infrastructure.auth.sessions import Session, SessionStore, session_key
from infrastructure.auth.user import User
from schemas.outcomes import Unavailable
from tests.fakes.issuer import ISSUER

SECRET, OTHER_SECRET = "s" * 32, "t" * 32
TTL_S = 3600


@pytest.fixture(name="redis")
async def a_redis() -> AsyncIterator[FakeAsyncRedis]:
    async with FakeAsyncRedis(server=FakeServer()) as redis:
        yield redis


@pytest.fixture(name="store")
def a_store(redis: FakeAsyncRedis) -> SessionStore:
    return SessionStore(redis, EncryptedBox(SECRET), TTL_S)


def a_session(store: SessionStore, name: str = "ana", refresh_token: str = "refresh-secret") -> Session:
    now = time.time()
    user = User(id=name, sub=name, issuer=ISSUER, email=f"{name}@example.com", expires_at=datetime.fromtimestamp(now, UTC))
    session = Session(
        user=user,
        access_token="eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbmEifQ.sig",
        refresh_token=refresh_token,
        access_expires_at=now + 86_400,
        renew_at=now,
    )
    return store.with_times(session)


async def everything_in(redis: FakeAsyncRedis) -> bytes:
    keys = [key async for key in redis.scan_iter()]
    return repr([(key, await redis.get(key)) for key in keys]).encode()


async def test_a_session_is_read_back_whole(store: SessionStore) -> None:
    session = a_session(store)
    assert await store.read(await store.create(session)) == session


async def test_redis_learns_neither_cookie_nor_token_nor_person(store: SessionStore, redis: FakeAsyncRedis) -> None:
    cookie = await store.create(a_session(store))
    dump = await everything_in(redis)
    for secret in (cookie.encode(), b"eyJ", b"refresh-secret", b"ana"):
        assert secret not in dump


async def test_a_session_lives_for_its_hour_and_no_longer(store: SessionStore, redis: FakeAsyncRedis) -> None:
    cookie = await store.create(a_session(store))
    assert TTL_S - 5 <= await redis.ttl(session_key(cookie)) <= TTL_S


async def test_without_a_refresh_token_a_session_ends_with_its_access_token(
    store: SessionStore, redis: FakeAsyncRedis
) -> None:
    short = a_session(store, refresh_token="").model_copy(update={"access_expires_at": time.time() + 60})
    cookie = await store.create(store.with_times(short))
    assert await redis.ttl(session_key(cookie)) <= 60


async def test_a_session_moved_to_another_key_cannot_be_read(store: SessionStore, redis: FakeAsyncRedis) -> None:
    ana, ben = await store.create(a_session(store)), await store.create(a_session(store, "ben"))
    await redis.copy(session_key(ana), session_key(ben), replace=True)
    assert await store.read(ben) is None


async def test_a_planted_session_cannot_be_read(store: SessionStore, redis: FakeAsyncRedis) -> None:
    for planted in (b"", b"x" * 200, a_session(store).model_dump_json().encode()):
        await redis.set(session_key("planted"), planted)
        assert await store.read("planted") is None


async def test_a_changed_byte_is_noticed() -> None:
    box = EncryptedBox(SECRET)
    sealed = box.seal(b"plain", b"place")
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1
        with pytest.raises(Unreadable):
            box.open(bytes(changed), b"place")


async def test_a_rotated_secret_keeps_people_logged_in_until_it_is_dropped(
    store: SessionStore, redis: FakeAsyncRedis
) -> None:
    cookie = await store.create(a_session(store))
    both = SessionStore(redis, EncryptedBox(OTHER_SECRET, SECRET), TTL_S)
    only_new = SessionStore(redis, EncryptedBox(OTHER_SECRET, ""), TTL_S)
    assert await both.read(cookie) is not None
    assert await only_new.read(cookie) is None


async def test_an_ended_session_is_not_brought_back_by_its_renewal(store: SessionStore) -> None:
    cookie = await store.create(a_session(store))
    await store.delete(cookie)
    assert not await store.renew(session_key(cookie), a_session(store))
    assert await store.read(cookie) is None


async def test_cookie_values_do_not_repeat(store: SessionStore) -> None:
    session = a_session(store)
    cookies = {await store.create(session) for _ in range(500)}
    assert len(cookies) == 500
    assert all(len(cookie) == 43 for cookie in cookies)  # 256 bits in base64url


@pytest.mark.parametrize("cookie", ["", "x" * 65, "x" * 100_000])
async def test_an_impossible_cookie_does_not_reach_redis(redis: FakeAsyncRedis, store: SessionStore, cookie: str) -> None:
    await redis.aclose()
    assert await store.read(cookie) is None


async def test_redis_out_of_reach_is_said_and_not_read_as_logged_out() -> None:
    server = FakeServer()
    server.connected = False
    store = SessionStore(FakeAsyncRedis(server=server), EncryptedBox(SECRET), TTL_S)
    with pytest.raises(Unavailable):
        await store.read("cookie")


def test_an_empty_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="APP_SECRET_KEY"):
        EncryptedBox("")
