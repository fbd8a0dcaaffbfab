"""When two requests are the same: the body hash, taken after the legacy mapping and before anything is decided."""

import hashlib
from typing import Any

import rfc8785

from schemas.requests import NotificationRequest


def canonical_body(request: NotificationRequest) -> dict[str, Any]:
    """The request without its id and environment, defaults dropped, recipients sorted."""
    body = request.model_dump(mode="json", exclude={"request_id", "environment"}, exclude_defaults=True)
    body["to"] = sorted(body["to"], key=rfc8785.dumps)
    return body


def body_hash(request: NotificationRequest) -> str:
    """SHA-256 over canonical JSON (RFC 8785)."""
    return hashlib.sha256(rfc8785.dumps(canonical_body(request))).hexdigest()
