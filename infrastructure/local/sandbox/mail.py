import asyncio
import socket
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.policy import default

from aiosmtpd.smtp import SMTP, Envelope, Session
from pydantic import JsonValue

from infrastructure.local.sandbox.calls import Provider
from infrastructure.local.sandbox.faults import SILENT
from infrastructure.local.sandbox.reception import Answer, Reception

TEXT_LIMIT = 100_000
DELIVERY_HEADERS = ("x-carillon-delivery", "x-entity-ref-id", "message-id")
REFUSALS = {
    421: "4.7.0 Too many messages, come back later",
    451: "4.3.0 Local error in processing",
    550: "5.1.1 No such mailbox here",
}


class MailSink:
    """Takes every mail, delivers none."""

    def __init__(self, reception: Reception, relay: Provider) -> None:
        self._reception = reception
        self._relay = relay

    async def handle_DATA(self, server: SMTP, _: Session, envelope: Envelope) -> str:  # noqa: N802  # pylint: disable=C0103
        """The hook aiosmtpd calls when a whole message is in."""
        delivery, shown = read_mail(envelope)
        fault, answer = self._reception.receive(
            self._relay, delivery, shown, normal=Answer(250, "2.0.0 OK recorded"), refuse=_refuse
        )
        if fault.mode in SILENT:
            if fault.mode != "hang" and isinstance(server.transport, asyncio.Transport):
                server.transport.abort()
            await asyncio.Event().wait()  # aiosmtpd cancels this task when the connection ends
        if fault.mode == "slow":
            await asyncio.sleep(fault.delay_s)
        return f"{answer.status} {answer.body}"


async def listen_for_mail(reception: Reception, bound: socket.socket, relay: Provider = "email") -> asyncio.Server:
    """An SMTP server on a socket that is already bound, known by the relay's name; close it when done."""
    loop = asyncio.get_running_loop()
    sink = MailSink(reception, relay)
    return await loop.create_server(
        lambda: SMTP(sink, hostname="sandbox.localhost", enable_SMTPUTF8=True, loop=loop), sock=bound
    )


def read_mail(envelope: Envelope) -> tuple[str, dict[str, JsonValue]]:
    """The delivery id and what a person would see."""
    content = envelope.content or b""
    mail = message_from_bytes(content if isinstance(content, bytes) else content.encode(), policy=default)
    headers = {name: _header(str(raw)) for name, raw in mail.raw_items()}
    found = {name.lower(): value for name, value in headers.items()}
    shown: dict[str, JsonValue] = {
        "from": found.get("from") or _printable(envelope.mail_from or ""),
        "to": [_printable(address) for address in envelope.rcpt_tos],
        "subject": found.get("subject", ""),
        "text": _part(mail, "plain"),
        "html": _part(mail, "html"),
        "headers": dict(headers),
    }
    return next((found[name] for name in DELIVERY_HEADERS if found.get(name)), ""), shown


def _header(raw: str) -> str:
    """A header unfolded, as a person reads it; one that cannot be decoded is shown as it came."""
    unfolded = "".join(raw.splitlines())
    try:
        return _printable(str(make_header(decode_header(unfolded))).strip())
    except (LookupError, ValueError, HeaderParseError):
        return _printable(unfolded)


def _printable(text: str) -> str:
    """Bytes that were no UTF-8 arrive as lone surrogates, which JSON cannot carry."""
    return text.encode("utf-8", "replace").decode()


def _part(mail: EmailMessage, subtype: str) -> str:
    part = mail.get_body(preferencelist=(subtype,))
    if part is None:
        return ""
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return ""
    try:
        return payload.decode(part.get_content_charset("utf-8"), "replace")[:TEXT_LIMIT]
    except LookupError:  # a charset nobody knows: what is readable stays readable
        return payload.decode("ascii", "replace")[:TEXT_LIMIT]


def _refuse(status: int) -> Answer:
    return Answer(status, REFUSALS.get(status, "Refused as told"))
