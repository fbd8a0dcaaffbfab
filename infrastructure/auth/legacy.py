"""The older service's door: a static token with HMAC-SHA256 over the time (v1) or over the whole request (v2). RFC 2104."""

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Literal

_TIMESTAMP = re.compile(r"[1-9][0-9]{9}", re.ASCII)  # unix seconds until the year 2286: no sign, no space, no fraction
_MAC = re.compile(r"[0-9a-f]{64}", re.ASCII)
_V2 = "v2,"
# a dot would let the parts of the signed text move into each other (Standard Webhooks forbids it as well)
_MESSAGE_ID = re.compile(r"[\x21-\x2d\x2f-\x7e]{1,200}", re.ASCII)


class Refused(Exception):
    """Who asks is not let in; the text may be shown and tells nothing about which tokens exist."""


@dataclass(frozen=True)
class SignedCall:
    """What arrived. Each header with all its values: a header that comes twice is nobody's honest request."""

    method: str
    target: bytes  # path and query as they were sent
    body: bytes
    tokens: tuple[str, ...]
    timestamps: tuple[str, ...]
    signatures: tuple[str, ...]
    message_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class LegacyCaller:
    """Who got in. `token` is a keyed hash of the token, `request` of everything that makes this the same request again."""

    token: str
    version: Literal[1, 2]
    message_id: str | None
    request: str


class LegacyKeys:
    """The tokens in force, two while one replaces the other."""

    def __init__(self, tokens: tuple[str, ...], *, server_key: bytes, window_s: int) -> None:
        self._tokens = tuple(token.encode() for token in tokens if token)
        self._server_key = server_key
        self._window_s = window_s

    @property
    def is_open(self) -> bool:
        return bool(self._tokens)

    def verify(self, call: SignedCall, *, now: float) -> LegacyCaller:
        """The caller, or `Refused`. An unknown token costs the same work as a known one and hears the same words."""
        token = _only(call.tokens, "token")
        timestamp = _only(call.timestamps, "x-timestamp")
        signature = _only(call.signatures, "x-signature")
        if not _TIMESTAMP.fullmatch(timestamp):
            raise Refused("x-timestamp must be a unix time in seconds, ten digits")
        if abs(now - int(timestamp)) > self._window_s:
            raise Refused(f"x-timestamp is more than {self._window_s} s away from the server's time, {int(now)}")
        message_id = _message_id(call) if signature.startswith(_V2) else None
        mac = signature.removeprefix(_V2)
        if not _MAC.fullmatch(mac):
            raise Refused("x-signature must be 64 lower-case hexadecimal digits, for v2 after 'v2,'")
        signed = timestamp.encode() if message_id is None else _signed_v2(call, message_id, timestamp)
        if not self._is_genuine(token, signed, mac):
            raise Refused("token or signature is wrong")
        return LegacyCaller(
            token=self._keyed(b"token", token.encode()),
            version=1 if message_id is None else 2,
            message_id=message_id,
            request=self._keyed(
                b"request", token.encode(), timestamp.encode(), call.method.encode(), call.target, call.body
            ),
        )

    def _is_genuine(self, token: str, signed: bytes, mac: str) -> bool:
        """Compares with every token in force, always with all of them and always to the end (CWE-208)."""
        presented = hashlib.sha256(token.encode("latin-1")).digest()  # headers are bytes; Starlette shows them as latin-1
        genuine = False
        for known in self._tokens:
            is_token = hmac.compare_digest(presented, hashlib.sha256(known).digest())
            expected = hmac.new(known, signed, hashlib.sha256).hexdigest()
            genuine |= is_token & hmac.compare_digest(expected.encode(), mac.encode())
        return genuine

    def _keyed(self, *parts: bytes) -> str:
        message = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        return hmac.new(self._server_key, b"carillon-legacy-v1" + message, hashlib.sha256).hexdigest()


def derived_request_id(caller: LegacyCaller) -> str:
    """For a caller who gives no id: the same request sent again is the same notification, whatever Redis remembers."""
    return caller.message_id or f"hmac-{caller.request}"


def _signed_v2(call: SignedCall, message_id: str, timestamp: str) -> bytes:
    """Standard Webhooks' text with method and path in front: `method\\npath?query\\nid.timestamp.body`."""
    return b"\n".join((call.method.encode(), call.target, f"{message_id}.{timestamp}.".encode() + call.body))


def _only(values: tuple[str, ...], name: str) -> str:
    if len(values) != 1 or not values[0]:
        raise Refused(f"exactly one header {name} is expected")
    return values[0]


def _message_id(call: SignedCall) -> str:
    given = set(call.message_ids)
    if len(given) != 1:
        raise Refused("a v2 signature needs one id, in the header webhook-id or x-request-id")
    message_id = given.pop()
    if not _MESSAGE_ID.fullmatch(message_id):
        raise Refused("the id of a v2 signature is 1 to 200 printable characters without spaces and dots")
    return message_id
