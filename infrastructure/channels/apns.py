"""APNs over HTTP/2, by a signing key. Source: https://developer.apple.com/documentation/usernotifications."""

import base64
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import httpx2
from joserfc import jwt
from joserfc.jwk import ECKey

from infrastructure.channels.http import Answer, call, read_outcome
from infrastructure.channels.push import UNREGISTERED, as_json, device_at, fitted, lane, replaces, shown, ttl_s
from infrastructure.ports import Content
from schemas.deliveries import DeliveryRecord
from schemas.outcomes import Dead, Outcome, Retry

MOST_BYTES = 4096
_PRIORITY = {"urgent": "10", "normal": "5", "bulk": "1"}
_SIGNED_AGAIN_S = 50 * 60  # Apple refuses a token older than an hour, and one that changes within 20 minutes
# what is wrong with us, not with the message: it goes out once somebody has put it right
_OUR_OWN = {"ExpiredProviderToken", "InvalidProviderToken", "MissingProviderToken", "Forbidden"}
_EXPIRED = "ExpiredProviderToken"


@dataclass(frozen=True)
class ApnsKey:
    """The signing key of a team: what the .p8 file holds, and its names."""

    pem: str
    key_id: str
    team_id: str


class ApnsTokens:
    """The provider token, made anew before it is an hour old."""

    def __init__(self, key: ApnsKey, clock: Callable[[], float] = time.time) -> None:
        self._key = ECKey.import_key(key.pem)
        self._names = key
        self._clock = clock
        self._made_at = 0.0
        self._token = ""

    def bearer(self) -> str:
        if not self._token or self._clock() - self._made_at > _SIGNED_AGAIN_S:
            self._made_at = self._clock()
            header = {"alg": "ES256", "kid": self._names.key_id}
            claims = {"iss": self._names.team_id, "iat": int(self._made_at)}
            self._token = jwt.encode(header, claims, self._key, algorithms=["ES256"])
        return f"bearer {self._token}"

    def forget(self) -> None:
        """It was refused as too old, whatever our clock says."""
        self._token = ""


class Apns:
    name, channel = "apns", "push"

    def __init__(self, http: httpx2.AsyncClient, tokens: ApnsTokens, url: str, topic: str) -> None:
        self._http = http
        self._tokens = tokens
        self._url = url.rstrip("/")
        self._topic = topic

    def destination(self, address: str) -> str | None:
        device = device_at(address, "apns")
        return lane(self.name, device) if device else None

    async def send(self, delivery: DeliveryRecord, address: str, content: Content) -> Outcome:
        device = device_at(address, "apns")
        if device is None:
            return Dead("address_unusable")
        headers = {
            "authorization": self._tokens.bearer(),
            "apns-id": apns_id(delivery),
            "apns-push-type": "alert",
            "apns-topic": self._topic,
            "apns-collapse-id": replaces(delivery, content),
            "apns-priority": _PRIORITY[delivery.priority],
            "apns-expiration": str(int(time.time()) + ttl_s(content)),
            "content-type": "application/json",
            "x-carillon-delivery": delivery.delivery_id,
        }
        body = payload(delivery, content)
        answer = await call(self._http, "POST", f"{self._url}/3/device/{device.token}", content=body, headers=headers)
        if not isinstance(answer, Answer):
            return answer
        if reason_of(answer) == _EXPIRED:
            self._tokens.forget()
        return read_answer(answer, headers["apns-id"])


def apns_id(delivery: DeliveryRecord) -> str:
    """A UUID made of the delivery's id: every attempt has the same, and it says which delivery it was."""
    text = delivery.delivery_id.removeprefix("dlv_").upper()
    try:
        return str(uuid.UUID(bytes=base64.b32decode(text + "=" * (-len(text) % 8))))
    except ValueError:  # no id of ours, as in tests
        return str(uuid.uuid5(uuid.NAMESPACE_OID, delivery.delivery_id))


def payload(delivery: DeliveryRecord, content: Content) -> bytes:
    title, url = shown(content)
    known = {"id": delivery.delivery_id} | ({"url": url} if url else {})

    def sized(body: str) -> bytes:
        alert = ({"title": title} if title else {}) | {"body": body}
        return as_json({"aps": {"alert": alert, "sound": "default"}} | known)

    return fitted(sized, content.body, MOST_BYTES)


def read_answer(answer: Answer, sent_as: str) -> Outcome:
    """https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns

    `BadDeviceToken` does not say that the device is gone: with the wrong APNS_URL it is the answer for every one of them.
    """
    reason = reason_of(answer)
    if answer.status == 410:
        return Dead(UNREGISTERED, gone=True)
    if reason in _OUR_OWN:
        return Retry(f"apns_{reason}")
    outcome = read_outcome(answer, sent_as)
    return Dead(f"apns_{reason}") if reason and isinstance(outcome, Dead) else outcome


def reason_of(answer: Answer) -> str:
    try:
        found = json.loads(answer.body)
    except ValueError:
        return ""
    return str(found.get("reason") or "")[:60] if isinstance(found, dict) else ""
