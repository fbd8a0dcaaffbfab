"""Strange calls at every door of the running product: no 5xx, and no answer that docs/openapi.json does not tell of.

The same by hand, against `make run`: `python -m tests.fuzzing`; it looks longer, and differently each time.
"""

from collections.abc import Mapping

import pytest

from infrastructure.local.processes import Child
from tests.fuzzing.__main__ import run

# Bounded and repeatable: the document's examples, each boundary of each value, and a few random calls.
BOUNDED = (
    "--seed",
    "6",
    "--max-examples",
    "4",
    "--no-color",
    "--warnings",
    "off",
)


async def test_no_call_breaks_the_api_or_is_answered_otherwise_than_documented(
    api: str, workers: Child, variables: Mapping[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert await run(api, variables, *BOUNDED) == 0, capfd.readouterr().out
