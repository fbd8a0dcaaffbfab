"""Slack by incoming webhook. Source: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks."""

from collections.abc import Mapping
from typing import Any

import httpx2
from pydantic import SecretStr

from infrastructure.channels.http import Answer, call, read_outcome
from infrastructure.ports import Content
from schemas.deliveries import DeliveryRecord
from schemas.outcomes import Dead, Outcome

_HEADER_MOST, _SECTION_MOST = 150, 3000  # Block Kit's own limits, in characters


def escape(text: str) -> str:
    """Slack's three control characters; afterwards `<!channel>` and `<url|text>` are only text."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def slack_message(content: Content) -> dict[str, Any]:
    """The message in Block Kit, with the plain text that notifications and old clients show."""
    blocks: list[dict[str, Any]] = []
    if content.title:
        blocks.append({"type": "header", "text": {"type": "plain_text", "text": _cut(content.title, _HEADER_MOST)}})
    body = escape(_cut(content.body, _SECTION_MOST // 5 * 4))
    blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": _cut(body, _SECTION_MOST)}})
    if content.url and content.url.startswith(("https://", "http://")):
        link = f"<{escape(content.url).replace('|', '%7C')}|Open>"
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": link}})
    text = f"{content.title}: {content.body}" if content.title else content.body
    return {"text": escape(_cut(text, _SECTION_MOST)), "blocks": blocks}


class SlackWebhook:
    """Posts to the configured webhook of that name; a request never names a URL."""

    name, channel = "slack_webhook", "slack"

    def __init__(self, http: httpx2.AsyncClient, hooks: Mapping[str, SecretStr]) -> None:
        self._http = http
        self._hooks = hooks

    def destination(self, address: str) -> str | None:
        return address if address in self._hooks else None

    async def send(self, delivery: DeliveryRecord, address: str, content: Content) -> Outcome:
        hook = self._hooks.get(address)
        if hook is None:
            return Dead("unknown_slack_target")
        headers = {"x-carillon-delivery": delivery.delivery_id}
        answer = await call(self._http, "POST", hook.get_secret_value(), json=slack_message(content), headers=headers)
        return read_outcome(answer) if isinstance(answer, Answer) else answer
