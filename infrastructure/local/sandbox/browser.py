"""Browsers that never were: subscriptions as a real one hands out, and the keys to read what is sent to them.

Their keys come from their names, so that the sandbox can read after a restart what was registered before it.
"""

import base64
import hashlib
from functools import lru_cache

import http_ece
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

_SECRETS = "carillon-sandbox-browser"


@lru_cache(maxsize=256)
def _private_key(name: str) -> ec.EllipticCurvePrivateKey:
    digest = hashlib.sha256(f"{_SECRETS}/key/{name}".encode()).digest()
    return ec.derive_private_key(int.from_bytes(digest) >> 1 or 1, ec.SECP256R1())


def _auth(name: str) -> bytes:
    return hashlib.sha256(f"{_SECRETS}/auth/{name}".encode()).digest()[:16]


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def subscription(sandbox: str, name: str) -> dict[str, object]:
    """What `PushSubscription.toJSON()` would say in the browser of that name."""
    point = (
        _private_key(name)
        .public_key()
        .public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    )
    return {
        "endpoint": f"{sandbox.rstrip('/')}/webpush/{name}",
        "expirationTime": None,
        "keys": {"p256dh": _base64url(point), "auth": _base64url(_auth(name))},
    }


def decrypted(name: str, body: bytes) -> str:
    """RFC 8291; raises `http_ece.ECEException` or `ValueError` for what was not encrypted for this browser."""
    text: bytes = http_ece.decrypt(body, private_key=_private_key(name), auth_secret=_auth(name), version="aes128gcm")
    return text.decode()
