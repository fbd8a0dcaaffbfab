"""What is published about Kafka and the records on it: committed under docs/, served by this API, the same bytes.

`python -m api.openapi_renew` writes the files; a test compares them with the code.
"""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from schemas import asyncapi, published

FOLDER = Path(__file__).parents[1] / "docs"

FILES: dict[str, Callable[[], dict[str, Any]]] = {
    "request.schema.json": published.request_schema,
    "receipt.schema.json": published.receipt_schema,
    "status.schema.json": published.status_event_schema,
    "asyncapi.json": asyncapi.document,
}


@cache
def as_text(name: str) -> str:
    return json.dumps(FILES[name](), indent=1, ensure_ascii=False) + "\n"
