"""The OpenAPI document: what FastAPI knows of the routes, with what every answer of this API has in common.

`python -m api.openapi_renew` writes it to docs/openapi.json; a test compares the two.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.envelope import ok
from api.openapi_data import NOUNS, answer_of
from api.openapi_parts import (
    ALSO,
    BODIES,
    DESCRIPTION,
    ENVELOPE,
    ENVELOPED_PROBLEM,
    EXAMPLES,
    HEADERS,
    LEGACY_SCHEMES,
    LIMITED,
    PLAIN_PROBLEM,
    PROBLEMS,
    REFUSALS,
    REQUIRED_HEADERS,
    SUCCESSES,
    TAGS,
    schemas_of_bodies,
)
from api.problems import ENVELOPED

DOCUMENT = Path(__file__).parents[1] / "docs" / "openapi.json"
RENEW = "python -m api.openapi_renew"

Node = dict[str, Any]


def describe(app: FastAPI) -> None:
    """From now on the app serves our document instead of FastAPI's."""
    app.openapi = lambda: _cached(app)  # type: ignore[method-assign]


def _cached(app: FastAPI) -> Node:
    app.openapi_schema = app.openapi_schema or document(app)
    return app.openapi_schema


def document(app: FastAPI) -> Node:
    found = get_openapi(title="Carillon", version="1", description=DESCRIPTION, routes=app.routes, tags=TAGS)
    components = found.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas |= (
        {"Problem": PLAIN_PROBLEM, "ProblemEnvelope": ENVELOPED_PROBLEM, "Envelope": ENVELOPE} | schemas_of_bodies() | NOUNS
    )
    components["headers"] = HEADERS
    for path, _, operation in operations(found):
        _give_a_title(operation)
        _join_legacy_headers(operation)
        _name_the_body(operation)
        _require_headers(operation)
        _tell_answers(path, operation)
    used = {tag for _, _, operation in operations(found) for tag in operation["tags"]}
    found["tags"] = [tag for tag in TAGS if tag["name"] in used]
    return found


def operations(found: Node) -> Iterator[tuple[str, str, Node]]:
    """Every operation of a document with its path and method."""
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _give_a_title(operation: Node) -> None:
    """The operation's id as words: `markAllRead` is titled "Mark all read", whatever the function is called."""
    words = re.sub(r"(?<=[a-z])([A-Z])", lambda found: " " + found[1].lower(), operation["operationId"])
    operation["summary"] = words[0].upper() + words[1:]


def _join_legacy_headers(operation: Node) -> None:
    """The three belong together; listed one by one they would be alternatives."""
    if any(LEGACY_SCHEMES & scheme.keys() for scheme in operation.get("security", ())):
        operation["security"] = [{scheme: [] for scheme in sorted(LEGACY_SCHEMES)}]


def _name_the_body(operation: Node) -> None:
    """The routes that read their bodies themselves: the schema is the model they read with."""
    if operation.get("operationId") in BODIES:
        operation["requestBody"] = {"required": True, "content": {"application/json": BODIES[operation["operationId"]]}}


def _require_headers(operation: Node) -> None:
    """Those whose lack has a status of its own, so that the route looks for them itself."""
    for parameter in operation.get("parameters", ()):
        if parameter["name"] == REQUIRED_HEADERS.get(operation["operationId"]):
            parameter["required"] = True


def _tell_answers(path: str, operation: Node) -> None:
    answers: Node = operation["responses"]
    enveloped, limited = path.startswith(ENVELOPED), _is_limited(operation)
    answers.pop("422", None)  # FastAPI's own shape
    for status, answer in answers.items():
        if not status.startswith("2"):
            continue
        answer["description"] = SUCCESSES.get(status, answer["description"])
        if limited:
            answer.setdefault("headers", {}).update(_references("headers", LIMITED))
        if enveloped and "application/json" in answer.get("content", {}):
            answer["content"]["application/json"]["schema"] = answer_of(operation["operationId"])
            if (example := EXAMPLES.get(operation["operationId"])) is not None:
                answer["content"]["application/json"]["example"] = ok(example)
    usual = next(iter(answers.values()))
    for status, description in ALSO.get(operation["operationId"], {}).items():
        answers[status] = {"description": description} if status == "304" else {**usual, "description": description}
    for status in _refusals(operation, limited=limited):
        answers.setdefault(status, _problem(status, enveloped=enveloped))


def _is_limited(operation: Node) -> bool:
    """The doors with a principal; the legacy one keeps its own rules."""
    return any(not LEGACY_SCHEMES & scheme.keys() for scheme in operation.get("security", ()))


def _refusals(operation: Node, *, limited: bool) -> list[str]:
    """Which problems an operation may answer with, by what it asks for."""
    parameters = operation.get("parameters", [])
    statuses: set[str] = set()
    if "security" in operation:
        statuses |= {"401", "503"}
    if limited:
        statuses |= {"403", "429"}
    if "requestBody" in operation:
        statuses |= {"400", "413", "422"}
    if parameters:
        statuses |= {"422"}
    if any(each["in"] == "path" or each["name"] == "environment" for each in parameters):
        statuses |= {"404"}
    if any(each["name"] == "cursor" for each in parameters):
        statuses |= {"400"}
    return sorted(statuses | REFUSALS.get(operation.get("operationId", ""), set()))


def _problem(status: str, *, enveloped: bool) -> Node:
    kind, media = ("ProblemEnvelope", "application/json") if enveloped else ("Problem", "application/problem+json")
    answer: Node = {
        "description": PROBLEMS[status],
        "content": {media: {"schema": {"$ref": f"#/components/schemas/{kind}"}}},
    }
    if status in ("429", "503"):
        answer["headers"] = _references("headers", ("Retry-After", *(LIMITED if status == "429" else ())))
    return answer


def _references(kind: str, names: tuple[str, ...]) -> Node:
    return {name: {"$ref": f"#/components/{kind}/{name}"} for name in names}


def as_text(app: FastAPI) -> str:
    return json.dumps(document(app), indent=1, ensure_ascii=False) + "\n"
