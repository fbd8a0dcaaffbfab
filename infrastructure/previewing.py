"""One rendering in a process of its own: what a template does there, it does to nobody else, and at most for seconds."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, JsonValue

from schemas.base import Record
from schemas.locales import Locale
from schemas.requests import Channel
from schemas.templates import Template

WALL_S = 10.0  # most of it is the start of a process on a busy machine; of computing it gets less (previewing_process.py)
ROOT = Path(__file__).parents[1]


class Order(Record):
    """What is to be rendered, for whom."""

    template: Template
    variables: dict[str, JsonValue] = Field(default_factory=dict)
    locale: Locale | None = None
    channel: Channel = "in_app"


class TooLong(Exception):
    """It was stopped."""


def previewed(order: Order) -> Mapping[str, Any]:
    """`{"content": …}` or `{"part", "line", "reason"}`. Blocks; raises `TooLong`."""
    said = in_a_process(("-m", "infrastructure.previewing_process"), order.model_dump_json().encode())
    found: Mapping[str, Any] = json.loads(said)
    return found


def in_a_process(arguments: Sequence[str], said: bytes, wall_s: float = WALL_S) -> bytes:
    """What another Python answers; in its environment there is no secret of ours to be found. Raises `TooLong`."""
    try:
        done = subprocess.run(  # noqa: S603 - our own module, and what comes from outside travels as its input
            [sys.executable, *arguments], input=said, capture_output=True, timeout=wall_s, cwd=ROOT, env={}, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise TooLong from error
    if done.returncode != 0:
        raise TooLong
    return done.stdout
