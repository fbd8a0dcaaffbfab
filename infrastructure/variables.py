"""A type's variables against its JSON Schema (2020-12). Whoever may write types must not be able to hold up a worker:
schemas are small, refer only to their own `$defs`, never in a circle, and their patterns are matched in linear time."""

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from jsonschema.validators import extend
from pydantic_core import SchemaError as PatternError
from pydantic_core import SchemaValidator, core_schema
from pydantic_core import ValidationError as NoMatch

from infrastructure.shapes import depth_of, nodes_in
from schemas.events import FieldError

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MAX_SCHEMA_BYTES = 16 * 1024
MAX_SCHEMA_DEPTH = 16
MAX_SCHEMA_NODES = 2_000  # with every $ref written out
MAX_WORK = 1_000_000  # nodes of the schema times nodes of the variables: about a second at the very worst
MAX_PATTERN = 200
MOST_NAMED = 20

_POINTS_ELSEWHERE = {"$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$vocabulary"}
_NOT_OURS = {"patternProperties": "it is matched in a way that can take for ever; name the properties"}
_LITERAL = {"const", "enum", "default", "examples"}  # what stands below them is no schema


class BadSchema(ValueError):
    """A `variables_schema` that cannot be used; `pointer` is the place within it."""

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(detail)
        self.pointer, self.detail = pointer, detail


def check_schema(schema: Mapping[str, Any]) -> None:
    """Raises `BadSchema`. The limits come first: nothing walks what has not been found small."""
    if depth_of(schema) > MAX_SCHEMA_DEPTH:
        raise BadSchema("", f"nested deeper than {MAX_SCHEMA_DEPTH} levels")
    if len(json.dumps(schema)) > MAX_SCHEMA_BYTES:
        raise BadSchema("", f"more than {MAX_SCHEMA_BYTES} bytes as JSON")
    if schema.get("$schema", DIALECT) not in (DIALECT, DIALECT + "#"):
        raise BadSchema("/$schema", f"only {DIALECT} is understood")
    for pointer, keyword, value in _keywords(schema, ""):
        _check_keyword(pointer, keyword, value)
    try:
        Draft202012Validator.check_schema(dict(schema))
    except SchemaError as error:
        raise BadSchema(_pointer(error.absolute_path), error.message[:300]) from error
    if _written_out(schema) > MAX_SCHEMA_NODES:
        raise BadSchema("", f"larger than {MAX_SCHEMA_NODES} parts with every $ref written out")


def check_variables(schema: Mapping[str, Any] | None, variables: Mapping[str, Any]) -> tuple[FieldError, ...]:
    """What is wrong with a request's variables, each with the pointer of its field; nothing where there is no schema."""
    if schema is None:
        return ()
    validator, parts = _validator(json.dumps(schema))
    if parts * nodes_in(variables) > MAX_WORK:
        return (FieldError(pointer="/variables", detail="too many values to be checked against the type's schema"),)
    found: list[FieldError] = []
    for error in validator.iter_errors(variables):
        if len(found) == MOST_NAMED:
            return (*found, FieldError(pointer="/variables", detail="and more"))
        found.append(_field_error(error))
    return tuple(found)


def declared_by(schema: Mapping[str, Any]) -> frozenset[str] | None:
    """The names a schema knows; None when it says itself that there may be others."""
    names: set[str] = set()
    for part in _side_by_side(schema, schema):
        if part.get("additionalProperties", False) is not False:
            return None
        names |= set(part.get("properties", {}))
    return frozenset(names)


def _side_by_side(schema: Any, root: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The schema and whatever it applies to the same value."""
    if not isinstance(schema, Mapping):
        return
    yield schema
    for each in (*(part for name in ("allOf", "anyOf", "oneOf") for part in schema.get(name, ())),):
        yield from _side_by_side(each, root)
    for name in ("if", "then", "else"):
        yield from _side_by_side(schema.get(name), root)
    for each in schema.get("dependentSchemas", {}).values():
        yield from _side_by_side(each, root)
    if (reference := schema.get("$ref")) is not None:
        yield from _side_by_side(_target(root, reference), root)


def _keywords(schema: Any, pointer: str) -> Iterator[tuple[str, str, Any]]:
    """Every keyword of a schema and of those within it. Names below `properties` and `$defs` are no keywords."""
    if isinstance(schema, list):
        for number, each in enumerate(schema):
            yield from _keywords(each, f"{pointer}/{number}")
    if not isinstance(schema, Mapping):
        return
    for keyword, value in schema.items():
        here = f"{pointer}/{_escaped(keyword)}"
        yield here, keyword, value
        if keyword in _LITERAL:
            continue
        if keyword in ("properties", "$defs", "definitions", "dependentSchemas") and isinstance(value, Mapping):
            for name, each in value.items():
                yield from _keywords(each, f"{here}/{_escaped(name)}")
        else:
            yield from _keywords(value, here)


def _check_keyword(pointer: str, keyword: str, value: Any) -> None:
    if keyword in _POINTS_ELSEWHERE or (keyword == "$ref" and not str(value).startswith("#/$defs/")):
        raise BadSchema(pointer, 'only a "$ref" to "#/$defs/…" of the schema itself is followed')
    if keyword in _NOT_OURS:
        raise BadSchema(pointer, f"{keyword} is not supported: {_NOT_OURS[keyword]}")
    if keyword == "pattern":
        _check_pattern(pointer, value)


def _check_pattern(pointer: str, pattern: Any) -> None:
    if not isinstance(pattern, str) or len(pattern) > MAX_PATTERN:
        raise BadSchema(pointer, f"a pattern is a text of at most {MAX_PATTERN} characters")
    try:
        _compiled(pattern)
    except PatternError as error:
        raise BadSchema(pointer, "no regular expression of the linear kind (no look-around, no back-references)") from error


def _written_out(schema: Mapping[str, Any]) -> int:
    """How many parts there are with every $ref in its place. Raises `BadSchema` for one that leads nowhere or back."""
    known: dict[str, int] = {}
    under_way: set[str] = set()

    def size(part: Any) -> int:
        found = 1
        for _, keyword, value in _keywords(part, ""):
            found += nodes_in(value) if keyword in _LITERAL else of(str(value)) if keyword == "$ref" else 1
        return found

    def of(reference: str) -> int:
        if reference in under_way:
            raise BadSchema("", f"{reference} leads back to itself")
        if reference not in known:
            under_way.add(reference)
            known[reference] = size(_target(schema, reference))
            under_way.discard(reference)
        return known[reference]

    return size(schema)


def _target(root: Mapping[str, Any], reference: str) -> Any:
    part: Any = root
    for name in reference.removeprefix("#/").split("/"):
        found = name.replace("~1", "/").replace("~0", "~")
        if not isinstance(part, Mapping) or found not in part:
            raise BadSchema("", f"{reference} leads nowhere")
        part = part[found]
    return part


@lru_cache(maxsize=500)
def _compiled(pattern: str) -> SchemaValidator:
    """By Rust's engine, which needs no more than one look at each character."""
    return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))


def _pattern(_validator_: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str):
        try:
            _compiled(pattern).validate_python(instance)
        except NoMatch:
            yield ValidationError(f"does not match {pattern}")


def _unique(_validator_: Any, wanted: bool, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    """jsonschema compares each with each where values cannot be sorted."""
    if (
        wanted
        and isinstance(instance, list)
        and len({json.dumps(_plain(each), sort_keys=True) for each in instance}) < len(instance)
    ):
        yield ValidationError("has the same item twice")


def _required(_validator_: Any, names: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    """Like jsonschema's own, but the error stands at the field that is missing."""
    if isinstance(instance, dict):
        yield from (ValidationError("is missing", path=(name,)) for name in names if name not in instance)


def _additional(validator: Any, schema: Any, instance: Any, whole: Any) -> Iterator[ValidationError]:
    """Likewise at the field that is too much; without `patternProperties`, which no schema here has."""
    for name in instance if isinstance(instance, dict) else ():
        if name not in whole.get("properties", {}):
            if schema is False:
                yield ValidationError("is nothing the schema knows", path=(name,))
            elif schema is not True:
                yield from validator.descend(instance[name], schema, path=name)


def _plain(value: Any) -> Any:
    """JSON knows one kind of number: 1.0 is 1."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


_Ours = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {"pattern": _pattern, "uniqueItems": _unique, "required": _required, "additionalProperties": _additional},
)


@lru_cache(maxsize=500)
def _validator(schema: str) -> tuple[Any, int]:
    read = json.loads(schema)
    return _Ours(read), _written_out(read)


def _field_error(error: ValidationError) -> FieldError:
    """The value itself is not repeated: receipts and answers carry no personal data."""
    worst = best_match([error]) or error
    return FieldError(pointer="/variables" + _pointer(worst.absolute_path), detail=_said(worst))


def _said(error: ValidationError) -> str:
    if error.validator in ("required", "additionalProperties"):
        return str(error.message)
    return f"does not satisfy {error.validator}: {json.dumps(error.validator_value, ensure_ascii=False)[:200]}"


def _pointer(path: Any) -> str:
    return "".join(f"/{_escaped(str(part))}" for part in path)


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
