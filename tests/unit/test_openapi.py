"""The OpenAPI document is what is committed, and says of every route what its callers need."""

import json
import re
from collections import Counter
from difflib import unified_diff
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from jsonschema import Draft202012Validator

from api.batch import taken
from api.intake import Acceptance, Submission, read_request
from api.openapi import DOCUMENT, RENEW, as_text, document, operations
from api.openapi_data import DATA
from api.openapi_parts import EXAMPLES, REQUESTS, TAGS
from schemas.api_keys import ApiKey, SecretOfKey, described
from schemas.events import Position
from schemas.requests import NotificationRequest
from tests.matrix import flat, routes_of
from tests.product import an_app

DIFFERENT_LINES = 40


@pytest.fixture(name="app", scope="module")
def an_api() -> FastAPI:
    return an_app()


@pytest.fixture(name="found", scope="module")
def a_document(app: FastAPI) -> dict[str, Any]:
    return document(app)


def test_the_committed_document_is_the_one_the_code_makes(app: FastAPI) -> None:
    changes = list(unified_diff(DOCUMENT.read_text().splitlines(), as_text(app).splitlines(), "committed", "code", n=1))
    shown = "\n".join(changes[:DIFFERENT_LINES])
    assert not changes, f"docs/openapi.json is not what the code says; if the change is meant, `{RENEW}` renews it:\n{shown}"


def test_every_operation_has_a_stable_name_a_tag_and_a_description(app: FastAPI, found: dict[str, Any]) -> None:
    unnamed = [
        route.path
        for route in flat(app.routes)
        if isinstance(route, APIRoute) and route.include_in_schema and not route.operation_id
    ]
    assert not unnamed
    assert {f"{method.upper()} {path}" for path, method, _ in operations(found)} <= set(routes_of(app))
    names = Counter(operation["operationId"] for _, _, operation in operations(found))
    assert all(re.fullmatch(r"[a-z]+([A-Z][a-z0-9]+)*", name) for name in names)
    assert max(names.values()) == 1
    used = {tag for _, _, operation in operations(found) for tag in operation["tags"]}
    assert used == {tag["name"] for tag in TAGS}
    for path, method, operation in operations(found):
        assert operation["tags"], f"{method} {path}"
        assert operation["summary"], f"{method} {path}"
        assert operation.get("description"), f"{method} {path} has no docstring"


def test_every_reference_leads_somewhere(found: dict[str, Any]) -> None:
    references = set(re.findall(r'"\$ref": "([^"]+)"', json.dumps(found)))
    assert references
    for reference in references:
        place: Any = found
        for part in reference.removeprefix("#/").split("/"):
            assert part in place, reference
            place = place[part]


def test_every_door_with_a_caller_tells_of_limits_and_refusals(found: dict[str, Any]) -> None:
    guarded = [operation for _, _, operation in operations(found) if {"apiKey": []} in operation.get("security", ())]
    assert len(guarded) > 20
    for operation in guarded:
        assert {"401", "403", "429", "503"} <= operation["responses"].keys()
        assert operation["security"] == [{"bearer": []}, {"session": []}, {"apiKey": []}]
        success = next(answer for status, answer in operation["responses"].items() if status.startswith("2"))
        assert {"RateLimit", "RateLimit-Policy"} <= success["headers"].keys()
        assert "Retry-After" in operation["responses"]["429"]["headers"]


def test_a_refusal_has_the_shape_it_is_sent_in(found: dict[str, Any]) -> None:
    for path, _, operation in operations(found):
        enveloped = path.startswith("/api/v1/")
        media = "application/json" if enveloped else "application/problem+json"
        schema = {"$ref": f"#/components/schemas/{'ProblemEnvelope' if enveloped else 'Problem'}"}
        refusals = [answer for status, answer in operation["responses"].items() if status.startswith("4")]
        assert all(answer["content"] == {media: {"schema": schema}} for answer in refusals)


def test_every_answer_is_named_so_that_none_can_hide_behind_any_other(found: dict[str, Any]) -> None:
    assert not [path for path, _, operation in operations(found) if "default" in operation["responses"]]
    assert found["paths"]["/api/v1/notifications/"]["get"]["responses"].keys() >= {"200", "400", "401", "403", "404", "429"}


def test_the_legacy_headers_are_needed_together(found: dict[str, Any]) -> None:
    together: dict[str, list[str]] = {"legacyToken": [], "legacyTimestamp": [], "legacySignature": []}
    assert found["paths"]["/publish/{environment}"]["post"]["security"] == [together]


@pytest.mark.parametrize("name", REQUESTS)
def test_every_example_of_a_request_is_one(name: str) -> None:
    assert read_request(json.dumps(REQUESTS[name]["value"]).encode())


def test_the_examples_of_answers_have_the_members_of_answers() -> None:
    submission = Submission(NotificationRequest(to=["ana"], message="Hi"), "dev", "orders", "order-42-shipped")
    position = Position(topic="notifications.dev.requests", partition=0, offset=41)
    acceptance = Acceptance(submission, position, replayed=False)
    assert EXAMPLES["send"] == acceptance.described()
    assert EXAMPLES["sendBatch"]["items"][0] == {"index": 0, **taken(acceptance)}


def test_the_example_of_a_key_has_the_members_of_a_key() -> None:
    shown = EXAMPLES["createKey"]
    secret = SecretOfKey(hash="0" * 64, created_at=shown["created_at"])
    key = ApiKey.model_validate(
        {name: value for name, value in shown.items() if name not in ("key", "state", "secrets")} | {"secrets": (secret,)}
    )
    assert shown == described(key, key.created_at) | {"key": shown["key"]}


def test_every_noun_is_said_of_an_operation_that_exists(found: dict[str, Any]) -> None:
    assert DATA.keys() <= {operation["operationId"] for _, _, operation in operations(found)}


@pytest.mark.parametrize("name", sorted(DATA.keys() & EXAMPLES.keys()))
def test_an_example_of_an_answer_fits_its_schema(found: dict[str, Any], name: str) -> None:
    schema = DATA[name] | {"components": found["components"]}
    Draft202012Validator(schema).validate(EXAMPLES[name])


def test_nothing_of_this_deployment_is_in_the_document(found: dict[str, Any]) -> None:
    assert "servers" not in found
    assert not re.search(r"localhost|127\.0\.0\.1", json.dumps(found))
