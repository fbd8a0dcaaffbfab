"""What pydantic found, as JSON pointers (RFC 6901). The offending value itself is never repeated."""

from pydantic import ValidationError

from schemas.events import FieldError
from schemas.legacy import LegacyField


def field_errors(error: ValueError) -> tuple[FieldError, ...]:
    """One entry per field that is wrong; the empty pointer means the request as a whole."""
    if isinstance(error, ValidationError):
        return tuple(
            FieldError(pointer=_pointer(found["loc"]), detail=found["msg"].removeprefix("Value error, "))
            for found in error.errors(include_input=False, include_url=False)
        )
    pointer = error.pointer if isinstance(error, LegacyField) else ""
    detail = error.detail if isinstance(error, LegacyField) else str(error)
    return (FieldError(pointer=pointer, detail=detail),)


def _pointer(path: tuple[int | str, ...]) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
