"""Slack by incoming webhook. Source: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks."""

from typing import Any

import httpx2
from pydantic import SecretStr

from infrastructure.channels.http import attempt, read_outcome
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


class SlackChannel:
    """Posts to the configured target of that name; a request never names a URL."""

    name = "slack"

    def __init__(self, http: httpx2.AsyncClient, targets: dict[str, SecretStr]) -> None:
        self._http = http
        self._targets = targets

    async def send(self, delivery: DeliveryRecord, address: str, content: Content) -> Outcome:
        target = self._targets.get(address)
        if target is None:
            return Dead("unknown_slack_target")
        answer = await attempt(
            self._http.post(
                target.get_secret_value(),
                json=slack_message(content),
                headers={"x-carillon-delivery": delivery.delivery_id},
            )
        )
        return read_outcome(answer) if isinstance(answer, httpx2.Response) else answer
