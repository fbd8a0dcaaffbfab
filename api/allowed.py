"""Which methods a path is served with: what the `Allow` of a 405 has to list (RFC 9110 section 10.2.1)."""

from collections.abc import Iterable, Iterator

from fastapi import Request
from starlette.routing import BaseRoute, Match


def methods_at(request: Request) -> str:
    """All of them; the router itself names only those of the first route that has this path."""
    here = [route for route in _flat(request.app.routes) if route.matches(request.scope)[0] is not Match.NONE]
    # `/batch` also fits `/{id}`: what counts is the path that was written first, as for any request
    nearest = [route for route in here if getattr(route, "path", "") == getattr(here[0], "path", "")]
    return ", ".join(sorted({method for route in nearest for method in getattr(route, "methods", None) or ()}))


def _flat(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    """An included router is one entry, which has its routes inside."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        yield from _flat(inner.routes) if inner is not None else (route,)
