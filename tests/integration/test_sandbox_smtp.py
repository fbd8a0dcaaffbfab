# pylint: disable=redefined-outer-name  # a test names the fixtures it is given
import socket
from collections.abc import AsyncIterator
from email.message import EmailMessage

import aiosmtplib
import pytest

from infrastructure.local.sandbox import Reception, listen_for_mail
from infrastructure.local.sandbox.calls import CallLog
from infrastructure.local.sandbox.faults import Fault, FaultBoard, Mode


@pytest.fixture
def reception() -> Reception:
    return Reception(CallLog(), FaultBoard())


@pytest.fixture
async def port(reception: Reception) -> AsyncIterator[int]:
    bound = socket.create_server(("127.0.0.1", 0))
    server = await listen_for_mail(reception, bound)
    yield bound.getsockname()[1]
    server.close()
    await server.wait_closed()


async def send(port: int, delivery: str = "dlv_1", timeout: float = 5.0) -> str:  # noqa: ASYNC109 - aiosmtplib's own
    mail = EmailMessage()
    mail["From"] = "Carillon <notifications@localhost>"
    mail["To"] = "Ana <ana@example.com>"
    mail["Subject"] = "Order 1042 is on its way"
    mail["X-Entity-Ref-ID"] = delivery
    mail.set_content("It arrives on Thursday.")
    _, answer = await aiosmtplib.send(mail, hostname="127.0.0.1", port=port, start_tls=False, timeout=timeout)
    return answer


async def test_a_mail_is_recorded_and_accepted(reception: Reception, port: int) -> None:
    assert "recorded" in await send(port)
    [call] = reception.calls.recent(provider="email", delivery="dlv_1")
    assert call.accepted
    assert call.request["to"] == ["ana@example.com"]
    assert call.request["subject"] == "Order 1042 is on its way"
    assert str(call.request["text"]).strip() == "It arrives on Thursday."
    assert call.answer is not None
    assert call.answer.status == 250


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault(mode="error", times=1), 451),
        (Fault(mode="permanent", times=1), 550),
        (Fault(mode="throttle", times=1), 421),
        (Fault(mode="throttle", status=451, times=1), 451),
    ],
)
async def test_a_refusal_has_its_code_and_passes(reception: Reception, port: int, fault: Fault, code: int) -> None:
    reception.faults.set("email", fault)
    with pytest.raises(aiosmtplib.SMTPDataError) as refused:
        await send(port)
    assert refused.value.code == code
    assert not reception.calls.recent()[0].accepted
    assert "recorded" in await send(port)


@pytest.mark.parametrize(("mode", "accepted"), [("close", False), ("drop_answer", True)])
async def test_a_cut_connection_leaves_the_sender_without_an_answer(
    reception: Reception, port: int, mode: Mode, accepted: bool
) -> None:
    reception.faults.set("email", Fault(mode=mode, times=1))
    with pytest.raises(aiosmtplib.SMTPServerDisconnected):
        await send(port)
    [call] = reception.calls.recent()
    assert (call.accepted, call.answer) == (accepted, None)


async def test_a_hanging_server_runs_into_the_senders_timeout(reception: Reception, port: int) -> None:
    reception.faults.set("email", Fault(mode="hang", times=1))
    with pytest.raises(aiosmtplib.SMTPTimeoutError):
        await send(port, timeout=0.2)
    assert not reception.calls.recent()[0].accepted


async def test_a_slow_server_accepts_in_the_end(reception: Reception, port: int) -> None:
    reception.faults.set("email", Fault(mode="slow", delay_s=0.01, times=1))
    assert "recorded" in await send(port)
