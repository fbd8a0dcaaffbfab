"""One-click unsubscribe links (RFC 8058): a signed sentence that says who no longer wants what, and nothing more."""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Sequence

from schemas.base import Record
from schemas.topics import Environment


class UnsubscribeScope(Record):
    """What a link switches off: one category on one channel, for one person in one environment."""

    environment: Environment
    person: str
    category: str
    channel: str = "email"


def link_token(key: bytes, scope: UnsubscribeScope) -> str:
    """Safe in a path. Whoever holds it can do what it says, and cannot make another."""
    said = json.dumps([scope.environment, scope.person, scope.category, scope.channel], separators=(",", ":")).encode()
    return f"{_text(said)}.{_text(_signature(key, said))}"


def read_token(keys: Sequence[bytes], token: str) -> UnsubscribeScope | None:
    """None for everything that we did not sign with one of these keys."""
    try:
        said, signature = (_bytes(part) for part in token.split("."))
    except (ValueError, binascii.Error):
        return None
    if not any(hmac.compare_digest(signature, _signature(key, said)) for key in keys):
        return None
    environment, person, category, channel = json.loads(said)
    return UnsubscribeScope(environment=environment, person=person, category=category, channel=channel)


def _signature(key: bytes, said: bytes) -> bytes:
    """HMAC-SHA256 (RFC 2104); the prefix keeps it apart from what the same key seals elsewhere."""
    return hmac.new(key, b"carillon-unsubscribe-v1\x00" + said, hashlib.sha256).digest()


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if _text(raw) != text:  # one spelling per token
        raise ValueError("not base64url")
    return raw
