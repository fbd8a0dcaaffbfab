"""The one way of calling a provider over HTTP and of reading its answer, shared by every adapter that speaks HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

from infrastructure.channels.failures import read_failure
from schemas.outcomes import Dead, Outcome, Retry, Sent

_LATER = {408, 425, 429}
MOST_READ = 64 * 1024
"""Bytes of an answer that are read; a provider's page of apologies, or a bomb, is not kept."""


@dataclass(frozen=True)
class Answer:
    """What a provider said; the body as far as it was read."""

    status: int
    body: bytes = b""
    retry_after: str | None = None


async def call(
    http: httpx2.AsyncClient, method: str, url: str, *, most: int = MOST_READ, headers: Mapping[str, str], **request: Any
) -> Answer | Outcome:
    """The answer, or what its absence means. Redirects are not followed; the caller bounds the time."""
    plain = {"Accept-Encoding": "identity", **headers}  # nothing is unpacked here
    try:
        async with http.stream(method, url, headers=plain, **request) as response:
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk[: most - len(body)]
                if len(body) >= most:
                    break
            return Answer(response.status_code, bytes(body), response.headers.get("retry-after"))
    except httpx2.TransportError as error:
        return read_failure(error)


def read_outcome(answer: Answer, provider_id: str | None = None) -> Outcome:
    """2xx took it; 408, 425, 429 and 5xx refused it for now; everything else, redirects too, refused it for good."""
    if 200 <= answer.status < 300:
        return Sent(answer=str(answer.status), provider_id=provider_id)
    if answer.status in _LATER or answer.status >= 500:
        return Retry(f"http_{answer.status}", asked=retry_after(answer.retry_after, datetime.now(UTC)))
    return Dead(f"http_{answer.status}")


def retry_after(value: str | None, now: datetime) -> timedelta | None:
    """Seconds or an HTTP date (RFC 9110 section 10.2.3); anything else counts as not said."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit() and len(text) <= 9:
        return timedelta(seconds=int(text))
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(moment - now, timedelta(0))
