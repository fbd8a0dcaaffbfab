"""Definite or ambiguous: the one table of what may go wrong in a call, for every client library in use.

Definite: no byte of the message can have been acted on, so another attempt cannot be a second one. Ambiguous: a byte may
have left, and only the provider knows. What stands in no row is ambiguous: doubt is said, never assumed away.
"""

import socket
import ssl

import aiosmtplib
import httpx2

from schemas.outcomes import Ambiguous, Outcome, Retry

DEFINITE: tuple[tuple[type[Exception], str], ...] = (
    (httpx2.ConnectError, "no connection: refused, unreachable, unknown host, or TLS failed"),
    (httpx2.ConnectTimeout, "no connection in time"),
    (httpx2.PoolTimeout, "all connections of ours were busy"),
    (httpx2.UnsupportedProtocol, "the address is no http address"),
    (httpx2.LocalProtocolError, "the request could not be put together"),
    (aiosmtplib.SMTPConnectError, "no connection to the relay, or TLS failed"),
    (aiosmtplib.SMTPConnectTimeoutError, "no connection to the relay in time"),
    (socket.gaierror, "unknown host"),
    (ConnectionRefusedError, "refused"),
    (ssl.SSLCertVerificationError, "the certificate is not trusted"),
)
AMBIGUOUS: tuple[tuple[type[Exception], str], ...] = (
    (httpx2.WriteTimeout, "the request was on its way"),
    (httpx2.WriteError, "the request was on its way"),
    (httpx2.ReadTimeout, "the answer did not come"),
    (httpx2.ReadError, "the answer broke off"),
    (httpx2.RemoteProtocolError, "the answer was none"),
    (aiosmtplib.SMTPServerDisconnected, "the relay hung up"),
    (aiosmtplib.SMTPReadTimeoutError, "the relay did not answer"),
    (TimeoutError, "no answer in time"),
    (ConnectionResetError, "the connection broke"),
)


def read_failure(error: Exception) -> Outcome:
    """The most specific row that fits the error."""
    rows: dict[type[Exception], type[Retry] | type[Ambiguous]] = {
        **{kind: Retry for kind, _ in DEFINITE},
        **{kind: Ambiguous for kind, _ in AMBIGUOUS},
    }
    found = next((rows[kind] for kind in type(error).__mro__ if kind in rows), Ambiguous)
    return found(type(error).__name__)
