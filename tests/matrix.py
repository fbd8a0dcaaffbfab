"""Who gets what at which door: a row per route, a column per caller, the status each is answered with.

`python -m tests.matrix` prints the table. `python -m tests.matrix renew` measures it anew, on the product in memory, and
writes it to tests/matrix.txt; read the difference before you commit it: that is what the table is for.
"""

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, WebSocketRoute

TABLE = Path(__file__).parent / "matrix.txt"
RENEW = "python -m tests.matrix renew"
RENEWING = "CARILLON_RENEW_MATRIX"

CALLERS = ("owner", "other", "operator", "anonymous", "other-env-key")
"""Whose notification it is; another person; an operator; nobody; a key with every permission, of another environment."""

Matrix = Mapping[str, tuple[int, ...]]

# The pages and schemas that FastAPI serves itself.
BY_FASTAPI = {"/openapi.json"}


# On the product in memory these say nothing: they ask how Kafka is, or never end. Their rows are kept as they are written;
# the run on the real stack holds them too.
ON_THE_STACK_ALONE = ("GET /readyz", "GET /health", "GET /api/v1/notifications/stream", "GET /api/v1/ops/topics", "WS ")


def routes_of(app: FastAPI) -> list[str]:
    """Every door of the application, as the table names it: `GET /path`, `WS /path`."""
    return [name for route in flat(app.routes) for name in _names(route)]


def flat(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    """FastAPI keeps an included router as one entry; ours are included without a prefix of their own."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        yield from flat(inner.routes) if inner is not None else (route,)


def _names(route: BaseRoute) -> Iterable[str]:
    if isinstance(route, APIRoute):
        return [f"{method} {route.path_format}" for method in sorted(route.methods or ())]
    if isinstance(route, WebSocketRoute):
        return [f"WS {route.path}"]
    return [f"GET {path}" for path in BY_FASTAPI if getattr(route, "path", "") == path]


def read_matrix() -> Matrix:
    rows = (line.split() for line in TABLE.read_text().splitlines() if line and not line.startswith("#"))
    return {f"{method} {path}": tuple(map(int, statuses)) for method, path, *statuses in rows}


def as_text(matrix: Matrix) -> str:
    width = max(map(len, (name.partition(" ")[2] for name in matrix)))
    head = f"# {'route':<{width + 5}}  {'  '.join(CALLERS)}"
    rows = [head]
    for name in sorted(matrix, key=lambda each: each.partition(" ")[::-1]):
        method, _, path = name.partition(" ")
        cells = "  ".join(f"{status:<{len(caller)}}" for caller, status in zip(CALLERS, matrix[name], strict=True))
        rows.append(f"{method:<6} {path:<{width}}  {cells}".rstrip())
    return "\n".join(rows) + "\n"


def differences(expected: Matrix, found: Matrix) -> list[str]:
    """One line per door where somebody is answered otherwise than the table says."""
    return [
        f"{name}, {caller}: {was} in the table, {now} now"
        for name in found
        for caller, was, now in zip(CALLERS, expected.get(name, (0,) * len(CALLERS)), found[name], strict=True)
        if was != now
    ]


def main() -> int:
    if sys.argv[1:] == ["renew"]:
        measure = [sys.executable, "-m", "pytest", "-q", "tests/unit/test_every_door.py", "-k", "table"]
        return subprocess.run(measure, env={**os.environ, RENEWING: "1"}, check=False).returncode
    print(TABLE.read_text(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
