import json

import httpx2
import pytest
from pydantic import SecretStr

from infrastructure.channels.slack import SlackChannel, escape, slack_message
from infrastructure.ports import Content
from schemas.deliveries import DeliveryRecord
from schemas.outcomes import Dead, Sent

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
        return httpx2.Response(200, text="ok")

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as http:
        outcome = await SlackChannel(http, {"ops": SecretStr(HOOK)}).send(DELIVERY, "ops", Content("", "Hi"))
    [request] = seen
    assert outcome == Sent("200")
    assert (str(request.url), request.headers["x-carillon-delivery"]) == (HOOK, "dlv_1")
    assert json.loads(request.content)["text"] == "Hi"


@pytest.mark.parametrize("address", ["", "unknown", "https://evil.example/hook"])
async def test_a_target_nobody_configured_is_never_called(address: str) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        raise AssertionError(f"called {request.url}")

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as http:
        outcome = await SlackChannel(http, {"ops": SecretStr(HOOK)}).send(DELIVERY, address, Content("", "Hi"))
    assert outcome == Dead("unknown_slack_target")
