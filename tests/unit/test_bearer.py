import base64
import hashlib
import hmac
import json
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from joserfc.jwk import RSAKey

from infrastructure.auth.bearer import LEEWAY_S, BearerVerifier, InvalidToken
from infrastructure.auth.jwks import Jwks
from tests.fakes.issuer import AUDIENCE, CLIENT_ID, ISSUER, FakeIssuer, a_key, a_set_of_claims, a_verifier

NOW = int(time.time())


@pytest.fixture(scope="module", name="issuer")
def an_issuer() -> FakeIssuer:
    return FakeIssuer()


@pytest.fixture(name="verifier")
async def a_warm_verifier(issuer: FakeIssuer) -> BearerVerifier:
    """One that has the issuer's keys, so that every later request would be a token's doing."""
    verifier = a_verifier(issuer)
    await verifier.verify(issuer.token())
    issuer.asked.clear()
    return verifier


async def test_a_good_token_says_who_calls_and_what_they_may(issuer: FakeIssuer, verifier: BearerVerifier) -> None:
    user = await verifier.verify(issuer.token())
    assert (user.id, user.sub, user.issuer, user.kind) == ("auth0|ana", "auth0|ana", ISSUER, "person")
    assert user.may("notifications:send")
    assert not user.may("ops:write")


async def test_a_machine_is_known_by_its_subject(issuer: FakeIssuer, verifier: BearerVerifier) -> None:
    user = await verifier.verify(issuer.token(sub="backend@clients"))
    assert user.kind == "machine"


async def test_the_profile_of_rfc_9068_is_read_too(issuer: FakeIssuer, verifier: BearerVerifier) -> None:
    token = issuer.sign({**a_set_of_claims(), "aud": AUDIENCE, "client_id": CLIENT_ID}, {"typ": "at+jwt"})
    assert (await verifier.verify(token)).id == "auth0|ana"


CLAIMS: list[dict[str, Any]] = [
    {"iss": None},
    {"iss": ISSUER.rstrip("/")},
    {"iss": "https://other.example/"},
    {"iss": [ISSUER]},
    {"aud": None},
    {"aud": CLIENT_ID},
    {"aud": f"{AUDIENCE}/"},
    {"aud": []},
    {"aud": [AUDIENCE, 7]},
    {"aud": {AUDIENCE: True}},
    {"exp": None},
    {"exp": NOW - LEEWAY_S - 60},
    {"exp": str(NOW + 3600)},
    {"exp": True},
    {"exp": float("inf")},
    {"exp": float("nan")},
    {"iat": None},
    {"iat": NOW + 3600},
    {"iat": "now"},
    {"nbf": NOW + 3600},
    {"nbf": "soon"},
    {"sub": None},
    {"sub": ""},
    {"sub": 7},
    {"sub": "ana\nbob"},
    {"sub": "a" * 256},
    {"permissions": "notifications:send"},
    {"permissions": [{"notifications": "send"}]},
    {"nonce": "n-0S6_WzA2Mj"},
    {"at_hash": "77QmUPtjPfzWtF2AnpK9RQ"},
]


@pytest.mark.parametrize("changed", CLAIMS, ids=str)
async def test_a_token_with_one_wrong_claim_is_refused(
    issuer: FakeIssuer, verifier: BearerVerifier, changed: dict[str, Any]
) -> None:
    with pytest.raises(InvalidToken):
        await verifier.verify(issuer.token(**changed))
    assert issuer.asked == []


HEADERS: list[dict[str, Any]] = [
    {"typ": None},
    {"typ": "ID"},
    {"typ": "logout+jwt"},
    {"jku": "https://evil.example/keys"},
    {"x5u": "https://evil.example/cert"},
    {"x5c": ["MIIB"]},
    {"jwk": {"kty": "RSA", "n": "AQAB", "e": "AQAB"}},
    {"crit": ["exp"]},
    {"b64": True},
    {"zip": "DEF"},
    {"kid": "unknown"},
    {"kid": "../../etc/passwd"},
    {"kid": "' OR 1=1 --"},
    {"kid": "https://evil.example/keys"},
    {"kid": 7},
    {"alg": "RS512"},
    {"alg": "PS256"},
]


@pytest.mark.parametrize("changed", HEADERS, ids=str)
async def test_a_header_cannot_choose_the_key_or_the_algorithm(
    issuer: FakeIssuer, verifier: BearerVerifier, changed: dict[str, Any]
) -> None:
    whole = {"alg": "RS256", "typ": "JWT", "kid": "first"}
    assert await verifier.verify(signed(whole, issuer.keys[0]))
    header = {name: value for name, value in {**whole, **changed}.items() if value is not None}
    with pytest.raises(InvalidToken):
        await verifier.verify(signed(header, issuer.keys[0]))
    assert issuer.asked == []


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", ""])
async def test_an_unsigned_token_is_refused(issuer: FakeIssuer, verifier: BearerVerifier, alg: str) -> None:
    for signature in ("", "AA"):
        with pytest.raises(InvalidToken):
            await verifier.verify(
                f"{encoded({'alg': alg, 'typ': 'JWT', 'kid': 'first'})}.{encoded(a_set_of_claims())}.{signature}"
            )
    assert issuer.asked == []


@pytest.mark.parametrize("form", ["PEM", "DER"])
async def test_the_public_key_is_no_shared_secret(issuer: FakeIssuer, verifier: BearerVerifier, form: str) -> None:
    public = issuer.keys[0].as_pem(private=False) if form == "PEM" else issuer.keys[0].as_der(private=False)
    content = f"{encoded({'alg': 'HS256', 'typ': 'JWT', 'kid': 'first'})}.{encoded(a_set_of_claims())}"
    signature = base64.urlsafe_b64encode(hmac.new(public, content.encode(), hashlib.sha256).digest()).rstrip(b"=").decode()
    with pytest.raises(InvalidToken):
        await verifier.verify(f"{content}.{signature}")


async def test_another_key_under_the_same_name_is_refused(issuer: FakeIssuer, verifier: BearerVerifier) -> None:
    with pytest.raises(InvalidToken):
        await verifier.verify(issuer.sign(a_set_of_claims(), key=a_key("first")))


async def test_a_changed_payload_is_refused(issuer: FakeIssuer, verifier: BearerVerifier) -> None:
    header, _, signature = issuer.token().split(".")
    with pytest.raises(InvalidToken):
        await verifier.verify(f"{header}.{encoded({**a_set_of_claims(), 'permissions': ['ops:write']})}.{signature}")


@pytest.mark.parametrize(
    "token",
    [
        *("", ".", "..", "a.b", "a.b.c.d", "a.b.c.d.e", "\x00.\x00.\x00", "é.é.é", "W10.W10.W10", "e30.e30.e30", "A" * 9000),
        f"{base64.urlsafe_b64encode(b'[' * 4000).decode()}.e30.e30",
    ],
    ids=lambda token: repr(token[:12]),
)
async def test_what_is_no_token_is_refused(issuer: FakeIssuer, verifier: BearerVerifier, token: str) -> None:
    with pytest.raises(InvalidToken):
        await verifier.verify(token)
    assert issuer.asked == []


async def test_without_an_audience_in_the_settings_no_token_fits(issuer: FakeIssuer) -> None:
    with pytest.raises(InvalidToken):
        await a_verifier(issuer, audience="").verify(issuer.token(aud=["", AUDIENCE]))


async def test_a_remembered_token_still_ends_at_its_time(issuer: FakeIssuer) -> None:
    now = [float(NOW)]
    verifier = BearerVerifier(Jwks(issuer.provider()), ISSUER, AUDIENCE, clock=lambda: now[0])
    token = issuer.token(exp=NOW + 20, iat=NOW)
    await verifier.verify(token)
    now[0] += 20 + LEEWAY_S + 1
    with pytest.raises(InvalidToken):
        await verifier.verify(token)


async def test_an_email_names_a_user_only_when_it_is_verified(issuer: FakeIssuer) -> None:
    verifier = BearerVerifier(Jwks(issuer.provider()), ISSUER, AUDIENCE, id_claim="email")
    assert (await verifier.verify(issuer.token(email="ana@example.com", email_verified=True))).id == "ana@example.com"
    with pytest.raises(InvalidToken):
        await verifier.verify(issuer.token(email="ana@example.com"))


def signed(header: dict[str, Any], key: RSAKey) -> str:
    """A token whose signature is right, whatever its header says: only the header can be what is refused."""
    content = f"{encoded(header)}.{encoded(a_set_of_claims())}"
    digest = SHA512() if header["alg"] == "RS512" else SHA256()
    private = key.private_key
    assert private is not None
    signature = private.sign(content.encode(), PKCS1v15(), digest)
    return f"{content}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
