"""E-mail over SMTP by aiosmtplib. The delivery id is the Message-ID, so a rare repeat can be recognised."""

import re
from email.headerregistry import BaseHeader, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.policy import SMTP, Policy
from email.utils import parseaddr

import aiosmtplib

from infrastructure.ports import Content
from infrastructure.settings import Settings
from schemas.deliveries import DeliveryRecord
from schemas.outcomes import Ambiguous, Dead, Outcome, Retry, Sent

_CONTROL = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029]+")
_ONE_ADDRESS = re.compile(r"^[^\s@,;:<>()\[\]\\\"]+@[^\s@,;:<>()\[\]\\\"]+$")


class _InOnePiece(UnstructuredHeader, BaseHeader):
    """A long link would be folded by encoding it (RFC 2047), and then no mailbox provider knows it for a link."""

    def fold(self, *, policy: Policy) -> str:
        return f"{self.name}: {self}{policy.linesep}"


_HEADERS = HeaderRegistry()
_HEADERS.map_to_type("list-unsubscribe", _InOnePiece)
_POLICY = SMTP.clone(header_factory=_HEADERS)


def one_line(text: str) -> str:
    """A header value cannot start another header: line breaks become a space, also those hidden in an encoded word.

    Python decodes RFC 2047 words of a value that is set, so `=?utf-8?q?=0D=0ABcc:...?=` would come out as two lines.
    """
    return _CONTROL.sub(" ", text).replace("=?", "= ?").strip()


def exactly_one(address: str) -> str:
    """The address if it is one and nothing else; raises ValueError otherwise (a list, a name, a line break)."""
    if not address.isascii():
        raise ValueError("an address with other than ASCII characters needs a relay with SMTPUTF8 (RFC 6531)")
    if one_line(address) != address or not _ONE_ADDRESS.match(address):
        raise ValueError("not one e-mail address")
    return address


def compose(delivery: DeliveryRecord, sender: str, address: str, content: Content) -> EmailMessage:
    """One message to exactly one recipient."""
    domain = parseaddr(sender)[1].rpartition("@")[2] or "localhost"
    message = EmailMessage(policy=_POLICY)
    message["From"] = sender
    message["To"] = exactly_one(address)
    message["Subject"] = one_line(content.title or content.body)[:200]
    message["Message-ID"] = f"<{delivery.delivery_id}@{domain}>"
    message["X-Entity-Ref-ID"] = delivery.delivery_id
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834 section 5: no out-of-office replies to us
    if content.unsubscribe_url:  # RFC 8058 section 3.1
        message["List-Unsubscribe"] = f"<{content.unsubscribe_url}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    text = f"{content.body}\n\n{content.url}\n" if content.url else f"{content.body}\n"
    message.set_content(text)
    if content.html:
        message.add_alternative(content.html, subtype="html")
    return message


def read_reply(error: aiosmtplib.SMTPResponseException) -> Outcome:
    """4yz is for now, 5yz for good (RFC 5321 section 4.2.1)."""
    return Dead(f"smtp_{error.code}") if 500 <= error.code < 600 else Retry(f"smtp_{error.code}")


class EmailChannel:
    """One connection per message: the relay's own limits, not ours, decide how many are open at once."""

    name = "email"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def send(self, delivery: DeliveryRecord, address: str, content: Content) -> Outcome:
        if not self._settings.smtp_host:
            return Retry("smtp_not_configured")
        try:
            message = compose(delivery, self._settings.smtp_from, address, content)
        except ValueError:
            return Dead("address_unusable")
        client = self._client()
        try:
            await client.connect()
        except aiosmtplib.SMTPResponseException as error:
            return Retry(f"smtp_{error.code}")  # a greeting or a login refused: it says nothing about this message
        except (aiosmtplib.SMTPException, OSError) as error:
            return Retry(type(error).__name__)
        try:
            return await self._transmit(client, message, address)
        finally:
            client.close()

    async def _transmit(self, client: aiosmtplib.SMTP, message: EmailMessage, address: str) -> Outcome:
        try:
            _, reply = await client.send_message(message, recipients=[address])
        except aiosmtplib.SMTPRecipientsRefused as refused:
            return read_reply(refused.recipients[0])
        except aiosmtplib.SMTPResponseException as error:
            return read_reply(error)
        except (aiosmtplib.SMTPException, OSError) as error:
            # after the final dot nobody can tell whether the relay took it (RFC 5321 section 4.5.3.2.6)
            return Ambiguous(type(error).__name__)
        return Sent(answer=f"250 {reply}"[:200])

    def _client(self) -> aiosmtplib.SMTP:
        settings = self._settings
        return aiosmtplib.SMTP(
            hostname=settings.smtp_host,
            port=settings.smtp_port,
            username=settings.smtp_username or None,
            password=settings.smtp_password.get_secret_value() or None,
            start_tls=settings.smtp_starttls,
            timeout=settings.provider_timeout_s,
        )
