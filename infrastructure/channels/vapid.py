"""The key pair by which push services know us (VAPID, RFC 8292)."""

import base64
from functools import lru_cache

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from py_vapid import Vapid02, b64urlencode


class BadVapidKey(ValueError):
    """The private key cannot be read."""


@lru_cache(maxsize=4)
def vapid_of(private_key: str) -> Vapid02:
    """From 32 raw bytes in base64url, as every Web Push library writes it; raises `BadVapidKey`."""
    try:
        raw = base64.urlsafe_b64decode(private_key + "=" * (-len(private_key) % 4))
        return Vapid02(ec.derive_private_key(int.from_bytes(raw), ec.SECP256R1()))
    except ValueError as error:
        raise BadVapidKey("VAPID_PRIVATE_KEY is 32 random bytes in base64url: carillon vapid makes one") from error


def public_key_of(private_key: str) -> str | None:
    """What browsers call `applicationServerKey`; None without a private key."""
    if not private_key:
        return None
    point = vapid_of(private_key).public_key.public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    return str(b64urlencode(point))


def new_private_key() -> str:
    number = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value
    return base64.urlsafe_b64encode(number.to_bytes(32)).decode().rstrip("=")
