"""The table of who gets what names every door, and nobody in it gets more than they should."""

import pytest

from tests.matrix import CALLERS, RENEW, as_text, differences, read_matrix, routes_of
from tests.product import an_app

# Doors that ask nobody who they are. A new one has to be added here by hand: that is the moment to think.
OPEN = {
    "GET /",
    "GET /inbox",
    "GET /ops",
    "GET /docs",
    "GET /redoc",
    "GET /api/v1/docs",
    "GET /api/v1/redoc",
    "GET /openapi.json",
    "GET /asyncapi",
    "GET /asyncapi.json",
    "GET /schemas/request.json",
    "GET /schemas/receipt.json",
    "GET /schemas/status.json",
    "GET /playground/config",
    "GET /livez",
    "GET /readyz",
    "GET /health",
    "GET /metrics",
    "GET /api/v1/auth/login",
    "GET /api/v1/auth/callback",
    "POST /api/v1/auth/logout",
    # the signed link is the credential, and the table knocks with one nobody signed
    "GET /unsubscribe/{token}",
    "POST /unsubscribe/{token}",
}
FOR_OPERATORS = ("/api/v1/ops/", "/api/v1/keys")
# A key may use these in its own environment, and they name no other.
NOT_OF_AN_ENVIRONMENT = {
    "GET /api/v1/auth/me",
    "GET /api/v1/ops/lag",
    "GET /api/v1/ops/groups",
    "POST /subscribe",
    "POST /send-notification",
}
# 200 with a verdict per request, each of them 403 for a foreign environment.
VERDICTS_INSIDE = {"POST /api/v1/notifications/batch"}

MATRIX = read_matrix()
GUARDED = sorted(MATRIX.keys() - OPEN)


def status(name: str, caller: str) -> int:
    return MATRIX[name][CALLERS.index(caller)]


def test_every_door_is_in_the_table_and_nothing_else() -> None:
    there = set(routes_of(an_app()))
    assert there - MATRIX.keys() == set(), f"new doors: measure who gets in with `{RENEW}`"
    assert MATRIX.keys() - there == set(), f"these doors are gone: `{RENEW}`"


@pytest.mark.parametrize("name", GUARDED)
def test_nobody_gets_in_without_a_credential(name: str) -> None:
    assert status(name, "anonymous") == (403 if name.startswith("WS ") else 401)


@pytest.mark.parametrize("name", [name for name in GUARDED if name.split()[1].startswith(FOR_OPERATORS)])
def test_only_operators_get_where_operators_work(name: str) -> None:
    assert (status(name, "owner"), status(name, "other")) == (403, 403)
    assert status(name, "operator") not in (401, 403)


@pytest.mark.parametrize("name", [name for name in GUARDED if "{notification_id}" in name or "{item_id}" in name])
def test_what_is_somebody_elses_is_not_there(name: str) -> None:
    """404, not 403: whether it exists is nobody else's business (S34). Operators' doors refuse before they look."""
    if not name.split()[1].startswith(FOR_OPERATORS):
        assert status(name, "owner") < 300
        assert status(name, "other") == 404


@pytest.mark.parametrize("name", sorted(set(GUARDED) - NOT_OF_AN_ENVIRONMENT - VERDICTS_INSIDE))
def test_a_key_of_another_environment_gets_in_nowhere(name: str) -> None:
    assert status(name, "other-env-key") in (401, 403, 404)


def test_no_door_breaks() -> None:
    assert not [name for name, statuses in MATRIX.items() if max(statuses) >= 500]


def test_a_difference_names_door_and_caller() -> None:
    expected = {"GET /a": (200, 404, 200, 401, 403)}
    found = {"GET /a": (200, 200, 200, 401, 403), "GET /b": (0, 0, 200, 0, 0)}
    assert differences(expected, found) == [
        "GET /a, other: 404 in the table, 200 now",
        "GET /b, operator: 0 in the table, 200 now",
    ]
    assert as_text(found).splitlines()[1].split() == ["GET", "/a", "200", "200", "200", "401", "403"]
