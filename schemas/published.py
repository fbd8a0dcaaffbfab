"""The JSON Schemas (2020-12) producers in any language may hold their requests, and what we tell them, against. Pure.

Made from the models every entrance reads with, in the form people should write. The models take a little more (`LENIENT`)
and know what no schema can say (`UNSAYABLE`); a test holds that nothing else tells the two apart.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, cast

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from schemas.base import Value
from schemas.events import Receipt, StatusEvent
from schemas.requests import MAX_RECIPIENTS, CancelRequest, NotificationRequest, RescheduleRequest

Node = dict[str, Any]

DIALECT = GenerateJsonSchema.schema_dialect
IN_ITSELF = "#/$defs/{model}"
MOMENT = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})$"
MOMENT_OR_WALL = MOMENT.replace("(Z|", "(|Z|")
SHORT_SPAN = "^[0-9]{1,9}[smhd]$"
ADDRESS = r"^[^@\s]+@[^@\s]+$"
ISO_SPAN = r"^P(?=.)(\d{1,9}D)?(T(?=.)(\d{1,9}H)?(\d{1,9}M)?(\d{1,9}S)?)?$"

UNSAYABLE = (
    "sizes in bytes: 256 KiB a request, 128 KiB a message",
    "nesting deeper than 32 levels, integers beyond 2^53 - 1, the same key twice, half of a surrogate pair",
    "whether what looks like a date is one, or what looks like an e-mail address",
    "the bounds of a span that is written as text, and that a digest's max is no shorter than its window",
    "what a deployment knows: its environments, types, templates, channels, Slack targets, and who may ask for what",
)

BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum"}
LENIENT = (
    "moments and spans in other spellings: lower case, 01:30:00",
    "the bodies of the older services (docs/migration.md)",
)

_SPAN = TypeAdapter(timedelta)
REQUESTS: tuple[type[Value], ...] = (NotificationRequest, CancelRequest, RescheduleRequest)


class AsWritten(GenerateJsonSchema):
    """Spans and moments as people write them; no titles that repeat the names of fields."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def timedelta_schema(self, schema: core_schema.TimedeltaSchema) -> JsonSchemaValue:
        short = {"type": "string", "pattern": SHORT_SPAN, "examples": ["90s", "15m", "1d"]}
        iso = {"type": "string", "pattern": ISO_SPAN, "examples": ["PT15M"]}
        return {"anyOf": [short, iso, {"type": "number", "description": "Seconds"}]}

    def datetime_schema(self, schema: core_schema.DatetimeSchema) -> JsonSchemaValue:
        return {"type": "string", "format": "date-time", "pattern": MOMENT}


def request_schema() -> Node:
    """A request as it stands in a body or in a record: to send, to take back, or to move."""
    return {
        "$schema": DIALECT,
        "title": "Carillon request",
        "description": "What POST /api/v1/notifications and notifications.{env}.requests take; over HTTP, rescheduling has a"
        " route of its own.",
        "$comment": f"Not said here and checked: {'; '.join(UNSAYABLE)}. Not said here and taken: {'; '.join(LENIENT)}.",
        "anyOf": [{"$ref": IN_ITSELF.format(model=model.__name__)} for model in REQUESTS],
        "$defs": request_models(IN_ITSELF),
    }


def request_models(ref_template: str) -> Node:
    """The models of requests and what they are made of, by name; `ref_template` says where they will stand."""
    found = models(REQUESTS, ref_template)
    _say_the_short_forms(found)
    _say_what_excludes_what(found)
    return found


def models(wanted: Iterable[type[BaseModel]], ref_template: str) -> Node:
    """The schemas of these and of what they are made of, by name."""
    asked = [(model, "validation") for model in wanted]
    _, found = models_json_schema(asked, schema_generator=AsWritten, ref_template=ref_template)  # type: ignore[arg-type]
    _say_what_pydantic_leaves(found)
    return cast(Node, found["$defs"])


def receipt_schema() -> Node:
    """What `notifications.{env}.receipts` holds. A field not known here may come with a newer version."""
    return _alone(Receipt)


def status_event_schema() -> Node:
    """What `notifications.{env}.status` holds."""
    return _alone(StatusEvent)


def _alone(model: type[Any]) -> Node:
    found: Node = model.model_json_schema(schema_generator=AsWritten)
    return {"$schema": DIALECT, **found}


def _say_what_pydantic_leaves(node: Any) -> None:
    """It writes a span's bounds as `"le": "P7D"`, which no validator knows: what is said in seconds can be bounded.

    And an address has at least an @.
    """
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _say_what_pydantic_leaves(inner)
    if not isinstance(node, dict):
        return
    if node.get("format") == "email":
        node["pattern"] = ADDRESS
    for ours, keyword in BOUNDS.items():
        if isinstance(node.get(ours), str):
            node["anyOf"][-1][keyword] = _SPAN.validate_python(node.pop(ours)).total_seconds()


def _say_the_short_forms(found: Node) -> None:
    """A text is a person, one target needs no list, a text is a message: the model makes the long forms of them."""
    properties = found["NotificationRequest"]["properties"]
    person = {**found["PersonTarget"]["properties"]["user"], "description": "A person"}
    target = [person, *properties["to"]["items"]["anyOf"]]
    several = {"type": "array", "items": {"anyOf": target}, "minItems": 1, "maxItems": MAX_RECIPIENTS}
    properties["to"] = {"anyOf": [*target, several]}
    properties["message"]["anyOf"].insert(0, {**found["Message"]["properties"]["body"], "description": "Its body"})
    for request in ("NotificationRequest", "RescheduleRequest"):
        found[request]["properties"]["send_at"]["pattern"] = MOMENT_OR_WALL


def _say_what_excludes_what(found: Node) -> None:
    """The rules between fields, where null is as good as absent."""
    request, digest = found["NotificationRequest"], found["Digest"]
    request["anyOf"] = [_given("message"), _given("template"), _given("type")]
    request["not"] = _given("message", "template")
    digest["not"] = {**_given("max"), "required": ["max", "mode"]}
    digest["not"]["properties"]["mode"] = {"const": "fixed"}


def _given(*names: str) -> Node:
    return {"required": [*names], "properties": {name: {"not": {"type": "null"}} for name in names}}
