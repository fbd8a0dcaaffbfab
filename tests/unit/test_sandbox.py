# pylint: disable=redefined-outer-name  # a test names the fixtures it is given
import asyncio
import json
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx2
import pytest
from aiosmtpd.smtp import Envelope
from starlette.types import Receive, Scope, Send

from infrastructure.local.loopback import NotLocal
from infrastructure.local.sandbox import Reception, SandboxSettings, sandbox_app
from infrastructure.local.sandbox.calls import KEPT_IN_MEMORY, Answered, Call, CallLog
from infrastructure.local.sandbox.connection import ABORT
from infrastructure.local.sandbox.faults import FaultBoard
from infrastructure.local.sandbox.mail import read_mail

SLACK = "/slack/services/T0/B0/secret"
SMS = "/sms/2010-04-01/Accounts/AC1/Messages.json"
PUSH = "/fcm/v1/projects/demo/messages:send"
PLAYGROUND = "http://localhost:8000"


@pytest.fixture
def reception(tmp_path: Path) -> Reception:
    return Reception(CallLog(tmp_path / "ledger.jsonl"), FaultBoard())


@pytest.fixture
async def sandbox(reception: Reception) -> AsyncIterator[httpx2.AsyncClient]:
    app = sandbox_app(SandboxSettings("local", reading_origins=(PLAYGROUND,)), reception)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://localhost:8003") as client:
        yield client
    reception.calls.close()


def a_call(n: int, provider: str = "webhook") -> Call:
    answer = Answered(status=200, body="ok")
    return Call.model_validate(
        {
            "n": n,
            "provider": provider,
            "received_at": "2026-11-21T10:00:00Z",
            "delivery": f"dlv_{n}",
            "request": {},
            "mode": "ok",
            "accepted": True,
            "answer": answer,
        }
    )


async def behave(sandbox: httpx2.AsyncClient, provider: str, **fault: Any) -> None:
    assert (await sandbox.put(f"/faults/{provider}", json=fault)).status_code == 200


async def latest(sandbox: httpx2.AsyncClient) -> dict[str, Any]:
    call: dict[str, Any] = (await sandbox.get("/calls", params={"limit": 1})).json()[0]
    return call


@pytest.mark.parametrize(
    ("body", "status", "answer"),
    [
        ('{"text": "hello"}', 200, "ok"),
        ('{"blocks": [{"type": "divider"}]}', 200, "ok"),
        ('{"text": ""}', 400, "no_text"),
        ("{}", 400, "no_text"),
        ("nonsense", 400, "invalid_payload"),
        ("[]", 400, "invalid_payload"),
        ('{"text": "\\ud800"}', 400, "invalid_payload"),
    ],
)
async def test_slack_answers_in_plain_words(sandbox: httpx2.AsyncClient, body: str, status: int, answer: str) -> None:
    said = await sandbox.post(SLACK, content=body, headers={"Content-Type": "application/json"})
    assert (said.status_code, said.text) == (status, answer)
    assert said.headers["content-type"].startswith("text/plain")
    assert (await latest(sandbox))["accepted"] is (status == 200)


async def test_slack_takes_a_form_with_a_payload_too(sandbox: httpx2.AsyncClient) -> None:
    said = await sandbox.post(SLACK, data={"payload": '{"text": "hello"}'})
    assert said.text == "ok"
    assert (await latest(sandbox))["request"]["message"] == {"text": "hello"}


async def test_chat_post_message_says_no_with_status_200(sandbox: httpx2.AsyncClient) -> None:
    said = await sandbox.post("/slack/api/chat.postMessage", json={"channel": "C1", "text": "hello"})
    assert said.json()["ok"] is True
    assert said.json()["ts"]
    refused = await sandbox.post("/slack/api/chat.postMessage", json={"channel": "C1"})
    assert (refused.status_code, refused.json()) == (200, {"ok": False, "error": "no_text"})
    assert (await latest(sandbox))["accepted"] is False


async def test_twilio_and_fcm_are_answered_in_their_shapes(sandbox: httpx2.AsyncClient) -> None:
    sms = await sandbox.post(SMS, data={"To": "+33600000000", "From": "+1555", "Body": "hello"})
    assert (sms.status_code, sms.json()["status"]) == (201, "queued")
    assert (await sandbox.post(SMS, data={"Body": "hello"})).json()["code"] == 21604
    grant = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": "a.b.c"}
    token = (await sandbox.post("/fcm/token", data=grant)).json()["access_token"]
    known, hello = {"Authorization": f"Bearer {token}"}, {"message": {"token": "t", "notification": {"title": "hello"}}}
    push = await sandbox.post(PUSH, json=hello, headers=known)
    assert push.json()["name"].startswith("projects/demo/messages/")
    assert (await sandbox.post(PUSH, json=hello)).status_code == 401
    assert (await sandbox.post(PUSH, json={"message": {}}, headers=known)).json()["error"]["status"] == "INVALID_ARGUMENT"


@pytest.mark.parametrize("header", ["X-Carillon-Delivery", "Idempotency-Key", "webhook-id"])
async def test_a_call_is_found_by_its_delivery(sandbox: httpx2.AsyncClient, header: str) -> None:
    await sandbox.post("/webhook/orders", content=b'{"a": 1}', headers={header: "dlv_1", "webhook-signature": "v1,x"})
    await sandbox.post("/webhook/orders", content=b'{"a": 2}', headers={header: "dlv_2"})
    [call] = (await sandbox.get("/calls", params={"provider": "webhook", "delivery": "dlv_1"})).json()
    assert call["request"]["body"] == '{"a": 1}'
    assert call["request"]["headers"]["webhook-signature"] == "v1,x"
    assert call["answer"] == {"status": 200, "body": '{"received": true}'}
    assert (await sandbox.get("/calls", params={"provider": "sms"})).json() == []


async def test_the_newest_call_comes_first_and_clear_clears(sandbox: httpx2.AsyncClient) -> None:
    for text in ("one", "two", "three"):
        await sandbox.post(SLACK, json={"text": text})
    calls = (await sandbox.get("/calls", params={"limit": 2})).json()
    assert [call["request"]["message"]["text"] for call in calls] == ["three", "two"]
    assert (await sandbox.delete("/calls")).status_code == 204
    assert (await sandbox.get("/calls")).json() == []


async def test_each_call_is_in_the_ledger_file_before_it_is_answered(sandbox: httpx2.AsyncClient, tmp_path: Path) -> None:
    for number in (1, 2):
        await sandbox.post(SLACK, json={"text": "hello"}, headers={"Idempotency-Key": f"dlv_{number}"})
        lines = (tmp_path / "ledger.jsonl").read_text().splitlines()
        assert [json.loads(line)["delivery"] for line in lines] == [f"dlv_{each + 1}" for each in range(number)]


@pytest.mark.parametrize(("mode", "status"), [("error", 500), ("permanent", 400), ("throttle", 429)])
async def test_a_fault_refuses_as_often_as_told(sandbox: httpx2.AsyncClient, mode: str, status: int) -> None:
    await behave(sandbox, "webhook", mode=mode, times=2, retry_after_s=7)
    for _ in range(2):
        refused = await sandbox.post("/webhook/orders", content=b"{}")
        assert (refused.status_code, refused.headers["retry-after"]) == (status, "7")
        assert (await latest(sandbox))["accepted"] is False
    assert (await sandbox.post("/webhook/orders", content=b"{}")).status_code == 200


async def test_a_fault_without_a_count_stays_until_changed_and_touches_one_provider(
    sandbox: httpx2.AsyncClient,
) -> None:
    await behave(sandbox, "slack", mode="error", status=503)
    assert [(await sandbox.post(SLACK, json={"text": "x"})).status_code for _ in range(3)] == [503] * 3
    assert (await sandbox.post("/webhook/orders", content=b"{}")).status_code == 200
    assert (await sandbox.get("/faults")).json()["slack"]["mode"] == "error"
    await behave(sandbox, "slack", mode="ok")
    assert (await sandbox.post(SLACK, json={"text": "x"})).text == "ok"


async def test_an_unknown_fault_or_provider_is_refused(sandbox: httpx2.AsyncClient) -> None:
    assert (await sandbox.put("/faults/slack", json={"mode": "explode"})).status_code == 422
    assert (await sandbox.put("/faults/fax", json={"mode": "ok"})).status_code == 422


@pytest.mark.parametrize(("mode", "accepted", "cut"), [("hang", False, 0), ("close", False, 1), ("drop_answer", True, 1)])
async def test_a_silent_provider_sends_nothing(reception: Reception, mode: str, accepted: bool, cut: int) -> None:
    app = sandbox_app(SandboxSettings("local"), reception)
    reception.faults.set("webhook", reception.faults.take("webhook").model_copy(update={"mode": mode}))
    cuts: list[str] = []
    sent: list[Any] = []
    incoming = [{"type": "http.request", "body": b"{}", "more_body": False}, {"type": "http.disconnect"}]
    scope: Scope = {
        "type": "http",
        "method": "POST",
        "path": "/webhook/orders",
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"webhook-id", b"dlv_1")],
        "extensions": {ABORT: lambda: cuts.append("cut")},
    }

    async def receive() -> Any:
        return incoming.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    await run(app, scope, receive, send)
    [call] = reception.calls.recent(delivery="dlv_1")
    assert (call.accepted, call.answer, sent, len(cuts)) == (accepted, None, [], cut)


async def run(app: Any, scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, send)


async def test_a_follower_gets_what_it_missed_and_then_what_comes() -> None:
    calls = CallLog()
    for n in (1, 2, 3):
        calls.append(a_call(n))
    following = calls.follow(after=1)
    assert [(await anext(following)).n for _ in range(2)] == [2, 3]
    waiting = asyncio.ensure_future(anext(following))
    calls.append(a_call(4))
    assert (await waiting).n == 4
    calls.end_following()
    assert [call async for call in following] == []


async def test_a_follower_from_before_a_restart_begins_anew() -> None:
    calls = CallLog()
    calls.append(a_call(1))
    assert (await anext(calls.follow(after=900))).n == 1


def test_memory_is_bounded() -> None:
    calls = CallLog()
    for n in range(1, KEPT_IN_MEMORY + 3):
        calls.append(a_call(n))
    kept = calls.recent(limit=2 * KEPT_IN_MEMORY)
    assert (len(kept), kept[-1].n) == (KEPT_IN_MEMORY, 3)


async def test_the_page_allows_nothing_from_elsewhere(sandbox: httpx2.AsyncClient) -> None:
    page = await sandbox.get("/")
    assert page.headers["content-security-policy"].startswith("default-src 'self'")
    assert "innerHTML" not in (await sandbox.get("/sandbox.js")).text
    assert [(await sandbox.get(f"/sandbox.{kind}")).status_code for kind in ("css", "svg", "py")] == [200, 200, 422]


async def test_only_the_playground_may_read_and_nobody_else_may_change(sandbox: httpx2.AsyncClient) -> None:
    read = await sandbox.get("/calls", headers={"Origin": PLAYGROUND})
    assert read.headers["access-control-allow-origin"] == PLAYGROUND
    stranger = await sandbox.get("/calls", headers={"Origin": "https://elsewhere.example"})
    assert "access-control-allow-origin" not in stranger.headers
    asked = {"Origin": PLAYGROUND, "Access-Control-Request-Method": "PUT"}
    assert (await sandbox.options("/faults/slack", headers=asked)).status_code == 400
    assert (await sandbox.get("/calls", headers={"Host": "rebound.example"})).status_code == 400


async def test_a_body_beyond_the_limit_is_not_read(sandbox: httpx2.AsyncClient) -> None:
    assert (await sandbox.post("/webhook/orders", content=b"x" * (2 << 20))).status_code == 413


def test_a_mail_is_shown_as_a_person_reads_it() -> None:
    mail = EmailMessage()
    mail["From"] = "Carillon <notifications@localhost>"
    mail["Subject"] = "Größe 42"
    mail["Message-ID"] = "<dlv_1@localhost>"
    mail.set_content("Plain")
    mail.add_alternative("<p>Rich</p>", subtype="html")
    delivery, shown = read_mail(an_envelope(mail.as_bytes()))
    assert delivery == "<dlv_1@localhost>"
    assert (shown["subject"], shown["to"]) == ("Größe 42", ["ana@example.com"])
    assert (str(shown["text"]).strip(), str(shown["html"]).strip()) == ("Plain", "<p>Rich</p>")
    mail["X-Entity-Ref-ID"] = "dlv_1"
    assert read_mail(an_envelope(mail.as_bytes()))[0] == "dlv_1"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00",
        b"Subject: \xff\xfe\r\nMessage-ID: <\r\nFrom: <<<\r\n\r\n\xff",
        b"Content-Type: text/plain; charset=nonsense\r\n\r\nhello",
        b"Subject: =?nonsense?b?AAAA?=\r\n\r\n",
        b"Content-Type: multipart/mixed\r\n\r\nno boundary",
    ],
)
def test_a_broken_mail_can_still_be_recorded(content: bytes) -> None:
    _, shown = read_mail(an_envelope(content, "\udcffana@example.com"))
    json.dumps(shown).encode()
    assert a_call(1).model_copy(update={"request": shown}).model_dump_json()


def an_envelope(content: bytes, recipient: str = "ana@example.com") -> Envelope:
    envelope = Envelope()
    envelope.content = content
    envelope.rcpt_tos = [recipient]
    return envelope


@pytest.mark.parametrize(("deployment", "host"), [("production", "127.0.0.1"), ("local", "0.0.0.0")])
def test_it_starts_nowhere_but_on_loopback_with_deployment_local(deployment: str, host: str) -> None:
    with pytest.raises(NotLocal):
        SandboxSettings(deployment, host)
