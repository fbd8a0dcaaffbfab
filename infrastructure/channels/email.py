"""E-mail over SMTP by aiosmtplib. The delivery id is the Message-ID, so a rare repeat can be recognised."""

import re
from dataclasses import dataclass
from email.headerregistry import BaseHeader, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.policy import SMTP, Policy
from email.utils import parseaddr

import aiosmtplib
from pydantic import SecretStr

from infrastructure.channels.failures import read_failure
from infrastructure.ports import Content
from schemas.deliveries import DeliveryRecord
from schemas.outcomes import Dead, Outcome, Retry, Sent

_CONTROL = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029]+")
_ONE_ADDRESS = re.compile(r"^[^\s@,;:<>()\[\]\\\"]+@[^\s@,;:<>()\[\]\\\"]+$")

# Enhanced status codes (RFC 3463) that are about the recipient's address alone. A refusal without one, or for a policy, may
# be about us, and then every address would be taken for dead.
_NOBODY_THERE = re.compile(r"5\.(1\.([1236]|10)|2\.1)\b")


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
    if not 500 <= error.code < 600:
        return Retry(f"smtp_{error.code}")
    return Dead(f"smtp_{error.code}", gone=_NOBODY_THERE.match(error.message) is not None)


@dataclass(frozen=True)
class Relay:
    """Where mail is handed over."""

    host: str
    port: int
    username: str
    password: SecretStr
    starttls: bool


class SmtpProvider:
    """One connection per message: the relay's own limits, not ours, decide how many are open at once."""

    channel = "email"

    def __init__(self, name: str, relay: Relay, *, sender: str, timeout_s: float) -> None:
        self.name = name
        self._relay = relay
        self._sender = sender
        self._timeout_s = timeout_s

    def destination(self, address: str) -> str:
        """The mail domain: one that is slow holds up nobody else's mail."""
        return address.rpartition("@")[2].lower()

    async def send(self, delivery: DeliveryRecord, address: str, content: Content) -> Outcome:
        try:
            message = compose(delivery, self._sender, address, content)
        except ValueError:
            return Dead("address_unusable")
        client = self._client()
        try:
            await client.connect()
            await client.ehlo()
        except aiosmtplib.SMTPResponseException as error:
            return Retry(f"smtp_{error.code}")  # a greeting or a login refused: it says nothing about this message
        except (aiosmtplib.SMTPException, OSError) as error:
            return Retry(type(error).__name__)
        else:
            return await self._hand_over(client, message, address)
        finally:
            client.close()

    async def _hand_over(self, client: aiosmtplib.SMTP, message: EmailMessage, address: str) -> Outcome:
        """Before DATA nothing can have been taken; after the final dot nobody can tell (RFC 5321 section 4.5.3.2.6)."""
        begun = False
        try:
            await client.mail(parseaddr(self._sender)[1])
            await client.rcpt(address)
            begun = True
            response = await client.data(message.as_bytes())
        except aiosmtplib.SMTPResponseException as error:
            return read_reply(error)
        except (aiosmtplib.SMTPException, OSError) as error:
            return read_failure(error) if begun else Retry(type(error).__name__)
        return Sent(answer=f"250 {response.message}"[:200])

    def _client(self) -> aiosmtplib.SMTP:
        relay = self._relay
        return aiosmtplib.SMTP(
            hostname=relay.host,
            port=relay.port,
            username=relay.username or None,
            password=relay.password.get_secret_value() or None,
            start_tls=relay.starttls,
            timeout=self._timeout_s,
        )
