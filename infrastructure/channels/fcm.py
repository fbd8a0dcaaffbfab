"""FCM by its HTTP v1 API. Source: https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send."""

import asyncio
import json
from typing import Any, Self

import httpx2
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import AsyncAssertionClient
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from pydantic import Field, SecretStr

from infrastructure.channels.http import Answer, call, read_outcome
from infrastructure.channels.push import (
    UNREGISTERED,
    as_json,
    device_at,
    fitted,
    lane,
    replaces,
    shown,
    ttl_s,
)
from infrastructure.ports import Content
from schemas.base import Record
from schemas.deliveries import DeliveryRecord
from schemas.outcomes import Dead, Outcome, Retry

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
MOST_BYTES = 4000  # of the message without its token; FCM takes 4096
_ANDROID = {"urgent": "high", "normal": "normal", "bulk": "normal"}
_APNS = {"urgent": "10", "normal": "5", "bulk": "1"}
# what is wrong with us, not with the message: it goes out once somebody has put it right
_OUR_OWN = {"PERMISSION_DENIED", "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"}


class ServiceAccount(Record):
    """The file Google hands out for a service account, as far as it is needed."""

    project_id: str
    client_email: str
    private_key_id: str = ""
    private_key: SecretStr = Field(repr=False)
    token_uri: str = "https://oauth2.googleapis.com/token"  # noqa: S105 - where tokens are made


class FcmTokens:
    """Access tokens for a service account (RFC 7523), one for all calls of its hour."""

    def __init__(self, account: ServiceAccount, timeout_s: float) -> None:
        self._client = AsyncAssertionClient(
            token_endpoint=account.token_uri,
            issuer=account.client_email,
            subject=None,
            audience=account.token_uri,
            scope=SCOPE,
            key=RSAKey.import_key(account.private_key.get_secret_value()),
            header={"alg": "RS256", "kid": account.private_key_id},
            timeout=timeout_s,
        )
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *why: object) -> None:
        await self._client.aclose()

    async def bearer(self) -> str | Retry:
        """The header's value, or why there is none: no byte of a message has left by then."""
        try:
            async with self._lock:
                if not self._client.token or self._client.token.is_expired():
                    await self._client.refresh_token()
                return f"Bearer {self._client.token['access_token']}"
        except (httpx2.HTTPError, AuthlibBaseError, JoseError, ValueError, KeyError) as error:
            self.forget()
            return Retry(f"fcm_token:{type(error).__name__}")

    def forget(self) -> None:
        """It was refused: the next call asks for another."""
        self._client.token = None


class Fcm:
    name, channel = "fcm", "push"

    def __init__(self, http: httpx2.AsyncClient, tokens: FcmTokens, api_url: str, project: str) -> None:
        self._http = http
        self._tokens = tokens
        self._url = f"{api_url.rstrip('/')}/v1/projects/{project}/messages:send"

    def destination(self, address: str) -> str | None:
        device = device_at(address, "fcm")
        return lane(self.name, device) if device else None

    async def send(self, delivery: DeliveryRecord, address: str, content: Content) -> Outcome:
        device = device_at(address, "fcm")
        if device is None:
            return Dead("address_unusable")
        bearer = await self._tokens.bearer()
        if isinstance(bearer, Retry):
            return bearer
        headers = {
            "Authorization": bearer,
            "Content-Type": "application/json",
            "x-carillon-delivery": delivery.delivery_id,
        }
        body = message(device.token, delivery, content)
        answer = await call(self._http, "POST", self._url, content=body, headers=headers)
        if not isinstance(answer, Answer):
            return answer
        if answer.status == 401:
            self._tokens.forget()
        return read_answer(answer)


def message(token: str, delivery: DeliveryRecord, content: Content) -> bytes:
    """Shown under a tag, so that a newer one, or a repeat, takes its place.

    Only a collapse key of the request becomes FCM's: of one device it keeps four at a time, and loses what is more.
    """
    title, url = shown(content)
    tag, ttl = replaces(delivery, content), ttl_s(content)
    android: dict[str, Any] = {"priority": _ANDROID[delivery.priority], "ttl": f"{ttl}s", "notification": {"tag": tag}}
    if content.collapse:
        android["collapse_key"] = content.collapse
    apns = {"headers": {"apns-collapse-id": tag, "apns-priority": _APNS[delivery.priority]}}
    data = {"id": delivery.delivery_id} | ({"url": url} if url else {})

    def sized(token: str, body: str) -> bytes:
        notification = ({"title": title} if title else {}) | {"body": body}
        told = {"token": token, "notification": notification, "data": data, "android": android, "apns": apns}
        return as_json({"message": told})

    return fitted(lambda body: sized(token, body), content.body, MOST_BYTES + len(token))


def read_answer(answer: Answer) -> Outcome:
    """https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode"""
    said = _said(answer)
    if 200 <= answer.status < 300:
        return read_outcome(answer, str(said.get("name") or "") or None)
    word = _error(said)
    if word == "UNREGISTERED":
        return Dead(UNREGISTERED, gone=True)
    if word in _OUR_OWN or answer.status == 401:
        return Retry(f"fcm_{word or answer.status}")
    outcome = read_outcome(answer)
    return Dead(f"fcm_{word}") if word and isinstance(outcome, Dead) else outcome


def _said(answer: Answer) -> dict[str, Any]:
    try:
        found = json.loads(answer.body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _error(said: dict[str, Any]) -> str:
    """FCM's own word stands in the details; the status beside it is Google's common one."""
    error = said.get("error")
    if not isinstance(error, dict):
        return ""
    details = error.get("details")
    own = [each.get("errorCode") for each in details if isinstance(each, dict)] if isinstance(details, list) else []
    return str(next((word for word in own if word), None) or error.get("status") or "")[:60]
