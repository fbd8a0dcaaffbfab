from typing import Any


def ok(data: Any, message: str = "", meta: dict[str, Any] | None = None) -> dict[str, Any]:
    """What every route under /api/v1 answers when it went well; `error` has its own writer in problems.py. `meta` is null
    where there is nothing beside the data, as the gateway had it (seed 001)."""
    return {"success": True, "data": data, "error": None, "message": message, "meta": meta}


def failed(error: dict[str, Any]) -> dict[str, Any]:
    """The same envelope around the members of a problem (RFC 9457)."""
    return {"success": False, "data": None, "error": error, "message": error["detail"] or error["title"], "meta": None}
