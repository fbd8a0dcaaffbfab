import asyncio
from typing import Any

import pytest
from joserfc.jwk import OctKey

from infrastructure.auth.jwks import COOL_DOWN_S, FRESH_S, MAX_AGE_S, Jwks, UnknownKey
from infrastructure.auth.provider import MAX_DOCUMENT_BYTES, Provider, UntrustedProvider
from schemas.outcomes import Unavailable
from tests.fakes.issuer import ISSUER, FakeIssuer, a_key

JWKS_PATH = "/.well-known/jwks.json"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(name="issuer")
def an_issuer() -> FakeIssuer:
    return FakeIssuer()


@pytest.fixture(name="clock")
def a_clock() -> Clock:
    return Clock()


@pytest.fixture(name="jwks")
def a_key_set(issuer: FakeIssuer, clock: Clock) -> Jwks:
    return Jwks(issuer.provider(), clock)


def fetches(issuer: FakeIssuer) -> int:
    return issuer.asked.count(JWKS_PATH)


async def test_many_callers_share_one_fetch(issuer: FakeIssuer, jwks: Jwks) -> None:
    await asyncio.gather(*(jwks.key("first") for _ in range(50)))
    assert fetches(issuer) == 1


async def test_strange_key_ids_cause_one_fetch_per_cool_down(issuer: FakeIssuer, jwks: Jwks, clock: Clock) -> None:
    await jwks.key("first")
    for second in range(600):
        clock.now = 1000.0 + second
        with pytest.raises(UnknownKey):
            await jwks.key(f"strange-{second}")
    assert fetches(issuer) <= 600 / COOL_DOWN_S + 1


async def test_a_failed_fetch_cools_down_as_well(issuer: FakeIssuer, jwks: Jwks) -> None:
    issuer.away = True
    for _ in range(10):
        with pytest.raises(Unavailable):
            await jwks.key("first")
    assert len(issuer.asked) == 1


async def test_a_new_key_is_found_after_the_cool_down(issuer: FakeIssuer, jwks: Jwks, clock: Clock) -> None:
    await jwks.key("first")
    issuer.keys.append(a_key("second"))
    clock.now += COOL_DOWN_S + 1
    assert (await jwks.key("second")).kid == "second"


async def test_a_withdrawn_key_stops_working(issuer: FakeIssuer, jwks: Jwks, clock: Clock) -> None:
    await jwks.key("first")
    issuer.keys[:] = [a_key("second")]
    clock.now += FRESH_S + 1
    with pytest.raises(UnknownKey):
        await jwks.key("first")


async def test_known_keys_keep_working_while_the_provider_is_away(issuer: FakeIssuer, jwks: Jwks, clock: Clock) -> None:
    await jwks.key("first")
    issuer.away = True
    clock.now += FRESH_S + 1
    assert (await jwks.key("first")).kid == "first"
    clock.now += MAX_AGE_S
    with pytest.raises(Unavailable):
        await jwks.key("first")


async def test_keys_we_cannot_use_are_skipped(issuer: FakeIssuer, jwks: Jwks) -> None:
    good: dict[str, Any] = dict(issuer.keys[0].as_dict(private=False))
    issuer.jwks = {
        "keys": [
            "not a key",
            {"kty": "AKP", "kid": "post-quantum"},
            {"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"},
            {"kty": "RSA", "kid": "empty"},
            {**good, "kid": "for-encryption", "use": "enc"},
            {**good, "kid": "other-algorithm", "alg": "PS256"},
            {**good, "kid": None},
            {**good, "kid": "short", "n": good["n"][:171]},
            OctKey.generate_key(256, {"kid": "secret"}).as_dict(private=True),
            good,
        ]
    }
    assert (await jwks.key("first")).kid == "first"
    for kid in ("broken", "empty", "for-encryption", "other-algorithm", "short", "secret"):
        with pytest.raises(UnknownKey):
            await jwks.key(kid)


async def test_without_a_key_id_only_a_single_key_will_do(issuer: FakeIssuer, jwks: Jwks, clock: Clock) -> None:
    assert (await jwks.key(None)).kid == "first"
    issuer.keys.append(a_key("second"))
    clock.now += FRESH_S + 1
    with pytest.raises(UnknownKey):
        await jwks.key(None)


@pytest.mark.parametrize("excess", ["keys", "bytes", "shape"])
async def test_an_outsized_key_set_is_refused(issuer: FakeIssuer, jwks: Jwks, excess: str) -> None:
    good = issuer.keys[0].as_dict(private=False)
    sets = {"keys": {"keys": [good] * 51}, "bytes": {"keys": [good], "x": "x" * MAX_DOCUMENT_BYTES}, "shape": [good]}
    issuer.jwks = sets[excess]
    with pytest.raises(Unavailable):
        await jwks.key("first")


async def test_an_issuer_that_differs_by_a_slash_is_another_one(issuer: FakeIssuer) -> None:
    issuer.metadata["issuer"] = ISSUER.rstrip("/")
    with pytest.raises(UntrustedProvider):
        await issuer.provider().metadata()


@pytest.mark.parametrize("name", ["jwks_uri", "token_endpoint", "authorization_endpoint"])
async def test_every_address_of_the_provider_is_https(issuer: FakeIssuer, name: str) -> None:
    issuer.metadata[name] = "http://tenant.example/x"
    with pytest.raises(UntrustedProvider):
        await issuer.provider().metadata()


def test_a_provider_without_https_is_refused() -> None:
    for address in ("http://tenant.example/", "https:///", "ftp://tenant.example/", ""):
        with pytest.raises(UntrustedProvider):
            Provider(address)
