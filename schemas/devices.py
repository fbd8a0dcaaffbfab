"""The devices a person is reached on by push: what is known of each, and what a browser or an app tells of itself. Pure."""

import base64
import binascii
import ipaddress
import re
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints

from schemas.base import Record, UtcDatetime, Value
from schemas.ids import device_id

DeviceKind = Literal["web", "fcm", "apns"]
_HOST = re.compile(r"^(?:[a-z0-9_-]+\.)+[a-z0-9-]+$")  # what every reader of an address reads alike
MAX_DEVICES = 20
"""Of one person; a further one is refused, because the person who wonders why a phone fell silent is not there to ask."""

ANY_HOST = "*"
NO_DEVICE = "no_device"
DEVICE_GONE = "device_gone"
"""It was removed, or belongs to somebody else by now: whoever shares a browser does not read the earlier person's."""


TOO_MANY_DEVICES = "too_many_devices"
"""The plan is full: some of the person's devices get nothing of it."""


class NotAPushService(ValueError):
    """An endpoint that no push service of a browser would have handed out."""


def _bytes_of(length: int, what: str) -> AfterValidator:
    def check(value: str) -> str:
        try:
            found = base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"{what} is base64url as a browser gives it") from error
        if len(found) != length:
            raise ValueError(f"{what} is {length} bytes, not {len(found)}")
        return value

    return AfterValidator(check)


class WebPushKeys(Value):
    """RFC 8291 section 2: the browser's public key (a point on P-256) and the secret it shares with the sender."""

    p256dh: Annotated[str, Field(max_length=120, repr=False), _bytes_of(65, "p256dh")]
    auth: Annotated[str, Field(max_length=40, repr=False), _bytes_of(16, "auth")]


class Subscription(Value):
    """What `PushSubscription.toJSON()` says in a browser."""

    endpoint: Annotated[str, StringConstraints(min_length=1, max_length=2000, pattern=r"^https?://[!-~]+$")]
    keys: WebPushKeys
    expirationTime: float | None = None  # noqa: N815 - the browser's own word  # pylint: disable=invalid-name


Label = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]


class _Told(Value):
    label: Label | None = None


class WebDevice(_Told):
    """A browser, by its push subscription."""

    kind: Literal["web"]
    subscription: Subscription

    @property
    def token(self) -> str:
        return self.subscription.endpoint


class FcmDevice(_Told):
    """An app by its FCM registration token."""

    kind: Literal["fcm"]
    token: Annotated[str, StringConstraints(min_length=10, max_length=4096, pattern=r"^[A-Za-z0-9_:.=-]+$")]


class ApnsDevice(_Told):
    """An app by its APNs device token, in hexadecimal."""

    kind: Literal["apns"]
    token: Annotated[str, StringConstraints(min_length=64, max_length=200, pattern=r"^(?:[0-9A-Fa-f]{2})+$")]


NewDevice = Annotated[WebDevice | FcmDevice | ApnsDevice, Field(discriminator="kind")]


class Device(Record):
    """One device of one person. What lets somebody send to it is never shown and never logged."""

    id: str
    kind: DeviceKind
    token: str = Field(repr=False)
    keys: WebPushKeys | None = Field(default=None, repr=False)
    label: str | None = None
    added_at: UtcDatetime
    last_ok_at: UtcDatetime | None = None

    @property
    def address(self) -> str:
        """What an adapter is handed to send to it."""
        return self.model_dump_json(include={"id", "kind", "token", "keys", "added_at", "last_ok_at"})

    @property
    def shown(self) -> dict[str, Any]:
        """What anybody is shown of it, its owner too."""
        return self.model_dump(mode="json", include={"id", "kind", "label", "added_at", "last_ok_at"})


def device_of(told: WebDevice | FcmDevice | ApnsDevice, now: datetime) -> Device:
    """The id is the token's hash: the same browser is the same device, whoever says so and however often."""
    keys = told.subscription.keys if isinstance(told, WebDevice) else None
    token = told.token.lower() if told.kind == "apns" else told.token
    return Device(id=device_id(told.kind, token), kind=told.kind, token=token, keys=keys, label=told.label, added_at=now)


def named(devices: Iterable[Device], wanted: str) -> Device | None:
    return next((device for device in devices if device.id == wanted), None)


def push_service(endpoint: str, hosts: Collection[str], local: str = "") -> str:
    """The host of an endpoint we would call; raises `NotAPushService`.

    Whoever registers says where we are to send to: https on its own port, a name (no address), one of `hosts` or below it.
    `local` is the one origin on loopback that a local deployment's sandbox has.
    """
    try:
        parts = urlsplit(endpoint)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError as error:
        raise NotAPushService("not an address") from error
    if local and f"{parts.scheme}://{parts.netloc}" == local.rstrip("/"):
        return host
    if parts.scheme != "https" or port not in (None, 443) or "@" in parts.netloc:
        raise NotAPushService("an endpoint is https on port 443, without a name and password")
    if not _HOST.match(host) or _is_address(host):
        raise NotAPushService("an endpoint is on a named host")
    if ANY_HOST not in hosts and not any(host == known or host.endswith(f".{known}") for known in hosts):
        raise NotAPushService(f"{host} is none of the push services known here (WEB_PUSH_HOSTS)")
    return host


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host.replace(".", "").isdigit() or host.lower().startswith("0x")
    return True


def within(endpoints: Sequence[str], room: int) -> tuple[tuple[str, ...], bool]:
    """As many endpoints as a plan has room for beyond the first, and whether some were left out."""
    taken = tuple(endpoints[: 1 + max(0, room)])
    return taken, len(taken) < len(endpoints)
