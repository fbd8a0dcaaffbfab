"""One message to exactly one recipient, whatever stands in title, address or text (security.md S26)."""

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP

import aiosmtplib
import pytest
from aiosmtplib.email import flatten_message
from pydantic import SecretStr

from infrastructure.channels.email import Relay, SmtpProvider, compose, read_reply
from infrastructure.ports import Content
from schemas.deliveries import DeliveryRecord
from schemas.outcomes import Dead, Outcome, Retry

SENDER = "Carillon <notifications@carillon.example>"
HEADERS = ["From", "To", "Subject", "Message-ID", "X-Entity-Ref-ID", "Auto-Submitted"]
DELIVERY = DeliveryRecord(environment="dev", notification_id="ntf_1", delivery_id="dlv_1", recipient="ana", channel="email")
BREAKS = ["\r\n", "\n", "\r", "\x00", "\u0085", "\u2028", "\u2029", "\x0b", "\x0c", "\r\n\r\n", "\n\t"]
HIDDEN = [
    "=?utf-8?q?x=0ABcc:_eve@x.io?=",
    "=?utf-8?q?x=0D=0ABcc=3A_eve=40x.io?=",
    "=?utf-8?b?eA0KQmNjOiBldmVAeC5pbw==?=",
    "=?UTF-8?Q?x?= =?utf-8?q?=0ABcc:_eve@x.io?=",
    "=\r\n?utf-8?q?=0ABcc:_eve@x.io?=",
]


def sent(content: Content, address: str = "ana@x.io") -> EmailMessage:
    """The message as the other side reads it."""
    wire = compose(DELIVERY, SENDER, address, content).as_bytes()
    read = message_from_bytes(wire, policy=SMTP)
    assert isinstance(read, EmailMessage)
    return read


def test_a_message_says_from_whom_to_whom_and_which_delivery() -> None:
    message = sent(Content("Hello", "Hi", url="https://x.io/o/42"))
    assert (message["From"], message["To"], message["Subject"]) == (SENDER, "ana@x.io", "Hello")
    assert message["Message-ID"] == "<dlv_1@carillon.example>"
    assert message["X-Entity-Ref-ID"] == "dlv_1"
    assert message.get_content().replace("\r\n", "\n") == "Hi\n\nhttps://x.io/o/42\n"


def test_html_is_the_richer_alternative() -> None:
    message = sent(Content("Hello", "Hi", html="<p>Hi</p>"))
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]


def test_without_a_title_the_text_is_the_subject_in_one_short_line() -> None:
    assert sent(Content("", "Hi\nthere"))["Subject"] == "Hi there"
    assert len(sent(Content("", "x" * 5000))["Subject"]) == 200


@pytest.mark.parametrize("title", [*(f"x{gap}Bcc: eve@x.io" for gap in BREAKS), *HIDDEN])
def test_a_title_cannot_start_another_header(title: str) -> None:
    message = sent(Content(title, "Hi"))
    assert [name for name in message if not name.lower().startswith(("content-", "mime-"))] == HEADERS
    assert message["Bcc"] is None
    assert message.get_content().strip() == "Hi"


@pytest.mark.parametrize(
    "address",
    [
        *(f"ana@x.io{gap}Bcc: eve@x.io" for gap in BREAKS),
        "ana@x.io, eve@x.io",
        "ana@x.io;eve@x.io",
        "ana@x.io eve@x.io",
        "Ana <ana@x.io>",
        "<ana@x.io> <eve@x.io>",
        "group: ana@x.io, eve@x.io;",
        "(a)ana@x.io",
        "=?utf-8?q?=0A?=ana@x.io",
        '"eve@x.io"@x.io',
        "ana",
        "@x.io",
        "ana@",
        "",
        " ",
    ],
)
def test_an_address_that_is_not_exactly_one_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="address"):
        compose(DELIVERY, SENDER, address, Content("Hello", "Hi"))


async def test_such_an_address_is_given_up_before_anything_is_connected() -> None:
    relay = Relay("127.0.0.1", 1, "", SecretStr(""), starttls=False)
    provider = SmtpProvider("smtp", relay, sender=SENDER, timeout_s=1)
    assert await provider.send(DELIVERY, "a@x.io, b@x.io", Content("Hello", "Hi")) == Dead("address_unusable")


def test_the_destination_is_the_mail_domain() -> None:
    relay = Relay("127.0.0.1", 1, "", SecretStr(""), starttls=False)
    assert SmtpProvider("smtp", relay, sender=SENDER, timeout_s=1).destination("Ana@X.io") == "x.io"


@pytest.mark.parametrize("title", ["Grüße, 世界 😀", "a" * 3000, "= ? odd ?=", "50 % = ?"])
def test_other_titles_arrive_readable(title: str) -> None:
    assert str(sent(Content(title, "Hi"))["Subject"]) == title[:200]


def test_a_text_line_cannot_end_the_message() -> None:
    """SMTP smuggling: line ends are CRLF throughout, so a lone dot is stuffed by the client."""
    wire = compose(DELIVERY, SENDER, "ana@x.io", Content("t", "a\n.\nMAIL FROM:<eve@x.io>\r.\rb")).as_bytes()
    assert b"\n" not in wire.replace(b"\r\n", b"")
    assert b"\r" not in wire.replace(b"\r\n", b"")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (421, Retry("smtp_421")),
        (450, Retry("smtp_450")),
        (451, Retry("smtp_451")),
        (550, Dead("smtp_550")),
        (554, Dead("smtp_554")),
    ],
)
def test_a_reply_of_the_relay_is_for_now_or_for_good(code: int, expected: Outcome) -> None:
    assert read_reply(aiosmtplib.SMTPResponseException(code, "words")) == expected


@pytest.mark.parametrize(
    ("words", "gone"),
    [
        ("5.1.1 No such user", True),
        ("5.1.10 Null MX", True),
        ("5.2.1 Mailbox disabled", True),
        ("5.1.8 Bad sender", False),
        ("5.1.11 unheard of", False),
        ("5.7.1 Relaying denied", False),
        ("5.2.2 Mailbox full", False),
        ("No such user", False),
        ("see 5.1.1", False),
    ],
)
def test_only_a_refusal_of_the_address_itself_says_that_nobody_is_there(words: str, gone: bool) -> None:
    assert read_reply(aiosmtplib.SMTPResponseException(550, words)) == Dead("smtp_550", gone=gone)
    assert read_reply(aiosmtplib.SMTPResponseException(450, words)) == Retry("smtp_450")


def test_the_unsubscribe_link_stands_in_one_piece_as_mailbox_providers_read_it() -> None:
    """Folded, a long link would come out encoded, and RFC 8058 knows only a link."""
    link = "https://notify.example.com/unsubscribe/" + "A" * 300 + "." + "b" * 43
    message = compose(DELIVERY, SENDER, "ana@x.io", Content("Hello", "Hi", unsubscribe_url=link))
    wire = flatten_message(message, utf8=False)
    assert f"\r\nList-Unsubscribe: <{link}>\r\n".encode() in wire
    assert b"\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in wire


def test_without_a_link_there_is_no_header_about_it() -> None:
    assert not [name for name in sent(Content("Hello", "Hi")).keys() if name.startswith("List-")]  # noqa: SIM118
