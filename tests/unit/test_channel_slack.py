import json
from datetime import timedelta

import httpx2
import pytest
from pydantic import SecretStr

from infrastructure.channels.http import Answer
from infrastructure.channels.slack import SlackWebhook, escape, slack_message
from infrastructure.channels.slack_bot import SlackBot, read_post
from infrastructure.ports import Content
from schemas.deliveries import DeliveryRecord
from schemas.outcomes import Dead, Outcome, Retry, Sent

DELIVERY = DeliveryRecord(
    environment="dev", notification_id="ntf_1", delivery_id="dlv_1", recipient="slack:ops", channel="slack"
)
HOOK = "https://hooks.slack.example/services/T/B/secret"


@pytest.mark.parametrize(
    "nasty", ["<!channel>", "<!here|x>", "<@U123>", "<https://evil.example|your bank>", "<#C1>", "a < b & c > d"]
)
def test_nothing_in_a_text_steers_slack(nasty: str) -> None:
    message = slack_message(Content("", nasty))
    for text in (message["text"], message["blocks"][0]["text"]["text"]):
        assert "<" not in text
        assert ">" not in text
        assert text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") == nasty


def test_what_looks_escaped_already_is_escaped_again() -> None:
    assert escape("&lt;!channel&gt;") == "&amp;lt;!channel&amp;gt;"


def test_a_title_is_a_header_of_plain_text() -> None:
    message = slack_message(Content("<!channel> Stock", "low"))
    assert message["blocks"][0] == {"type": "header", "text": {"type": "plain_text", "text": "<!channel> Stock"}}
    assert message["text"] == "&lt;!channel&gt; Stock: low"


def test_long_texts_are_cut_to_what_block_kit_takes() -> None:
    message = slack_message(Content("T" * 400, "&" * 40_000))
    header, section = message["blocks"]
    assert len(header["text"]["text"]) <= 150
    assert len(section["text"]["text"]) <= 3000


async def test_a_message_goes_to_the_configured_target_with_the_delivery_id() -> None:
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, stream=httpx2.ByteStream(b"ok"))

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as http:
        outcome = await SlackWebhook(http, {"ops": SecretStr(HOOK)}).send(DELIVERY, "ops", Content("", "Hi"))
    [request] = seen
    assert outcome == Sent("200")
    assert (str(request.url), request.headers["x-carillon-delivery"]) == (HOOK, "dlv_1")
    assert json.loads(request.content)["text"] == "Hi"


@pytest.mark.parametrize("address", ["", "unknown", "https://evil.example/hook"])
async def test_a_target_nobody_configured_is_never_called(address: str) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        raise AssertionError(f"called {request.url}")

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as http:
        outcome = await SlackWebhook(http, {"ops": SecretStr(HOOK)}).send(DELIVERY, address, Content("", "Hi"))
    assert outcome == Dead("unknown_slack_target")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(200, b'{"ok": true, "ts": "1.2"}'), Sent("ok", "1.2")),
        (Answer(200, b'{"ok": false, "error": "channel_not_found"}'), Dead("slack_channel_not_found")),
        (Answer(200, b'{"ok": false, "error": "is_archived"}'), Dead("slack_is_archived")),
        (Answer(200, b'{"ok": false, "error": "ratelimited"}', "7"), Retry("slack_ratelimited", timedelta(seconds=7))),
        (Answer(200, b'{"ok": false, "error": "invalid_auth"}'), Retry("slack_invalid_auth")),
        (Answer(200, b"<html>"), Retry("slack_no_answer")),
        (Answer(200, b"[]"), Retry("slack_no_answer")),
        (Answer(429, b"", "30"), Retry("http_429", timedelta(seconds=30))),
        (Answer(500), Retry("http_500")),
    ],
)
def test_a_refusal_that_comes_with_status_200_is_read_by_its_word(answer: Answer, expected: Outcome) -> None:
    assert read_post(answer) == expected


async def test_the_token_goes_to_slack_and_nowhere_else() -> None:
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, stream=httpx2.ByteStream(b'{"ok": true, "ts": "1.2"}'))

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as http:
        bot = SlackBot(http, "https://slack.example/api/", SecretStr("xoxb-secret"), {"ops": "C1"})
        assert await bot.send(DELIVERY, "ops", Content("", "Hi")) == Sent("ok", "1.2")
        assert await bot.send(DELIVERY, "elsewhere", Content("", "Hi")) == Dead("unknown_slack_target")
    [request] = seen
    assert str(request.url) == "https://slack.example/api/chat.postMessage"
    assert request.headers["authorization"] == "Bearer xoxb-secret"
    sent = json.loads(request.content)
    assert (sent["channel"], sent["metadata"]["event_payload"]) == ("C1", {"delivery_id": "dlv_1"})
