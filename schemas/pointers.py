"""What pydantic found, as JSON pointers (RFC 6901). The offending value itself is never repeated."""

from pydantic import ValidationError

from schemas.events import FieldError
from schemas.legacy import LegacyField

MOST_NAMED = 20
"""More mistakes than this are counted, not listed: the answer must not outgrow what it answers."""


def field_errors(error: ValueError) -> tuple[FieldError, ...]:
    """One entry per field that is wrong; the empty pointer means the request as a whole."""
    if isinstance(error, ValidationError):
        found = error.errors(include_input=False, include_url=False)
        named = tuple(
            FieldError(pointer=_pointer(each["loc"]), detail=each["msg"].removeprefix("Value error, "))
            for each in found[:MOST_NAMED]
        )
        more = len(found) - MOST_NAMED
        return named if more <= 0 else (*named, FieldError(pointer="", detail=f"and {more} more"))
    pointer = error.pointer if isinstance(error, LegacyField) else ""
    detail = error.detail if isinstance(error, LegacyField) else str(error)
    return (FieldError(pointer=pointer, detail=detail),)


def _pointer(path: tuple[int | str, ...]) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
