"""The process behind a preview: reads the order from its input, writes the texts, or the error with its line."""

import json
import resource
import sys
from contextlib import suppress
from typing import Any

from infrastructure.previewing import Order
from infrastructure.rendering import CannotRender, render

CPU_S = 3
MEMORY = 2 * 1024**3  # of addresses; a process begins with a few hundred MB of them


def _said(order: Order) -> dict[str, Any]:
    try:
        content = render(order.template, order.variables, locale=order.locale, channel=order.channel)
    except CannotRender as error:
        return {"part": error.part, "line": error.line, "reason": error.reason}
    return {"content": {"title": content.title, "body": content.body, "html": content.html, "url": content.url}}


def limit(cpu_s: int = CPU_S) -> None:
    """From now on this process has so much and no more."""
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    with suppress(ValueError, OSError):  # macOS does not know this one
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def main() -> int:
    limit()
    sys.stdout.write(json.dumps(_said(Order.model_validate_json(sys.stdin.buffer.read()))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
