"""Languages as BCP 47 writes them, and in which order texts are looked for (RFC 4647, section 3.4: lookup). Pure."""

import re
from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

_TAG = re.compile(r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")
_LONGEST = 35


def normal(tag: str) -> str:
    """`FR-ca` is `fr-CA`: tags are compared as text, so each has one spelling (RFC 5646, section 2.1.1)."""
    if len(tag) > _LONGEST or not _TAG.fullmatch(tag):
        raise ValueError(f"{tag[:_LONGEST]!r} is no BCP 47 language tag, as fr-CA is one")
    first, *others = tag.split("-")
    spelt, after_singleton = [first.lower()], False
    for part in others:
        spelt.append(part.lower() if after_singleton else _cased(part))
        after_singleton = after_singleton or len(part) == 1
    return "-".join(spelt)


def _cased(part: str) -> str:
    if len(part) == 2 and part.isalpha():
        return part.upper()
    return part.title() if len(part) == 4 and part.isalpha() else part.lower()


Locale = Annotated[
    str,
    StringConstraints(min_length=2, max_length=_LONGEST),
    AfterValidator(normal),
    Field(json_schema_extra={"pattern": _TAG.pattern, "examples": ["fr-CA"]}),
]


def locale_or_none(said: object) -> str | None:
    """What somebody else's system says a locale is, where it is one; some write `fr_CA` (OpenID Connect Core 5.1)."""
    if not isinstance(said, str):
        return None
    try:
        return normal(said.replace("_", "-"))
    except ValueError:
        return None


def looked_for(locale: str | None) -> Iterator[str]:
    """`fr-CA`, then `fr`; never a bare singleton, which would say nothing."""
    parts = locale.split("-") if locale else []
    while parts:
        if len(parts[-1]) > 1:
            yield "-".join(parts)
        parts.pop()
