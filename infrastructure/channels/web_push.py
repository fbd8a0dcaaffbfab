"""Web Push (RFC 8030) to browsers: encrypted for the browser alone (RFC 8291), signed with our VAPID key (RFC 8292)."""

import time
from collections import OrderedDict
from urllib.parse import urlsplit

import httpx2
from pywebpush import WebPusher

from infrastructure.channels.guarded import NotPublic, refused
from infrastructure.channels.http import Answer, call, read_outcome
from infrastructure.channels.push import UNREGISTERED, as_json, device_at, fitted, lane, replaces, shown, ttl_s
from infrastructure.channels.vapid import vapid_of
from infrastructure.ports import Content
from schemas.deliveries import DeliveryRecord
from schemas.devices import Device, NotAPushService, push_service
from schemas.outcomes import Dead, Outcome

MOST_BYTES = 3993  # of text: encrypted, with header and tag, these are the 4096 every push service takes
_URGENCY = {"urgent": "high", "normal": "normal", "bulk": "low"}
_SIGNED_FOR_S, _SIGNED_AGAIN_S = 12 * 3600, 6 * 3600
_ORIGINS = 100


class WebPush:
    """Calls what browsers have registered, so it calls through a guarded client and only the hosts that are allowed."""

    name, channel = "web_push", "push"

    def __init__(
        self, guarded: httpx2.AsyncClient, private_key: str, subject: str, hosts: tuple[str, ...], local: str = ""
    ) -> None:
        self._http = guarded
        self._vapid = vapid_of(private_key)
        self._subject = subject
        self._hosts = hosts
        self._local = local
        self._signed: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def destination(self, address: str) -> str | None:
        device = device_at(address, "web")
        return lane(urlsplit(device.token).hostname or "", device) if device else None

    async def send(self, delivery: DeliveryRecord, address: str, content: Content) -> Outcome:
        device = device_at(address, "web")
        if device is None or device.keys is None:
            return Dead("address_unusable")
        try:
            push_service(device.token, self._hosts, self._local)
        except NotAPushService:
            return refused()
        headers = {
            "Authorization": self._signature(device.token),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(ttl_s(content)),
            "Topic": replaces(delivery, content),
            "Urgency": _URGENCY[delivery.priority],
            "x-carillon-delivery": delivery.delivery_id,
        }
        try:
            body = encrypted(device, payload(delivery, content))
        except ValueError:  # its public key is no point of the curve
            return Dead("address_unusable")
        try:
            answer = await call(self._http, "POST", device.token, content=body, headers=headers)
        except NotPublic:
            return refused()
        return read_answer(answer) if isinstance(answer, Answer) else answer

    def _signature(self, endpoint: str) -> str:
        """One for each push service, used for hours: its time of issue is nobody's business but ours."""
        parts = urlsplit(endpoint)
        origin, now = f"{parts.scheme}://{parts.netloc}", time.time()
        made_at, header = self._signed.get(origin, (0.0, ""))
        if now - made_at > _SIGNED_AGAIN_S:
            claims = {"aud": origin, "sub": self._subject, "exp": int(now) + _SIGNED_FOR_S}
            header = self._vapid.sign(claims)["Authorization"]
            self._signed[origin] = (now, header)
            if len(self._signed) > _ORIGINS:
                self._signed.popitem(last=False)
        return header


def payload(delivery: DeliveryRecord, content: Content) -> bytes:
    """What the page's service worker gets: enough for `showNotification` and for opening the right page."""
    title, url = shown(content)
    known = {"id": delivery.delivery_id, "title": title, "url": url, "tag": replaces(delivery, content)}
    return fitted(lambda body: as_json(known | {"body": body}), content.body, MOST_BYTES)


def encrypted(device: Device, text: bytes) -> bytes:
    keys = device.keys.model_dump() if device.keys else {}
    return bytes(WebPusher({"endpoint": device.token, "keys": keys}).encode(text, "aes128gcm")["body"])


def read_answer(answer: Answer) -> Outcome:
    """RFC 8030 section 7.3: a subscription that has ended is 404, or 410."""
    if answer.status in (404, 410):
        return Dead(UNREGISTERED, gone=True)
    return read_outcome(answer)
