"""A service's token as older clients make them: signed by hand, so that nothing of ours judges its own work."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

SECRET = "a-shared-secret-of-the-old-gateway-and-its-callers-0123456789-abc"
SERVICE = "shop"
HASHES = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}


def a_service_token(
    *, secret: bytes | str = SECRET, alg: str = "HS256", header: dict[str, Any] | None = None, **claims: Any
) -> str:
    """A claim or header parameter that is None is left out; the signature is right, whatever stands inside."""
    now = int(time.time())
    said = {"sub": SERVICE, "iat": now, "exp": now + 3600, **claims}
    head = {"alg": alg, "typ": "JWT", **(header or {})}
    content = f"{encoded(head)}.{encoded(said)}"
    key = secret.encode() if isinstance(secret, str) else secret
    mac = hmac.new(key, content.encode(), HASHES.get(alg, hashlib.sha256)).digest()
    return f"{content}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def encoded(part: dict[str, Any]) -> str:
    kept = {name: value for name, value in part.items() if value is not None}
    return base64.urlsafe_b64encode(json.dumps(kept).encode()).rstrip(b"=").decode()
