"""Slack by bot token. Unlike a webhook it can be asked afterwards what became of a message.

Sources: https://docs.slack.dev/reference/methods/chat.postMessage and /conversations.history;
https://docs.slack.dev/messaging/message-metadata for the delivery id that travels along.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
from pydantic import SecretStr

from infrastructure.channels.http import Answer, call, read_outcome, retry_after
from infrastructure.channels.slack import slack_message
from infrastructure.ports import Content
from schemas.deliveries import DeliveryRecord
from schemas.outcomes import CannotTell, Dead, Found, NotFound, Outcome, ReadBack, Retry, Sent

EVENT_TYPE = "carillon_delivery"
# What Slack words as a refusal of the moment, or of the app as a whole; anything else concerns this message alone.
FOR_NOW = {"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"}
OUR_OWN = {"invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "missing_scope"}
_PAGES, _PAGE, _PAGE_BYTES = 20, 50, 1024 * 1024
_CLOCKS_DIFFER = timedelta(minutes=1)


class SlackBot:
    """Posts to the channel id configured under that name."""

    name, channel = "slack_bot", "slack"

    def __init__(self, http: httpx2.AsyncClient, api_url: str, token: SecretStr, channels: Mapping[str, str]) -> None:
        self._http = http
        self._api = api_url.rstrip("/")
        self._token = token
        self._channels = channels

    def destination(self, address: str) -> str | None:
        return self._channels.get(address)

    async def send(self, delivery: DeliveryRecord, address: str, content: Content) -> Outcome:
        channel = self._channels.get(address)
        if channel is None:
            return Dead("unknown_slack_target")
        metadata = {"event_type": EVENT_TYPE, "event_payload": {"delivery_id": delivery.delivery_id}}
        body = slack_message(content) | {"channel": channel, "metadata": metadata}
        headers = self._headers | {"x-carillon-delivery": delivery.delivery_id}
        answer = await call(self._http, "POST", f"{self._api}/chat.postMessage", json=body, headers=headers)
        return read_post(answer) if isinstance(answer, Answer) else answer

    async def look(self, delivery: DeliveryRecord, address: str, since: datetime) -> ReadBack:
        """Whether the channel's history shows the delivery; a look that was not complete cannot tell."""
        channel, cursor = self._channels.get(address), ""
        if channel is None:
            return CannotTell()
        oldest = f"{(since - _CLOCKS_DIFFER).timestamp():.6f}"
        for _ in range(_PAGES):
            page = await self._history({"channel": channel, "oldest": oldest, "cursor": cursor})
            if page is None:
                return CannotTell()
            for message in page.get("messages", ()):
                if _delivery_of(message) == delivery.delivery_id:
                    return Found("read back from the channel's history", str(message.get("ts")))
            cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
            if not cursor:
                return NotFound()
        return CannotTell()

    async def _history(self, asked: dict[str, str]) -> dict[str, Any] | None:
        params = asked | {"include_all_metadata": "true", "limit": str(_PAGE)}
        answer = await call(
            self._http,
            "GET",
            f"{self._api}/conversations.history",
            most=_PAGE_BYTES,
            params=params,
            headers=self._headers,
        )
        page = _said(answer) if isinstance(answer, Answer) and answer.status == 200 else {}
        return page if page.get("ok") is True else None

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token.get_secret_value()}"}


def read_post(answer: Answer) -> Outcome:
    """Slack refuses with status 200 and a word."""
    if answer.status != 200:
        return read_outcome(answer)
    said = _said(answer)
    if said.get("ok") is True:
        return Sent(answer="ok", provider_id=str(said.get("ts")))
    error = str(said.get("error") or "no_answer")[:60]
    if error in FOR_NOW | OUR_OWN or not said:
        return Retry(f"slack_{error}", retry_after(answer.retry_after, datetime.now(UTC)))
    return Dead(f"slack_{error}")


def _said(answer: Answer) -> dict[str, Any]:
    try:
        found = json.loads(answer.body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _delivery_of(message: Any) -> str | None:
    metadata = message.get("metadata") if isinstance(message, dict) else None
    if not isinstance(metadata, dict) or metadata.get("event_type") != EVENT_TYPE:
        return None
    found: str | None = (metadata.get("event_payload") or {}).get("delivery_id")
    return found
