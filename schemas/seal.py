"""How route knows that a record came through one of our own entrances: a keyed hash only they can make."""

import hashlib
import hmac


def seal(key: bytes, topic: str, request_id: str, producer: str, value: bytes) -> str:
    """HMAC-SHA256 (RFC 2104) over where a request goes, whose it is, and its bytes."""
    parts = (topic.encode(), request_id.encode(), producer.encode(), value)
    message = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return hmac.new(key, b"carillon-entrance-v1" + message, hashlib.sha256).hexdigest()


def is_sealed(key: bytes, mark: str, topic: str, request_id: str, producer: str, value: bytes) -> bool:
    return hmac.compare_digest(mark.encode(), seal(key, topic, request_id, producer, value).encode())
