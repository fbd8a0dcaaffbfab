"""Tokens that services sign with a shared secret: who is taken for whom, and the attacks (RFC 8725)."""

import base64
import json
import time
from typing import Any

import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from infrastructure.auth.bearer import LEEWAY_S, InvalidToken
from infrastructure.auth.service_tokens import ServiceTokens
from infrastructure.settings import Settings
from schemas.service_tokens import SHORTEST_SECRET
from tests.fakes.issuer import AUDIENCE, FakeIssuer, a_verifier
from tests.service_token import SECRET, SERVICE, a_service_token

NOW = int(time.time())
DAY = 86_400


def some_settings(**changes: Any) -> Settings:
    told: dict[str, Any] = {
        "deployment": "local",
        "app_secret_key": "k" * 32,
        "auth0_audience": AUDIENCE,
        "jwt_secret_key": SECRET,
        "jwt_services": {SERVICE: ("notifications:send",), "news": ("notifications:send", "notifications:broadcast")},
    }
    return Settings(_env_file=None, **(told | changes))


def the_tokens(**changes: Any) -> ServiceTokens:
    return ServiceTokens(some_settings(**changes), clock=lambda: NOW)


def a_token(**changes: Any) -> str:
    return a_service_token(**{"iat": NOW, "exp": NOW + 3600, **changes})


def test_a_token_names_a_service_which_may_do_what_the_settings_grant() -> None:
    shop = the_tokens().verify(a_token())
    assert (shop.id, shop.producer, shop.kind, shop.environment) == ("service:shop", "shop", "service", "dev")
    assert shop.permissions == {"notifications:send"}
    assert the_tokens().verify(a_token(sub="news")).may("notifications:broadcast")


def test_what_a_token_claims_to_be_allowed_counts_nothing() -> None:
    greedy = a_token(permissions=["ops:write", "notifications:broadcast"], scope="ops:write", role="admin")
    assert the_tokens().verify(greedy).permissions == {"notifications:send"}


def test_its_environment_is_the_settings_and_not_the_tokens() -> None:
    assert the_tokens(jwt_environment="test").verify(a_token(environment="dev")).environment == "test"


def test_an_issuer_that_writes_no_iat_and_no_typ_is_understood() -> None:
    assert the_tokens().verify(a_token(iat=None, header={"typ": None})).producer == SERVICE


@pytest.mark.parametrize("alg", SHORTEST_SECRET)
def test_each_algorithm_is_taken_where_it_is_the_one_configured(alg: str) -> None:
    assert the_tokens(jwt_algorithm=alg).verify(a_token(alg=alg)).producer == SERVICE
    for other in SHORTEST_SECRET.keys() - {alg}:
        with pytest.raises(InvalidToken, match="algorithm"):
            the_tokens(jwt_algorithm=alg).verify(a_token(alg=other))


def test_the_secret_before_a_rotation_still_counts_and_no_third() -> None:
    tokens = the_tokens(jwt_secret_key="the-next-shared-secret-0123456789abcdef", jwt_secret_key_previous=SECRET)
    assert tokens.verify(a_token()).producer == SERVICE
    assert tokens.verify(a_token(secret="the-next-shared-secret-0123456789abcdef")).producer == SERVICE
    with pytest.raises(InvalidToken):
        tokens.verify(a_token(secret="somebody-elses-secret-0123456789abcdef"))


WRONG: list[dict[str, Any]] = [
    {"sub": None},
    {"sub": ""},
    {"sub": "stranger"},
    {"sub": "Shop"},
    {"sub": "shop "},
    {"sub": ["shop"]},
    {"sub": {"shop": 1}},
    {"sub": "auth0|ana"},
    {"sub": "550e8400-e29b-41d4-a716-446655440000"},
    {"exp": None},
    {"exp": NOW - LEEWAY_S},
    {"exp": str(NOW + 60)},
    {"exp": True},
    {"exp": float("inf")},
    {"exp": float("nan")},
    {"exp": NOW + DAY + LEEWAY_S + 1},
    {"exp": NOW + DAY + LEEWAY_S + 1, "iat": None},
    {"exp": NOW + 60, "iat": NOW - 2 * DAY},
    {"iat": NOW + LEEWAY_S + 1},
    {"iat": "now"},
    {"nbf": NOW + LEEWAY_S + 1},
    {"nbf": "soon"},
    {"aud": "https://another.example"},
    {"aud": []},
    {"nonce": "n-0S6_WzA2Mj"},
    {"at_hash": "77QmUPtjPfzWtF2AnpK9RQ"},
]


@pytest.mark.parametrize("changed", WRONG, ids=str)
def test_one_wrong_claim_is_enough_to_be_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(InvalidToken):
        the_tokens().verify(a_token(**changed))


def test_an_audience_that_is_named_has_to_be_ours() -> None:
    assert the_tokens().verify(a_token(aud=[AUDIENCE])).producer == SERVICE
    with pytest.raises(InvalidToken):
        the_tokens(auth0_audience="").verify(a_token(aud=""))


@pytest.mark.parametrize(
    "header",
    [
        {"kid": "../../dev/null"},
        {"jku": "https://evil.example/keys"},
        {"x5u": "https://evil.example/cert"},
        {"jwk": {"kty": "oct", "k": "AAAA"}},
        {"crit": ["exp"]},
        {"b64": False},
        {"zip": "DEF"},
        {"typ": "ID"},
        {"typ": "logout+jwt"},
        {"alg": "RS256"},
        {"alg": "ES256"},
        {"alg": "hs256"},
        {"alg": ["HS256"]},
        {"alg": None},
    ],
    ids=str,
)
def test_a_header_chooses_neither_key_nor_algorithm(header: dict[str, Any]) -> None:
    with pytest.raises(InvalidToken):
        the_tokens().verify(a_token(header=header))


@pytest.mark.parametrize("alg", ["none", "None", "nOnE", "", None])
def test_an_unsigned_token_is_refused(alg: str | None) -> None:
    content = a_token(header={"alg": alg}).rpartition(".")[0]
    for signature in ("", "AA"):
        with pytest.raises(InvalidToken):
            the_tokens().verify(f"{content}.{signature}")


@pytest.mark.parametrize("secret", ["", "0", SECRET.upper(), SECRET + "\n", SECRET[:-1], base64.b64encode(SECRET.encode())])
def test_another_secret_is_refused(secret: str | bytes) -> None:
    with pytest.raises(InvalidToken):
        the_tokens().verify(a_token(secret=secret))


def test_a_changed_payload_or_a_cut_signature_is_refused() -> None:
    head, _, signature = a_token().split(".")
    for token in (f"{head}.{a_token(sub='news').split('.')[1]}.{signature}", f"{a_token()[:-4]}", f"{a_token()}AAAA"):
        with pytest.raises(InvalidToken):
            the_tokens().verify(token)


async def test_each_path_refuses_the_tokens_of_the_other() -> None:
    """The confusion of algorithms (RFC 8725 section 3.1): the provider's public key as a shared secret opens nothing."""
    issuer = FakeIssuer()
    with pytest.raises(InvalidToken):
        the_tokens().verify(issuer.token(sub=SERVICE))
    with pytest.raises(InvalidToken):
        await a_verifier(issuer).verify(a_token(iss=issuer.issuer, aud=AUDIENCE))
    for public in (issuer.keys[0].as_pem(private=False), issuer.keys[0].as_der(private=False)):
        forged = a_token(secret=public, iss=issuer.issuer, aud=AUDIENCE)
        with pytest.raises(InvalidToken):
            the_tokens().verify(forged)
        with pytest.raises(InvalidToken):
            await a_verifier(issuer).verify(forged)


@pytest.mark.parametrize("token", ["", ".", "a.b", "a.b.c.d", "é.é.é", "A" * 9000, "W10.W10.W10", "e30.e30.e30"])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidToken):
        the_tokens().verify(token)


def test_a_payload_that_is_no_object_is_refused() -> None:
    head = a_token().partition(".")[0]
    content = f"{head}.{base64.urlsafe_b64encode(json.dumps(['shop']).encode()).decode()}"
    with pytest.raises(InvalidToken):
        the_tokens().verify(f"{content}.AAAA")


@pytest.mark.parametrize(
    "token",
    [a_service_token(), a_service_token(alg="HS512"), a_service_token(secret="")],
    ids=["HS256", "HS512", "empty secret"],
)
def test_without_a_secret_in_the_settings_the_door_is_shut(token: str) -> None:
    closed = the_tokens(jwt_secret_key="", jwt_secret_key_previous=SECRET)
    assert not closed.claims_to_be_one(token)
    with pytest.raises(InvalidToken):
        closed.verify(token)


def test_a_secret_without_a_service_lets_nobody_in_and_says_so() -> None:
    with capture_logs() as logged:
        nobody = the_tokens(jwt_services={})
    assert [line["event"] for line in logged] == ["service_tokens.nobody"]
    with pytest.raises(InvalidToken):
        nobody.verify(a_token())


WEAK: list[tuple[dict[str, Any], str]] = [
    ({"jwt_secret_key": "short"}, "JWT_SECRET_KEY must be at least 32 random bytes"),
    ({"jwt_secret_key": "abcdefgh" * 4, "jwt_algorithm": "HS384"}, "JWT_SECRET_KEY must be at least 48"),
    ({"jwt_secret_key": "abcdefgh" * 7, "jwt_algorithm": "HS512"}, "JWT_SECRET_KEY must be at least 64"),
    ({"jwt_secret_key": "0" * 64}, "JWT_SECRET_KEY repeats"),
    (
        {"jwt_secret_key": "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A"},
        "JWT_SECRET_KEY is the text of a key",
    ),
    (
        {"jwt_secret_key": "one-secret-for-everything-0123456789", "api_token": "one-secret-for-everything-0123456789"},
        "another",
    ),
    ({"jwt_secret_key_previous": "short"}, "JWT_SECRET_KEY_PREVIOUS must be"),
    ({"jwt_algorithm": "RS256"}, "jwt_algorithm"),
    ({"jwt_algorithm": "none"}, "jwt_algorithm"),
    ({"jwt_environment": "prod"}, "JWT_ENVIRONMENT=prod is not among"),
    ({"jwt_services": {"shop": ["ops:read"]}}, "jwt_services"),
    ({"jwt_services": {"shop": ["people:write"]}}, "jwt_services"),
    ({"jwt_services": {"shop": []}}, "jwt_services"),
    ({"jwt_services": {"auth0|ana": ["notifications:send"]}}, "jwt_services"),
    ({"jwt_services": {"user:ana": ["notifications:send"]}}, "jwt_services"),
    ({"jwt_lifetime_max_s": 0}, "jwt_lifetime_max_s"),
]


@pytest.mark.parametrize(("changes", "reason"), WEAK)
def test_the_start_is_refused_with_the_reason_and_without_the_secret(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason) as refused:
        some_settings(**changes)
    assert changes.get("jwt_secret_key", "MIIBIjAN") not in str(refused.value)
